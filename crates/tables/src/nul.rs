//! Whether the keys and values of a database file end with a NUL. Both are tried until the first key that is found tells.

use crate::Terminators;
use std::sync::atomic::{AtomicU8, Ordering};

/// One of the two.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    With = 1,
    Without = 2,
}

/// What is known so far: the forms that are still possible.
pub(crate) struct AtomicTerminators(AtomicU8);

impl AtomicTerminators {
    pub(crate) fn new(terminators: Terminators) -> AtomicTerminators {
        AtomicTerminators(AtomicU8::new(match terminators {
            Terminators::Either => Form::With as u8 | Form::Without as u8,
            Terminators::With => Form::With as u8,
            Terminators::Without => Form::Without as u8,
        }))
    }

    /// Looks the key up in each form that is possible, and learns from what is found.
    pub(crate) fn find<V, E>(
        &self,
        key: &[u8],
        mut find: impl FnMut(&[u8]) -> Result<Option<V>, E>,
    ) -> Result<Option<V>, E> {
        for form in [Form::With, Form::Without] {
            if self.0.load(Ordering::Relaxed) & form as u8 == 0 {
                continue;
            }
            let found = match form {
                Form::With => find_with_nul(key, &mut find)?,
                Form::Without => find(key)?,
            };
            if found.is_some() {
                self.0.store(form as u8, Ordering::Relaxed);
                return Ok(found);
            }
        }
        Ok(None)
    }
}

/// A short key costs no allocation.
fn find_with_nul<V, E>(
    key: &[u8],
    find: &mut impl FnMut(&[u8]) -> Result<Option<V>, E>,
) -> Result<Option<V>, E> {
    let mut buffer = [0; 256];
    match buffer.get_mut(..key.len()) {
        Some(start) if key.len() < 256 => {
            start.copy_from_slice(key);
            find(&buffer[..=key.len()])
        }
        _ => find(&[key, b"\0"].concat()),
    }
}
