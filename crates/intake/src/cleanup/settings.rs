//! The parameters that cleanup(8) obeys, beside those of rewriting (`route::Settings`).

use mail::mime::{Limits, Strictness};
use route::checks::Checks;

/// Fields bear their parameters' names; the defaults are Postfix 3.7's.
#[derive(Clone, Debug)]
pub struct Settings {
    pub myhostname: String,
    pub mail_name: String,
    /// Octets of a header field that are kept.
    pub header_size_limit: usize,
    /// A message with so many Received: headers goes in circles.
    pub hopcount_limit: usize,
    /// Octets of a message; 0: no limit.
    pub message_size_limit: u64,
    /// Only for the size that is logged: Postfix counts the pieces in which it stores lines.
    pub line_length_limit: usize,
    /// In lower case.
    pub message_drop_headers: Vec<String>,
    pub always_add_missing_headers: bool,
    /// `To: undisclosed-recipients:;`, or empty: nothing is added.
    pub undisclosed_recipients_header: String,
    pub header_from_format: FromFormat,
    pub enable_long_queue_ids: bool,
    pub detect_8bit_encoding_header: bool,
    pub disable_mime_input_processing: bool,
    pub mime_nesting_limit: usize,
    /// Octets of a boundary that count.
    pub mime_boundary_length_limit: usize,
    /// `strict_7bit_headers` and its like.
    pub strictness: Strictness,
    /// `header_checks` and its like.
    pub checks: Checks,
    /// Octets of each body that are looked at; 0: all.
    pub body_checks_size_limit: u64,
    pub cleanup_replace_stray_cr_lf: bool,
    /// Recipients remembered to find duplicates; 0: all.
    pub duplicate_filter_limit: usize,
    /// Whether recipients with the same address and different originals are different.
    pub enable_original_recipient: bool,
    pub smtputf8_enable: bool,
}

/// `header_from_format`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FromFormat {
    /// `From: Full Name <address>`
    Standard,
    /// `From: address (Full Name)`
    Obsolete,
}

impl Settings {
    pub(super) fn limits(&self) -> Limits {
        Limits {
            header_size_limit: self.header_size_limit,
            mime_nesting_limit: self.mime_nesting_limit,
            mime_boundary_length_limit: self.mime_boundary_length_limit,
        }
    }

    pub fn new(myhostname: &str, mail_name: &str) -> Settings {
        let dropped = ["bcc", "content-length", "resent-bcc", "return-path"];
        Settings {
            myhostname: myhostname.to_string(),
            mail_name: mail_name.to_string(),
            header_size_limit: 102_400,
            hopcount_limit: 50,
            message_size_limit: 10_240_000,
            line_length_limit: 2048,
            message_drop_headers: dropped.map(String::from).to_vec(),
            always_add_missing_headers: false,
            undisclosed_recipients_header: String::new(),
            header_from_format: FromFormat::Standard,
            enable_long_queue_ids: false,
            detect_8bit_encoding_header: true,
            disable_mime_input_processing: false,
            mime_nesting_limit: 100,
            mime_boundary_length_limit: 2048,
            strictness: Strictness::default(),
            checks: Checks::default(),
            body_checks_size_limit: 51_200,
            cleanup_replace_stray_cr_lf: true,
            duplicate_filter_limit: 1000,
            enable_original_recipient: true,
            smtputf8_enable: true,
        }
    }
}
