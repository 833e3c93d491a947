//! Perl-compatible regular expressions: the system's PCRE2, the engine behind Postfix's `pcre:` tables.
//!
//! The crates that wrap it lack some of the options that those tables have.
#![allow(unsafe_code)]

use std::ffi::{c_int, c_void};
use std::ops::Range;
use std::ptr::{self, NonNull};

/// How a pattern is read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flags {
    pub caseless: bool,
    pub multiline: bool,
    pub dot_all: bool,
    pub extended: bool,
    pub anchored: bool,
    pub dollar_end_only: bool,
    pub ungreedy: bool,
}

impl Flags {
    fn bits(self) -> u32 {
        [
            (self.caseless, 0x0000_0008),
            (self.multiline, 0x0000_0400),
            (self.dot_all, 0x0000_0020),
            (self.extended, 0x0000_0080),
            (self.anchored, 0x8000_0000),
            (self.dollar_end_only, 0x0000_0010),
            (self.ungreedy, 0x0004_0000),
        ]
        .iter()
        .filter(|(is_set, _)| *is_set)
        .fold(0, |all, (_, bit)| all | bit)
    }
}

const ERROR_NOMATCH: c_int = -1;
const INFO_CAPTURECOUNT: u32 = 4;
/// The offset of a group that took no part.
const UNSET: usize = usize::MAX;

#[link(name = "pcre2-8")]
unsafe extern "C" {
    fn pcre2_compile_8(
        pattern: *const u8,
        length: usize,
        options: u32,
        error: *mut c_int,
        error_offset: *mut usize,
        context: *mut c_void,
    ) -> *mut c_void;
    fn pcre2_code_free_8(code: *mut c_void);
    fn pcre2_pattern_info_8(code: *const c_void, what: u32, to: *mut c_void) -> c_int;
    fn pcre2_match_data_create_from_pattern_8(code: *const c_void, context: *mut c_void) -> *mut c_void;
    fn pcre2_match_data_free_8(data: *mut c_void);
    fn pcre2_match_8(
        code: *const c_void,
        subject: *const u8,
        length: usize,
        start: usize,
        options: u32,
        data: *mut c_void,
        context: *mut c_void,
    ) -> c_int;
    fn pcre2_get_ovector_pointer_8(data: *mut c_void) -> *mut usize;
    fn pcre2_get_ovector_count_8(data: *mut c_void) -> u32;
    fn pcre2_get_error_message_8(error: c_int, buffer: *mut u8, length: usize) -> c_int;
}

/// A compiled pattern.
pub struct Pcre(NonNull<c_void>);

// SAFETY: the library says that compiled code may be used by several threads at once; matches have data of their own.
unsafe impl Send for Pcre {}
// SAFETY: as above; it is freed by its one owner.
unsafe impl Sync for Pcre {}

/// Why a pattern could not be compiled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CompileError {
    /// Octets into the pattern.
    pub offset: usize,
    pub text: String,
}

impl Pcre {
    pub fn new(pattern: &[u8], flags: Flags) -> Result<Pcre, CompileError> {
        let (mut error, mut offset) = (0, 0);
        // SAFETY: the pattern is as long as said; the other pointers are valid or null, which is allowed.
        let code = unsafe {
            pcre2_compile_8(
                pattern.as_ptr(),
                pattern.len(),
                flags.bits(),
                &mut error,
                &mut offset,
                ptr::null_mut(),
            )
        };
        NonNull::new(code).map(Pcre).ok_or_else(|| CompileError { offset, text: error_text(error) })
    }

    /// The pattern's groups, without the whole match.
    pub fn groups(&self) -> usize {
        let mut count = 0u32;
        // SAFETY: this question is answered with a u32.
        unsafe { pcre2_pattern_info_8(self.0.as_ptr(), INFO_CAPTURECOUNT, (&raw mut count).cast()) };
        count as usize
    }

    /// Whether the subject matches. `captures` gets the places of the whole match and of the groups, as many as it is
    /// long; None: the group took no part.
    pub fn find(&self, subject: &[u8], captures: &mut [Option<Range<usize>>]) -> Result<bool, String> {
        let data = MatchData::new(self).ok_or_else(|| "out of memory".to_owned())?;
        // SAFETY: code and data belong together; the subject is as long as said.
        let result = unsafe {
            pcre2_match_8(
                self.0.as_ptr(),
                subject.as_ptr(),
                subject.len(),
                0,
                0,
                data.0.as_ptr(),
                ptr::null_mut(),
            )
        };
        match result {
            ERROR_NOMATCH => return Ok(false),
            error if error < 0 => return Err(error_text(error)),
            _ => {}
        }
        let places = data.places();
        for (capture, place) in captures.iter_mut().zip(places.chunks_exact(2)) {
            // Older libraries let `\K` put the start behind the end.
            let is_place = place[0] != UNSET && place[0] <= place[1] && place[1] <= subject.len();
            *capture = is_place.then(|| place[0]..place[1]);
        }
        Ok(true)
    }
}

impl Drop for Pcre {
    fn drop(&mut self) {
        // SAFETY: it was compiled, and is freed once.
        unsafe { pcre2_code_free_8(self.0.as_ptr()) }
    }
}

/// What one match needs.
struct MatchData(NonNull<c_void>);

impl MatchData {
    fn new(code: &Pcre) -> Option<MatchData> {
        // SAFETY: the code is compiled; no context is allowed.
        let data = unsafe { pcre2_match_data_create_from_pattern_8(code.0.as_ptr(), ptr::null_mut()) };
        NonNull::new(data).map(MatchData)
    }

    /// Start and end of the match and of each group. To be called after a match.
    fn places(&self) -> &[usize] {
        // SAFETY: the vector has two elements for each of its count, and lives as long as the data.
        unsafe {
            let count = pcre2_get_ovector_count_8(self.0.as_ptr()) as usize;
            std::slice::from_raw_parts(pcre2_get_ovector_pointer_8(self.0.as_ptr()), 2 * count)
        }
    }
}

impl Drop for MatchData {
    fn drop(&mut self) {
        // SAFETY: it was created, and is freed once.
        unsafe { pcre2_match_data_free_8(self.0.as_ptr()) }
    }
}

fn error_text(error: c_int) -> String {
    let mut text = [0u8; 256];
    // SAFETY: the buffer is as long as said.
    let length = unsafe { pcre2_get_error_message_8(error, text.as_mut_ptr(), text.len()) };
    match usize::try_from(length) {
        Ok(length) => String::from_utf8_lossy(&text[..length.min(text.len())]).into_owned(),
        Err(_) => format!("unexpected pcre2 error code {error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(pattern: &str, flags: Flags, subject: &str) -> Option<Vec<Option<Range<usize>>>> {
        let regex = Pcre::new(pattern.as_bytes(), flags).unwrap();
        let mut captures = vec![None; regex.groups() + 1];
        regex.find(subject.as_bytes(), &mut captures).unwrap().then_some(captures)
    }

    #[test]
    fn matches() {
        let plain = Flags::default();
        assert_eq!(find("^(a+)(b)?@", plain, "aa@x"), Some(vec![Some(0..3), Some(0..2), None]));
        assert_eq!(find("(a)|b", plain, "b"), Some(vec![Some(0..1), None]));
        assert_eq!(find("A", plain, "a"), None);
    }

    #[test]
    fn flags() {
        let plain = Flags::default();
        for (pattern, flags, subject, expect) in [
            ("A", Flags { caseless: true, ..plain }, "a", Some(0..1)),
            ("^b", Flags { multiline: true, ..plain }, "a\nb", Some(2..3)),
            ("a.b", Flags { dot_all: true, ..plain }, "a\nb", Some(0..3)),
            ("a b", Flags { extended: true, ..plain }, "ab", Some(0..2)),
            ("b", Flags { anchored: true, ..plain }, "ab", None),
            ("a$", Flags { dollar_end_only: true, ..plain }, "a\n", None),
            ("a+", Flags { ungreedy: true, ..plain }, "aaa", Some(0..1)),
        ] {
            let whole = find(pattern, flags, subject).map(|captures| captures[0].clone().unwrap());
            assert_eq!(whole, expect, "{pattern}");
        }
    }

    #[test]
    fn errors() {
        let error = Pcre::new(b"a(b", Flags::default()).err().unwrap();
        assert_eq!(error, CompileError { offset: 3, text: "missing closing parenthesis".to_owned() });
        // The limit on backtracking is the library's own.
        let regex = Pcre::new(b"(a+)+$", Flags::default()).unwrap();
        let subject = [&[b'a'; 40][..], b"b"].concat();
        assert_eq!(regex.find(&subject, &mut []), Err("match limit exceeded".to_owned()));
    }
}
