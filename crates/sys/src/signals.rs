//! How this process takes signals, as far as it did not decide that itself.
#![allow(unsafe_code)]

use nix::sys::signal::Signal;
use std::mem::MaybeUninit;

/// Whether a signal is ignored: by whoever started this process (nohup), or by the Rust runtime (SIGPIPE).
pub fn is_ignored(signal: Signal) -> bool {
    let mut action = MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: with a null new action sigaction(2) changes nothing; it writes the present action to the pointer, which is
    // valid and aligned for one.
    let status = unsafe { libc::sigaction(signal as libc::c_int, std::ptr::null(), action.as_mut_ptr()) };
    // SAFETY: all zeros are a valid sigaction, and the call may have written another one.
    status == 0 && unsafe { action.assume_init() }.sa_sigaction == libc::SIG_IGN
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_rust_leaves_them() {
        assert!(is_ignored(Signal::SIGPIPE));
        assert!(!is_ignored(Signal::SIGTERM) && !is_ignored(Signal::SIGKILL));
    }
}
