//! Types of parameters: how the text of a value, `$names` expanded, becomes a Rust value, and what Postfix says if it does not.

use crate::list::MatchList;
use crate::registry::Spec;
use crate::word::{COMMA_SPACE, plain_words, words};
use std::time::Duration;

/// A type of parameter. The implementors are only names for it: `Time`, `Bool`.
pub trait Kind {
    /// What code gets to see.
    type Value: Clone + Default + PartialEq + std::fmt::Debug + Send + Sync + 'static;
    /// What the documentation calls it.
    const NAME: &'static str;
    /// `$names` are left for when the value is used.
    const IS_RAW: bool = false;

    /// `Err` is the text behind `fatal: `.
    fn convert(input: &Input<'_>) -> Result<Converted<Self::Value>, String>;
}

/// What is to be converted.
#[derive(Clone, Copy, Debug)]
pub struct Input<'a> {
    /// The parameter's name; that of a transport's parameter differs from the specification's.
    pub name: &'a str,
    pub spec: &'a Spec,
    /// The unit of a time without one: that of the default.
    pub unit: char,
    pub text: &'a str,
}

/// A value and what there is to warn of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Converted<V> {
    pub value: V,
    pub warning: Option<String>,
}

impl<V> From<V> for Converted<V> {
    fn from(value: V) -> Converted<V> {
        Converted { value, warning: None }
    }
}

/// `yes` or `no`, in any case.
pub struct Bool;
/// A whole number of 32 bits.
pub struct Int;
/// A whole number of 64 bits.
pub struct Long;
/// Whole seconds; `s m h d w` behind the number say otherwise.
pub struct Time;
/// Text.
pub struct Str;
/// Text whose `$names` are expanded only when it is used.
pub struct Raw;
/// Words parted by blanks and commas.
pub struct Words;
/// Words parted by blanks and commas, `{ }` holding together what belongs together: tables, restrictions, filters.
pub struct Items;
/// A list of patterns.
pub struct Patterns;

impl Kind for Bool {
    type Value = bool;
    const NAME: &'static str = "yes or no";

    fn convert(input: &Input<'_>) -> Result<Converted<bool>, String> {
        match input.text {
            text if text.eq_ignore_ascii_case("yes") => Ok(true.into()),
            text if text.eq_ignore_ascii_case("no") => Ok(false.into()),
            text => Err(format!("bad boolean configuration: {} = {text}", input.name)),
        }
    }
}

impl Kind for Int {
    type Value = i32;
    const NAME: &'static str = "number";

    fn convert(input: &Input<'_>) -> Result<Converted<i32>, String> {
        let number = whole_number(input)?;
        let number = i32::try_from(number).map_err(|_| bad_number(input))?;
        check_number(input, number.into())?;
        Ok(number.into())
    }
}

impl Kind for Long {
    type Value = i64;
    const NAME: &'static str = "large number";

    fn convert(input: &Input<'_>) -> Result<Converted<i64>, String> {
        let number = whole_number(input)?;
        check_number(input, number)?;
        Ok(number.into())
    }
}

impl Kind for Time {
    type Value = Duration;
    const NAME: &'static str = "time";

    fn convert(input: &Input<'_>) -> Result<Converted<Duration>, String> {
        let name = input.name;
        let seconds = seconds(input.text, input.unit)
            .ok_or_else(|| format!("parameter {name}: bad time value or unit: {}", input.text))?;
        match input.spec {
            Spec { min, .. } if *min != 0 && seconds < *min => {
                Err(format!("invalid {name}: {seconds} (min {min})"))
            }
            Spec { max, .. } if *max != 0 && seconds > *max => {
                Err(format!("invalid {name}: {seconds} (max {max})"))
            }
            _ => Ok(Duration::from_secs(seconds as u64).into()),
        }
    }
}

impl Kind for Str {
    type Value = String;
    const NAME: &'static str = "text";

    fn convert(input: &Input<'_>) -> Result<Converted<String>, String> {
        let shape = |len: i64, sign: &str, bound: i64| format!("bad string length {len} {sign} {bound}");
        check_length(input, shape)?;
        Ok(input.text.to_string().into())
    }
}

impl Kind for Raw {
    type Value = String;
    const NAME: &'static str = "text, expanded when used";
    const IS_RAW: bool = true;

    fn convert(input: &Input<'_>) -> Result<Converted<String>, String> {
        let shape = |len: i64, sign: &str, bound: i64| format!("bad string length ({len} {sign} {bound})");
        check_length(input, shape)?;
        Ok(input.text.to_string().into())
    }
}

impl Kind for Words {
    type Value = Vec<String>;
    const NAME: &'static str = "words";

    fn convert(input: &Input<'_>) -> Result<Converted<Vec<String>>, String> {
        Str::convert(input)?;
        Ok(plain_words(input.text).map(str::to_string).collect::<Vec<_>>().into())
    }
}

impl Kind for Items {
    type Value = Vec<String>;
    const NAME: &'static str = "list";

    fn convert(input: &Input<'_>) -> Result<Converted<Vec<String>>, String> {
        Str::convert(input)?;
        Ok(words(input.text, COMMA_SPACE).map(|(_, word)| word.to_string()).collect::<Vec<_>>().into())
    }
}

impl Kind for Patterns {
    type Value = MatchList;
    const NAME: &'static str = "patterns";

    fn convert(input: &Input<'_>) -> Result<Converted<MatchList>, String> {
        Str::convert(input)?;
        let value = MatchList::parse(input.text).map_err(|why| format!("{}: {why}", input.name))?;
        let warning = value.comment.as_ref().map(|c| trailing_comment(input.name, c));
        Ok(Converted { value, warning })
    }
}

/// What Postfix warns of where it reads a list with a comment in it.
pub(crate) fn trailing_comment(name: &str, comment: &str) -> String {
    format!("{name}: comment at end of line is not supported: {comment}")
}

fn whole_number(input: &Input<'_>) -> Result<i64, String> {
    // Postfix: strtol(), so blanks and a sign may come first.
    let text = input.text.trim_start_matches(crate::line::is_space);
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    let is_number = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    is_number.then(|| text.parse().ok()).flatten().ok_or_else(|| bad_number(input))
}

fn bad_number(input: &Input<'_>) -> String {
    format!("bad numerical configuration: {} = {}", input.name, input.text)
}

fn check_number(input: &Input<'_>, number: i64) -> Result<(), String> {
    let Spec { min, max, .. } = *input.spec;
    let outside = match number {
        n if min != 0 && n < min => ("<", min),
        n if max != 0 && n > max => (">", max),
        _ => return Ok(()),
    };
    Err(format!("invalid {} parameter value {number} {} {}", input.name, outside.0, outside.1))
}

fn check_length(input: &Input<'_>, shape: impl Fn(i64, &str, i64) -> String) -> Result<(), String> {
    let Spec { min, max, .. } = *input.spec;
    let text = match input.text.len() as i64 {
        len if min != 0 && len < min => shape(len, "<", min),
        len if max != 0 && len > max => shape(len, ">", max),
        _ => return Ok(()),
    };
    Err(format!("{text}: {} = {}", input.name, input.text))
}

/// A time in seconds, below 2^31. What follows the unit does not matter.
fn seconds(text: &str, default_unit: char) -> Option<i64> {
    let text = text.trim_start_matches(crate::line::is_space);
    let text = text.strip_prefix('+').unwrap_or(text);
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let number: i32 = text[..digits].parse().ok()?;
    let unit = match text[digits..].chars().next().unwrap_or(default_unit) {
        's' => 1,
        'm' => 60,
        'h' => 3_600,
        'd' => 86_400,
        'w' => 604_800,
        _ => return None,
    };
    if unit == 1 {
        return Some(number.into());
    }
    (number < i32::MAX / unit).then(|| i64::from(number) * i64::from(unit))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn convert<K: Kind>(text: &str, bounds: (i64, i64)) -> Result<K::Value, String> {
        let spec = Spec::new::<K>("x", "", "").min(bounds.0).max(bounds.1);
        K::convert(&Input { name: "x", spec: &spec, unit: 'h', text }).map(|c| c.value)
    }

    #[test]
    fn booleans() {
        assert_eq!(convert::<Bool>("YES", (0, 0)), Ok(true));
        assert_eq!(convert::<Bool>("no", (0, 0)), Ok(false));
        assert_eq!(convert::<Bool>("true", (0, 0)), Err("bad boolean configuration: x = true".into()));
        assert_eq!(convert::<Bool>("", (0, 0)), Err("bad boolean configuration: x = ".into()));
    }

    #[test]
    fn numbers() {
        assert_eq!(convert::<Int>(" +12", (0, 0)), Ok(12));
        assert_eq!(convert::<Int>("-12", (0, 0)), Ok(-12));
        for text in ["", "12 # x", "12k", "2147483648", "- 1"] {
            assert_eq!(convert::<Int>(text, (0, 0)), Err(format!("bad numerical configuration: x = {text}")));
        }
        assert_eq!(convert::<Int>("0", (1, 0)), Err("invalid x parameter value 0 < 1".into()));
        assert_eq!(convert::<Int>("11", (0, 10)), Err("invalid x parameter value 11 > 10".into()));
        assert_eq!(convert::<Long>("2147483648", (0, 0)), Ok(2_147_483_648));
        assert_eq!(
            convert::<Long>("9223372036854775808", (0, 0)),
            Err("bad numerical configuration: x = 9223372036854775808".into())
        );
    }

    #[test]
    fn times() {
        for (text, expect) in [
            ("1", 3_600),
            ("0", 0),
            ("90s", 90),
            ("2m", 120),
            ("5d", 432_000),
            ("1w", 604_800),
            ("10s # x", 10),
        ] {
            assert_eq!(convert::<Time>(text, (0, 0)), Ok(Duration::from_secs(expect)), "{text}");
        }
        for text in ["", "x", "1y", "-1s", "10 # x", "99999w"] {
            assert_eq!(
                convert::<Time>(text, (0, 0)),
                Err(format!("parameter x: bad time value or unit: {text}"))
            );
        }
        assert_eq!(convert::<Time>("0s", (1, 0)), Err("invalid x: 0 (min 1)".into()));
        assert_eq!(convert::<Time>("11s", (0, 10)), Err("invalid x: 11 (max 10)".into()));
    }

    #[test]
    fn texts() {
        assert_eq!(convert::<Str>("", (1, 0)), Err("bad string length 0 < 1: x = ".into()));
        assert_eq!(convert::<Raw>("abc", (0, 2)), Err("bad string length (3 > 2): x = abc".into()));
        assert_eq!(convert::<Words>("a, b\tc", (0, 0)), Ok(vec!["a".into(), "b".into(), "c".into()]));
        assert_eq!(convert::<Items>("{ a, b } c", (0, 0)), Ok(vec!["{ a, b }".into(), "c".into()]));
        assert_eq!(convert::<Patterns>("a, !", (0, 0)), Err("x: no pattern after '!'".into()));
    }

    #[test]
    fn comments_in_lists() {
        let spec = Spec::new::<Patterns>("x", "", "");
        let converted =
            Patterns::convert(&Input { name: "x", spec: &spec, unit: 's', text: "a # b c" }).unwrap();
        assert_eq!(converted.warning.as_deref(), Some("x: comment at end of line is not supported: # b c"));
    }
}
