//! `smtp_dns_reply_filter`: records that are left out of what the DNS says.

use crate::resolver::{Lookup, kind_name};
use mail::dns::{Answer, Failure, Kind, Record};
use std::fmt;
use std::sync::Arc;

/// Says whether a record counts, by its text: `mx.example.com. 300 IN A 192.0.2.1`.
#[derive(Clone)]
pub struct RecordFilter(Arc<Counts>);

type Counts = dyn Fn(&str) -> Result<bool, BadFilter> + Send + Sync;

/// The filter could not be asked, or answered something that makes no sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadFilter;

impl RecordFilter {
    pub fn new(counts: impl Fn(&str) -> Result<bool, BadFilter> + Send + Sync + 'static) -> RecordFilter {
        RecordFilter(Arc::new(counts))
    }

    /// Leaves out what does not count; an answer of which nothing is left is none.
    pub(crate) fn apply(&self, mut lookup: Lookup, kind: Kind) -> Lookup {
        if let Ok(answer) = &mut lookup.outcome
            && let Err(failure) = self.reduce(answer, kind)
        {
            lookup.outcome = Err(failure);
        }
        lookup
    }

    fn reduce(&self, answer: &mut Answer, kind: Kind) -> Result<(), Failure> {
        let mut kept = Vec::with_capacity(answer.records.len());
        for record in std::mem::take(&mut answer.records) {
            match self.0(&text(&answer.name, answer.ttl, kind, &record)) {
                Ok(true) => kept.push(record),
                Ok(false) => {}
                Err(BadFilter) => return Err(Failure::BadFilter),
            }
        }
        answer.records = kept;
        if answer.records.is_empty() { Err(Failure::Filtered) } else { Ok(()) }
    }
}

impl fmt::Debug for RecordFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RecordFilter")
    }
}

/// A record as zone files have it (RFC 1035 5.1).
fn text(name: &str, ttl: u32, kind: Kind, record: &Record) -> String {
    let value = match record {
        Record::A(address) => address.to_string(),
        Record::Aaaa(address) => address.to_string(),
        Record::Mx { preference, host } => format!("{preference} {host}."),
        Record::Ns(name) | Record::Ptr(name) | Record::Cname(name) => format!("{name}."),
        Record::Soa(name) => format!("{name}."),
        Record::Txt(text) => String::from_utf8_lossy(text).into_owned(),
        Record::Srv { priority, weight, port, target } => format!("{priority} {weight} {port} {target}."),
        Record::Tlsa { usage, selector, matching, data } => {
            let hex: String = data.iter().map(|octet| format!("{octet:02x}")).collect();
            format!("{usage} {selector} {matching} {hex}")
        }
    };
    format!("{name}. {ttl} IN {} {value}", kind_name(kind))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left() {
        let filter = RecordFilter::new(|record: &str| match record {
            _ if record.contains(" 10 ") => Ok(true),
            _ if record.contains(" 99 ") => Err(BadFilter),
            _ => Ok(false),
        });
        let left = |preferences: &[u16]| {
            let mx = |preference: &u16| Record::Mx { preference: *preference, host: "mx.example".into() };
            let records = preferences.iter().map(mx).collect();
            let answer = Answer { records, name: "example".into(), authentic: false, ttl: 300 };
            let lookup = Lookup { outcome: Ok(answer), name: "example".into(), notes: Vec::new() };
            filter.apply(lookup, Kind::Mx).outcome.map(|answer| answer.records.len())
        };
        assert_eq!(left(&[10, 20]), Ok(1));
        assert_eq!(left(&[20]), Err(Failure::Filtered));
        assert_eq!(left(&[10, 99]), Err(Failure::BadFilter));
        let record = Record::A([192, 0, 2, 1].into());
        assert_eq!(text("mx.example", 5, Kind::A, &record), "mx.example. 5 IN A 192.0.2.1");
    }
}
