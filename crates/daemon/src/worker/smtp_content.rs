//! From parameters to what the SMTP and LMTP clients do to content, and make of what servers say.

use super::build::Build;
use deliver::smtp::{Pix, Rewriting};
use mail::mime::Limits;
use net::Protocol;
use net::mx::{BadFilter, RecordFilter};
use params::p;
use params::service::Smtp;
use route::Router;
use route::checks::Checks;
use route::generic::Generic;
use smtp::client::{CannotTell, PixWorkarounds, ReplyFilter};

pub(super) fn rewriting(build: &mut Build, s: &Smtp, protocol: Protocol, router: &Router) -> Rewriting {
    let propagated = build.view.get(p::propagate_unmatched_extensions, &mut build.mistakes);
    let propagate = propagated.iter().any(|word| word == "generic");
    let mut maps = |smtp, lmtp, specs: &[String]| build.maps(named(protocol, smtp, lmtp), specs);
    let generic_maps = maps("smtp_generic_maps", "lmtp_generic_maps", &s.smtp_generic_maps);
    let limit = |number: i32| usize::try_from(number).unwrap_or(0);
    Rewriting {
        generic: Generic::new(router.clone(), generic_maps, propagate),
        checks: Checks {
            header_checks: maps("smtp_header_checks", "lmtp_header_checks", &s.smtp_header_checks),
            mime_header_checks: maps(
                "smtp_mime_header_checks",
                "lmtp_mime_header_checks",
                &s.smtp_mime_header_checks,
            ),
            nested_header_checks: maps(
                "smtp_nested_header_checks",
                "lmtp_nested_header_checks",
                &s.smtp_nested_header_checks,
            ),
            body_checks: maps("smtp_body_checks", "lmtp_body_checks", &s.smtp_body_checks),
        },
        limits: Limits {
            header_size_limit: limit(s.header_size_limit),
            mime_nesting_limit: limit(s.mime_nesting_limit),
            mime_boundary_length_limit: limit(s.mime_boundary_length_limit),
        },
        disable_mime_output_conversion: s.disable_mime_output_conversion,
    }
}

/// The log names lmtp(8)'s parameters as they are.
fn named(protocol: Protocol, smtp: &'static str, lmtp: &'static str) -> &'static str {
    if protocol == Protocol::Lmtp { lmtp } else { smtp }
}

pub(super) fn reply_filter(build: &mut Build, s: &Smtp, protocol: Protocol) -> Option<ReplyFilter> {
    let tables = &s.smtp_reply_filter;
    if tables.is_empty() {
        return None;
    }
    let table = tables.join(" ");
    let parameter = named(protocol, "smtp_reply_filter", "lmtp_reply_filter");
    let maps = build.maps(parameter, tables);
    let filter = move |line: &str| match maps.get_now(line.as_bytes()) {
        Ok(found) => Ok(found.map(|by| String::from_utf8_lossy(&by).into_owned())),
        Err(_) => Err(CannotTell(table.clone())),
    };
    Some(ReplyFilter::new(filter))
}

pub(super) fn dns_reply_filter(build: &mut Build, s: &Smtp, protocol: Protocol) -> Option<RecordFilter> {
    let specs = &s.smtp_dns_reply_filter;
    let maps = build.maps(named(protocol, "smtp_dns_reply_filter", "lmtp_dns_reply_filter"), specs);
    let log = build.service_log(if protocol == Protocol::Lmtp { "lmtp" } else { "smtp" });
    let filter = move |record: &str| {
        let Some(action) = maps.get_now(record.as_bytes()).map_err(|_| BadFilter)? else { return Ok(true) };
        let action = String::from_utf8_lossy(&action);
        let word = action.split([' ', '\t']).next().unwrap_or_default();
        if word.eq_ignore_ascii_case("IGNORE") {
            log.info(format_args!("ignoring DNS RR: {record}"));
            return Ok(false);
        }
        log.warning(format_args!("{}: unknown DNS filter action: \"{action}\"", maps.parameter()));
        Err(BadFilter)
    };
    (!specs.is_empty()).then(|| RecordFilter::new(filter))
}

pub(super) fn pix(build: &mut Build, s: &Smtp, protocol: Protocol) -> Pix {
    let parameter = named(protocol, "smtp_pix_workaround_maps", "lmtp_pix_workaround_maps");
    Pix {
        workarounds: PixWorkarounds::parse(&s.smtp_pix_workarounds.join(" ")),
        by_address: build.maps(parameter, &s.smtp_pix_workaround_maps),
        threshold_time: s.smtp_pix_workaround_threshold_time,
    }
}
