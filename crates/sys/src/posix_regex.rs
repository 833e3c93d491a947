//! POSIX regular expressions: regcomp(3) and regexec(3), the engine behind Postfix's `regexp:` tables.
#![allow(unsafe_code)]

use std::ffi::{CStr, CString, c_int};
use std::mem::MaybeUninit;
use std::ops::Range;

/// How a pattern is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flags {
    pub extended: bool,
    pub ignore_case: bool,
    /// `^` and `$` match at line ends, and nothing but them matches a line feed.
    pub newline: bool,
}

/// A compiled pattern.
pub struct PosixRegex(Box<libc::regex_t>);

// SAFETY: POSIX lets threads share a compiled pattern for regexec(); glibc locks what it caches in it.
unsafe impl Send for PosixRegex {}
// SAFETY: as above; it is freed by its one owner.
unsafe impl Sync for PosixRegex {}

/// Where `re_nsub` is, which the libc crate keeps to itself: in glibc behind a pointer, three words
/// and two pointers; elsewhere first.
const GROUPS_OFFSET: usize = if cfg!(target_env = "gnu") { 6 * size_of::<usize>() } else { 0 };
const _: () = assert!(GROUPS_OFFSET + size_of::<usize>() <= size_of::<libc::regex_t>());

impl PosixRegex {
    /// Compiles a pattern, up to its first NUL. The error is regerror(3)'s text.
    pub fn new(pattern: &[u8], flags: Flags) -> Result<PosixRegex, String> {
        let pattern = c_string(pattern);
        let options = [
            (flags.extended, libc::REG_EXTENDED),
            (flags.ignore_case, libc::REG_ICASE),
            (flags.newline, libc::REG_NEWLINE),
        ];
        let options = options.iter().filter(|(is_set, _)| *is_set).fold(0, |all, (_, option)| all | option);
        let mut regex = Box::new(MaybeUninit::<libc::regex_t>::uninit());
        // SAFETY: both pointers are valid; regcomp initialises the regex if it returns 0.
        let error = unsafe { libc::regcomp(regex.as_mut_ptr(), pattern.as_ptr(), options) };
        if error != 0 {
            return Err(error_text(error, regex.as_ptr()));
        }
        // SAFETY: regcomp returned 0.
        Ok(PosixRegex(unsafe { regex.assume_init() }))
    }

    /// The pattern's groups, without the whole match.
    pub fn groups(&self) -> usize {
        let regex: *const libc::regex_t = &*self.0;
        // SAFETY: <regex.h> has `size_t re_nsub` there, within the structure, and it is set in a compiled pattern.
        unsafe { regex.cast::<usize>().byte_add(GROUPS_OFFSET).read() }
    }

    /// Whether the subject, up to its first NUL, matches. `captures` gets the places of the whole match and of the
    /// groups, as many as it is long; None: the group took no part.
    pub fn find(&self, subject: &[u8], captures: &mut [Option<Range<usize>>]) -> Result<bool, String> {
        let subject = c_string(subject);
        let mut places = vec![libc::regmatch_t { rm_so: -1, rm_eo: -1 }; captures.len()];
        // SAFETY: the regex is compiled, the subject ends with a NUL, `places` has as many elements as said.
        let error =
            unsafe { libc::regexec(&*self.0, subject.as_ptr(), places.len(), places.as_mut_ptr(), 0) };
        match error {
            0 => {}
            libc::REG_NOMATCH => return Ok(false),
            error => return Err(error_text(error, &*self.0)),
        }
        for (capture, place) in captures.iter_mut().zip(&places) {
            let ends = (usize::try_from(place.rm_so), usize::try_from(place.rm_eo));
            *capture = if let (Ok(start), Ok(end)) = ends { Some(start..end) } else { None };
        }
        Ok(true)
    }
}

impl Drop for PosixRegex {
    fn drop(&mut self) {
        // SAFETY: it was compiled, and is freed once.
        unsafe { libc::regfree(&mut *self.0) }
    }
}

fn c_string(text: &[u8]) -> CString {
    let end = text.iter().position(|&octet| octet == 0).unwrap_or(text.len());
    CString::new(&text[..end]).expect("cut before the first NUL")
}

fn error_text(error: c_int, regex: *const libc::regex_t) -> String {
    let mut text = [0u8; 256];
    // SAFETY: regerror writes at most 256 octets with a NUL at the end; it only looks at the regex of a failed call.
    unsafe { libc::regerror(error, regex, text.as_mut_ptr().cast(), text.len()) };
    CStr::from_bytes_until_nul(&text).unwrap_or_default().to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXTENDED: Flags = Flags { extended: true, ignore_case: true, newline: false };

    fn find(pattern: &str, subject: &str) -> Option<Vec<Option<Range<usize>>>> {
        let regex = PosixRegex::new(pattern.as_bytes(), EXTENDED).unwrap();
        let mut captures = vec![None; regex.groups() + 1];
        regex.find(subject.as_bytes(), &mut captures).unwrap().then_some(captures)
    }

    #[test]
    fn matches() {
        assert_eq!(find("^(a+)(b)?@", "AA@x"), Some(vec![Some(0..3), Some(0..2), None]));
        assert_eq!(find("^b", "ab"), None);
        // Leftmost, longest: no engine that takes the first alternative.
        assert_eq!(find("(a|ab)(c|bcd)", "abcd"), Some(vec![Some(0..4), Some(0..1), Some(1..4)]));
        assert_eq!(find("a$", "a\0b"), Some(vec![Some(0..1)]));
    }

    #[test]
    fn groups() {
        for (pattern, expect) in [("a", 0), ("(a)", 1), ("((a)|(b))(c)", 4)] {
            assert_eq!(PosixRegex::new(pattern.as_bytes(), EXTENDED).unwrap().groups(), expect);
        }
    }

    #[test]
    fn flags() {
        let basic = Flags { extended: false, ignore_case: false, newline: true };
        let regex = PosixRegex::new(b"^a+$", basic).unwrap();
        assert_eq!(regex.find(b"x\na+\n", &mut []), Ok(true));
        assert_eq!(regex.find(b"A+", &mut []), Ok(false));
    }

    #[test]
    fn errors() {
        for (pattern, expect) in [("(", "Unmatched ( or \\("), ("[a", "Unmatched [, [^, [:, [., or [=")] {
            assert_eq!(PosixRegex::new(pattern.as_bytes(), EXTENDED).err().as_deref(), Some(expect));
        }
    }

    #[test]
    fn threads_share_one() {
        let regex = PosixRegex::new(b"^(x*)y$", EXTENDED).unwrap();
        std::thread::scope(|scope| {
            for n in 0..4 {
                let regex = &regex;
                scope.spawn(move || {
                    let subject = format!("{}y", "x".repeat(n));
                    for _ in 0..1000 {
                        let mut captures = [None, None];
                        assert_eq!(regex.find(subject.as_bytes(), &mut captures), Ok(true));
                        assert_eq!(captures[1], Some(0..n));
                    }
                });
            }
        });
    }
}
