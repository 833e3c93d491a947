//! `proxy:type:name`: in Postfix another process looks up `type:name`. Here it is looked up as any other table; the name
//! is kept for messages.

use crate::open::{OpenError, open};
use crate::{Lookup, OpenContext, Owner, Table, TryLater};
use std::sync::Arc;

struct Proxy {
    name: String,
    inner: Arc<dyn Table>,
}

pub(crate) fn open_proxy(spec: &str, context: &OpenContext) -> Result<Arc<dyn Table>, OpenError> {
    let name = format!("proxy:{spec}");
    if !context.allow_proxy {
        return Err(OpenError::Unusable(format!("{name} map is not allowed for security sensitive data")));
    }
    let is_nested = spec.starts_with("proxy:");
    if is_nested {
        return Err(OpenError::Form(name));
    }
    Ok(Arc::new(Proxy { name, inner: open(spec, context)? }))
}

impl Table for Proxy {
    fn get<'a>(&'a self, key: &'a [u8]) -> Lookup<'a> {
        self.inner.get(key)
    }

    fn name(&self) -> &str {
        &self.name
    }

    fn is_pattern(&self) -> bool {
        self.inner.is_pattern()
    }

    fn visit(&self, visit: &mut dyn FnMut(&[u8], &[u8])) -> Option<Result<(), TryLater>> {
        self.inner.visit(visit)
    }

    fn owner(&self) -> Owner {
        self.inner.owner()
    }
}
