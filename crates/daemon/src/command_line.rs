//! master(8)'s options.

use std::ffi::OsString;

/// What the parent is to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Options {
    pub(crate) config_directory: Option<String>,
    pub(crate) mode: Mode,
}

/// How it runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// In the background; the caller waits until mail is served.
    Background,
    /// Where it was started (`-d`, `-s`, `-i`).
    Foreground,
    /// Only says whether a mail system runs (`-t`).
    Test,
}

impl Options {
    /// Reads them. The error is a text for people.
    pub(crate) fn parse(args: &[OsString]) -> Result<Options, String> {
        let mut options = Options { config_directory: None, mode: Mode::Background };
        let mut parser = lexopt::Parser::from_args(args);
        loop {
            let next = parser.next().map_err(|e| e.to_string())?;
            let value = |parser: &mut lexopt::Parser| {
                let value = parser.value().map_err(|e| e.to_string())?;
                value.into_string().map_err(|_| "a name that is no UTF-8".to_owned())
            };
            match next {
                None => return Ok(options),
                Some(lexopt::Arg::Short('c')) => options.config_directory = Some(value(&mut parser)?),
                // Ends after so many seconds: a debugging aid of Postfix that nothing calls for.
                Some(lexopt::Arg::Short('e')) => drop(value(&mut parser)?),
                Some(lexopt::Arg::Short('d' | 's' | 'i')) => options.mode = Mode::Foreground,
                Some(lexopt::Arg::Short('t')) => options.mode = Mode::Test,
                Some(lexopt::Arg::Short('w' | 'v' | 'D')) => {}
                _ => return Err("usage: master [-c config_dir] [-d] [-i] [-s] [-t] [-v] [-w]".into()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows() {
        let parse = |args: &[&str]| {
            let args: Vec<OsString> = args.iter().map(OsString::from).collect();
            Options::parse(&args)
        };
        for (args, config_directory, mode) in [
            (&["-w"][..], None, Mode::Background),
            (&["-c", "/x", "-t"], Some("/x"), Mode::Test),
            (&["-vs", "-c/y"], Some("/y"), Mode::Foreground),
            (&["-e", "5", "-d"], None, Mode::Foreground),
        ] {
            let config_directory = config_directory.map(str::to_owned);
            assert_eq!(parse(args), Ok(Options { config_directory, mode }), "{args:?}");
        }
        assert!(parse(&["-Z"]).is_err() && parse(&["x"]).is_err() && parse(&["-c"]).is_err());
    }
}
