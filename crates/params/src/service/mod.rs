//! What each service reads, as a struct whose fields have the parameters' names and types.
//!
//! One more parameter is one more line in the struct. `view.load::<Smtpd>(&mut mistakes)` fills it.

mod common;
mod deliver;
mod queue;
mod smtp;
mod smtpd;

pub use common::{Common, Rewrite, Routing};
pub use deliver::{Local, Pipe, Virtual};
pub use queue::{Bounce, Cleanup, Qmgr, Transport, Verify};
pub use smtp::{Smtp, SmtpTls};
pub use smtpd::{Smtpd, SmtpdTls};

/// Declares a struct with a field for each parameter named, and how it is filled.
macro_rules! group {
    ($(#[$doc:meta])* $group:ident { $($name:ident),* $(,)? }) => {
        $(#[$doc])*
        #[allow(non_snake_case, reason = "a field has its parameter's name")]
        #[derive(Clone, Debug, Default, PartialEq)]
        pub struct $group {
            $(
                #[doc = concat!("`", stringify!($name), "`")]
                pub $name: crate::registry::Value<crate::p::$name>,
            )*
        }

        impl crate::Group for $group {
            fn read(view: &crate::View, mistakes: &mut Vec<crate::Diagnostic>) -> $group {
                $group { $($name: view.get(crate::p::$name, mistakes),)* }
            }
        }
    };
}

use group;

#[cfg(test)]
mod tests;
