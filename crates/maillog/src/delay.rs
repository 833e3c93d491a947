//! Delays as `delay=` and `delays=` print them.

use std::fmt;
use std::time::Duration;

/// A duration in seconds: two significant digits, at most two decimals (`delay_logging_resolution_limit`), rounded, no
/// trailing zeros; 100 s and more in whole seconds.
///
/// ```
/// use maillog::Delay;
/// use std::time::Duration;
/// assert_eq!(Delay(Duration::from_millis(1440)).to_string(), "1.4");
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Delay(pub Duration);

impl fmt::Display for Delay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SIGNIFICANT_DIGITS: u32 = 2;
        const RESOLUTION_LIMIT: u32 = 2;
        let micros = self.0.as_micros() as u64;
        let whole_digits = match micros / 1_000_000 {
            0 => 0,
            secs => secs.ilog10() + 1,
        };
        let decimals = SIGNIFICANT_DIGITS.saturating_sub(whole_digits).min(RESOLUTION_LIMIT);
        let unit = 10u64.pow(6 - decimals);
        let rounded = (micros + unit / 2) / unit;
        let scale = 10u64.pow(decimals);
        write!(f, "{}", rounded / scale)?;
        match rounded % scale {
            0 => Ok(()),
            fraction if decimals == 2 && fraction % 10 == 0 => write!(f, ".{}", fraction / 10),
            fraction => write!(f, ".{fraction:0width$}", width = decimals as usize),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows() {
        for (micros, expect) in [
            (0, "0"),
            (4_999, "0"),
            (5_000, "0.01"),
            (33_000, "0.03"),
            (99_000, "0.1"),
            (330_000, "0.33"),
            (996_000, "1"),
            (1_440_000, "1.4"),
            (1_950_000, "2"),
            (9_990_000, "10"),
            (12_300_000, "12"),
            (99_600_000, "100"),
            (1_016_400_000, "1016"),
        ] {
            assert_eq!(Delay(Duration::from_micros(micros)).to_string(), expect, "{micros}");
        }
    }
}
