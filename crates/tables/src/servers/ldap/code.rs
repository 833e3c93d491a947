//! The results of LDAP operations: RFC 4511's codes, libldap's own (negative) ones, and the words that libldap has for them.

/// A result that is not success.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Code(pub(super) i32);

pub(super) const PROTOCOL_ERROR: Code = Code(2);
pub(super) const REFERRAL: Code = Code(10);
pub(super) const NO_SUCH_OBJECT: Code = Code(32);
pub(super) const SERVER_DOWN: Code = Code(-1);
pub(super) const LOCAL_ERROR: Code = Code(-2);
pub(super) const DECODING_ERROR: Code = Code(-4);
pub(super) const TIMEOUT: Code = Code(-5);
pub(super) const AUTH_UNKNOWN: Code = Code(-6);
pub(super) const FILTER_ERROR: Code = Code(-7);
pub(super) const CONNECT_ERROR: Code = Code(-11);
pub(super) const REFERRAL_LIMIT: Code = Code(-17);

impl std::fmt::Display for Code {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self.0 {
            0 => "Success",
            1 => "Operations error",
            2 => "Protocol error",
            3 => "Time limit exceeded",
            4 => "Size limit exceeded",
            5 => "Compare False",
            6 => "Compare True",
            7 => "Authentication method not supported",
            8 => "Strong(er) authentication required",
            9 => "Partial results and referral received",
            10 => "Referral",
            11 => "Administrative limit exceeded",
            12 => "Critical extension is unavailable",
            13 => "Confidentiality required",
            14 => "SASL bind in progress",
            16 => "No such attribute",
            17 => "Undefined attribute type",
            18 => "Inappropriate matching",
            19 => "Constraint violation",
            20 => "Type or value exists",
            21 => "Invalid syntax",
            32 => "No such object",
            33 => "Alias problem",
            34 => "Invalid DN syntax",
            35 => "Entry is a leaf",
            36 => "Alias dereferencing problem",
            47 => "Proxy Authorization Failure (X)",
            48 => "Inappropriate authentication",
            49 => "Invalid credentials",
            50 => "Insufficient access",
            51 => "Server is busy",
            52 => "Server is unavailable",
            53 => "Server is unwilling to perform",
            54 => "Loop detected",
            64 => "Naming violation",
            65 => "Object class violation",
            70 => "Results too large",
            71 => "Operation affects multiple DSAs",
            76 => "Virtual List View error",
            80 => "Other (e.g., implementation specific) error",
            -1 => "Can't contact LDAP server",
            -2 => "Local error",
            -3 => "Encoding error",
            -4 => "Decoding error",
            -5 => "Timed out",
            -6 => "Unknown authentication method",
            -7 => "Bad search filter",
            -8 => "User cancelled operation",
            -9 => "Bad parameter to an ldap routine",
            -10 => "Out of memory",
            -11 => "Connect error",
            -12 => "Not Supported",
            -13 => "Control not found",
            -14 => "No results returned",
            -15 => "More results to return",
            -16 => "Client Loop",
            -17 => "Referral Limit Exceeded",
            _ => "Unknown error",
        })
    }
}
