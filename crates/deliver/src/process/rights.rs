//! Whose rights a delivery process takes.

use nix::unistd::{Gid, Uid, User, geteuid, setegid, setgroups, setresgid, setresuid};

/// A uid and gid. No supplementary groups ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rights {
    pub uid: Uid,
    pub gid: Gid,
    /// The group of the mail spool directory, if lock files can be made there with it only: put on for that, and off again.
    pub spool_gid: Option<Gid>,
}

impl Rights {
    pub(super) fn of(user: &User) -> Rights {
        Rights { uid: user.uid, gid: user.gid, spool_gid: None }
    }

    /// Takes them for good. A process that is not root keeps what it has: all of the mail system then runs as one user.
    pub fn take(&self) -> nix::Result<()> {
        if !geteuid().is_root() {
            return Ok(());
        }
        setgroups(&[self.gid])?;
        // What is saved is lost with exec(2): no command ever has it.
        setresgid(self.gid, self.gid, self.spool_gid.unwrap_or(self.gid))?;
        setresuid(self.uid, self.uid, self.uid)
    }

    /// Whether this process may have them.
    pub(super) fn are_within_reach(&self) -> bool {
        geteuid().is_root() || self.uid == geteuid()
    }

    /// Does something with the spool directory's group.
    pub(super) fn with_spool_group<T>(&self, act: impl FnOnce() -> T) -> nix::Result<T> {
        let Some(spool_gid) = self.spool_gid.filter(|gid| *gid != self.gid) else { return Ok(act()) };
        setegid(spool_gid)?;
        let result = act();
        setegid(self.gid)?;
        Ok(result)
    }
}
