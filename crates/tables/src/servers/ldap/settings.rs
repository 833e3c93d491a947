//! The parameters of ldap_table(5).

use super::code::Code;
use super::url::{Scheme, Scope, Url};
use crate::OpenContext;
use crate::parameters::Parameters;
use crate::servers::tls::{Tls, Verify};
use std::time::Duration;

/// How a server is reached and asked.
pub(super) struct Settings {
    /// The path, or the name in main.cf.
    pub(super) name: String,
    pub(super) servers: Servers,
    pub(super) version: i32,
    pub(super) bind: Bind,
    pub(super) bind_dn: String,
    pub(super) bind_pw: String,
    pub(super) start_tls: bool,
    pub(super) tls: Tls,
    pub(super) scope: Scope,
    /// 0: none.
    pub(super) timeout: i32,
    pub(super) dereference: i32,
    pub(super) chase_referrals: bool,
    pub(super) recursion_limit: i32,
    pub(super) size_limit: i32,
    pub(super) attributes: Attributes,
}

/// `server_host`
pub(super) struct Servers {
    /// As warnings have it.
    pub(super) text: String,
    /// None: one of them is no URL.
    pub(super) urls: Option<Vec<Url>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Bind {
    None,
    Simple,
    Sasl { mechanisms: Vec<String>, authorization: String },
}

/// What is wanted of entries: all names, and how many of the first are of which kind. The last are special.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Attributes {
    pub(super) names: Vec<String>,
    pub(super) terminal: usize,
    pub(super) leaf: usize,
    /// All but the special ones.
    pub(super) ordinary: usize,
}

impl Settings {
    pub(super) fn read(parameters: &Parameters, context: &OpenContext) -> Result<Settings, String> {
        let name = &parameters.name;
        let warn = |text: String| context.warn(&format!("dict_ldap_open: {text}"));
        let server_host = parameters.filled("server_host", "localhost")?;
        let server_port = parameters.number("server_port", 389, 0)?;
        let mut version = parameters.number("version", 3, 2)?;
        if version > 3 {
            warn(format!("{name} Unknown version {version}, using 3."));
            version = 3;
        }
        let servers = parse_servers(&server_host, server_port, context);
        for url in servers.urls.iter().flatten().filter(|url| url.scheme != Scheme::Ldap && version < 3) {
            warn(format!("URL scheme {} requires protocol version 3", url.scheme.name()));
        }
        if servers.urls.iter().flatten().any(|url| url.scheme != Scheme::Ldap) {
            version = 3;
        }
        let scope = parameters.filled("scope", "sub")?;
        let scope = Scope::parse(&scope).unwrap_or_else(|| {
            warn(format!("{name}: Unrecognized value {scope} specified for scope; using sub"));
            Scope::Sub
        });
        let timeout = parameters.number("timeout", 10, 0)?;
        let attributes = read_attributes(parameters);
        let bind = read_bind(parameters)?;
        warn_of_cache(parameters, &warn)?;
        let recursion_limit = parameters.number("recursion_limit", 1000, 1)?;
        let expansion_limit = parameters.number("expansion_limit", 0, 0)?;
        let size_limit = parameters.number("size_limit", expansion_limit, 0)?;
        let mut dereference = parameters.number("dereference", 0, 0)?;
        if !(0..=3).contains(&dereference) {
            warn(format!("{name} Unrecognized value {dereference} specified for dereference; using 0"));
            dereference = 0;
        }
        let chase_referrals = parameters.flag("chase_referrals")?.unwrap_or(false);
        let start_tls = parameters.flag("start_tls")?.unwrap_or(false);
        if start_tls && version < 3 {
            warn(format!("{name} start_tls requires protocol version 3"));
            version = 3;
        }
        Ok(Settings {
            name: name.clone(),
            servers,
            version,
            bind,
            bind_dn: parameters.get("bind_dn").unwrap_or_default(),
            bind_pw: parameters.get("bind_pw").unwrap_or_default(),
            start_tls,
            tls: read_tls(parameters)?,
            scope,
            timeout,
            dereference,
            chase_referrals,
            recursion_limit,
            size_limit,
            attributes,
        })
    }

    pub(super) fn limit(&self) -> Duration {
        match u64::try_from(self.timeout) {
            Ok(seconds @ 1..) => Duration::from_secs(seconds),
            // Where Postfix would wait forever.
            _ => crate::client::TIMEOUT,
        }
    }

    /// What warnings call who binds.
    pub(super) fn shown_dn(&self) -> &str {
        if self.bind_dn.is_empty() { "empty or implicit" } else { &self.bind_dn }
    }

    /// Whether the connection begins with TLS, whatever is said.
    pub(super) fn has_tls(&self) -> bool {
        self.start_tls || self.servers.urls.iter().flatten().any(|url| url.scheme == Scheme::Ldaps)
    }
}

/// Hosts become URLs; what only looks like one is left out.
fn parse_servers(server_host: &str, server_port: i32, context: &OpenContext) -> Servers {
    let mut texts = Vec::new();
    let mut urls = Some(Vec::new());
    let words = server_host.split(|c: char| c == ',' || c.is_ascii_whitespace());
    for word in words.filter(|word| !word.is_empty()) {
        let text = match Url::is_url(word) {
            true => word.to_owned(),
            false if word.contains(':') => format!("ldap://{word}"),
            false => format!("ldap://{word}:{server_port}"),
        };
        match Url::parse(&text) {
            Ok(url) => urls.iter_mut().for_each(|urls| urls.push(url.clone())),
            Err(error) if Url::is_url(word) => {
                let (number, why) = (error.0, Code(error.0));
                context
                    .error(&format!("dict_ldap_open: error parsing URL {word}: {number}: {why}; skipping"));
                continue;
            }
            Err(_) => urls = None,
        }
        texts.push(text);
    }
    Servers { text: texts.join(" "), urls }
}

fn read_attributes(parameters: &Parameters) -> Attributes {
    let mut names: Vec<String> = Vec::new();
    let mut add = |name: &str, default: &str| {
        let list = parameters.get(name).unwrap_or_else(|| default.to_owned());
        let words = list.split(|c: char| c == ',' || c.is_ascii_whitespace());
        names.extend(words.filter(|word| !word.is_empty()).map(str::to_owned));
        names.len()
    };
    let terminal = add("terminal_result_attribute", "");
    let leaf = add("leaf_result_attribute", "") - terminal;
    let ordinary = add("result_attribute", "maildrop");
    add("special_result_attribute", "");
    Attributes { names, terminal, leaf, ordinary }
}

fn read_bind(parameters: &Parameters) -> Result<Bind, String> {
    let bind = parameters.filled("bind", "yes")?;
    match bind.to_ascii_lowercase().as_str() {
        "no" | "none" => Ok(Bind::None),
        "yes" | "simple" => Ok(Bind::Simple),
        "sasl" => {
            parameters.number("sasl_minssf", 0, 0)?;
            let mechanisms = parameters.get("sasl_mechs").unwrap_or_default();
            Ok(Bind::Sasl {
                mechanisms: mechanisms.split_whitespace().map(str::to_ascii_uppercase).collect(),
                authorization: parameters.get("sasl_authz_id").unwrap_or_default(),
            })
        }
        _ => Err(format!("{}: unsupported parameter value: bind = {bind}", parameters.name)),
    }
}

fn warn_of_cache(parameters: &Parameters, warn: &dyn Fn(String)) -> Result<(), String> {
    let name = &parameters.name;
    if parameters.flag("cache")? == Some(true) {
        warn(format!("{name} ignoring cache"));
    }
    for parameter in ["cache_expiry", "cache_size"] {
        if parameters.number(parameter, -1, 0)? >= 0 {
            warn(format!("{name} ignoring {parameter}"));
        }
    }
    Ok(())
}

fn read_tls(parameters: &Parameters) -> Result<Tls, String> {
    let is_required = parameters.flag("tls_require_cert")?.unwrap_or(false);
    Ok(Tls {
        ca_file: parameters.text("tls_ca_cert_file"),
        ca_directory: parameters.text("tls_ca_cert_dir"),
        certificate: parameters.text("tls_cert"),
        key: parameters.text("tls_key"),
        ciphers: parameters.text("tls_cipher_suite"),
        verify: if is_required { Verify::Name } else { Verify::Nothing },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};

    fn read(text: &str) -> (Result<Settings, String>, Vec<String>) {
        let said = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&said);
        let context =
            OpenContext::plain(Arc::new(move |_, text: &str| log.lock().unwrap().push(text.to_owned())));
        let parameters = Parameters::parse("t", text.as_bytes(), &mut |_| {}).unwrap();
        let settings = Settings::read(&parameters, &context);
        let said = said.lock().unwrap().clone();
        (settings, said)
    }

    #[test]
    fn servers() {
        for (text, expect, count, version) in [
            ("", "ldap://localhost:389", Some(1), 3),
            (
                "server_host = a, b:1 ldaps://c\nserver_port = 5\nversion = 2\n",
                "ldap://a:5 ldap://b:1 ldaps://c",
                Some(3),
                3,
            ),
            ("server_host = http://x\n", "ldap://http://x", None, 3),
            ("server_host = ldap://x:y\n", "", Some(0), 3),
            ("version = 2\n", "ldap://localhost:389", Some(1), 2),
        ] {
            let settings = read(text).0.unwrap();
            let urls = settings.servers.urls.as_ref().map(Vec::len);
            assert_eq!(
                (settings.servers.text.as_str(), urls, settings.version),
                (expect, count, version),
                "{text}"
            );
        }
    }

    #[test]
    fn warnings_and_errors() {
        for (text, expect) in [
            ("scope = huge\n", "dict_ldap_open: t: Unrecognized value huge specified for scope; using sub"),
            ("version = 7\n", "dict_ldap_open: t Unknown version 7, using 3."),
            (
                "dereference = 9\n",
                "dict_ldap_open: t Unrecognized value 9 specified for dereference; using 0",
            ),
            ("cache = yes\n", "dict_ldap_open: t ignoring cache"),
            ("cache_size = 5\n", "dict_ldap_open: t ignoring cache_size"),
            ("start_tls = yes\nversion = 2\n", "dict_ldap_open: t start_tls requires protocol version 3"),
            (
                "server_host = ldap://x:y\n",
                "dict_ldap_open: error parsing URL ldap://x:y: 5: Compare False; skipping",
            ),
        ] {
            let (settings, said) = read(text);
            assert!(settings.is_ok());
            assert_eq!(said, [expect]);
        }
        for (text, expect) in [
            ("bind = maybe\n", "t: unsupported parameter value: bind = maybe"),
            ("server_host =\n", "t: bad string length 0 < 1: server_host = "),
            ("version = 1\n", "t: invalid version parameter value 1 < 2"),
            ("timeout = x\n", "t: bad numerical configuration: timeout = x"),
        ] {
            assert_eq!(read(text).0.err().as_deref(), Some(expect));
        }
    }

    #[test]
    fn attributes() {
        let text = "terminal_result_attribute = t\nleaf_result_attribute = l m\nresult_attribute = a,b\nspecial_result_attribute = s\n";
        let names = ["t", "l", "m", "a", "b", "s"].map(str::to_owned).to_vec();
        let expect = Attributes { names, terminal: 1, leaf: 2, ordinary: 5 };
        assert_eq!(read(text).0.unwrap().attributes, expect);
    }
}
