//! `static:` always answers the same, `fail:` always asks to try later.

use crate::open::OpenError;
use crate::{Lookup, OpenContext, Owner, Table, TryLater, braces, file_values};
use bytes::Bytes;
use std::sync::Arc;

struct Static {
    name: String,
    value: Bytes,
}

/// `static:value` or `static:{ value with blanks }`.
pub(crate) fn open_static(text: &str, context: &OpenContext) -> Result<Arc<dyn Table>, OpenError> {
    let value = if text.starts_with('{') {
        braces::strip(text).map_err(|why| OpenError::Unusable(format!("bad static:name syntax: {why}")))?
    } else {
        text
    };
    let value = file_values::value_or_file(value.as_bytes(), context).map_err(OpenError::Unusable)?;
    Ok(Arc::new(Static { name: format!("static:{text}"), value }))
}

impl Table for Static {
    fn get<'a>(&'a self, _key: &'a [u8]) -> Lookup<'a> {
        Lookup::ready(Ok(Some(self.value.clone())))
    }

    fn name(&self) -> &str {
        &self.name
    }

    fn owner(&self) -> Owner {
        Owner::Trusted
    }
}

struct Fail {
    name: String,
}

pub(crate) fn open_fail(text: &str) -> Arc<dyn Table> {
    Arc::new(Fail { name: format!("fail:{text}") })
}

impl Fail {
    fn refuse(&self) -> TryLater {
        // Postfix: the error is its own "errno", whose text is this.
        TryLater(format!("{}: Application error", self.name))
    }
}

impl Table for Fail {
    fn get<'a>(&'a self, _key: &'a [u8]) -> Lookup<'a> {
        Lookup::ready(Err(self.refuse()))
    }

    fn name(&self) -> &str {
        &self.name
    }

    fn is_pattern(&self) -> bool {
        true
    }

    fn visit(&self, _visit: &mut dyn FnMut(&[u8], &[u8])) -> Option<Result<(), TryLater>> {
        Some(Err(self.refuse()))
    }

    fn owner(&self) -> Owner {
        Owner::Trusted
    }
}
