//! What is wrong or doubtful in the files and tables that a configuration names. Only looked at, never changed; files that this user
//! cannot read are passed over, since those who need them will say so.

mod login;
mod tables;

use params::{Diagnostic, View};

/// All that can be found.
pub fn findings(view: &View) -> Vec<Diagnostic> {
    let mut said = tables::findings(view);
    said.extend(login::findings(view));
    said
}

/// A value with nothing left to expand.
fn text(view: &View, name: &str) -> String {
    view.lookup(name).and_then(|text| view.expand(&text).ok()).unwrap_or_default()
}
