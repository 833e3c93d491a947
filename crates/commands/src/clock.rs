//! The clock, and dates as C's asctime() has them, which listings show.

use mail::Time;
use mail::time::{MONTHS, WEEKDAYS};
use std::time::{SystemTime, UNIX_EPOCH};

pub(crate) fn now() -> Time {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Time::from_micros(since_1970.as_micros() as i64)
}

/// `Wed Nov 25 02:12:05 2026`, in local time.
pub(crate) fn date(secs: i64) -> String {
    let (offset, _) = sys::local_time::zone_at(secs);
    date_at(secs, offset)
}

fn date_at(secs: i64, offset: i32) -> String {
    let c = Time::from_secs(secs).civil(offset);
    let (weekday, month) = (WEEKDAYS[usize::from(c.weekday)], MONTHS[usize::from(c.month - 1)]);
    format!("{weekday} {month} {:2} {:02}:{:02}:{:02} {}", c.day, c.hour, c.minute, c.second, c.year)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates() {
        assert_eq!(date_at(1_795_572_725, 0), "Wed Nov 25 02:12:05 2026");
        assert_eq!(date_at(0, -3600), "Wed Dec 31 23:00:00 1969");
        assert_eq!(date_at(86_400, 0), "Fri Jan  2 00:00:00 1970");
    }
}
