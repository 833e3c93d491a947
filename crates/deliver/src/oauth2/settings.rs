//! `/etc/sasl-xoauth2.conf`: whom to ask for tokens, and who we are to them.

use super::file::TokenFile;
use serde_json::{Map, Value};
use std::path::{Path, PathBuf};

pub const DEFAULT_CONFIG: &str = "/etc/sasl-xoauth2.conf";
/// The plug-in's default is Google.
const GOOGLE: &str = "https://accounts.google.com/o/oauth2/token";
const REFRESH_WINDOW: u64 = 10;

/// The plug-in's configuration. A token file may have most of it for itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    pub client_id: String,
    pub client_secret: String,
    pub token_endpoint: String,
    /// What the token is for; Microsoft wants it when a client logs in for itself.
    pub scope: String,
    /// Seconds before a token's end when another is fetched.
    pub refresh_window: u64,
    /// Another program keeps the tokens fresh.
    pub manage_token_externally: bool,
    /// The client's id and secret are all that is needed (RFC 6749 4.4).
    pub use_client_credentials: bool,
    pub ca_bundle_file: Option<PathBuf>,
}

impl Settings {
    /// Reads the file; without it there are the defaults. The error is to be logged.
    pub fn load(path: &Path) -> Result<Settings, String> {
        let failed = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
        match std::fs::read(path) {
            Ok(text) => {
                let fields: Map<String, Value> = serde_json::from_slice(&text).map_err(|e| failed(&e))?;
                Ok(Settings::parse(&fields))
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Settings::parse(&Map::new())),
            Err(error) => Err(failed(&error)),
        }
    }

    fn parse(fields: &Map<String, Value>) -> Settings {
        let mut settings = Settings {
            token_endpoint: GOOGLE.to_owned(),
            refresh_window: REFRESH_WINDOW,
            ..Settings::default()
        };
        settings.take(fields);
        settings
    }

    /// With what a token file has for itself.
    pub(super) fn with(&self, token: &TokenFile) -> Settings {
        let mut settings = self.clone();
        settings.take(&token.fields);
        settings
    }

    fn take(&mut self, fields: &Map<String, Value>) {
        let texts = [
            ("client_id", &mut self.client_id),
            ("client_secret", &mut self.client_secret),
            ("token_endpoint", &mut self.token_endpoint),
            ("scope", &mut self.scope),
        ];
        for (name, place) in texts {
            if let Some(text) = fields.get(name).and_then(Value::as_str) {
                *place = text.to_owned();
            }
        }
        let switches = [
            ("manage_token_externally", &mut self.manage_token_externally),
            ("use_client_credentials", &mut self.use_client_credentials),
        ];
        for (name, place) in switches {
            if let Some(is_set) = fields.get(name).and_then(switch) {
                *place = is_set;
            }
        }
        if let Some(seconds) = fields.get("refresh_window").and_then(super::file::number) {
            self.refresh_window = seconds;
        }
        if let Some(path) =
            fields.get("ca_bundle_file").and_then(Value::as_str).filter(|path| !path.is_empty())
        {
            self.ca_bundle_file = Some(path.into());
        }
    }
}

/// The plug-in writes `"yes"`; people write `true`.
fn switch(value: &Value) -> Option<bool> {
    match value {
        Value::Bool(is_set) => Some(*is_set),
        Value::String(text) => Some(["yes", "true"].contains(&text.to_ascii_lowercase().as_str())),
        _ => None,
    }
}
