//! The configuration: every main.cf parameter declared once, main.cf and master.cf read in full, `$` expansion, and a typed struct
//! per service.
//!
//! Pure: the bytes of the files and what the host looks like come in as arguments. Looking things up in tables is not here; a list
//! that names tables is kept in its parsed form.

pub mod bounce_template;
pub mod check;
pub mod client;
pub mod compat;
pub mod diagnostic;
pub mod edit;
pub mod expand;
mod hint;
pub mod host;
pub mod level;
pub mod line;
pub mod list;
pub mod main_cf;
pub mod master_cf;
pub mod master_edit;
pub mod master_text;
pub mod names;
pub mod network;
pub mod registry;
mod served;
pub mod service;
pub mod suggest;
pub mod support;
pub mod value;
pub mod view;
pub mod word;

pub use diagnostic::{Diagnostic, Place, Severity};
pub use host::{HostFacts, Interface};
pub use level::Level;
pub use list::MatchList;
pub use main_cf::MainCf;
pub use master_cf::{MasterCf, Service, ServiceKind};
pub use names::Names;
pub use network::Network;
pub use registry::{Param, p};
pub use view::{Config, Group, View};
