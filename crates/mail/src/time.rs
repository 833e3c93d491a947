//! A point in time, and how mail writes it. The clock itself is not here: times come in as arguments.

use std::time::Duration;

/// Microseconds since 1970-01-01 00:00 UTC.
///
/// ```
/// use mail::Time;
/// let t = Time::from_secs(1_700_000_000);
/// assert_eq!(t.rfc5322(3600, "CET"), "Tue, 14 Nov 2023 23:13:20 +0100 (CET)");
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(i64);

/// A date and a time of day in some zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Civil {
    pub year: i64,
    /// 1 to 12.
    pub month: u8,
    /// 1 to 31.
    pub day: u8,
    pub hour: u8,
    pub minute: u8,
    pub second: u8,
    /// 0 is Sunday.
    pub weekday: u8,
}

pub const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
pub const WEEKDAYS: [&str; 7] = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];

impl Time {
    pub const fn from_secs(secs: i64) -> Time {
        Time(secs * 1_000_000)
    }

    pub const fn from_micros(micros: i64) -> Time {
        Time(micros)
    }

    /// Whole seconds since the epoch.
    pub const fn secs(self) -> i64 {
        self.0.div_euclid(1_000_000)
    }

    /// The microseconds within the second, 0 to 999,999.
    pub const fn subsec_micros(self) -> u32 {
        self.0.rem_euclid(1_000_000) as u32
    }

    pub const fn micros(self) -> i64 {
        self.0
    }

    /// How long after `earlier` this is; zero if it is not after it (clocks step back).
    pub fn since(self, earlier: Time) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0).max(0) as u64)
    }

    /// The calendar date at `offset` seconds east of Greenwich.
    pub fn civil(self, offset: i32) -> Civil {
        let local = self.secs() + i64::from(offset);
        let (days, rest) = (local.div_euclid(86_400), local.rem_euclid(86_400));
        // Days to year, month, day: the calendar's 400-year cycle, counted from 0000-03-01.
        let shifted = days + 719_468;
        let era = shifted.div_euclid(146_097);
        let of_era = shifted.rem_euclid(146_097);
        let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
        let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let from_march = (5 * of_year + 2) / 153;
        let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
        Civil {
            year: year_of_era + era * 400 + i64::from(month <= 2),
            month: month as u8,
            day: (of_year - (153 * from_march + 2) / 5 + 1) as u8,
            hour: (rest / 3600) as u8,
            minute: (rest / 60 % 60) as u8,
            second: (rest % 60) as u8,
            weekday: (days + 4).rem_euclid(7) as u8,
        }
    }

    /// `Thu,  1 Jan 1970 00:00:00 +0000 (UTC)`: the form of Postfix 3.7's Date: and Received: (RFC 5322 3.3; the
    /// day is padded with a blank).
    pub fn rfc5322(self, offset: i32, zone: &str) -> String {
        let c = self.civil(offset);
        let minutes = offset.abs() / 60;
        let mut text = format!(
            "{}, {:2} {} {} {:02}:{:02}:{:02} {}{:02}{:02}",
            WEEKDAYS[usize::from(c.weekday)],
            c.day,
            MONTHS[usize::from(c.month - 1)],
            c.year,
            c.hour,
            c.minute,
            c.second,
            if offset < 0 { '-' } else { '+' },
            minutes / 60,
            minutes % 60
        );
        if !zone.is_empty() {
            text.push_str(&format!(" ({zone})"));
        }
        text
    }
}

impl std::ops::Add<Duration> for Time {
    type Output = Time;
    fn add(self, d: Duration) -> Time {
        Time(self.0.saturating_add(d.as_micros().min(i64::MAX as u128) as i64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn civil_dates() {
        for (secs, expect) in [
            (0, (1970, 1, 1, 4)),
            (951_782_400, (2000, 2, 29, 2)),
            (4_102_444_799, (2099, 12, 31, 4)),
            (-1, (1969, 12, 31, 3)),
        ] {
            let c = Time::from_secs(secs).civil(0);
            assert_eq!((c.year, c.month, c.day, c.weekday), expect, "{secs}");
        }
    }

    #[test]
    fn rfc5322_pads_the_day() {
        assert_eq!(Time::from_secs(0).rfc5322(-12_600, ""), "Wed, 31 Dec 1969 20:30:00 -0330");
        assert_eq!(Time::from_secs(86_400 * 3).rfc5322(0, "UTC"), "Sun,  4 Jan 1970 00:00:00 +0000 (UTC)");
    }
}
