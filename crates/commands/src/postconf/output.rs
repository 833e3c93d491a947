//! Lines on the standard output. A reader that goes away ends them in silence.

use std::io::Write;

#[derive(Debug, Default)]
pub(crate) struct Output {
    is_gone: bool,
}

impl Output {
    pub(crate) fn line(&mut self, text: &str) {
        if !self.is_gone {
            self.is_gone = writeln!(std::io::stdout().lock(), "{text}").is_err();
        }
    }

    /// A block of lines, written at once.
    pub(crate) fn lines(&mut self, lines: &[String]) {
        if !lines.is_empty() {
            self.line(&lines.join("\n"));
        }
    }
}

/// `{"name": "value"}`, as Postfix 3.11 prints it.
pub(crate) fn json(name: &str, value: &str) -> String {
    let quoted = |text: &str| serde_json::Value::from(text).to_string();
    format!("{{{}: {}}}", quoted(name), quoted(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects() {
        assert_eq!(json("a/unix", "x \"y\"\\"), r#"{"a/unix": "x \"y\"\\"}"#);
    }
}
