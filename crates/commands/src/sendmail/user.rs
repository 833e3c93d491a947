//! The user who runs sendmail, as the system knows him.

use nix::unistd::{User, getuid};
use std::os::unix::ffi::OsStringExt;

pub(super) fn uid() -> u32 {
    getuid().as_raw()
}

pub(super) fn login_name() -> Option<String> {
    user().map(|user| user.name)
}

/// The user's full name: NAME in the environment, or what the password file has.
pub(super) fn full_name() -> Option<Vec<u8>> {
    let named = std::env::var_os("NAME").map(OsStringExt::into_vec);
    named.or_else(|| user().map(|user| expand(user.gecos.to_bytes(), &user.name)))
}

fn user() -> Option<User> {
    User::from_uid(getuid()).ok().flatten()
}

/// The first part of a password file's comment, where `&` stands for the login name.
fn expand(comment: &[u8], login_name: &str) -> Vec<u8> {
    let mut name = Vec::new();
    for &b in comment.iter().take_while(|b| !matches!(b, b',' | b';' | b'%')) {
        if b == b'&' {
            let start = name.len();
            name.extend_from_slice(login_name.as_bytes());
            name[start..].iter_mut().take(1).for_each(|first| first.make_ascii_uppercase());
        } else {
            name.push(b);
        }
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn full_names() {
        for (comment, expect) in [
            ("root", "root"),
            ("A. User,Room 1,,", "A. User"),
            ("& Smith", "Jo Smith"),
            ("x;y", "x"),
            ("J\u{f6}rg", "J\u{f6}rg"),
            ("", ""),
        ] {
            assert_eq!(expand(comment.as_bytes(), "jo"), expect.as_bytes());
        }
    }
}
