//! Lists of users and of domains in main.cf, with the files and tables that they name.
//!
//! What cannot be asked keeps people out: these lists say who may do something.

use crate::program::{Program, reason};
use nix::unistd::{Uid, User};
use params::MatchList;
use params::list::{Match, Pattern};
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use tables::{OpenContext, Severity};

/// The user's name, if the list (`authorized_submit_users` and its kind) does not have it.
pub(crate) fn refused_user(program: &Program, list: &MatchList, uid: Uid) -> Option<String> {
    let is_open = |p: &Pattern| matches!(p, Pattern::Table(spec) if spec.starts_with("static:"));
    // Postfix: a list that begins so is never looked into.
    if list.items.first().is_some_and(|first| first.matches && is_open(&first.pattern)) {
        return None;
    }
    let user = User::from_uid(uid).ok().flatten();
    let name = user.map_or_else(|| "unknown".to_owned(), |user| user.name);
    (!has_name(program, list, &name, false)).then_some(name)
}

/// Whether a domain or a user is in the list. `parent`: a domain in it stands for its subdomains, too.
pub(crate) fn has_name(program: &Program, list: &MatchList, name: &str, parent: bool) -> bool {
    let read =
        |name: &str| std::fs::read_to_string(name).map_err(|e| format!("open file {name}: {}", reason(&e)));
    let found = list.with_files(&read).find_name(name, parent, |spec, key| table_has(program, spec, key));
    match found {
        Match::Yes => true,
        Match::No => false,
        Match::TryLater(why) => {
            program.warning(&why);
            false
        }
    }
}

fn table_has(program: &Program, spec: &str, key: &str) -> Result<bool, String> {
    let said = Arc::new(Mutex::new(Vec::new()));
    let sink = said.clone();
    let report = move |severity, text: &str| {
        sink.lock().unwrap_or_else(PoisonError::into_inner).push((severity, text.to_owned()));
    };
    let found = tables::open(spec, &OpenContext::plain(Arc::new(report)))
        .map_err(|error| error.to_string())
        .and_then(|table| ask(&*table, key));
    for (severity, text) in said.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
        match severity {
            Severity::Warning => program.warning(&text),
            Severity::Error | Severity::Fatal => program.error(&text),
            Severity::Hint => program.hint(&text),
        }
    }
    found
}

/// Looks a key up in a table that answers at once. A set-gid command waits for no server.
fn ask(table: &dyn tables::Table, key: &str) -> Result<bool, String> {
    let lookup = pin!(table.get(key.as_bytes()));
    match lookup.poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(Ok(found)) => Ok(found.is_some()),
        Poll::Ready(Err(later)) => Err(later.to_string()),
        Poll::Pending => Err(format!("{}: this table cannot be used here", table.name())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::program::Voice;

    #[test]
    fn who_is_in() {
        let dir = tempfile::tempdir().expect("a folder");
        let file = dir.path().join("users");
        std::fs::write(&file, "carol\n!dave\n").expect("written");
        let file = file.display().to_string();
        let program = Program::new("test".into(), Vec::new(), 1, Voice::Stderr);
        for (list, name, parent, expect) in [
            ("static:anyone", "alice", false, true),
            ("alice bob", "bob", false, true),
            ("alice, bob", "carol", false, false),
            ("!alice, static:all", "alice", false, false),
            ("!alice, static:all", "bob", false, true),
            ("", "alice", false, false),
            ("inline:{alice=x}", "alice", false, true),
            ("inline:{alice=x}", "bob", false, false),
            (file.as_str(), "carol", false, true),
            (file.as_str(), "dave", false, false),
            ("/nonexistent/file", "alice", false, false),
            ("texthash:/nonexistent/file", "alice", false, false),
            ("example.com", "a.example.com", true, true),
            ("example.com", "a.example.com", false, false),
            (".example.com", "a.example.com", false, true),
        ] {
            let parsed = MatchList::parse(list).expect("a list");
            assert_eq!(has_name(&program, &parsed, name, parent), expect, "{list} {name}");
        }
    }

    #[test]
    fn refused_users_are_named() {
        let program = Program::new("test".into(), Vec::new(), 1, Voice::Stderr);
        let refused = |list: &str, uid| {
            refused_user(&program, &MatchList::parse(list).expect("a list"), Uid::from_raw(uid))
        };
        assert_eq!(refused("static:x", 0), None);
        assert_eq!(refused("root", 0), None);
        assert_eq!(refused("bob", 0).as_deref(), Some("root"));
        assert_eq!(refused("bob", 4_000_000_000).as_deref(), Some("unknown"));
    }
}
