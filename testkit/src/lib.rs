//! What tests and `make run` put around Oxipost. Not part of the product.

pub mod certificate;
pub mod provider;

pub use certificate::Certificate;
pub use provider::{Provider, Settings, Taken};
