//! OAuth 2 logins with the files of the sasl-xoauth2 plug-in: a password that is the path of a token file. Access tokens are
//! fetched anew before they expire (RFC 6749 6), and what came is kept durably.

mod file;
mod refresh;
mod settings;

pub use settings::{DEFAULT_CONFIG, Settings};

use file::{Kept, TokenFile};
use net::https::HttpsClient;
use smtp::Secret;
use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

/// Token files that are remembered as being in use; with more, all are forgotten.
const FILE_LIMIT: usize = 1000;

/// All token files of one transport.
pub struct Tokens {
    pub settings: Settings,
    pub https: HttpsClient,
    /// Where tokens are kept whose own folder may not be written: in `data_directory`.
    pub spare_folder: PathBuf,
    /// A path that is not there is looked for below this: `queue_directory`, where chrooted clients had their files.
    pub chroot: PathBuf,
    in_use: Mutex<HashMap<PathBuf, Arc<tokio::sync::Mutex<()>>>>,
}

/// What to show to a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Access {
    /// In place of the password map's user name.
    pub user: Option<String>,
    pub token: Secret,
    /// It came just now: if a server does not like it, another will not help.
    pub is_new: bool,
}

/// Why there is no token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TokenError {
    /// The file cannot be read, or is none.
    File { path: PathBuf, reason: String },
    /// The token endpoint cannot be asked, or will not give any.
    Refresh(String),
}

impl Tokens {
    pub fn new(settings: Settings, https: HttpsClient, spare_folder: PathBuf, chroot: PathBuf) -> Tokens {
        Tokens { settings, https, spare_folder, chroot, in_use: Mutex::default() }
    }

    /// The token file that a password names, if it does: an absolute path to something that is there.
    pub fn find(&self, password: &str) -> Option<PathBuf> {
        let path = Path::new(password);
        let below = path.strip_prefix("/").ok().map(|rest| self.chroot.join(rest))?;
        [path.to_owned(), below].into_iter().find(|path| path.is_file())
    }

    /// A token that holds for a while yet. `refused`: the one at hand is not good any more, whatever it says itself.
    pub async fn access(&self, path: &Path, refused: bool, now: SystemTime) -> Result<Access, TokenError> {
        let turn = self.turn(path);
        // of several who want it renewed only one does it, and the others find it done
        let _turn = turn.lock().await;
        let mut kept = Kept::read(path, &self.spare_folder)?;
        let settings = self.settings.with(&kept.token);
        let seconds = now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let is_fresh = !kept.token.access_token.is_empty()
            && kept.token.expiry > seconds.saturating_add(settings.refresh_window);
        let is_managed = settings.manage_token_externally;
        let is_new = !is_managed && (refused || !is_fresh);
        if is_new {
            let https = HttpsClient { ca_file: settings.ca_bundle_file.clone(), ..self.https.clone() };
            let issued = refresh::refresh(&settings, &kept.token, &https).await?;
            kept.token.take(issued, seconds);
            kept.write()?;
        }
        let TokenFile { user, access_token, .. } = kept.token;
        Ok(Access { user, token: access_token.as_str().into(), is_new })
    }

    fn turn(&self, path: &Path) -> Arc<tokio::sync::Mutex<()>> {
        let mut in_use = self.in_use.lock().unwrap_or_else(PoisonError::into_inner);
        if in_use.len() >= FILE_LIMIT {
            in_use.clear();
        }
        in_use.entry(path.to_owned()).or_default().clone()
    }
}

impl fmt::Display for TokenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TokenError::File { path, reason } => write!(f, "token file {}: {reason}", path.display()),
            TokenError::Refresh(reason) => write!(f, "token refresh failed: {reason}"),
        }
    }
}

impl std::error::Error for TokenError {}

#[cfg(test)]
mod tests;
