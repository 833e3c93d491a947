//! The local time zone, as the system is set (`TZ`, `/etc/localtime`).
#![allow(unsafe_code)]

use std::ffi::CStr;
use std::mem::MaybeUninit;

/// Seconds east of Greenwich, and the zone's abbreviation, at a moment in seconds since 1970 UTC.
///
/// Falls back to UTC for moments that have no calendar date.
pub fn zone_at(secs: i64) -> (i32, String) {
    let mut tm = MaybeUninit::<libc::tm>::uninit();
    // SAFETY: localtime_r writes a whole tm to the pointer it is given, which is valid and aligned, or returns null; it
    // reads only the time passed by reference. tzset, which it implies, reads TZ: std::env's lock is not taken, and this
    // project never sets environment variables after start.
    let converted = unsafe { libc::localtime_r(&secs, tm.as_mut_ptr()) };
    if converted.is_null() {
        return (0, "UTC".into());
    }
    // SAFETY: localtime_r returned non-null, so it has initialised the value; tm_zone then points to a NUL-terminated
    // string in libc's static zone data, which lives as long as the process and is copied at once.
    let (offset, zone) = unsafe {
        let tm = tm.assume_init();
        (tm.tm_gmtoff, CStr::from_ptr(tm.tm_zone).to_string_lossy().into_owned())
    };
    (offset as i32, zone)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_zone_has_a_name_and_a_sane_offset() {
        let (offset, zone) = zone_at(1_700_000_000);
        assert!(offset.abs() <= 14 * 3600 && !zone.is_empty(), "{offset} {zone}");
    }

    #[test]
    fn a_moment_beyond_the_calendar_is_utc() {
        assert_eq!(zone_at(i64::MAX), (0, "UTC".into()));
    }
}
