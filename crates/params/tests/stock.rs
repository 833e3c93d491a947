//! Files as packages, images and how-tos bring them load without an error, and what is said of them is what is expected
//! (`BLESS=1` rewrites it). The same files are compared with Postfix in `tests/cases/stock-files`.

use params::{Config, Diagnostic, HostFacts, Interface, MainCf, MasterCf, View, check};
use std::fmt::Write;
use std::path::Path;

#[test]
fn stock_files_load() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let expected = root.join("tests/data/stock.txt");
    let said = what_is_said(&root.join("../../tests/cases/stock-files/root/stock"));
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(&expected, &said).expect("written");
    }
    assert_eq!(said, std::fs::read_to_string(&expected).expect("readable"));
    let errors: Vec<&str> = said.lines().filter(|l| l.contains("fatal:") || l.contains("error:")).collect();
    assert_eq!(errors, Vec::<&str>::new());
}

/// What a later version will not say any more.
fn is_of_today(mistake: &Diagnostic) -> bool {
    [": without effect: ", " is not supported yet"].iter().any(|text| mistake.message.contains(text))
}

fn host() -> HostFacts {
    let address = "127.0.0.1".parse().expect("an address");
    HostFacts {
        hostname: "mail.example.com".to_string(),
        interfaces: vec![Interface { address, prefix: 8 }],
        addresses: [("localhost".to_string(), vec![address])].into_iter().collect(),
        first_lines: [("/etc/mailname".to_string(), Ok("example.com".to_string()))].into_iter().collect(),
        ..HostFacts::default()
    }
}

fn what_is_said(stock: &Path) -> String {
    let folders = std::fs::read_dir(stock).expect("readable").map(|entry| entry.expect("an entry").path());
    let mut folders: Vec<_> = folders.collect();
    folders.sort();
    assert!(folders.len() > 4);
    let mut said = String::new();
    for folder in folders {
        let name = folder.file_name().expect("a name").display().to_string();
        let read = |file: &str| std::fs::read(folder.join(file)).expect("readable");
        let (main, mut mistakes) = MainCf::parse("main.cf", &read("main.cf"));
        let master = MasterCf::parse("master.cf", &read("master.cf"));
        assert!(main.entries().count() > 10 && master.services.len() > 5, "{name}");
        mistakes.extend(check::whole(&View::new(Config { main, master, host: host() })));
        for mistake in mistakes.iter().filter(|m| m.severity > params::Severity::Advice && !is_of_today(m)) {
            writeln!(said, "{name}: {mistake}").expect("a string takes all");
        }
    }
    said
}
