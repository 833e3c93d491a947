//! Passwords for other servers: whether the relayhost has one, and who else can read them; and whether a login server is waiting for
//! our own clients.

use super::text;
use params::diagnostic::Place;
use params::word::{COMMA_SPACE, words};
use params::{Diagnostic, Severity, View};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::Path;

/// How much of a source file is read.
const SOURCE_LIMIT: u64 = 1 << 20;

/// A line of a password file.
struct Entry {
    line: usize,
    key: String,
    value: String,
}

pub(super) fn findings(view: &View) -> Vec<Diagnostic> {
    let mut said: Vec<Diagnostic> = dovecot(view).into_iter().collect();
    if !text(view, "smtp_sasl_auth_enable").eq_ignore_ascii_case("yes") {
        return said;
    }
    let maps = text(view, "smtp_sasl_password_maps");
    let files: Vec<String> = words(&maps, COMMA_SPACE).filter_map(|(_, word)| source(word)).collect();
    said.extend(files.iter().flat_map(|file| readable_by_others(file)));
    let sources: Vec<(String, Vec<Entry>)> =
        files.iter().filter_map(|file| Some((file.clone(), entries(file)?))).collect();
    said.extend(sources.iter().flat_map(|(file, entries)| without_colon(file, entries)));
    // Where one table's source cannot be read, the login may be there.
    if !sources.is_empty() && sources.len() == words(&maps, COMMA_SPACE).count() {
        said.extend(without_login(view, &sources));
    }
    said
}

/// The file that a table is made from.
fn source(table: &str) -> Option<String> {
    let (kind, name) = table.strip_prefix("proxy:").unwrap_or(table).split_once(':')?;
    matches!(kind, "hash" | "btree" | "lmdb" | "cdb" | "texthash").then(|| name.to_owned())
}

fn readable_by_others(file: &str) -> Vec<Diagnostic> {
    let paths = [file.to_owned(), format!("{file}.db"), format!("{file}.lmdb"), format!("{file}.cdb")];
    let open = paths
        .into_iter()
        .filter(|path| std::fs::metadata(path).is_ok_and(|meta| meta.permissions().mode() & 0o004 != 0));
    open.map(|path| {
        Diagnostic::advice(format!("{path}: passwords that everybody on this machine can read"))
            .at(Place { file: path.clone(), line: 1, span: 0..0 })
            .effect("whoever has an account here can send mail as you")
            .mend(format!("chmod 600 {path}"))
    })
    .collect()
}

fn entries(file: &str) -> Option<Vec<Entry>> {
    std::fs::metadata(file).ok().filter(|meta| meta.is_file() && meta.len() <= SOURCE_LIMIT)?;
    let bytes = std::fs::read(file).ok()?;
    let lines = params::line::logical_lines(&bytes).into_iter().filter(|line| !line.is_stray());
    let entries = lines.filter_map(|line| {
        let (key, value) = line.text.split_once([' ', '\t'])?;
        Some(Entry { line: line.number, key: key.to_lowercase(), value: value.trim().to_owned() })
    });
    Some(entries.collect())
}

/// Postfix: all of it is the user's name, and the password is empty.
fn without_colon(file: &str, entries: &[Entry]) -> Vec<Diagnostic> {
    let wrong = entries.iter().filter(|entry| !entry.value.contains(':'));
    wrong
        .map(|entry| {
            Diagnostic::advice(format!(
                "{file}, line {}: no colon between user and password: {}",
                entry.line, entry.key
            ))
            .at(Place { file: file.to_owned(), line: entry.line, span: 0..0 })
            .effect("all of it is taken for the user's name, and the password is empty")
            .mend(format!("write {} user:password", entry.key))
        })
        .collect()
}

/// Postfix: the host's name is looked up, then the relayhost exactly as it is written.
fn without_login(view: &View, sources: &[(String, Vec<Entry>)]) -> Option<Diagnostic> {
    let relayhost = text(view, "relayhost").to_lowercase();
    let host = host_of(&relayhost);
    let has = |key: &str| sources.iter().any(|(_, entries)| entries.iter().any(|entry| entry.key == key));
    let is_by_sender = text(view, "smtp_sender_dependent_authentication").eq_ignore_ascii_case("yes");
    // Without brackets it is the servers that MX records name which may have an entry.
    let is_sure = relayhost.starts_with('[') && !is_by_sender;
    if !is_sure || has(&relayhost) || has(host) {
        return None;
    }
    let near = sources.iter().find_map(|(file, entries)| {
        let entry = entries.iter().find(|entry| host_of(&entry.key) == host)?;
        Some((file, entry))
    });
    let diagnostic = Diagnostic::new(
        Severity::Warning,
        format!("smtp_sasl_password_maps: no entry for relayhost {relayhost}"),
    )
    .effect("mail goes there without a login");
    Some(match near {
        Some((file, entry)) => diagnostic
            .at(Place { file: file.clone(), line: entry.line, span: 0..entry.key.chars().count() })
            .mend(format!("write {relayhost} in place of {} in {file}, and run postmap", entry.key)),
        None => diagnostic.at(view.place("relayhost")).mend(format!("add a line: {relayhost} user:password")),
    })
}

/// `[host]:port`, `host:port` or `[host]` without all that.
fn host_of(destination: &str) -> &str {
    match destination.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, _)) => host,
        None => destination.split(':').next().unwrap_or_default(),
    }
}

/// A socket of Dovecot's is there, and the other kind of login server is asked.
fn dovecot(view: &View) -> Option<Diagnostic> {
    let socket = Path::new(&text(view, "queue_directory")).join("private/auth");
    let is_waiting = std::fs::metadata(&socket).is_ok_and(|meta| meta.file_type().is_socket());
    let wants_login = text(view, "smtpd_sasl_auth_enable").eq_ignore_ascii_case("yes");
    let is_asked = text(view, "smtpd_sasl_type") == "dovecot";
    (is_waiting && wants_login && !is_asked).then(|| {
        Diagnostic::advice(format!(
            "smtpd_sasl_type: Dovecot waits at {}, and is not asked",
            socket.display()
        ))
        .at(view.place("smtpd_sasl_auth_enable"))
        .effect("clients cannot log in")
        .mend("smtpd_sasl_type = dovecot, and smtpd_sasl_path = private/auth")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Instance;
    use std::os::unix::net::UnixListener;

    fn view(main: &str) -> View {
        Instance::from_text("/x", "test", main.as_bytes().to_vec(), Vec::new()).view
    }

    /// relayhost, the password file, what is said.
    #[test]
    fn logins_for_the_relayhost() {
        let dir = tempfile::tempdir().expect("a folder");
        let file = dir.path().join("sasl").display().to_string();
        for (relayhost, source, expect) in [
            ("[h.example]:587", "[h.example]:587 u:p\n", None),
            ("[H.example]:587", "h.example u:p\n", None),
            (
                "[h.example]:587",
                "[h.example] u:p\n",
                Some("write [h.example]:587 in place of [h.example] in @, and run postmap"),
            ),
            (
                "[h.example]:587",
                "# x\nh.example:587 u:p\n",
                Some("write [h.example]:587 in place of h.example:587 in @, and run postmap"),
            ),
            ("[h.example]:587", "other.example u:p\n", Some("add a line: [h.example]:587 user:password")),
            ("h.example", "mx.h.example u:p\n", None),
            ("[h.example]", "[h.example] secret\n", Some("write [h.example] user:password")),
        ] {
            std::fs::write(&file, source).expect("written");
            std::fs::set_permissions(&file, PermissionsExt::from_mode(0o600)).expect("set");
            let main = format!(
                "smtp_sasl_auth_enable = yes\nsmtp_sasl_password_maps = hash:{file}\nrelayhost = {relayhost}\n"
            );
            let said: Vec<String> = findings(&view(&main)).into_iter().map(|d| d.mend).collect();
            assert_eq!(
                said,
                Vec::from_iter(expect.map(|text| text.replace('@', &file))),
                "{relayhost} {source}"
            );
        }
        std::fs::write(&file, "[h.example] u:p\n").expect("written");
        std::fs::set_permissions(&file, PermissionsExt::from_mode(0o644)).expect("set");
        let main = format!(
            "smtp_sasl_auth_enable = yes\nsmtp_sasl_password_maps = texthash:{file}\nrelayhost = [h.example]\n"
        );
        assert_eq!(findings(&view(&main))[0].mend, format!("chmod 600 {file}"));
    }

    #[test]
    fn a_login_server_that_is_not_asked() {
        let dir = tempfile::tempdir().expect("a folder");
        std::fs::create_dir(dir.path().join("private")).expect("a folder");
        let _socket = UnixListener::bind(dir.path().join("private/auth")).expect("a socket");
        let main = format!("queue_directory = {}\nsmtpd_sasl_auth_enable = yes\n", dir.path().display());
        assert!(dovecot(&view(&main)).is_some());
        assert_eq!(dovecot(&view(&format!("{main}smtpd_sasl_type = dovecot\n"))), None);
        assert_eq!(dovecot(&view("smtpd_sasl_auth_enable = yes\n")), None);
    }
}
