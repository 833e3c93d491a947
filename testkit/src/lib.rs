//! What tests and `make run` put around Oxipost. Not part of the product.

pub mod certificate;
pub mod instance;
pub mod provider;

pub use certificate::Certificate;
pub use instance::{Instance, Server};
pub use provider::{Provider, Settings, Taken};
