//! LDAP URLs (RFC 4516): `ldap://host:port/dn?attributes?scope?filter`, `ldaps:`, and `ldapi://%2Fpath`.

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Url {
    pub(super) scheme: Scheme,
    /// A name or an address; of `ldapi` the socket's path.
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) dn: String,
    pub(super) attributes: Vec<String>,
    /// None: not said.
    pub(super) scope: Option<Scope>,
    pub(super) filter: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scheme {
    Ldap,
    Ldaps,
    Ldapi,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scope {
    Base = 0,
    One = 1,
    Sub = 2,
}

/// Why it is none, by libldap's numbers (`LDAP_URL_ERR_…`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct UrlError(pub(super) i32);

const BAD_SCHEME: UrlError = UrlError(3);
const BAD_URL: UrlError = UrlError(5);
const BAD_SCOPE: UrlError = UrlError(8);

/// Where the server of this host listens if nothing says otherwise.
const SOCKET: &str = "/var/run/slapd/ldapi";

impl Scheme {
    fn parse(name: &str) -> Option<Scheme> {
        match name.to_ascii_lowercase().as_str() {
            "ldap" => Some(Scheme::Ldap),
            "ldaps" => Some(Scheme::Ldaps),
            "ldapi" => Some(Scheme::Ldapi),
            _ => None,
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Scheme::Ldap => "ldap",
            Scheme::Ldaps => "ldaps",
            Scheme::Ldapi => "ldapi",
        }
    }

    fn port(self) -> u16 {
        if self == Scheme::Ldaps { 636 } else { 389 }
    }
}

impl Url {
    /// Whether a text has a URL's beginning.
    pub(super) fn is_url(text: &str) -> bool {
        text.split_once("://").is_some_and(|(scheme, _)| Scheme::parse(scheme).is_some())
    }

    pub(super) fn parse(text: &str) -> Result<Url, UrlError> {
        let (scheme, rest) = text.split_once("://").ok_or(BAD_SCHEME)?;
        let scheme = Scheme::parse(scheme).ok_or(BAD_SCHEME)?;
        let mut parts = rest.splitn(5, '?');
        let (place, dn) = parts.next().unwrap_or_default().split_once('/').unwrap_or((rest_of(rest), ""));
        let (host, port) = parse_place(scheme, place)?;
        let decoded = |part: Option<&str>| part.map(decode).transpose();
        let attributes = decoded(parts.next())?.unwrap_or_default();
        let scope = match parts.next().unwrap_or_default() {
            "" => None,
            text => Some(Scope::parse(text).ok_or(BAD_SCOPE)?),
        };
        let filter = decoded(parts.next())?.filter(|filter| !filter.is_empty());
        let attributes = attributes.split(',').filter(|name| !name.is_empty());
        Ok(Url {
            scheme,
            host,
            port,
            dn: decode(dn)?,
            attributes: attributes.map(str::to_owned).collect(),
            scope,
            filter,
        })
    }
}

/// The part before any question mark.
fn rest_of(text: &str) -> &str {
    text.split('?').next().unwrap_or_default()
}

fn parse_place(scheme: Scheme, place: &str) -> Result<(String, u16), UrlError> {
    if scheme == Scheme::Ldapi {
        let path = decode(place)?;
        return Ok((if path.is_empty() { SOCKET.to_owned() } else { path }, 0));
    }
    let (host, port) = match place.strip_prefix('[') {
        Some(rest) => {
            let (host, rest) = rest.split_once(']').ok_or(BAD_URL)?;
            (host, rest.strip_prefix(':'))
        }
        None => match place.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (place, None),
        },
    };
    let port = port.map_or(Ok(scheme.port()), |port| port.parse().map_err(|_| BAD_URL))?;
    let host = decode(host)?;
    Ok((if host.is_empty() { "localhost".to_owned() } else { host }, port))
}

impl Scope {
    pub(super) fn parse(text: &str) -> Option<Scope> {
        match text.to_ascii_lowercase().as_str() {
            "base" => Some(Scope::Base),
            "one" => Some(Scope::One),
            "sub" => Some(Scope::Sub),
            _ => None,
        }
    }
}

fn decode(text: &str) -> Result<String, UrlError> {
    let mut out = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((&octet, tail)) = rest.split_first() {
        rest = tail;
        if octet != b'%' {
            out.push(octet);
            continue;
        }
        let digits = rest.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
        out.push(digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()).ok_or(BAD_URL)?);
        rest = &rest[2..];
    }
    String::from_utf8(out).map_err(|_| BAD_URL)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls() {
        let base = Url {
            scheme: Scheme::Ldap,
            host: "h".to_owned(),
            port: 389,
            dn: String::new(),
            attributes: Vec::new(),
            scope: None,
            filter: None,
        };
        for (text, expect) in [
            ("ldap://h", Ok(base.clone())),
            ("LDAP://h:1/", Ok(Url { port: 1, ..base.clone() })),
            (
                "ldaps://[::1]",
                Ok(Url { scheme: Scheme::Ldaps, host: "::1".into(), port: 636, ..base.clone() }),
            ),
            (
                "ldapi://%2Frun%2Fx",
                Ok(Url { scheme: Scheme::Ldapi, host: "/run/x".into(), port: 0, ..base.clone() }),
            ),
            (
                "ldap:///dc=x%20y?mail,cn?one?(a=%3f)",
                Ok(Url {
                    host: "localhost".into(),
                    dn: "dc=x y".into(),
                    attributes: vec!["mail".into(), "cn".into()],
                    scope: Some(Scope::One),
                    filter: Some("(a=?)".into()),
                    ..base.clone()
                }),
            ),
            ("ldap://h?mail", Ok(Url { attributes: vec!["mail".into()], ..base.clone() })),
            ("http://h", Err(BAD_SCHEME)),
            ("ldap://h:xx", Err(BAD_URL)),
            ("ldap:///d?a?bogus", Err(BAD_SCOPE)),
            ("ldap:///%zz", Err(BAD_URL)),
            ("ldap://http://h", Err(BAD_URL)),
        ] {
            assert_eq!(Url::parse(text), expect, "{text}");
        }
    }
}
