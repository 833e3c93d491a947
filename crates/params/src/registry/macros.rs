//! The shape of a declaration. Each expands to a type of the parameter's name that implements `Param`, and a list of what is declared.

/// ```text
/// params! {
///     /// How long to wait for a client's command.
///     smtpd_timeout: Time = "300s", min(1);
/// }
/// ```
macro_rules! params {
    ($(#[doc = $doc:literal] $name:ident: $kind:ident = $default:literal $(, $with:ident($($arg:literal)?))*;)*) => {
        $(
            #[doc = $doc]
            #[allow(non_camel_case_types, reason = "a parameter's type has the parameter's name")]
            #[derive(Clone, Copy, Debug)]
            pub struct $name;

            impl crate::registry::Param for $name {
                type Kind = crate::value::$kind;
                const SPEC: &'static crate::registry::Spec =
                    &crate::registry::macros::spec::<crate::value::$kind>(stringify!($name), $default, $doc)
                        $(.$with($($arg)?))*;
            }
        )*

        pub(super) const SPECS: &[&crate::registry::Spec] = &[$(<$name as crate::registry::Param>::SPEC),*];
    };
}

/// As `params!`, for a parameter of smtp(8) and its twin of lmtp(8), which differ in name and default only.
macro_rules! twins {
    ($(#[doc = $doc:literal] $name:ident | $lmtp:ident: $kind:ident = $default:literal | $lmtp_default:literal
        $(, $with:ident($($arg:literal)?))*;)*) => {
        $(
            #[doc = $doc]
            #[allow(non_camel_case_types, reason = "a parameter's type has the parameter's name")]
            #[derive(Clone, Copy, Debug)]
            pub struct $name;

            #[doc = $doc]
            #[allow(non_camel_case_types, reason = "a parameter's type has the parameter's name")]
            #[derive(Clone, Copy, Debug)]
            pub struct $lmtp;

            impl crate::registry::Param for $name {
                type Kind = crate::value::$kind;
                const SPEC: &'static crate::registry::Spec =
                    &crate::registry::macros::spec::<crate::value::$kind>(stringify!($name), $default, $doc)
                        $(.$with($($arg)?))*;
                const LMTP: &'static crate::registry::Spec = <$lmtp as crate::registry::Param>::SPEC;
            }

            impl crate::registry::Param for $lmtp {
                type Kind = crate::value::$kind;
                const SPEC: &'static crate::registry::Spec =
                    &crate::registry::macros::spec::<crate::value::$kind>(stringify!($lmtp), $lmtp_default, $doc)
                        $(.$with($($arg)?))*;
            }
        )*

        pub(super) const TWINS: &[&crate::registry::Spec] = &[$(
            <$name as crate::registry::Param>::SPEC,
            <$lmtp as crate::registry::Param>::SPEC
        ),*];
    };
}

use crate::registry::Spec;
use crate::value::Kind;

/// A specification from what a declaration shows: the `_` before a digit and the blank before the doc are the language's.
pub(super) const fn spec<K: Kind>(name: &'static str, default: &'static str, doc: &'static str) -> Spec {
    let name = if name.as_bytes()[0] == b'_' { name.split_at(1).1 } else { name };
    Spec::new::<K>(name, default, doc.split_at(1).1)
}
