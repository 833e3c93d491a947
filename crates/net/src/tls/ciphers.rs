//! Cipher grades: `smtp_tls_ciphers = medium`, with the lists that they stand for and what is taken off them.
//! They concern TLS 1.2 and below; the suites of TLS 1.3 are OpenSSL's own.

use std::fmt;

/// `tls_high_cipherlist` and its like, in OpenSSL's cipher list language.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CipherLists {
    pub high: String,
    pub medium: String,
    pub low: String,
    pub export: String,
    pub null: String,
}

/// Postfix 3.7's defaults.
impl Default for CipherLists {
    fn default() -> CipherLists {
        CipherLists {
            high: "aNULL:-aNULL:HIGH:@STRENGTH".into(),
            medium: "aNULL:-aNULL:HIGH:MEDIUM:+RC4:@STRENGTH".into(),
            low: "aNULL:-aNULL:HIGH:MEDIUM:LOW:+RC4:@STRENGTH".into(),
            export: "aNULL:-aNULL:HIGH:MEDIUM:LOW:EXPORT:+RC4:@STRENGTH".into(),
            null: "eNULL:!aNULL".into(),
        }
    }
}

/// A grade or an exclusion that makes no sense; prints Postfix's words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InvalidCiphers {
    Grade(String),
    Exclusion(String),
}

impl CipherLists {
    /// The list of a grade without the excluded ciphers. Without exclusions the lists allow servers that have no
    /// certificate (`aNULL`), which Postfix prefers at levels that do not look at it.
    pub fn with(&self, grade: &str, exclusions: &[&str]) -> Result<String, InvalidCiphers> {
        let mut list = match grade.to_ascii_lowercase().as_str() {
            "high" => self.high.clone(),
            "medium" => self.medium.clone(),
            "low" => self.low.clone(),
            "export" => self.export.clone(),
            "null" => self.null.clone(),
            _ => return Err(InvalidCiphers::Grade(grade.to_string())),
        };
        let is_separator = |c: char| c == ',' || c == ':' || c.is_ascii_whitespace();
        for name in
            exclusions.iter().flat_map(|names| names.split(is_separator)).filter(|name| !name.is_empty())
        {
            if name.starts_with(['!', '+', '-', '@']) {
                return Err(InvalidCiphers::Exclusion(name.to_string()));
            }
            list.push_str(":!");
            list.push_str(name);
        }
        Ok(list)
    }
}

impl fmt::Display for InvalidCiphers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            InvalidCiphers::Grade(grade) => write!(f, "invalid cipher grade: \"{grade}\""),
            InvalidCiphers::Exclusion(name) => write!(f, "invalid unary '!+-@' in cipher exclusion: {name}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use openssl::ssl::{SslContext, SslMethod};

    #[test]
    fn rows() {
        let lists = CipherLists::default();
        for (grade, exclusions, expect) in [
            ("medium", &[][..], Ok("aNULL:-aNULL:HIGH:MEDIUM:+RC4:@STRENGTH")),
            ("High", &["aNULL, DES", "", "RC4:MD5"], Ok("aNULL:-aNULL:HIGH:@STRENGTH:!aNULL:!DES:!RC4:!MD5")),
            ("best", &[], Err("invalid cipher grade: \"best\"")),
            ("high", &["-RC4"], Err("invalid unary '!+-@' in cipher exclusion: -RC4")),
        ] {
            let got = lists.with(grade, exclusions).map_err(|error| error.to_string());
            assert_eq!(got, expect.map(str::to_string).map_err(str::to_string), "{grade}");
        }
    }

    #[test]
    fn openssl_takes_the_default_lists() {
        let lists = CipherLists::default();
        for grade in ["high", "medium", "low", "export", "null"] {
            let mut context = SslContext::builder(SslMethod::tls()).unwrap();
            assert!(context.set_cipher_list(&lists.with(grade, &[]).unwrap()).is_ok(), "{grade}");
        }
    }
}
