//! Which names mean something in a configuration: built in, made from a service's name, or used by somebody as `$name`. What is set
//! and means nothing is most likely a typing error.

use crate::client::CLIENT_PARAMETERS;
use crate::diagnostic::Diagnostic;
use crate::expand::{ExpandError, names_in};
use crate::hint::no_own_addresses;
use crate::registry::{self, Spec, transport};
use crate::suggest::nearest;
use crate::view::View;
use crate::word::{COMMA_SPACE, plain_words, strip_braces, words};
use crate::{MasterCf, Service};
use std::collections::{BTreeMap, HashSet};

/// The names that mean something.
#[derive(Clone, Debug, Default)]
pub struct Names {
    known: BTreeMap<String, Known>,
    /// Names that mean something in one service only, by its index in master.cf.
    local: BTreeMap<usize, HashSet<String>>,
    /// Names of restriction classes in main.cf.
    classes: HashSet<String>,
    /// Files with a table's settings that values name, with the table's type.
    pub client_files: Vec<(String, String)>,
}

/// A name that means something.
#[derive(Clone, Copy, Debug)]
pub struct Known {
    pub class: Class,
    /// None for user-defined names.
    pub spec: Option<&'static Spec>,
}

/// Where a name comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    Builtin,
    Service,
    User,
    /// Former names, and those of later versions than 3.7: listed only if they are set.
    Unlisted,
}

impl Names {
    /// The built-in names, and those that services in master.cf bring.
    pub fn new(master: &MasterCf) -> Names {
        let mut names = Names::default();
        for spec in registry::all() {
            let class = if spec.is_listed() { Class::Builtin } else { Class::Unlisted };
            names.known.insert(spec.name.to_string(), Known { class, spec: Some(spec) });
        }
        for service in &master.services {
            for spec in transport::of_program(service.command()) {
                let name = format!("{}_{}", service.name(), spec.name);
                let known =
                    names.known.entry(name).or_insert(Known { class: Class::Service, spec: Some(spec) });
                known.class = Class::Service;
            }
        }
        names
    }

    /// Adds what the files define and use themselves, and says which names are used and defined nowhere.
    pub fn add_user_defined(&mut self, view: &View) -> Vec<Diagnostic> {
        let mut said = Vec::new();
        let services = &view.config().master.services;
        for (index, service) in services.iter().enumerate().filter(|(_, s)| !s.overrides.is_empty()) {
            self.local.entry(index).or_default();
            self.scan(view, Some((index, service)), &mut said);
        }
        self.scan_defaults(view, &mut said);
        said.extend(own_networks_trouble(view));
        self.scan(view, None, &mut said);
        said
    }

    pub fn get(&self, name: &str) -> Option<&Known> {
        self.known.get(name)
    }

    /// All names in their order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Known)> {
        self.known.iter().map(|(name, known)| (name.as_str(), known))
    }

    /// What main.cf sets in vain.
    pub fn unused_in_main(&self, view: &View) -> Vec<Diagnostic> {
        let main = &view.config().main;
        let unused = main.entries().filter(|e| !self.known.contains_key(&e.name));
        unused.map(|e| self.unused(main.path(), &e.name, &e.value).at(main.name_place(e))).collect()
    }

    /// What master.cf sets in vain.
    pub fn unused_in_master(&self, view: &View) -> Vec<Diagnostic> {
        let master = &view.config().master;
        let mut said = Vec::new();
        for (index, service) in master.services.iter().enumerate() {
            let is_used = |name: &str| {
                self.known.contains_key(name)
                    || self.local.get(&index).is_some_and(|names| names.contains(name))
            };
            let unused = effective(service).into_iter().filter(|(name, _)| !is_used(name));
            said.extend(unused.map(|(name, value)| {
                let place = crate::Place { file: master.path.clone(), line: service.line, span: 0..0 };
                self.unused(&master.path, name, value).at(place)
            }));
        }
        said
    }

    fn unused(&self, path: &str, name: &str, value: &str) -> Diagnostic {
        let mend = match nearest(name, self.known.keys().map(String::as_str)) {
            Some(near) => format!("did you mean {near}?"),
            None => "remove it".to_string(),
        };
        Diagnostic::warning(format!("{path}: unused parameter: {name}={value}"))
            .effect("nothing reads a parameter of this name")
            .mend(mend)
    }

    /// Scans one name space: a service's `-o`, or main.cf.
    fn scan(&mut self, view: &View, scope: Option<(usize, &Service)>, said: &mut Vec<Diagnostic>) {
        let entries: Vec<(String, String)> = match scope {
            Some((_, service)) => owned(effective(service)),
            None => {
                owned(view.config().main.entries().map(|e| (e.name.as_str(), e.value.as_str())).collect())
            }
        };
        let class_list = entries.iter().find(|(name, _)| name == "smtpd_restriction_classes");
        let scoped = scope.map_or_else(|| view.clone(), |(_, service)| view.for_service(service));
        // What cannot be expanded is told where the entry is scanned.
        let classes = class_list.and_then(|(_, value)| scoped.expand(value).ok()).unwrap_or_default();
        for class in plain_words(&classes) {
            if scope.is_none() {
                self.classes.insert(class.to_string());
            }
            self.flag(view, class, scope, false, said);
        }
        for (name, value) in &entries {
            self.scan_entry(view, name, value, scope, said);
        }
    }

    fn scan_entry(
        &mut self,
        view: &View,
        name: &str,
        value: &str,
        scope: Option<(usize, &Service)>,
        said: &mut Vec<Diagnostic>,
    ) {
        if let Some((index, _)) = scope.filter(|_| self.classes.contains(name)) {
            self.local.entry(index).or_default().insert(name.to_string());
        }
        let known = self.known.get(name).copied();
        if let Some(spec) = known.and_then(|k| k.spec) {
            if spec.is_read_only {
                let path = path_of(view, scope);
                let text = format!("{path}: read-only parameter assignment: {name}={value}");
                said.push(Diagnostic::warning(text).effect("it is left out").mend("remove it"));
                return;
            }
            self.known.entry(name.to_string()).and_modify(|k| {
                if k.class == Class::Unlisted {
                    k.class = Class::User;
                }
            });
            if spec.is_raw {
                return;
            }
        }
        self.flag_used(view, value, scope, said);
        if known.is_some_and(|k| matches!(k.class, Class::Builtin | Class::Service)) {
            self.scan_tables(view, value, scope, said);
        }
    }

    fn scan_defaults(&mut self, view: &View, said: &mut Vec<Diagnostic>) {
        let unset = self.known.iter().filter(|(name, _)| view.config().main.get(name).is_none());
        let specs: Vec<&Spec> = unset.filter_map(|(_, known)| known.spec).filter(|s| !s.is_raw).collect();
        for spec in specs {
            self.flag_used(view, spec.default, None, said);
        }
    }

    fn flag_used(
        &mut self,
        view: &View,
        value: &str,
        scope: Option<(usize, &Service)>,
        said: &mut Vec<Diagnostic>,
    ) {
        let mut used = Vec::new();
        let scanned = names_in(value, &mut |name| used.push(name.to_string()));
        for name in used {
            self.flag(view, &name, scope, false, said);
        }
        if let Err(ExpandError(why)) = scanned {
            said.push(Diagnostic::warning(why));
        }
    }

    /// A name is used: what is defined under it means something. `quiet`: it need not be defined.
    fn flag(
        &mut self,
        view: &View,
        name: &str,
        scope: Option<(usize, &Service)>,
        quiet: bool,
        said: &mut Vec<Diagnostic>,
    ) {
        let sets = |service: &Service| service.overrides.iter().any(|(n, _)| n == name);
        let mut is_defined = false;
        if let Some((index, _)) = scope.filter(|(_, service)| sets(service)) {
            self.local.entry(index).or_default().insert(name.to_string());
            is_defined = true;
        } else if view.config().main.get(name).is_some() {
            self.known.entry(name.to_string()).or_insert(Known { class: Class::User, spec: None });
            is_defined = true;
        }
        if scope.is_none() {
            let services = view.config().master.services.iter().enumerate();
            for (index, _) in services.filter(|(_, service)| sets(service)) {
                self.local.entry(index).or_default().insert(name.to_string());
                is_defined = true;
            }
        }
        if !(is_defined || quiet || self.known.contains_key(name)) {
            let text = format!("{}: undefined parameter: {name}", path_of(view, scope));
            said.push(Diagnostic::warning(text).effect(format!("${name} is empty")));
        }
    }

    fn scan_tables(
        &mut self,
        view: &View,
        value: &str,
        scope: Option<(usize, &Service)>,
        said: &mut Vec<Diagnostic>,
    ) {
        let scoped = scope.map(|(_, service)| view.for_service(service));
        match scoped.as_ref().unwrap_or(view).expand(value) {
            Ok(text) => self.scan_table_names(view, &text, scope, 10, said),
            Err(ExpandError(why)) => {
                said.push(Diagnostic::warning(why));
                said.push(Diagnostic::fatal("macro processing error"));
            }
        }
    }

    /// `depth`: how deep braces may lie in one another; it has no parameter.
    fn scan_table_names(
        &mut self,
        view: &View,
        text: &str,
        scope: Option<(usize, &Service)>,
        depth: usize,
        said: &mut Vec<Diagnostic>,
    ) {
        for (_, word) in words(text, COMMA_SPACE).filter(|_| depth > 0) {
            let word = word.trim_start_matches("proxy:");
            let (kind, name) =
                if word.starts_with('{') { ("", word) } else { word.split_once(':').unwrap_or_default() };
            if name.starts_with('{') {
                let inside = strip_braces(name).unwrap_or_else(|(why, inside)| {
                    said.push(Diagnostic::warning(format!("{}: {why}", short_path(scope))));
                    inside
                });
                self.scan_table_names(view, inside, scope, depth - 1, said);
            } else if let Some((_, suffixes)) = CLIENT_PARAMETERS.iter().find(|(known, _)| *known == kind) {
                if name.starts_with('/') {
                    let file = (kind.to_string(), name.to_string());
                    if !self.client_files.contains(&file) {
                        self.client_files.push(file);
                    }
                } else if !name.starts_with('.') {
                    suffixes.iter().for_each(|s| self.flag(view, &format!("{name}_{s}"), scope, true, said));
                }
            }
        }
    }
}

/// Postfix: postconf(1) works out the default of mynetworks as it goes, and ends where that fails.
fn own_networks_trouble(view: &View) -> Vec<Diagnostic> {
    let parts = ["inet_interfaces", "inet_protocols", "mynetworks_style"];
    if view.config().main.get("mynetworks").is_some() {
        return Vec::new();
    }
    for name in parts {
        let text = view.lookup(name).unwrap_or_default();
        if let Err(ExpandError(why)) = view.expand(&text) {
            // Postfix: a broken level ends it a little earlier, in other words.
            let error = match name {
                "mynetworks_style" => "macro processing error",
                _ => "dictionary mail_dict: macro processing error",
            };
            return vec![Diagnostic::warning(why), Diagnostic::fatal(error)];
        }
    }
    view.default_networks().err().map(|why| no_own_addresses(view, why)).into_iter().collect()
}

/// What a service sets, the last one of a name.
fn effective(service: &Service) -> Vec<(&str, &str)> {
    let mut entries: Vec<(&str, &str)> = Vec::new();
    for (name, value) in &service.overrides {
        match entries.iter_mut().find(|(n, _)| n == name) {
            Some(entry) => entry.1 = value,
            None => entries.push((name, value)),
        }
    }
    entries
}

fn owned(entries: Vec<(&str, &str)>) -> Vec<(String, String)> {
    entries.into_iter().map(|(name, value)| (name.to_string(), value.to_string())).collect()
}

fn path_of(view: &View, scope: Option<(usize, &Service)>) -> String {
    match scope {
        Some(_) => view.config().master.path.clone(),
        None => view.config().main.path().to_string(),
    }
}

fn short_path(scope: Option<(usize, &Service)>) -> String {
    scope.map_or("main.cf".to_string(), |(_, service)| format!("master.cf:{}", service.name_space()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Config, MainCf};

    fn check(main: &str, master: &str) -> (Names, Vec<String>) {
        let (main, _) = MainCf::parse("main.cf", format!("{main}\nmynetworks = 127.0.0.1").as_bytes());
        let master = MasterCf::parse("master.cf", master.as_bytes());
        let view = View::new(Config { main, master, ..Config::default() });
        let mut names = Names::new(&view.config().master);
        let mut said = names.add_user_defined(&view);
        said.extend(names.unused_in_main(&view));
        said.extend(names.unused_in_master(&view));
        let texts = said.iter().map(|d| d.to_string()).collect();
        (names, texts)
    }

    #[test]
    fn classes() {
        let (names, said) = check(
            "mine = 1\nrelayhost = $mine\nvirtual_maps = x\nsmtpd_hide_client_session = no\n",
            "slow unix - - n - - smtp\npolicy unix - n n - 0 spawn user=x argv=y\nlocal unix - n n - - local",
        );
        assert_eq!(said, Vec::<String>::new());
        let class = |name: &str| names.get(name).map(|k| k.class);
        assert_eq!(class("relayhost"), Some(Class::Builtin));
        assert_eq!(class("mine"), Some(Class::User));
        assert_eq!(class("virtual_maps"), Some(Class::User));
        assert_eq!(class("smtpd_hide_client_session"), Some(Class::User));
        assert_eq!(class("fallback_relay"), Some(Class::Unlisted));
        assert_eq!(class("slow_destination_rate_delay"), Some(Class::Service));
        assert_eq!(class("policy_time_limit"), Some(Class::Service));
        assert_eq!(class("policy_destination_rate_delay"), None);
        assert_eq!(class("local_destination_recipient_limit"), Some(Class::Service));
    }

    #[test]
    fn warnings() {
        for (main, master, expect) in [
            ("bogus_param = 1", "", vec!["warning: main.cf: unused parameter: bogus_param=1"]),
            ("relayhost = $nothing", "", vec!["warning: main.cf: undefined parameter: nothing"]),
            ("process_id = 1", "", vec!["warning: main.cf: read-only parameter assignment: process_id=1"]),
            ("forward_path = $home/.x", "", vec![]),
            ("p_time_limit = 1", "", vec!["warning: main.cf: unused parameter: p_time_limit=1"]),
            ("p_time_limit = 1", "p unix - n n - 0 spawn user=x argv=y", vec![]),
            (
                "smtpd_restriction_classes = a b\na = permit\n",
                "",
                vec!["warning: main.cf: undefined parameter: b"],
            ),
            ("smtpd_restriction_classes = $list\nlist = a, b\na = permit\nb = reject", "", vec![]),
            ("", "s inet n - n - - smtpd -o mine=x -o smtpd_banner=$mine", vec![]),
            ("relayhost = $mine", "s inet n - n - - smtpd -o mine=x", vec![]),
            (
                "",
                "s inet n - n - - smtpd -o mine=x -o smtpd_banner=$other",
                vec![
                    "warning: master.cf: undefined parameter: other",
                    "warning: master.cf: unused parameter: mine=x",
                ],
            ),
            (
                "virtual_alias_maps = proxy:ldap:acme\nacme_server_host = x\nacme_foo = y",
                "",
                vec!["warning: main.cf: unused parameter: acme_foo=y"],
            ),
            ("virtual_alias_maps = unionmap:{ldap:acme, hash:x}\nacme_bind = x", "", vec![]),
        ] {
            assert_eq!(check(main, master).1, expect, "{main} | {master}");
        }
    }

    #[test]
    fn client_files() {
        let (names, _) =
            check("virtual_alias_maps = mysql:/etc/a.cf, proxy:mysql:/etc/a.cf pgsql:/b hash:/c", "");
        let expect = [("mysql", "/etc/a.cf"), ("pgsql", "/b")].map(|(k, f)| (k.to_string(), f.to_string()));
        assert_eq!(names.client_files, expect);
    }

    #[test]
    fn suggestions() {
        let (main, _) = MainCf::parse("main.cf", b"smtp_sasl_security_option = noanonymous");
        let view = View::new(Config { main, ..Config::default() });
        let said = Names::new(&view.config().master).unused_in_main(&view);
        assert_eq!(said[0].mend, "did you mean smtp_sasl_security_options?");
        assert_eq!(said[0].place.as_ref().map(|p| p.line), Some(1));
    }
}
