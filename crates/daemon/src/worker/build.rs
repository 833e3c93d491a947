//! What building a configuration needs at hand: the parameters, the tables, and a place for mistakes.

use crate::ipc::requests::Asker;
use logger::Logger;
use mail::keys::Parents;
use maillog::Level;
use params::{Diagnostic, View, p};
use route::NameList;
use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;
use tables::{Maps, OpenContext, Severity, SourceFormat, Table};

/// Builds what is in force after a start or a reload, from one reading of the files. Tables that several parameters name are
/// opened once.
pub(crate) struct Build {
    pub(crate) view: View,
    pub(crate) log: Logger,
    pub(crate) mistakes: Vec<Diagnostic>,
    pub(crate) opener: Opener,
    open: HashMap<String, Arc<dyn Table>>,
}

/// Opens files: as the worker may, else through the parent.
#[derive(Clone)]
pub(crate) struct Opener(Arc<Asker>);

impl Opener {
    pub(crate) fn new(asker: Arc<Asker>) -> Opener {
        Opener(asker)
    }

    pub(crate) fn open(&self, path: &Path) -> io::Result<File> {
        match File::open(path) {
            Err(e) if e.kind() == io::ErrorKind::PermissionDenied => self.0.open_file(path),
            result => result,
        }
    }

    /// Reads a file that the configuration names, whole.
    pub(crate) fn read(&self, path: &Path) -> io::Result<String> {
        io::read_to_string(self.open(path)?)
    }
}

impl Build {
    pub(crate) fn new(view: View, log: Logger, opener: Opener) -> Build {
        Build { view, log, mistakes: Vec::new(), opener, open: HashMap::new() }
    }

    /// The typed parameters of a part of the system.
    pub(crate) fn load<G: params::Group>(&mut self) -> G {
        self.view.load(&mut self.mistakes)
    }

    /// A table for a server: one that cannot be opened now answers "try later" and is tried again.
    pub(crate) fn table(&mut self, spec: &str) -> Arc<dyn Table> {
        if let Some(table) = self.open.get(spec) {
            return table.clone();
        }
        let table = tables::open_or_defer(spec, &self.open_context());
        self.open.insert(spec.to_owned(), table.clone());
        table
    }

    /// The tables of a parameter.
    pub(crate) fn maps(&mut self, parameter: &'static str, specs: &[String]) -> Maps {
        let specs = specs.iter().map(|spec| self.with_type(spec)).collect::<Vec<_>>();
        Maps::new(parameter, specs.iter().map(|spec| self.table(spec)).collect())
    }

    /// A table whose word decides where a delivery goes: `$1` counts for nothing in it, since what mail says would end up
    /// in the answer. A `careful` one may not be somebody else's word either (`proxy:`, tables that anybody could answer for).
    pub(crate) fn plain_table(
        &mut self,
        spec: &str,
        source_format: SourceFormat,
        careful: bool,
    ) -> Arc<dyn Table> {
        let context = OpenContext {
            source_format,
            allow_substitution: false,
            allow_proxy: !careful,
            allow_unauthenticated: !careful,
            ..self.open_context()
        };
        tables::open_or_defer(&self.with_type(spec), &context)
    }

    /// Tables whose values are files: their content is what a lookup gives.
    pub(crate) fn file_maps(&mut self, parameter: &'static str, specs: &[String]) -> Maps {
        let context = OpenContext { values_are_files: true, allow_proxy: false, ..self.open_context() };
        let open = |spec: &String| tables::open_or_defer(&self.with_type(spec), &context);
        Maps::new(parameter, specs.iter().map(open).collect())
    }

    /// `alias_maps`: as other tables, but their source files are aliases(5).
    pub(crate) fn alias_maps(&mut self, specs: &[String]) -> Maps {
        let context = OpenContext { source_format: SourceFormat::Aliases, ..self.open_context() };
        let open = |spec: &String| tables::open_or_defer(spec, &context);
        Maps::new("alias_maps", specs.iter().map(open).collect())
    }

    /// A list of names with its files read and its tables open. `parameter` counts for `parent_domain_matches_subdomains`
    /// if `has_parents`.
    pub(crate) fn names(&mut self, list: &params::MatchList, parents: Option<Parents>) -> NameList {
        use params::list::Pattern as Parsed;
        use route::lists::{Item, Pattern};
        let list = self.with_files(list);
        let mut items = Vec::new();
        for item in &list.items {
            let pattern = match &item.pattern {
                Parsed::Name(name) => Pattern::Name(name.clone()),
                Parsed::Table(spec) => Pattern::Table(self.table(spec)),
                Parsed::Broken(why) | Parsed::File(why) => Pattern::Broken(why.clone()),
                // Where names are compared an address is one, too; a range names nothing.
                Parsed::Network(network) => match network.sole_address() {
                    Some(address) => Pattern::Name(address.to_string()),
                    None => continue,
                },
            };
            items.push(Item { matches: item.matches, pattern });
        }
        match parents {
            Some(parents) => NameList::domains(items, parents),
            None => NameList::exact(items),
        }
    }

    /// A list with the patterns of the files that it names in their place.
    pub(crate) fn with_files(&self, list: &params::MatchList) -> params::MatchList {
        let read =
            |name: &str| self.opener.read(Path::new(name)).map_err(|e| format!("open file {name}: {e}"));
        list.with_files(&read)
    }

    /// Builds something of a service, with that service's parameters.
    pub(crate) fn for_service<R>(
        &mut self,
        service: &params::Service,
        make: impl FnOnce(&mut Build) -> R,
    ) -> R {
        let own = self.view.for_service(service);
        let outer = std::mem::replace(&mut self.view, own);
        let made = make(self);
        self.view = outer;
        made
    }

    /// The log of a program, under the `syslog_name` of the service that is being built.
    pub(crate) fn service_log(&mut self, program: &str) -> Logger {
        let syslog_name = self.view.get(p::syslog_name, &mut self.mistakes);
        self.log.service(&syslog_name, program)
    }

    /// How `parent_domain_matches_subdomains` has this parameter's domains match.
    pub(crate) fn parents_of(&mut self, parameter: &str) -> Parents {
        let listed = self.view.get(p::parent_domain_matches_subdomains, &mut self.mistakes);
        if listed.iter().any(|name| name == parameter) { Parents::Plain } else { Parents::Dotted }
    }

    /// A warning of a configuration being built.
    pub(crate) fn warn(&mut self, text: String) {
        self.mistakes.push(Diagnostic::warning(text));
    }

    pub(crate) fn fail(&mut self, text: String) {
        self.mistakes.push(Diagnostic::fatal(text));
    }

    fn with_type(&mut self, spec: &str) -> String {
        if spec.contains(':') || !spec.starts_with('/') {
            return spec.to_owned();
        }
        let kind = self.view.get(p::default_database_type, &mut self.mistakes);
        format!("{kind}:{spec}")
    }

    fn open_context(&self) -> OpenContext {
        let (opener, log) = (self.opener.clone(), self.log.clone());
        let report = move |severity: Severity, text: &str| {
            let level = match severity {
                Severity::Error | Severity::Fatal => Level::Error,
                Severity::Warning => Level::Warning,
                // For people at a terminal; the log has the line before.
                Severity::Hint => return,
            };
            log.line(level, format_args!("{text}"));
        };
        let view = self.view.clone();
        let main_cf = move |name: &str| view.lookup_set(name).and_then(|value| view.expand(value).ok());
        OpenContext {
            servers: tables::servers::ALL,
            main_cf: Arc::new(main_cf),
            ..OpenContext::new(Arc::new(move |path: &Path| opener.open(path)), Arc::new(report))
        }
    }
}
