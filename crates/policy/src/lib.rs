//! SMTP access policy: restrictions as data, and what they say of a client and its message.
//!
//! Pure: no files, sockets, clock or runtime. [`Restrictions`] parses the `smtpd_*_restrictions` once and is then asked at
//! each command of a session; it asks the world through the trait [`Facts`] and answers with a [`mail::Reply`] that
//! refuses, or none. What is to be logged goes to [`Facts::log`] as an [`Event`] that prints Postfix's text.
//!
//! Start reading at [`Restrictions`], then `evaluate`.

mod action;
mod delegation;
mod diagnostic;
mod dnsbl;
mod evaluate;
mod event;
mod expand;
mod facts;
mod list;
mod names;
mod restrictions;
mod rewrite_clients;
mod service;
mod session;
mod settings;
mod state;
mod text;

pub use action::{AccessAction, fuzz_action};
pub use delegation::{Request, Response, ResponseError, fuzz_response};
pub use diagnostic::{Diagnostic, Severity};
pub use dnsbl::{AddressPattern, fuzz_pattern};
pub use event::{Action, ActionLine, Event, Info, Warning};
pub use expand::{ExpandError, expand, fuzz_template, session_value};
pub use facts::{
    Asked, Class, Facts, Failed, Found, HostFailure, Is, Listed, ListedQuery, Map, MatchList, Resolved,
    Subject, Table, Verified,
};
pub use list::{Item, List, Vocabulary, fuzz_list};
pub use names::{NAMES, Name, Needs};
pub use restrictions::{Restrictions, Sources};
pub use service::PolicyService;
pub use session::{Certificate, Command, NameStatus, Session, Tls};
pub use settings::{Compatibility, PolicySettings, Settings, TempfailAction};
pub use state::{Effects, Notice, Notices, State};
