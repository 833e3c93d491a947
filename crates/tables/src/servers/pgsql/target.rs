//! Where a PostgreSQL server is and how it is talked to: what a connection URI says
//! (`postgresql://user:password@host:port/dbname?sslmode=require`).

use super::super::tls::{Tls, Verify};

pub(super) const PORT: u16 = 5432;
/// Where the socket of this host is if nothing says otherwise.
const FOLDER: &str = "/var/run/postgresql";

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target {
    /// A name, an address, or the folder of a socket.
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) user: Option<String>,
    pub(super) password: Option<String>,
    pub(super) dbname: Option<String>,
    pub(super) tls: TlsMode,
    pub(super) settings: Tls,
    pub(super) connect_timeout: Option<u64>,
}

/// `sslmode`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TlsMode {
    Never,
    /// If the server will (`prefer`), and, since nothing is checked, `allow` alike.
    IfOffered,
    Always,
}

impl Default for Target {
    fn default() -> Target {
        Target {
            host: String::new(),
            port: PORT,
            user: None,
            password: None,
            dbname: None,
            tls: TlsMode::IfOffered,
            settings: Tls::default(),
            connect_timeout: None,
        }
    }
}

/// A port's number, or what libpq says of it.
pub(super) fn parse_port(text: &str) -> Result<u16, String> {
    if text.is_empty() {
        return Ok(PORT);
    }
    match text.parse::<i64>() {
        Err(_) => Err(format!("invalid integer value \"{text}\" for connection option \"port\"\n")),
        Ok(number) => u16::try_from(number)
            .ok()
            .filter(|port| *port > 0)
            .ok_or_else(|| format!("invalid port number: \"{text}\"\n")),
    }
}

impl Target {
    pub(super) fn parse(uri: &str) -> Result<Target, String> {
        let rest = uri.split_once("://").map_or(uri, |(_, rest)| rest);
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, dbname) = rest.split_once('/').unwrap_or((rest, ""));
        let mut target = Target::default();
        let place = match authority.rsplit_once('@') {
            None => authority,
            Some((login, place)) => {
                let (user, password) = login.split_once(':').unwrap_or((login, ""));
                target.set("user", user)?;
                target.set("password", password)?;
                place
            }
        };
        target.set_place(place)?;
        target.set("dbname", dbname)?;
        for option in query.split('&').filter(|option| !option.is_empty()) {
            let (name, value) = option.split_once('=').ok_or_else(|| {
                format!("missing key/value separator \"=\" in URI query parameter: \"{option}\"\n")
            })?;
            target.set(name, value)?;
        }
        Ok(target)
    }

    fn set_place(&mut self, place: &str) -> Result<(), String> {
        let (host, port) = match place.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((host, rest)) => (host, rest.strip_prefix(':').unwrap_or(rest)),
            None => place.rsplit_once(':').unwrap_or((place, "")),
        };
        self.set("host", host)?;
        self.set("port", port)
    }

    /// Empty values count as none.
    fn set(&mut self, name: &str, value: &str) -> Result<(), String> {
        let value = decode(value)?;
        if value.is_empty() {
            return Ok(());
        }
        match name {
            "host" | "hostaddr" => self.host = value,
            "port" => self.port = parse_port(&value)?,
            "user" => self.user = Some(value),
            "password" => self.password = Some(value),
            "dbname" => self.dbname = Some(value),
            "connect_timeout" => self.connect_timeout = value.parse().ok(),
            "sslrootcert" => self.settings.ca_file = Some(value),
            "sslcert" => self.settings.certificate = Some(value),
            "sslkey" => self.settings.key = Some(value),
            "sslmode" => self.set_mode(&value)?,
            "application_name"
            | "fallback_application_name"
            | "keepalives"
            | "target_session_attrs"
            | "gssencmode"
            | "channel_binding" => {}
            _ => return Err(format!("invalid URI query parameter: \"{name}\"\n")),
        }
        Ok(())
    }

    fn set_mode(&mut self, mode: &str) -> Result<(), String> {
        (self.tls, self.settings.verify) = match mode {
            "disable" => (TlsMode::Never, Verify::Nothing),
            "allow" | "prefer" => (TlsMode::IfOffered, Verify::Nothing),
            "require" => (TlsMode::Always, Verify::Nothing),
            "verify-ca" => (TlsMode::Always, Verify::Authority),
            "verify-full" => (TlsMode::Always, Verify::Name),
            _ => return Err(format!("invalid sslmode value: \"{mode}\"\n")),
        };
        Ok(())
    }

    /// The path of a socket, if that is what the host is.
    pub(super) fn socket(&self) -> Option<String> {
        let folder = match self.host.as_str() {
            "" => FOLDER,
            host if host.starts_with('/') => host,
            _ => return None,
        };
        Some(format!("{folder}/.s.PGSQL.{}", self.port))
    }
}

fn decode(text: &str) -> Result<String, String> {
    let mut out = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((&octet, tail)) = rest.split_first() {
        rest = tail;
        if octet != b'%' {
            out.push(octet);
            continue;
        }
        let digits = rest.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
        let decoded = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        out.push(decoded.ok_or_else(|| format!("invalid percent-encoded token: \"{text}\"\n"))?);
        rest = &rest[2..];
    }
    String::from_utf8(out).map_err(|_| format!("invalid percent-encoded token: \"{text}\"\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uris() {
        let text = |text: &str| Some(text.to_owned());
        let base = Target::default;
        for (uri, expect) in [
            ("postgresql://", Ok(base())),
            ("postgresql://h/d", Ok(Target { host: "h".into(), dbname: text("d"), ..base() })),
            (
                "postgres://u%40x:p%3a@[::1]:5433/d",
                Ok(Target {
                    host: "::1".into(),
                    port: 5433,
                    user: text("u@x"),
                    password: text("p:"),
                    dbname: text("d"),
                    ..base()
                }),
            ),
            (
                "postgresql:///d?host=/run/x&sslmode=verify-full&sslrootcert=/ca",
                Ok(Target {
                    host: "/run/x".into(),
                    dbname: text("d"),
                    tls: TlsMode::Always,
                    settings: Tls { ca_file: text("/ca"), verify: Verify::Name, ..Tls::default() },
                    ..base()
                }),
            ),
            (
                "postgresql://h:x/d",
                Err("invalid integer value \"x\" for connection option \"port\"\n".into()),
            ),
            ("postgresql://h:0/d", Err("invalid port number: \"0\"\n".into())),
            ("postgresql://h/d?a=b", Err("invalid URI query parameter: \"a\"\n".into())),
            ("postgresql://h/d?sslmode=x", Err("invalid sslmode value: \"x\"\n".into())),
            ("postgresql://h/%zz", Err("invalid percent-encoded token: \"%zz\"\n".into())),
        ] {
            assert_eq!(Target::parse(uri), expect, "{uri}");
        }
    }

    #[test]
    fn sockets() {
        for (host, expect) in
            [("", Some("/var/run/postgresql/.s.PGSQL.5432")), ("/x", Some("/x/.s.PGSQL.5432")), ("h", None)]
        {
            assert_eq!(Target { host: host.to_owned(), ..Target::default() }.socket().as_deref(), expect);
        }
    }
}
