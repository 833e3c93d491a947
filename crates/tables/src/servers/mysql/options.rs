//! The options file of MySQL's clients (`my.cnf`): what of it counts here. `option_file` and `option_group` say where.

use super::super::tls::{Tls, Verify};
use crate::OpenContext;
use crate::parameters::Parameters;
use std::io::Read;
use std::path::Path;

/// What an options file said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Options {
    pub(super) user: Option<String>,
    pub(super) password: Option<String>,
    pub(super) socket: Option<String>,
    pub(super) port: Option<String>,
    pub(super) charset: Option<String>,
    pub(super) connect_timeout: Option<u64>,
    pub(super) tls: Tls,
}

/// Where the files are if `option_file` does not say.
const USUAL: [&str; 2] = ["/etc/my.cnf", "/etc/mysql/my.cnf"];
/// Groups that are read always.
const GROUPS: [&str; 3] = ["client", "client-server", "client-mariadb"];
/// Files that include files.
const MAX_DEPTH: usize = 8;

impl Options {
    /// Files that are not there say nothing.
    pub(super) fn read(parameters: &Parameters, context: &OpenContext) -> Options {
        let group = parameters.get("option_group").unwrap_or_else(|| "client".to_owned());
        let mut options = Options::default();
        match parameters.text("option_file") {
            Some(file) => options.add_file(&file, &group, context, MAX_DEPTH),
            None if group.is_empty() => {}
            None => USUAL.iter().for_each(|file| options.add_file(file, &group, context, MAX_DEPTH)),
        }
        options
    }

    fn add_file(&mut self, path: &str, group: &str, context: &OpenContext, depth: usize) {
        let mut text = String::new();
        let read = (context.open_file)(Path::new(path)).and_then(|mut file| file.read_to_string(&mut text));
        if read.is_err() || depth == 0 {
            return;
        }
        let mut is_in = false;
        for line in text.lines().map(str::trim) {
            if let Some(included) = line.strip_prefix("!includedir") {
                self.add_folder(included.trim(), group, context, depth - 1);
            } else if let Some(included) = line.strip_prefix("!include") {
                self.add_file(included.trim(), group, context, depth - 1);
            } else if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
                is_in = GROUPS.contains(&name) || name == group;
            } else if is_in && !line.starts_with(['#', ';']) {
                self.set(line);
            }
        }
    }

    fn add_folder(&mut self, path: &str, group: &str, context: &OpenContext, depth: usize) {
        let Ok(entries) = std::fs::read_dir(path) else { return };
        let mut files: Vec<String> =
            entries.flatten().map(|entry| entry.path().display().to_string()).collect();
        files.sort();
        for file in files.iter().filter(|file| file.ends_with(".cnf")) {
            self.add_file(file, group, context, depth);
        }
    }

    fn set(&mut self, line: &str) {
        let (name, value) = line.split_once('=').unwrap_or((line, ""));
        let value = value.trim();
        let bare = value.strip_prefix(['"', '\'']).and_then(|rest| rest.strip_suffix(['"', '\'']));
        let value = Some(bare.unwrap_or(value).to_owned());
        match name.trim().replace('_', "-").as_str() {
            "user" => self.user = value,
            "password" => self.password = value,
            "socket" => self.socket = value,
            "port" => self.port = value,
            "default-character-set" => self.charset = value,
            "connect-timeout" => self.connect_timeout = value.and_then(|text| text.parse().ok()),
            "ssl-ca" => self.tls.ca_file = value,
            "ssl-capath" => self.tls.ca_directory = value,
            "ssl-cert" => self.tls.certificate = value,
            "ssl-key" => self.tls.key = value,
            "ssl-cipher" => self.tls.ciphers = value,
            "ssl-verify-server-cert" => {
                let is_off = matches!(value.as_deref(), Some("0" | "off" | "OFF" | "false" | "FALSE"));
                self.tls.verify = if is_off { Verify::Nothing } else { Verify::Name };
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[test]
    fn files() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name).display().to_string();
        let write = |name: &str, text: &str| std::fs::write(at(name), text).unwrap();
        std::fs::create_dir(at("d")).unwrap();
        write("d/a.cnf", "[client]\nport=1\nssl-verify-server-cert\n");
        write("d/b.txt", "[client]\nport=2\n");
        write(
            "my.cnf",
            &format!(
                "# c\n[mysqld]\nuser=no\n[client]\nuser = \"u\"\n;x=y\n[other]\npassword='p q'\nssl_ca=/ca\n\
                 [more]\nsocket=/no\n!includedir {}\n!include {}\n",
                at("d"),
                at("my.cnf")
            ),
        );
        let context = OpenContext::plain(Arc::new(|_, _: &str| {}));
        let text = format!("option_file = {}\noption_group = other\n", at("my.cnf"));
        let parameters = Parameters::parse("t", text.as_bytes(), &mut |_| {}).unwrap();
        let text = |text: &str| Some(text.to_owned());
        let tls = Tls { ca_file: text("/ca"), verify: Verify::Name, ..Tls::default() };
        let expect =
            Options { user: text("u"), password: text("p q"), port: text("1"), tls, ..Options::default() };
        assert_eq!(Options::read(&parameters, &context), expect);
        let none = Parameters::parse("t", b"option_group =\n", &mut |_| {}).unwrap();
        assert_eq!(Options::read(&none, &context), Options::default());
    }
}
