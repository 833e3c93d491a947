//! What a program sees of the configuration: defaults, over them main.cf, over that the `-o` of its line in master.cf.

use crate::diagnostic::{Diagnostic, Place};
use crate::expand::{ExpandError, Options, expand};
use crate::hint;
use crate::host::{self, HostFacts, Interface, Protocols};
use crate::level::Level;
use crate::registry::{Param, Spec, Value, find, transport};
use crate::value::{Converted, Input, Kind};
use crate::{MainCf, MasterCf, Service};
use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::Arc;

/// Both files and the host, as they were when the configuration was read.
#[derive(Clone, Debug, Default)]
pub struct Config {
    pub main: MainCf,
    pub master: MasterCf,
    pub host: HostFacts,
}

/// The configuration as one program or service sees it. Cheap to clone.
///
/// ```
/// use params::{Config, MainCf, View, p};
/// let (main, _) = MainCf::parse("main.cf", b"smtpd_timeout = 5m\nmyhostname = mail.example.com\n");
/// let view = View::new(Config { main, ..Config::default() });
/// let mut mistakes = Vec::new();
/// assert_eq!(view.get(p::smtpd_timeout, &mut mistakes).as_secs(), 300);
/// assert_eq!(view.get(p::mydomain, &mut mistakes), "example.com");
/// assert!(mistakes.is_empty());
/// ```
#[derive(Clone, Debug)]
pub struct View {
    config: Arc<Config>,
    scope: Scope,
}

/// What sets one service apart.
#[derive(Clone, Debug, Default)]
struct Scope {
    process_name: Option<String>,
    service_name: String,
    overrides: Vec<(String, String)>,
    line: usize,
}

/// A group of parameters that some code reads together. See the structs in `service`.
pub trait Group: Sized {
    fn read(view: &View, mistakes: &mut Vec<Diagnostic>) -> Self;
}

impl View {
    /// What a command sees.
    pub fn new(config: impl Into<Arc<Config>>) -> View {
        View { config: config.into(), scope: Scope::default() }
    }

    /// What a service of master.cf sees.
    pub fn for_service(&self, service: &Service) -> View {
        let scope = Scope {
            process_name: Some(service.program().to_string()),
            service_name: service.service_name().to_string(),
            overrides: service.overrides.clone(),
            line: service.line,
        };
        View { config: Arc::clone(&self.config), scope }
    }

    /// With one more `-o name=value`.
    pub fn with(&self, name: &str, value: &str) -> View {
        let mut view = self.clone();
        view.scope.overrides.push((name.to_string(), value.to_string()));
        view
    }

    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The value of a parameter. A value that cannot be used is told, and the default comes in its place.
    ///
    /// For lmtp(8) an `smtp_…` parameter is its `lmtp_…` twin.
    pub fn get<P: Param>(&self, _: P, mistakes: &mut Vec<Diagnostic>) -> Value<P> {
        let spec = if self.is_lmtp() { P::LMTP } else { P::SPEC };
        self.convert::<P::Kind>(spec.name, spec, mistakes)
    }

    /// The value of a parameter of a transport: `NAME_destination_concurrency_limit` for `NAME`.
    pub fn get_of_transport<T: transport::TransportParam>(
        &self,
        transport: &str,
        _: T,
        mistakes: &mut Vec<Diagnostic>,
    ) -> <T::Kind as Kind>::Value {
        self.convert::<T::Kind>(&format!("{transport}_{}", T::SPEC.name), T::SPEC, mistakes)
    }

    /// A group of values.
    pub fn load<G: Group>(&self, mistakes: &mut Vec<Diagnostic>) -> G {
        G::read(self, mistakes)
    }

    /// Converts a value and throws it away: what is wrong with it is left.
    pub fn check(&self, name: &str, spec: &'static Spec, mistakes: &mut Vec<Diagnostic>) {
        let checked = self.text(name, spec).and_then(|text| {
            let input = Input { name, spec, unit: self.default_unit(spec), text: &text };
            spec.check(&input).map_err(|why| vec![Diagnostic::fatal(why)])
        });
        match checked {
            Ok(warning) => add_new(mistakes, warning.map(|w| self.warning(name, w))),
            Err(said) => add_new(mistakes, said.into_iter().map(|d| self.placed(name, d))),
        }
    }

    /// What a name stands for, nothing expanded: set in the files, else the default. None if nothing knows the name.
    pub fn lookup(&self, name: &str) -> Option<Cow<'_, str>> {
        self.lookup_set(name).map(Cow::Borrowed).or_else(|| self.default(name))
    }

    /// What the files set for a name.
    pub fn lookup_set(&self, name: &str) -> Option<&str> {
        match name {
            "process_name" => self.scope.process_name.as_deref(),
            "service_name" => self.scope.process_name.as_ref().map(|_| self.scope.service_name.as_str()),
            "process_id" => None,
            _ => {
                let overrides = self.scope.overrides.iter().rev();
                let own = overrides.into_iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str());
                own.or_else(|| self.config.main.get(name))
            }
        }
    }

    /// Whether the files set it.
    pub fn is_set(&self, name: &str) -> bool {
        self.lookup_set(name).is_some()
    }

    /// The default of a name, nothing expanded. None if nothing knows the name.
    pub fn default(&self, name: &str) -> Option<Cow<'static, str>> {
        match find(name) {
            Some(spec) if spec.is_computed => Some(Cow::Owned(self.computed(name))),
            Some(spec) => Some(Cow::Borrowed(spec.default)),
            None => transport::find(name).map(|(_, spec)| Cow::Borrowed(spec.default)),
        }
    }

    /// Expands `$names` until none are left.
    pub fn expand(&self, text: &str) -> Result<String, ExpandError> {
        let options = Options { recursive: true, filter: None };
        expand(text, options, &|name| self.lookup(name)).map(|e| e.text)
    }

    /// `compatibility_level`; an unusable one counts as 0.
    pub fn level(&self) -> Level {
        self.expand("$compatibility_level").ok().and_then(|text| Level::parse(&text).ok()).unwrap_or_default()
    }

    /// Host names whose addresses `HostFacts::addresses` should have.
    pub fn host_names(&self) -> Vec<String> {
        let lists =
            ["$inet_interfaces", "$proxy_interfaces"].map(|text| self.expand(text).unwrap_or_default());
        let words = lists.iter().flat_map(|list| crate::word::plain_words(list));
        let names = words.filter(|w| !matches!(*w, "all" | "loopback-only") && host::literal(w).is_none());
        names.map(str::to_string).collect()
    }

    /// The addresses of ours that `inet_interfaces` and `inet_protocols` leave. The error is Postfix's text.
    pub fn own_interfaces(&self) -> Result<Vec<Interface>, String> {
        let protocols = self.protocols()?;
        host::own_interfaces(&self.config.host, &self.value("inet_interfaces")?, protocols)
    }

    /// What mynetworks is if it is not set. The error is Postfix's text.
    pub fn default_networks(&self) -> Result<String, String> {
        host::own_networks(&self.own_interfaces()?, &self.value("mynetworks_style")?)
    }

    /// The addresses of `proxy_interfaces`. The error is Postfix's text.
    pub fn proxy_addresses(&self) -> Result<Vec<IpAddr>, String> {
        let protocols = self.protocols()?;
        let list = self.value("proxy_interfaces")?;
        host::host_addresses(&self.config.host, "proxy_interfaces", &list, protocols)
    }

    /// `inet_protocols`. The error is Postfix's text.
    pub fn protocols(&self) -> Result<Protocols, String> {
        Protocols::parse(&self.value("inet_protocols")?)
    }

    /// Where a name is set.
    pub fn place(&self, name: &str) -> Option<Place> {
        if self.scope.overrides.iter().any(|(n, _)| n == name) {
            let file = self.config.master.path.clone();
            return (self.scope.line > 0).then_some(Place { file, line: self.scope.line, span: 0..0 });
        }
        let main = &self.config.main;
        main.entry(name).and_then(|entry| main.place(entry, None))
    }

    fn is_lmtp(&self) -> bool {
        self.scope.process_name.as_deref() == Some("lmtp")
    }

    fn convert<K: Kind>(&self, name: &str, spec: &'static Spec, mistakes: &mut Vec<Diagnostic>) -> K::Value {
        let unit = self.default_unit(spec);
        let convert = |text: &str| K::convert(&Input { name, spec, unit, text });
        let converted =
            self.text(name, spec).and_then(|text| convert(&text).map_err(|why| vec![Diagnostic::fatal(why)]));
        match converted {
            Ok(Converted { value, warning }) => {
                add_new(mistakes, warning.map(|w| self.warning(name, w)));
                value
            }
            Err(said) => {
                add_new(mistakes, said.into_iter().map(|d| self.placed(name, d)));
                let text = self.expand(spec.default).unwrap_or_default();
                convert(&text).map(|c| c.value).unwrap_or_default()
            }
        }
    }

    /// A value as it is to be converted.
    fn text(&self, name: &str, spec: &'static Spec) -> Result<String, Vec<Diagnostic>> {
        let raw = self.lookup(name).unwrap_or(Cow::Borrowed(spec.default));
        if spec.is_raw {
            return Ok(raw.into_owned());
        }
        let text = self.expand(&raw).map_err(|ExpandError(why)| {
            let fatal = Diagnostic::fatal("dictionary mail_dict: macro processing error");
            vec![Diagnostic::warning(why), fatal]
        })?;
        match name {
            // Postfix as Debian builds it: the origin may be in a file.
            "myorigin" if text.starts_with('/') => {
                self.first_line(name, &text).map_err(|why| vec![Diagnostic::fatal(why)])
            }
            "mynetworks" if !self.is_set(name) => {
                self.default_networks().map_err(|why| vec![hint::no_own_addresses(self, why)])
            }
            _ => Ok(text),
        }
    }

    fn first_line(&self, name: &str, path: &str) -> Result<String, String> {
        match self.config.host.first_lines.get(path) {
            Some(Ok(line)) if line.trim().is_empty() => Err(format!("{name} file {path} is empty")),
            Some(Ok(line)) => Ok(line.trim().to_string()),
            Some(Err(why)) => Err(format!("{path}: cannot open file: {why}")),
            None => Err(format!("{path}: not read")),
        }
    }

    fn default_unit(&self, spec: &Spec) -> char {
        if spec.kind != <crate::value::Time as Kind>::NAME {
            return 's';
        }
        let text = self.expand(spec.default).unwrap_or_default();
        text.chars().find(char::is_ascii_alphabetic).unwrap_or('s')
    }

    fn computed(&self, name: &str) -> String {
        let host = &self.config.host;
        match name {
            "myhostname" if host.hostname.contains('.') => host.hostname.clone(),
            "myhostname" => {
                let domain = self.lookup_set("mydomain").and_then(|text| self.expand(text).ok());
                format!("{}.{}", host.hostname, domain.as_deref().unwrap_or(LOCAL_DOMAIN))
            }
            "mydomain" => {
                let hostname = self.plain("myhostname");
                hostname.split_once('.').map_or(LOCAL_DOMAIN, |(_, domain)| domain).to_string()
            }
            "mynetworks" => self.default_networks().unwrap_or_default(),
            "process_name" => host.process_name.clone(),
            "process_id" => host.process_id.to_string(),
            "config_directory" => host.config_directory.clone(),
            _ => String::new(),
        }
    }

    fn value(&self, name: &str) -> Result<String, String> {
        let text = self.lookup(name).unwrap_or_default();
        self.expand(&text).map_err(|ExpandError(why)| why)
    }

    fn plain(&self, name: &str) -> String {
        self.value(name).unwrap_or_default()
    }

    fn warning(&self, name: &str, text: String) -> Diagnostic {
        self.placed(name, Diagnostic::warning(text))
    }

    fn placed(&self, name: &str, diagnostic: Diagnostic) -> Diagnostic {
        if diagnostic.place.is_some() {
            return diagnostic;
        }
        hint::explain_value(self, name, diagnostic.at(self.place(name)))
    }
}

/// The domain of a host without one; it has no parameter.
const LOCAL_DOMAIN: &str = "localdomain";

/// What several services read in the same place is told once.
fn add_new(mistakes: &mut Vec<Diagnostic>, said: impl IntoIterator<Item = Diagnostic>) {
    for diagnostic in said {
        if !mistakes.contains(&diagnostic) {
            mistakes.push(diagnostic);
        }
    }
}

impl From<Config> for View {
    fn from(config: Config) -> View {
        View::new(config)
    }
}

#[cfg(test)]
mod tests;
