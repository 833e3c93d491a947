//! `mysql:/file`: mysql_table(5), for MySQL and MariaDB.

mod auth;
mod connection;
mod options;
mod protocol;

use super::Find;
use super::sql::{Backend, Failure, Host, Intervals, Place, Rows, Sql, split_hosts};
use super::tls::{Tls, Verify};
use crate::OpenContext;
use crate::parameters::Parameters;
use crate::template::Form;
use connection::Connection;
use options::Options;
use std::sync::Arc;

/// What is said to every host.
struct Mysql {
    /// `mysql:name`
    table: String,
    options: Options,
    dbname: String,
    charset: String,
    /// None: without TLS.
    tls: Option<Tls>,
    require_result_set: bool,
}

pub(super) fn open(parameters: Parameters, context: &OpenContext) -> Result<Arc<dyn Find>, String> {
    let user = parameters.text("user");
    let password = parameters.text("password");
    let dbname = parameters.filled("dbname", "")?;
    let charset = parameters.filled("charset", "utf8mb4")?;
    let intervals = Intervals::read(&parameters)?;
    let result_format = parameters.filled("result_format", "%s")?;
    let file = Options::read(&parameters, context);
    let verify = parameters.flag("tls_verify_cert")?;
    let require_result_set = parameters.flag("require_result_set")?.unwrap_or(true);
    let form = Form::new("mysql", &parameters, &parameters.query()?, &result_format, context)?;
    let hosts = split_hosts(&parameters.get("hosts").unwrap_or_default());
    let hosts = hosts.into_iter().map(parse_host).collect::<Result<Vec<Host>, String>>()?;
    let options =
        Options { user: user.or(file.user.clone()), password: password.or(file.password.clone()), ..file };
    let backend = Mysql {
        table: form.table.clone(),
        dbname,
        charset: options.charset.clone().filter(|_| parameters.get("charset").is_none()).unwrap_or(charset),
        tls: tls(&parameters, &options, verify),
        options,
        require_result_set,
    };
    Ok(Arc::new(Sql::new(form, backend, hosts, intervals)))
}

/// `tls_…`, or what the options file has instead. TLS is only talked if one of them is set.
fn tls(parameters: &Parameters, options: &Options, verify: Option<bool>) -> Option<Tls> {
    let of = |name: &str, option: &Option<String>| parameters.text(name).or_else(|| option.clone());
    let mut tls = Tls {
        ca_file: of("tls_CAfile", &options.tls.ca_file),
        ca_directory: of("tls_CApath", &options.tls.ca_directory),
        certificate: of("tls_cert_file", &options.tls.certificate),
        key: of("tls_key_file", &options.tls.key),
        ciphers: of("tls_ciphers", &options.tls.ciphers),
        verify: Verify::Nothing,
    };
    let is_wanted = tls != Tls::default() || verify == Some(true);
    tls.verify = if verify == Some(true) || (verify.is_none() && options.tls.verify == Verify::Name) {
        Verify::Name
    } else if tls.ca_file.is_some() || tls.ca_directory.is_some() {
        Verify::Authority
    } else {
        Verify::Nothing
    };
    (is_wanted || tls.verify == Verify::Name).then_some(tls)
}

/// `unix:path`, `inet:host:port`; `localhost` is the usual socket.
fn parse_host(text: String) -> Result<Host, String> {
    let place = if let Some(path) = text.strip_prefix("unix:") {
        Place::Unix(path.to_owned())
    } else {
        let rest = text.strip_prefix("inet:").unwrap_or(&text);
        let (name, port) = match rest.rsplit_once(':') {
            Some((name, port)) => (name, Some(port_number(port)?)),
            None => (rest, None),
        };
        match name.eq_ignore_ascii_case("localhost") {
            true => Place::Unix(String::new()),
            false => Place::Inet { name: name.to_owned(), port },
        }
    };
    Ok(Host { text, place })
}

/// A port as a number, or its name in services(5).
fn port_number(port: &str) -> Result<String, String> {
    if port.parse::<u16>().is_ok() {
        return Ok(port.to_owned());
    }
    let services = std::fs::read_to_string("/etc/services").unwrap_or_default();
    let found = services.lines().find_map(|line| {
        let mut words = line.split('#').next().unwrap_or_default().split_whitespace();
        let (name, number) = (words.next()?, words.next()?.strip_suffix("/tcp")?);
        (name == port || words.any(|alias| alias == port)).then(|| number.to_owned())
    });
    found.ok_or_else(|| format!("unknown service: {port}/tcp"))
}

/// What errno says in Postfix after an exchange over a socket that does not block.
const AGAIN: &str = "Resource temporarily unavailable";

impl Backend for Mysql {
    type Connection = Connection;
    const LOOKUP: &'static str = "dict_mysql_lookup";
    const ERRNO: &'static str = AGAIN;

    async fn connect(&self, host: &Host) -> Result<Connection, Failure> {
        let connected = Connection::open(self, host).await;
        connected.map_err(|error| Failure {
            warning: match &error {
                connection::Error::Charset(why) => {
                    format!("dict_mysql: mysql_set_character_set '{}' failed: {why}", self.charset)
                }
                _ => format!("connect to mysql server {}: {error}", host.text),
            },
            why: error.errno().to_owned(),
            is_lost: true,
        })
    }

    fn quote(
        &self,
        connection: &Connection,
        host: &Host,
        text: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), String> {
        if !text.is_ascii() && has_ascii_within_letters(&self.charset) {
            let host = &host.text;
            return Err(format!("dict_mysql: host ({host}) cannot escape input string: >{}<", self.charset));
        }
        protocol::quote(text, connection.has_no_backslash_escapes(), out);
        Ok(())
    }

    async fn ask(&self, connection: &mut Connection, _: &Host, query: &[u8]) -> Result<Rows, Failure> {
        let table = &self.table;
        let failed = |what: &str, is_lost: bool| Failure {
            warning: format!("{table}: query failed: {what}"),
            why: AGAIN.to_owned(),
            is_lost,
        };
        let mut sets =
            connection.query(query).await.map_err(|error| failed(&error.to_string(), error.is_lost()))?;
        match sets.len() {
            0 if self.require_result_set => {
                Err(failed("query returned no result set(require_result_set = yes)", false))
            }
            0 => Ok(Rows::new()),
            1 => Ok(sets.swap_remove(0)),
            _ => Err(failed("multiple result sets returning data are not supported", false)),
        }
    }
}

/// Character sets whose letters may have a backslash or a quote as their second octet: there escaping octets is not safe.
fn has_ascii_within_letters(charset: &str) -> bool {
    let charset = charset.to_ascii_lowercase();
    let safe = [
        "utf8", "latin", "ascii", "binary", "cp125", "cp85", "cp866", "koi8", "greek", "hebrew", "eucjpms",
        "ujis", "euckr", "gb2312", "tis620", "swe7", "dec8", "hp8", "armscii8", "geostd8", "keybcs2",
        "macce", "macroman",
    ];
    !safe.iter().any(|name| charset.starts_with(name))
}

/// Reads packets of a server that may be anything; for the fuzz target of that name.
pub(super) fn fuzz(data: &[u8]) {
    protocol::fuzz(data);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts() {
        let unix = |path: &str| Ok(Place::Unix(path.to_owned()));
        let inet = |name: &str, port: Option<&str>| {
            Ok(Place::Inet { name: name.to_owned(), port: port.map(str::to_owned) })
        };
        for (text, expect) in [
            ("localhost", unix("")),
            ("LocalHost:3307", unix("")),
            ("unix:/x/y", unix("/x/y")),
            ("db.example", inet("db.example", None)),
            ("inet:192.0.2.1:3307", inet("192.0.2.1", Some("3307"))),
            ("h:smtp", inet("h", Some("25"))),
            ("h:nosuch", Err("unknown service: nosuch/tcp".to_owned())),
        ] {
            assert_eq!(parse_host(text.to_owned()).map(|host| host.place), expect, "{text}");
        }
        assert_eq!(split_hosts(" a, b\tc,"), ["a", "b", "c"]);
        assert_eq!(split_hosts(""), ["localhost"]);
    }

    #[test]
    fn when_tls_is_talked() {
        for (text, expect) in [
            ("", None),
            ("tls_verify_cert = no\n", None),
            ("tls_verify_cert = yes\n", Some(Verify::Name)),
            ("tls_CAfile = /x\n", Some(Verify::Authority)),
            ("tls_CApath = /x\ntls_verify_cert = yes\n", Some(Verify::Name)),
            ("tls_ciphers = HIGH\n", Some(Verify::Nothing)),
        ] {
            let parameters = Parameters::parse("t", text.as_bytes(), &mut |_| {}).unwrap();
            let verify = parameters.flag("tls_verify_cert").unwrap();
            let tls = tls(&parameters, &Options::default(), verify);
            assert_eq!(tls.map(|tls| tls.verify), expect, "{text}");
        }
    }

    #[test]
    fn character_sets() {
        for (charset, expect) in
            [("utf8mb4", false), ("latin1", false), ("gbk", true), ("sjis", true), ("Big5", true)]
        {
            assert_eq!(has_ascii_within_letters(charset), expect, "{charset}");
        }
    }
}
