//! Keeps certificates as fresh as their files, without a reload.

use super::SetupError;
use super::certificates::{CertificateFiles, Certificates};
use crate::watch::LOOK_EVERY;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;
use tokio::task::spawn_blocking;

pub(super) struct Keeper {
    files: CertificateFiles,
    kept: Mutex<Kept>,
}

struct Kept {
    certificates: Arc<Certificates>,
    looked: Instant,
}

impl Keeper {
    pub(super) fn new(files: CertificateFiles) -> Result<Keeper, SetupError> {
        let certificates = Arc::new(files.load()?);
        Ok(Keeper { files, kept: Mutex::new(Kept { certificates, looked: Instant::now() }) })
    }

    /// The certificates now. Files that are broken leave the last ones in use; `warn` gets the reasons.
    pub(super) async fn latest(self: &Arc<Keeper>, warn: impl Fn(String)) -> Arc<Certificates> {
        if let Some(certificates) = self.fresh() {
            return certificates;
        }
        let keeper = self.clone();
        // the parent that opens files may be slow
        if let Ok(Err(error)) = spawn_blocking(move || keeper.look()).await {
            error.lines.into_iter().for_each(|(_, line)| warn(line));
        }
        self.kept()
    }

    /// Those at hand.
    pub(super) fn kept(&self) -> Arc<Certificates> {
        self.with_kept(|kept| kept.certificates.clone())
    }

    pub(super) fn files(&self) -> &CertificateFiles {
        &self.files
    }

    /// Unless it is time to look; then only one caller is told so.
    fn fresh(&self) -> Option<Arc<Certificates>> {
        self.with_kept(|kept| {
            if kept.certificates.have_no_files() || kept.looked.elapsed() < LOOK_EVERY {
                return Some(kept.certificates.clone());
            }
            kept.looked = Instant::now();
            None
        })
    }

    fn look(&self) -> Result<(), SetupError> {
        let known = self.kept();
        if self.files.has_changed(&known) {
            let certificates = Arc::new(self.files.load()?);
            self.with_kept(|kept| kept.certificates = certificates);
        }
        Ok(())
    }

    fn with_kept<T>(&self, use_it: impl FnOnce(&mut Kept) -> T) -> T {
        use_it(&mut self.kept.lock().unwrap_or_else(PoisonError::into_inner))
    }

    #[cfg(test)]
    pub(super) fn look_at_once(&self) {
        self.with_kept(|kept| kept.looked -= LOOK_EVERY);
    }
}
