//! Options as C's getopt() reads them: `-abc`, `-ovalue`, `-o value`; the first argument that is none ends them, as does `--`.

/// Options with their values, and what follows them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Parsed {
    pub(crate) options: Vec<(char, Option<String>)>,
    pub(crate) operands: Vec<String>,
    /// What getopt() complains of, with the options read up to there.
    pub(crate) complaint: Option<String>,
}

/// `spec` has the options; a `:` behind one says that it takes a value.
pub(crate) fn parse(args: &[String], spec: &str) -> Parsed {
    let mut parsed = Parsed::default();
    let mut args = args.iter();
    while let Some(arg) = args.as_slice().first() {
        let Some(letters) = arg.strip_prefix('-').filter(|l| !l.is_empty()) else {
            break;
        };
        args.next();
        if letters == "-" {
            break;
        }
        if let Err(complaint) = read_letters(letters, spec, &mut args, &mut parsed.options) {
            parsed.complaint = Some(complaint);
            return parsed;
        }
    }
    parsed.operands = args.cloned().collect();
    parsed
}

fn read_letters(
    letters: &str,
    spec: &str,
    args: &mut std::slice::Iter<'_, String>,
    options: &mut Vec<(char, Option<String>)>,
) -> Result<(), String> {
    for (at, letter) in letters.char_indices() {
        let known = spec.find(letter).filter(|_| letter != ':');
        let takes_value = match known {
            Some(index) => spec[index + letter.len_utf8()..].starts_with(':'),
            None => return Err(format!("invalid option -- '{letter}'")),
        };
        if !takes_value {
            options.push((letter, None));
            continue;
        }
        let rest = &letters[at + letter.len_utf8()..];
        let value = if rest.is_empty() { args.next().cloned() } else { Some(rest.to_string()) };
        let missing = || format!("option requires an argument -- '{letter}'");
        options.push((letter, Some(value.ok_or_else(missing)?)));
        break;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(args: &[&str]) -> (String, Vec<String>, Option<String>) {
        let args: Vec<String> = args.iter().map(|a| a.to_string()).collect();
        let parsed = parse(&args, "ab:#");
        let show =
            |(letter, value): &(char, Option<String>)| format!("{letter}{}", value.as_deref().unwrap_or(""));
        (parsed.options.iter().map(show).collect::<Vec<_>>().join(" "), parsed.operands, parsed.complaint)
    }

    #[test]
    fn forms() {
        for (args, options, operands) in [
            (&["-a", "-b", "x", "y"][..], "a bx", &["y"][..]),
            (&["-a#bx", "--", "-a"], "a # bx", &["-a"]),
            (&["x", "-a"], "", &["x", "-a"]),
            (&["-", "-a"], "", &["-", "-a"]),
            (&["-b=x"], "b=x", &[]),
            (&[], "", &[]),
        ] {
            let operands: Vec<String> = operands.iter().map(|o| o.to_string()).collect();
            assert_eq!(check(args), (options.to_string(), operands, None), "{args:?}");
        }
        assert_eq!(check(&["-aZ"]).2.as_deref(), Some("invalid option -- 'Z'"));
        assert_eq!(check(&["-b"]).2.as_deref(), Some("option requires an argument -- 'b'"));
        assert_eq!(check(&["-:"]).2.as_deref(), Some("invalid option -- ':'"));
        assert_eq!(check(&["--a"]).2.as_deref(), Some("invalid option -- '-'"));
    }
}
