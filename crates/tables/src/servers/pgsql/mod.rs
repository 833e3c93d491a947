//! `pgsql:/file`: pgsql_table(5), for PostgreSQL.

mod connection;
mod protocol;
mod scram;
mod target;

use super::sql::{Backend, Failure, Host, Intervals, Place, Rows, Sql, split_hosts};
use super::{Find, NOTHING};
use crate::OpenContext;
use crate::parameters::Parameters;
use crate::source::show;
use crate::template::Form;
use connection::{Connection, QueryError};
use std::sync::Arc;
use target::Target;

/// What is said to every host.
struct Pgsql {
    user: Option<String>,
    password: Option<String>,
    dbname: String,
    encoding: String,
}

pub(super) fn open(parameters: Parameters, context: &OpenContext) -> Result<Arc<dyn Find>, String> {
    let user = parameters.text("user");
    let password = parameters.text("password");
    let dbname = parameters.filled("dbname", "")?;
    // Postfix: it is LATIN1 before 3.8, whatever the database has.
    let encoding = parameters.filled("encoding", "LATIN1")?;
    let intervals = Intervals::read(&parameters)?;
    let result_format = parameters.filled("result_format", "%s")?;
    let query = match (parameters.text("query"), parameters.text("select_function")) {
        (None, Some(function)) => format!("SELECT {function}('%s')"),
        _ => parameters.query()?,
    };
    let form = Form::new("pgsql", &parameters, &query, &result_format, context)?;
    let hosts = split_hosts(&parameters.get("hosts").unwrap_or_default());
    let hosts = hosts.into_iter().map(parse_host).collect();
    Ok(Arc::new(Sql::new(form, Pgsql { user, password, dbname, encoding }, hosts, intervals)))
}

/// A connection URI, `unix:/folder` or `inet:host:port`; what begins with a slash is a folder with a socket.
fn parse_host(text: String) -> Host {
    let is_uri = text.starts_with("postgresql://") || text.starts_with("postgres://");
    let rest = text.strip_prefix("unix:").or_else(|| text.strip_prefix("inet:")).unwrap_or(&text);
    let place = if is_uri {
        Place::Uri
    } else if rest.is_empty() || rest.starts_with('/') {
        Place::Unix(rest.to_owned())
    } else {
        match rest.rsplit_once(':') {
            Some((name, port)) => Place::Inet { name: name.to_owned(), port: Some(port.to_owned()) },
            None => Place::Inet { name: rest.to_owned(), port: None },
        }
    };
    Host { text, place }
}

impl Pgsql {
    fn target(&self, host: &Host) -> Result<Target, String> {
        let (user, password) = (self.user.clone(), self.password.clone());
        let target = match &host.place {
            Place::Uri => return Target::parse(&host.text),
            Place::Unix(folder) => Target { host: folder.clone(), ..Target::default() },
            Place::Inet { name, port } => {
                let port = port.as_deref().map_or(Ok(target::PORT), target::parse_port)?;
                Target { host: name.clone(), port, ..Target::default() }
            }
        };
        Ok(Target { user, password, dbname: Some(self.dbname.clone()), ..target })
    }
}

impl Backend for Pgsql {
    type Connection = Connection;
    const LOOKUP: &'static str = "dict_pgsql_lookup";
    const ERRNO: &'static str = NOTHING;

    async fn connect(&self, host: &Host) -> Result<Connection, Failure> {
        let failed = |text: &str, errno: &str| {
            let text = show(text.as_bytes());
            let warning = format!("connect to pgsql server {}: {text}", host.text);
            Failure { warning, why: errno.to_owned(), is_lost: true }
        };
        let target = self.target(host).map_err(|text| failed(&text, NOTHING))?;
        let opened = Connection::open(&target).await;
        let mut connection = opened.map_err(|error| failed(&error.text, error.errno))?;
        let is_set = connection.set_encoding(&self.encoding).await;
        is_set.map_err(|()| Failure {
            warning: format!(
                "dict_pgsql: cannot set the encoding to {}, skipping {}",
                self.encoding, host.text
            ),
            why: NOTHING.to_owned(),
            is_lost: false,
        })?;
        Ok(connection)
    }

    fn quote(
        &self,
        connection: &Connection,
        host: &Host,
        text: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), String> {
        let is_single = self.encoding.to_ascii_uppercase().starts_with("LATIN")
            || ["SQL_ASCII", "WIN125", "ISO_8859", "KOI8"]
                .iter()
                .any(|name| self.encoding.to_ascii_uppercase().starts_with(name));
        if !is_single && std::str::from_utf8(text).is_err() {
            let host = &host.text;
            return Err(format!(
                "dict pgsql: (host {host}) cannot escape input string: invalid multibyte character?"
            ));
        }
        protocol::quote(text, connection.has_standard_strings(), out);
        Ok(())
    }

    async fn ask(&self, connection: &mut Connection, host: &Host, query: &[u8]) -> Result<Rows, Failure> {
        let host = &host.text;
        let failed = |warning: String, is_lost: bool| Failure { warning, why: NOTHING.to_owned(), is_lost };
        match connection.query(query).await {
            Ok(rows) => Ok(rows),
            Err(QueryError::Empty) => {
                Err(failed(format!("pgsql query failed: unknown code 0x0 from host {host}"), false))
            }
            Err(QueryError::Protocol) => {
                Err(failed(format!("pgsql query failed: protocol error, host {host}"), true))
            }
            Err(QueryError::Fatal { text, is_lost }) => {
                let text = show(text.as_bytes()).into_owned();
                Err(failed(format!("pgsql query failed: fatal error from host {host}: {text}"), is_lost))
            }
        }
    }
}

/// Reads messages of a server, and URIs, that may be anything; for the fuzz target of that name.
pub(super) fn fuzz(data: &[u8]) {
    protocol::fuzz(data);
    let _any = Target::parse(&String::from_utf8_lossy(data));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts() {
        let unix = |path: &str| Place::Unix(path.to_owned());
        let inet = |name: &str, port: Option<&str>| Place::Inet {
            name: name.to_owned(),
            port: port.map(str::to_owned),
        };
        for (text, expect) in [
            ("localhost", inet("localhost", None)),
            ("inet:192.0.2.1:5433", inet("192.0.2.1", Some("5433"))),
            ("unix:/run/x", unix("/run/x")),
            ("/run/x", unix("/run/x")),
            ("unix:name", inet("name", None)),
            ("postgresql://u@h/d", Place::Uri),
        ] {
            assert_eq!(parse_host(text.to_owned()).place, expect, "{text}");
        }
    }
}
