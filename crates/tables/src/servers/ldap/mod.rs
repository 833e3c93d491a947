//! `ldap:/file`: ldap_table(5).

mod ber;
mod client;
mod code;
mod expand;
mod filter;
mod settings;
mod url;

use super::pool::Pool;
use super::{Find, NOTHING, later};
use crate::parameters::Parameters;
use crate::template::{Form, Template};
use crate::{Found, Lookup, OpenContext, Report, Severity};
use client::{Client, Failure, Search};
use code::Code;
use expand::Expansion;
use settings::{Bind, Settings};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use url::Url;

struct Ldap {
    settings: Settings,
    form: Form,
    search_base: Template,
    pool: Arc<Pool<Client>>,
    /// Lookups at once.
    at_once: Semaphore,
    report: Report,
}

/// Connections that one table has at most.
const MAX_AT_ONCE: usize = 16;
/// Postfix keeps a connection as long as its process lives, which is about that long.
const MAX_IDLE: Duration = Duration::from_secs(100);
/// Referrals in a row, as in libldap.
const MAX_HOPS: usize = 5;

pub(super) fn open(parameters: Parameters, context: &OpenContext) -> Result<Arc<dyn Find>, String> {
    let settings = Settings::read(&parameters, context)?;
    let query = parameters.get("query_filter").unwrap_or_else(|| "(mailacceptinggeneralid=%s)".to_owned());
    let result_format = match parameters.text("result_format") {
        Some(format) => format,
        None => parameters.filled("result_filter", "%s")?,
    };
    let name = &parameters.name;
    let search_base = Template::parse(name, "query", &parameters.get("search_base").unwrap_or_default())?;
    let mut form = Form::new("ldap", &parameters, &query, &result_format, context)?;
    form.also(&search_base);
    if form.query.is_fixed() {
        context.warn(&format!("dict_ldap_open: {name}: Fixed query_filter {query} is probably useless"));
    }
    Ok(Arc::new(Ldap {
        settings,
        form,
        search_base,
        pool: Pool::new(MAX_IDLE),
        at_once: Semaphore::new(MAX_AT_ONCE),
        report: context.report.clone(),
    }))
}

/// A lookup failed, and the log knows why; what errno says in Postfix.
struct Said(&'static str);

impl Ldap {
    async fn look_up(&self, key: &[u8]) -> Found {
        if !self.form.admit(key).await? {
            return Ok(None);
        }
        let failed = |Said(errno)| later(&self.form.table, errno);
        let permit = self.at_once.acquire().await;
        let _permit = permit.map_err(|_| later(&self.form.table, NOTHING))?;
        let (client, answer) = self.find(key).await.map_err(failed)?;
        let Some(entries) = answer else {
            self.pool.keep(client);
            return Ok(None);
        };
        let mut expansion = Expansion::new(self, key, client);
        expansion.add(entries, 1).await.map_err(failed)?;
        let (client, found) = expansion.finish();
        self.pool.keep(client);
        Ok(found)
    }

    /// The entries that the key's search finds, over a connection that goes on being used. None: its base is not there.
    async fn find(&self, key: &[u8]) -> Result<(Client, Option<Vec<client::Entry>>), Said> {
        let search = self
            .search(self.search_base.fill(key, &mut quote_dn), self.form.query.fill(key, &mut quote_filter));
        let kept = self.pool.take();
        let mut client = match kept {
            Some(client) => Ok(client),
            None => self.connect().await?,
        };
        let mut result = self.search_with(&mut client, &search).await;
        if result.as_ref().is_err_and(|failure| failure.code == code::SERVER_DOWN) {
            // It hung up while nothing was asked, or was never there.
            client = self.connect().await?;
            result = self.search_with(&mut client, &search).await;
        }
        match (result, client) {
            (Ok(entries), Ok(client)) => Ok((client, Some(entries))),
            (Err(failure), Ok(client)) if failure.code == code::NO_SUCH_OBJECT => {
                self.no_base(client, &search, failure)
            }
            (Ok(_), Err(failure)) | (Err(failure), _) => {
                let Code(number) = failure.code;
                self.warn(&format!("dict_ldap_lookup: Search error {number}: {} ", failure.code));
                Err(Said(failure.errno))
            }
        }
    }

    /// Postfix: a base that depends on the key need not be there.
    fn no_base(
        &self,
        client: Client,
        search: &Search,
        failure: Failure,
    ) -> Result<(Client, Option<Vec<client::Entry>>), Said> {
        if !self.search_base.is_fixed() {
            return Ok((client, None));
        }
        let (name, base) = (&self.settings.name, crate::source::show(&search.base));
        let Code(number) = failure.code;
        self.warn(&format!(
            "dict_ldap_lookup: {name}: Search base '{base}' not found: {number}: {}",
            failure.code
        ));
        self.pool.keep(client);
        Err(Said(NOTHING))
    }

    fn search(&self, base: Vec<u8>, filter: Vec<u8>) -> Search {
        let settings = &self.settings;
        Search {
            base,
            scope: settings.scope,
            filter,
            attributes: settings.attributes.names.clone(),
            dereference: settings.dereference,
            size_limit: settings.size_limit.max(0),
            seconds: settings.timeout.max(0),
        }
    }

    async fn search_with(
        &self,
        client: &mut Result<Client, Failure>,
        search: &Search,
    ) -> Result<Vec<client::Entry>, Failure> {
        match client {
            Ok(client) => self.search_all(client, search, MAX_HOPS).await,
            Err(failure) => Err(*failure),
        }
    }

    /// All entries, those that other servers have included (`chase_referrals`).
    async fn search_all(
        &self,
        client: &mut Client,
        search: &Search,
        hops: usize,
    ) -> Result<Vec<client::Entry>, Failure> {
        let answer = client.search(search).await?;
        let mut entries = answer.entries;
        if !self.settings.chase_referrals || self.settings.version < 3 {
            return if answer.referral.is_empty() { Ok(entries) } else { Err(code::REFERRAL.into()) };
        }
        let mut places = answer.references;
        if !answer.referral.is_empty() {
            places.push(answer.referral);
        }
        for urls in places {
            let hops = hops.checked_sub(1).ok_or(code::REFERRAL_LIMIT)?;
            entries.extend(Box::pin(self.follow(&urls, search, hops)).await?);
        }
        Ok(entries)
    }

    /// Asks the first of these that can be reached, as nobody.
    async fn follow(
        &self,
        urls: &[String],
        search: &Search,
        hops: usize,
    ) -> Result<Vec<client::Entry>, Failure> {
        let mut last = Failure::from(code::SERVER_DOWN);
        for url in urls.iter().filter_map(|url| Url::parse(url).ok()) {
            let mut there = search.clone();
            if !url.dn.is_empty() {
                there.base = url.dn.clone().into_bytes();
            }
            there.scope = url.scope.unwrap_or(match search.scope {
                url::Scope::One => url::Scope::Base,
                scope => scope,
            });
            match Client::open(&url, &self.settings.tls, self.settings.limit()).await {
                Ok(mut client) => return self.search_all(&mut client, &there, hops).await,
                Err(failure) => last = failure,
            }
        }
        Err(last)
    }

    /// A connection, bound if it has to be. Within: nobody is there, which the first search tells if nothing did before.
    async fn connect(&self) -> Result<Result<Client, Failure>, Said> {
        let settings = &self.settings;
        let Some(urls) = &settings.servers.urls else {
            self.warn(&format!("dict_ldap_connect: Unable to init LDAP server {}", settings.servers.text));
            return Err(Said(client::MISSING));
        };
        if let Some(errno) = self.bad_tls() {
            let why = code::SERVER_DOWN;
            self.warn(&format!(
                "dict_ldap_set_tls_options: Unable to allocate new TLS context {}: {why}",
                why.0
            ));
            return Err(Said(errno));
        }
        let client = self.reach(urls).await;
        if settings.start_tls
            && let Err(failure) = &client
        {
            let Code(number) = failure.code;
            let text = format!("dict_ldap_connect: Unable to set STARTTLS: {number}: {}", failure.code);
            (self.report)(Severity::Error, &text);
            return Err(Said(failure.errno));
        }
        if settings.bind == Bind::None {
            return Ok(client);
        }
        let bound = match client {
            Ok(client) => self.bind(client).await,
            Err(failure) => Err(failure),
        };
        bound.map(Ok).map_err(|failure| {
            let (servers, dn, Code(number)) = (&settings.servers.text, settings.shown_dn(), failure.code);
            self.warn(&format!(
                "dict_ldap_connect: Unable to bind to server {servers} with dn {dn}: {number} ({})",
                failure.code
            ));
            Said(failure.errno)
        })
    }

    /// libldap tells before it connects.
    fn bad_tls(&self) -> Option<&'static str> {
        let is_bad = self.settings.has_tls() && !self.settings.tls.is_usable();
        is_bad.then_some(client::MISSING)
    }

    /// The first server that can be reached.
    async fn reach(&self, urls: &[Url]) -> Result<Client, Failure> {
        let settings = &self.settings;
        let mut last = Failure { code: code::SERVER_DOWN, errno: client::MISSING };
        for url in urls {
            match Client::open(url, &settings.tls, settings.limit()).await {
                Ok(client) if settings.start_tls => return client.start_tls(&settings.tls, &url.host).await,
                Ok(client) => return Ok(client),
                Err(failure) => last = failure,
            }
        }
        Err(last)
    }

    async fn bind(&self, mut client: Client) -> Result<Client, Failure> {
        let settings = &self.settings;
        match &settings.bind {
            Bind::None => {}
            Bind::Simple => client.bind(settings.version, &settings.bind_dn, &settings.bind_pw).await?,
            Bind::Sasl { mechanisms, authorization } => {
                let offered = match mechanisms.is_empty() {
                    true => self.offered_mechanisms(&mut client).await?,
                    false => mechanisms.clone(),
                };
                self.bind_sasl(&mut client, &offered, !mechanisms.is_empty(), authorization).await?;
            }
        }
        Ok(client)
    }

    /// With the first mechanism that can be used here: EXTERNAL, where the server sees who we are, or PLAIN.
    async fn bind_sasl(
        &self,
        client: &mut Client,
        mechanisms: &[String],
        are_ours: bool,
        authorization: &str,
    ) -> Result<(), Failure> {
        let (name, password) = (&self.settings.bind_dn, &self.settings.bind_pw);
        for mechanism in mechanisms {
            match mechanism.as_str() {
                "EXTERNAL" if client.is_known() => {
                    return client.bind_sasl(mechanism, authorization.as_bytes()).await;
                }
                "PLAIN" if !name.is_empty() => {
                    let credentials = format!("{authorization}\0{name}\0{password}");
                    return client.bind_sasl(mechanism, credentials.as_bytes()).await;
                }
                _ => {}
            }
        }
        match are_ours || mechanisms.is_empty() {
            true => Err(Failure { code: code::AUTH_UNKNOWN, errno: "Operation now in progress" }),
            // There are some, and libldap tries one.
            false => Err(code::LOCAL_ERROR.into()),
        }
    }

    async fn offered_mechanisms(&self, client: &mut Client) -> Result<Vec<String>, Failure> {
        let name = "supportedSASLMechanisms";
        let root = Search {
            scope: url::Scope::Base,
            attributes: vec![name.to_owned()],
            ..self.search(Vec::new(), b"(objectclass=*)".to_vec())
        };
        let entries = client.search(&root).await?.entries;
        let attributes = entries.into_iter().flat_map(|entry| entry.attributes);
        let values =
            attributes.filter(|(seen, _)| seen.eq_ignore_ascii_case(name)).flat_map(|(_, values)| values);
        Ok(values.map(|value| String::from_utf8_lossy(&value).into_owned()).collect())
    }

    fn warn(&self, text: &str) {
        (self.report)(Severity::Warning, text);
    }
}

impl Find for Ldap {
    fn find<'a>(&'a self, key: &'a [u8]) -> Lookup<'a> {
        Lookup::Pending(Box::pin(self.look_up(key)))
    }
}

/// Appends a text as it may be in a distinguished name (RFC 4514, 2.4). Postfix: blanks and `#` are escaped everywhere.
fn quote_dn(text: &[u8], out: &mut Vec<u8>) {
    escape(text, b" \t\"#+,;<>\\", out);
}

/// Appends a text as it may be a filter's value (RFC 4515, 3).
fn quote_filter(text: &[u8], out: &mut Vec<u8>) {
    escape(text, b"*()\\\0", out);
}

fn escape(text: &[u8], special: &[u8], out: &mut Vec<u8>) {
    for &octet in text {
        if special.contains(&octet) {
            out.extend_from_slice(format!("\\{octet:02X}").as_bytes());
        } else {
            out.push(octet);
        }
    }
}

/// Reads messages of a server, filters and URLs, that may be anything; for the fuzz target of that name.
pub(super) fn fuzz(data: &[u8]) {
    client::fuzz(data);
    let _any = Url::parse(&String::from_utf8_lossy(data));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoting() {
        for (text, in_dn, in_filter) in [
            ("joe@x.example", "joe@x.example", "joe@x.example"),
            ("a,b+c #", "a\\2Cb\\2Bc\\20\\23", "a,b+c #"),
            ("*(x)\\", "*(x)\\5C", "\\2A\\28x\\29\\5C"),
        ] {
            let (mut dn, mut filter) = (Vec::new(), Vec::new());
            quote_dn(text.as_bytes(), &mut dn);
            quote_filter(text.as_bytes(), &mut filter);
            assert_eq!((dn.as_slice(), filter.as_slice()), (in_dn.as_bytes(), in_filter.as_bytes()));
        }
    }
}
