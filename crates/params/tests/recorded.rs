//! The registry beside what Debian's Postfix 3.7.11 printed, and the page that is made from it.

use params::registry::{self, transport};
use params::support::{self, Support};
use params::{Config, MainCf, MasterCf, Names, View};
use std::collections::BTreeMap;

/// `postconf -d -C builtin` and `-C service` over `data/master.cf`.
const BUILTIN: &str = include_str!("data/postconf-d-builtin.txt");
const SERVICE: &str = include_str!("data/postconf-d-service.txt");

/// Where we differ, and why.
const EXCEPTIONS: &[(&str, &str)] = &[
    ("config_directory", "as the program was told"),
    ("mail_name", "the product's own name"),
    ("mydomain", "from the host"),
    ("myhostname", "from the host"),
    ("mynetworks", "from the host"),
    ("process_id", "from the process"),
    ("process_name", "from the process"),
];

fn recorded(text: &str) -> BTreeMap<String, String> {
    let pair =
        |line: &str| line.split_once(" =").map(|(name, value)| (name.to_string(), value.trim().to_string()));
    text.lines().filter_map(pair).collect()
}

#[test]
fn builtin_names_and_defaults() {
    let ours: BTreeMap<String, String> = registry::all()
        .filter(|s| s.is_listed() && !s.name.starts_with("local_destination_"))
        .map(|s| (s.name.to_string(), s.default.split_whitespace().collect::<Vec<_>>().join(" ")))
        .collect();
    let theirs = recorded(BUILTIN);
    assert_eq!(theirs.len(), 829);
    assert_eq!(ours.keys().collect::<Vec<_>>(), theirs.keys().collect::<Vec<_>>());
    for (name, value) in &theirs {
        let is_exception = EXCEPTIONS.iter().any(|(n, _)| n == name);
        assert!(is_exception || ours[name] == *value, "{name}: {:?} is {:?} in Postfix", ours[name], value);
    }
}

#[test]
fn service_names_and_defaults() {
    let master = MasterCf::parse("master.cf", include_bytes!("data/master.cf"));
    assert_eq!(master.mistakes, []);
    let view = View::new(Config { master: master.clone(), ..Config::default() });
    let names = Names::new(&master);
    let ours: BTreeMap<String, String> = names
        .iter()
        .filter(|(_, known)| known.class == params::names::Class::Service)
        .map(|(name, _)| (name.to_string(), view.default(name).unwrap_or_default().into_owned()))
        .collect();
    assert_eq!(ours, recorded(SERVICE));
}

#[test]
fn stock_files_are_clean() {
    let master = MasterCf::parse("master.cf", include_bytes!("data/master.cf"));
    let (main, mistakes) = MainCf::parse("main.cf", b"compatibility_level = 3.6\nmynetworks = 127.0.0.0/8\n");
    assert_eq!(mistakes, []);
    assert_eq!(master.unknown_programs("/usr/lib/postfix/sbin", params::master_cf::PROGRAMS), []);
    let mut names = Names::new(&master);
    let view = View::new(Config { main, master, ..Config::default() });
    assert_eq!(names.add_user_defined(&view), []);
    assert_eq!((names.unused_in_main(&view), names.unused_in_master(&view)), (vec![], vec![]));
}

#[test]
fn compat_page_is_current() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/compat.md");
    let page = params::compat::markdown();
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(path, &page).expect("docs/ can be written");
    }
    let checked_in = std::fs::read_to_string(path).unwrap_or_default();
    assert!(checked_in == page, "docs/compat.md is old: BLESS=1 cargo test -p params writes it anew");
}

#[test]
fn every_reason_is_said() {
    for spec in registry::all().chain(transport::SPECS.iter().copied()) {
        match support::of(spec.name) {
            Support::Full => {}
            Support::Partial(reason) | Support::Ignored(reason) => {
                assert!(!reason.is_empty(), "{}", spec.name)
            }
        }
    }
}
