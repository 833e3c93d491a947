//! From parameters to what the SMTP and LMTP clients do to content.

use super::build::Build;
use deliver::smtp::Rewriting;
use mail::mime::Limits;
use net::Protocol;
use params::service::Smtp;
use route::Router;
use route::checks::Checks;
use route::generic::Generic;

pub(super) fn rewriting(build: &mut Build, s: &Smtp, protocol: Protocol, router: &Router) -> Rewriting {
    // The log names lmtp(8)'s parameters as they are.
    let name = |smtp: &'static str, lmtp| if protocol == Protocol::Lmtp { lmtp } else { smtp };
    let mut maps = |smtp, lmtp, specs: &[String]| build.maps(name(smtp, lmtp), specs);
    let generic_maps = maps("smtp_generic_maps", "lmtp_generic_maps", &s.smtp_generic_maps);
    let limit = |number: i32| usize::try_from(number).unwrap_or(0);
    Rewriting {
        generic: Generic::new(router.clone(), generic_maps),
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
