//! docs/compat.md: what becomes of each parameter.

use crate::registry::{self, Spec, transport};
use crate::support::{self, Support};
use std::fmt::Write;

/// The page, from the declarations. `cargo test -p params` says if the checked-in one is old, and with `BLESS=1` writes it anew.
pub fn markdown() -> String {
    let mut specs: Vec<&Spec> = registry::all().filter(|s| !s.is_former && !s.is_read_only).collect();
    specs.sort_by_key(|s| s.name);
    let mut page = String::from(HEAD);
    let count = |fits: fn(Support) -> bool| specs.iter().filter(|s| fits(support::of(s.name))).count();
    let full = count(|s| s == Support::Full);
    let partial = count(|s| matches!(s, Support::Partial(_)));
    let not_yet = count(|s| s == Support::Ignored(support::NOT_YET));
    let needless = specs.len() - full - partial - not_yet;
    let _ = write!(
        page,
        "{} parameters: {full} full, {partial} partial, {needless} needless, {not_yet} not acted on yet.\n\n",
        specs.len()
    );
    page.push_str(TABLE);
    specs.iter().for_each(|spec| row(&mut page, spec.name, spec, support::of(spec.name)));
    page.push_str(TRANSPORTS);
    page.push_str(TABLE);
    for spec in transport::SPECS {
        row(&mut page, &format!("*transport*_{}", spec.name), spec, support::of(&format!("_{}", spec.name)));
    }
    page
}

const HEAD: &str = "\
# Parameters

Generated from the declarations in `crates/params/src/registry` and `crates/params/src/support.rs`; do not edit.

Every parameter of Postfix 3.7 exists with its default, and those that 3.8 to 3.11 added. `postconf -d` agrees with Debian's Postfix
3.7.11 name by name, but for `mail_name` (Oxipost) and what comes from the host and the process (`myhostname`, `mydomain`,
`mynetworks`, `process_id`). What later versions added, and former names, are listed by `postconf` only once they are set.

*Full*: does all that it does in Postfix. *Partial*: but for what is said. *Ignored*: read, checked and shown, without effect; who
sets it is warned by `postfix check` and at the start.

";

const TABLE: &str = "| parameter | what it is for | type | since | support |\n|---|---|---|---|---|\n";

const TRANSPORTS: &str = "\n## Parameters that each transport has\n\n";

fn row(page: &mut String, name: &str, spec: &Spec, support: Support) {
    let since = spec.since;
    let text = match support {
        Support::Full => "full".to_string(),
        Support::Partial(reason) => format!("partial: {reason}"),
        Support::Ignored(reason) => format!("ignored: {reason}"),
    };
    let _ =
        writeln!(page, "| {name} | {} | {} | {since} | {text} |", spec.doc.replace('|', "\\|"), spec.kind);
}
