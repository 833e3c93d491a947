//! A restriction list as data: what the text of a `smtpd_*_restrictions` says, with the place of every word.
//!
//! Parsing always gives a list. What is wrong in it is reported, and stays in the list as a mistake that is answered
//! when mail comes as far as there: until then everything before it works, as in Postfix.

use crate::diagnostic::{Diagnostic, Severity};
use crate::dnsbl::AddressPattern;
use crate::event::Warning;
use crate::facts::Table;
use crate::names::{Access, DnsList, Name, Plain, ServerRecord, Takes, Whose};
use crate::service::PolicyService;
use crate::settings::PolicySettings;
use crate::text::{inside_braces, is_all_digits, split_name_value, words};
use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

/// A parsed list of restrictions.
#[derive(Clone, Debug, Default)]
pub struct List {
    text: String,
    pub(crate) items: Vec<Item>,
}

/// One restriction in a list.
#[derive(Clone, Debug)]
pub struct Item {
    /// Octets of the list's text: the name.
    pub name: Range<usize>,
    /// The word behind it, where it takes one.
    pub argument: Option<Range<usize>>,
    pub(crate) restriction: Restriction,
}

/// What a restriction does.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Restriction {
    Plain(Plain),
    Table(Access, Table),
    /// check_ccert_access, with the keys in the order of the search.
    Certificate(Table, Vec<CertificateKey>),
    ServerTable(Whose, ServerRecord, Table),
    /// `type:table` alone: the list it stands in says what is searched for.
    BareTable(Table),
    DnsList(DnsList, DnsListName),
    Server(PolicyService),
    Sleep(Duration),
    /// An index into the classes of the [`Vocabulary`].
    Class(usize),
    Mistake(Mistake),
}

/// A DNS list, as `domain` or `domain=pattern`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct DnsListName {
    /// As it stands in the list: what `rbl_reply_maps` is asked for.
    pub(crate) written: String,
    pub(crate) domain: String,
    pub(crate) pattern: Option<AddressPattern>,
}

/// What of a client certificate is looked up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CertificateKey {
    Fingerprint,
    PublicKeyFingerprint,
}

/// Something that is no restriction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Mistake {
    Unknown,
    NeedsTable,
    NeedsDomain,
    NeedsServer,
    NeedsNumber,
    UnexpectedTable,
    Service(String),
    Pattern(String),
}

/// The words a list may use beside the names of [`NAMES`](crate::NAMES), and the tables it was found to use.
#[derive(Clone, Debug, Default)]
pub struct Vocabulary {
    /// `smtpd_restriction_classes`. Their case matters.
    pub classes: Arc<[String]>,
    /// Every table that a parsed list names, once.
    pub tables: Vec<String>,
    pub policy_service: PolicySettings,
}

impl Vocabulary {
    pub(crate) fn table(&mut self, name: &str) -> Table {
        let index = self.tables.iter().position(|known| known == name).unwrap_or_else(|| {
            self.tables.push(name.to_owned());
            self.tables.len() - 1
        });
        Table { name: name.to_owned(), index }
    }
}

impl List {
    /// Parses the value of `parameter`, in which nothing is left to expand.
    ///
    /// ```
    /// use policy::{List, Vocabulary};
    /// let mut vocabulary = Vocabulary::default();
    /// let (list, wrong) = List::parse("permit_mynetworks, hash:/etc/postfix/access, rejekt", "x", &mut vocabulary);
    /// assert_eq!(list.to_string(), "permit_mynetworks, hash:/etc/postfix/access, rejekt");
    /// assert_eq!(vocabulary.tables, ["hash:/etc/postfix/access"]);
    /// assert_eq!(wrong[0].text, "unknown smtpd restriction: \"rejekt\" (did you mean reject?)");
    /// assert_eq!(&wrong[0].span, &(45..51));
    /// ```
    pub fn parse(text: &str, parameter: &str, vocabulary: &mut Vocabulary) -> (List, Vec<Diagnostic>) {
        let words = words(text);
        let mut parser = Parser { text, words: words.into_iter(), vocabulary };
        let items: Vec<Item> = std::iter::from_fn(|| parser.next_item()).collect();
        let list = List { text: text.to_owned(), items };
        let diagnostics = list.diagnostics(parameter);
        (list, diagnostics)
    }

    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    pub fn text(&self) -> &str {
        &self.text
    }

    pub fn items(&self) -> &[Item] {
        &self.items
    }

    /// A name as it is written.
    pub(crate) fn name(&self, item: &Item) -> &str {
        &self.text[item.name.clone()]
    }

    /// The word behind a name; the name itself if there is none.
    pub(crate) fn argument(&self, item: &Item) -> &str {
        &self.text[item.argument.clone().unwrap_or(item.name.clone())]
    }

    /// The first restriction that cannot be reached, and the one that ends the list before it.
    pub(crate) fn unreachable(&self) -> Option<(&str, &Item)> {
        let ends = |item: &Item| {
            use Plain::{CheckRelayDomains, Defer, Permit, Reject};
            matches!(item.restriction, Restriction::Plain(Permit | Reject | Defer | CheckRelayDomains))
        };
        let warns =
            |n: usize| n > 0 && self.items[n - 1].restriction == Restriction::Plain(Plain::WarnIfReject);
        let at = (0..self.items.len()).find(|n| ends(&self.items[*n]) && !warns(*n))?;
        self.items.get(at + 1).map(|item| (self.name(&self.items[at]), item))
    }

    fn diagnostics(&self, parameter: &str) -> Vec<Diagnostic> {
        let mut found = Vec::new();
        let mut report = |span: &Range<usize>, severity, text| {
            found.push(Diagnostic { parameter: parameter.to_owned(), span: span.clone(), severity, text });
        };
        for item in &self.items {
            let name = self.name(item);
            if let Some(instead) = Name::find(name).and_then(|name| name.instead) {
                let text = format!("support for restriction \"{name}\" ends; use \"{instead}\" instead");
                report(&item.name, Severity::Warning, text);
            }
            if let Restriction::Mistake(mistake) = &item.restriction {
                let span = item.argument.as_ref().unwrap_or(&item.name);
                report(span, mistake.severity(), self.words_for(item, mistake));
            }
        }
        found
    }

    fn words_for(&self, item: &Item, mistake: &Mistake) -> String {
        let text = self.warning(item, mistake).to_string();
        match (mistake, Name::nearest(self.name(item))) {
            (Mistake::Unknown, Some(near)) => format!("{text} (did you mean {near}?)"),
            _ => text,
        }
    }

    /// What the log says when mail comes to a mistake.
    pub(crate) fn warning<'a>(&'a self, item: &Item, mistake: &'a Mistake) -> Warning<'a> {
        let (name, argument) = (self.name(item), self.argument(item));
        match mistake {
            Mistake::Unknown => Warning::UnknownRestriction(name),
            Mistake::NeedsTable => Warning::NeedsTable { restriction: name, argument },
            Mistake::NeedsDomain => Warning::NeedsDomain(name),
            Mistake::NeedsServer => Warning::NeedsServer,
            Mistake::NeedsNumber => Warning::NeedsNumber,
            Mistake::UnexpectedTable => Warning::UnexpectedTable(argument),
            Mistake::Service(why) => Warning::PolicyService(why),
            Mistake::Pattern(why) => Warning::ReplyPattern(why),
        }
    }
}

/// Prints the list with one comma and one blank between restrictions. Parsing that gives the same restrictions.
impl fmt::Display for List {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, item) in self.items.iter().enumerate() {
            f.write_str(if n == 0 { "" } else { ", " })?;
            f.write_str(self.name(item))?;
            if let Some(argument) = &item.argument {
                write!(f, " {}", &self.text[argument.clone()])?;
            }
        }
        Ok(())
    }
}

impl Mistake {
    fn severity(&self) -> Severity {
        match self {
            Mistake::NeedsDomain => Severity::Warning,
            Mistake::Service(_) | Mistake::Pattern(_) => Severity::Fatal,
            _ => Severity::Error,
        }
    }
}

struct Parser<'a> {
    text: &'a str,
    words: std::vec::IntoIter<Range<usize>>,
    vocabulary: &'a mut Vocabulary,
}

impl Parser<'_> {
    fn next_item(&mut self) -> Option<Item> {
        let name = self.words.next()?;
        let word = &self.text[name.clone()];
        // Postfix: whatever has a colon is a table, a restriction's name or not.
        let takes = if word.contains(':') { None } else { Name::find(word).map(|name| name.takes) };
        let argument = match takes {
            None | Some(Takes::Nothing(_)) => None,
            Some(_) => self.words.next(),
        };
        let restriction = match takes {
            Some(takes) => self.build(takes, argument.as_ref().map(|argument| &self.text[argument.clone()])),
            None => self.table_or_class(word),
        };
        Some(Item { name, argument, restriction: restriction.unwrap_or_else(Restriction::Mistake) })
    }

    fn table_or_class(&mut self, word: &str) -> Result<Restriction, Mistake> {
        if word.contains(':') {
            return self.table(word).map(Restriction::BareTable);
        }
        let class = self.vocabulary.classes.iter().position(|class| class == word);
        class.map(Restriction::Class).ok_or(Mistake::Unknown)
    }

    fn build(&mut self, takes: Takes, argument: Option<&str>) -> Result<Restriction, Mistake> {
        let with_colon = argument.filter(|argument| argument.contains(':'));
        match takes {
            Takes::Nothing(plain) => Ok(Restriction::Plain(plain)),
            Takes::Table(Access::Certificate) => self.certificate(with_colon.ok_or(Mistake::NeedsTable)?),
            Takes::Table(access) => {
                Ok(Restriction::Table(access, self.table(with_colon.ok_or(Mistake::NeedsTable)?)?))
            }
            Takes::ServerTable(whose, record) => {
                let table = self.table(with_colon.ok_or(Mistake::NeedsTable)?)?;
                Ok(Restriction::ServerTable(whose, record, table))
            }
            Takes::DnsList(list) => {
                let name =
                    DnsListName::parse(argument.ok_or(Mistake::NeedsDomain)?).map_err(Mistake::Pattern)?;
                Ok(Restriction::DnsList(list, name))
            }
            Takes::Server => {
                let word = argument.ok_or(Mistake::NeedsServer)?;
                let service = PolicyService::parse(word, &self.vocabulary.policy_service);
                service.map(Restriction::Server).map_err(Mistake::Service)
            }
            Takes::Number => {
                let seconds = argument.filter(|word| is_all_digits(word.as_bytes()));
                let seconds = seconds.ok_or(Mistake::NeedsNumber)?.parse().unwrap_or(i32::MAX as u64);
                Ok(Restriction::Sleep(Duration::from_secs(seconds)))
            }
        }
    }

    fn table(&mut self, name: &str) -> Result<Table, Mistake> {
        // Postfix: tables in braces are known to check_ccert_access alone.
        if name.starts_with('{') {
            return Err(Mistake::UnexpectedTable);
        }
        Ok(self.vocabulary.table(name))
    }

    /// `type:table` or `{ type:table, { search_order = … } }`
    fn certificate(&mut self, word: &str) -> Result<Restriction, Mistake> {
        let mut order = vec![CertificateKey::Fingerprint, CertificateKey::PublicKeyFingerprint];
        let inner = match word.starts_with('{') {
            true => inside_braces(word).map_err(|_| Mistake::UnexpectedTable)?.trim(),
            false => return self.table(word).map(|table| Restriction::Certificate(table, order)),
        };
        let mut inner_words = words(inner).into_iter().map(|word| &inner[word]);
        let name = inner_words.next().filter(|name| name.contains(':')).ok_or(Mistake::UnexpectedTable)?;
        for word in inner_words {
            order = search_order(word).ok_or(Mistake::UnexpectedTable)?;
        }
        self.table(name).map(|table| Restriction::Certificate(table, order))
    }
}

fn search_order(word: &str) -> Option<Vec<CertificateKey>> {
    let option = if word.starts_with('{') { inside_braces(word).ok()?.trim() } else { word };
    let (name, value) = split_name_value(option).ok()?;
    let key = |word: Range<usize>| match &value[word] {
        word if word.eq_ignore_ascii_case("cert_fingerprint") => Some(CertificateKey::Fingerprint),
        word if word.eq_ignore_ascii_case("pubkey_fingerprint") => Some(CertificateKey::PublicKeyFingerprint),
        _ => None,
    };
    if !name.eq_ignore_ascii_case("search_order") {
        return None;
    }
    words(value).into_iter().map(key).collect()
}

impl DnsListName {
    pub(crate) fn parse(word: &str) -> Result<DnsListName, String> {
        let (domain, pattern) = match word.split_once('=') {
            Some((domain, pattern)) => (domain, Some(AddressPattern::parse(pattern)?)),
            None => (word, None),
        };
        Ok(DnsListName { written: word.to_owned(), domain: domain.to_owned(), pattern })
    }
}

/// The body of the fuzz target `restriction_list`: what is printed parses to the same restrictions.
pub fn fuzz_list(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let vocabulary = || Vocabulary { classes: ["a_class".to_owned()].into(), ..Vocabulary::default() };
    let (list, _) = List::parse(&text, "fuzz", &mut vocabulary());
    let (again, _) = List::parse(&list.to_string(), "fuzz", &mut vocabulary());
    let restrictions = |list: &List| list.items.iter().map(|i| i.restriction.clone()).collect::<Vec<_>>();
    assert_eq!(restrictions(&list), restrictions(&again), "{text}");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expect: &[&str]) {
        let mut vocabulary = Vocabulary { classes: ["a_class".to_owned()].into(), ..Vocabulary::default() };
        let (list, diagnostics) = List::parse(text, "p", &mut vocabulary);
        let got: Vec<String> = diagnostics
            .iter()
            .map(|d| format!("{:?} {}: {}", d.severity, &list.text()[d.span.clone()], d.text))
            .collect();
        assert_eq!(got, expect, "{text}");
        fuzz_list(text.as_bytes());
    }

    #[test]
    fn right() {
        for text in [
            "",
            "permit",
            "PERMIT_mynetworks,reject_unauth_destination",
            "check_client_access hash:/x, hash:/y",
            "check_client_access inline:{ a=b c=d } permit",
            "check_ccert_access { hash:/x, { search_order = pubkey_fingerprint, cert_fingerprint } }",
            "check_ccert_access { hash:/x search_order=cert_fingerprint }",
            "check_policy_service { unix:private/x, timeout=3s, default_action=DUNNO }",
            "reject_rbl_client a.example=127.0.0.[2;4..6] reject_rhsbl_sender b.example",
            "sleep 3 a_class warn_if_reject reject",
        ] {
            check(text, &[]);
        }
    }

    #[test]
    fn wrong() {
        check("rejekt", &["Error rejekt: unknown smtpd restriction: \"rejekt\" (did you mean reject?)"]);
        check("A_class", &["Error A_class: unknown smtpd restriction: \"A_class\""]);
        check(
            "check_client_access",
            &[
                "Error check_client_access: restriction check_client_access: bad argument \"check_client_access\": \
               need maptype:mapname",
            ],
        );
        check(
            "check_client_access permit",
            &["Error permit: restriction check_client_access: bad argument \"permit\": need maptype:mapname"],
        );
        check(
            "reject_rbl_client",
            &["Warning reject_rbl_client: restriction reject_rbl_client requires domain name argument"],
        );
        check(
            "reject_rbl_client a.example=127.0.0",
            &["Fatal a.example=127.0.0: RBL reply error: need \".\" at \"127.0.0><\""],
        );
        check(
            "check_policy_service",
            &[
                "Error check_policy_service: restriction check_policy_service must be followed by transport:server",
            ],
        );
        check("check_policy_service x", &["Fatal x: need service transport:endpoint instead of \"x\""]);
        check("check_policy_service { inet:b, x=y }", &["Fatal { inet:b, x=y }: unknown option: \"x = y\""]);
        check("sleep x", &["Error x: restriction sleep must be followed by number"]);
        check("{ hash:/x }", &["Error { hash:/x }: check_access: unexpected dictionary: { hash:/x }"]);
        check(
            "reject_maps_rbl",
            &["Warning reject_maps_rbl: support for restriction \"reject_maps_rbl\" ends; use \
               \"reject_rbl_client domain-name\" instead"],
        );
    }

    #[test]
    fn tables_are_counted_once() {
        let mut vocabulary = Vocabulary::default();
        let text = "hash:/x, check_sender_access hash:/x, check_helo_mx_access hash:/y";
        let (list, _) = List::parse(text, "p", &mut vocabulary);
        assert_eq!(vocabulary.tables, ["hash:/x", "hash:/y"]);
        assert_eq!(list.items().len(), 3);
    }

    proptest::proptest! {
        #[test]
        fn any_text(text: String) {
            fuzz_list(text.as_bytes());
        }

        #[test]
        fn likely_text(text in "(permit|reject|sleep|check_client_access|check_policy_service|reject_rbl_client|hash:/x|a=1.2.3.4|[{} ,=3]|a_class){0,12}") {
            fuzz_list(text.as_bytes());
        }
    }
}
