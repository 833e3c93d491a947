//! What the worker cannot do even if somebody takes it over: write outside its folders, or run a program (landlock(7)).
//!
//! It reads what its user may read: tables and certificates lie anywhere. What is for root's eyes comes from the parent.

use landlock::{
    ABI, AccessFs, CompatLevel, Compatible, PathBeneath, PathFd, Ruleset, RulesetAttr, RulesetCreatedAttr,
    RulesetError, RulesetStatus,
};
use std::path::Path;

/// The newest rights that are asked for; an older kernel gives what it knows, one without landlock nothing.
const RIGHTS: ABI = ABI::V3;

/// Written to where there is nothing to be written.
const NULL: &str = "/dev/null";

/// Gives up all rights to write but in these folders, and all rights to run programs, for this process and for good. To be
/// called before there are other threads, which would keep theirs. False: the kernel knows nothing of it.
pub(super) fn confine(folders: &[&Path]) -> Result<bool, RulesetError> {
    let write = AccessFs::from_write(RIGHTS);
    let mut ruleset = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(write | AccessFs::Execute)?
        .create()?;
    for folder in folders {
        ruleset = allow(ruleset, folder, write)?;
    }
    let status = allow(ruleset, Path::new(NULL), AccessFs::WriteFile.into())?.restrict_self()?;
    Ok(status.ruleset != RulesetStatus::NotEnforced)
}

/// A path that is not there needs no right.
fn allow(
    ruleset: landlock::RulesetCreated,
    path: &Path,
    rights: landlock::BitFlags<AccessFs>,
) -> Result<landlock::RulesetCreated, RulesetError> {
    match PathFd::new(path) {
        Ok(opened) => ruleset.add_rule(PathBeneath::new(opened, rights)),
        Err(_) => Ok(ruleset),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::ErrorKind;

    #[test]
    fn writes_in_its_folders_and_runs_nothing() {
        let (own, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (own, other) = (own.path().to_owned(), other.path().to_owned());
        // What a thread gives up the others keep.
        let confined = std::thread::spawn(move || {
            assert!(confine(&[&own, Path::new("/nonexistent")]).unwrap(), "this kernel has no landlock");
            let outcome = |result: std::io::Result<()>| result.map_err(|e| e.kind());
            let outcomes = [
                outcome(std::fs::write(own.join("queue"), b"x")),
                outcome(std::fs::create_dir(own.join("folder"))),
                outcome(std::fs::write(NULL, b"x")),
                outcome(std::fs::write(other.join("file"), b"x")),
                outcome(std::fs::create_dir(other.join("folder"))),
                outcome(std::process::Command::new("/bin/true").status().map(|_| ())),
                outcome(std::fs::read("/etc/passwd").map(|_| ())),
            ];
            let denied = Err(ErrorKind::PermissionDenied);
            assert_eq!(outcomes, [Ok(()), Ok(()), Ok(()), denied, denied, denied, Ok(())]);
        });
        confined.join().unwrap();
    }
}
