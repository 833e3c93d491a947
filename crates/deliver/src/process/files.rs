//! Reading `.forward` files and lists that others may have written, and may change meanwhile.

use super::NotReady;
use crate::command::Note;
use crate::failure::{Failure, strerror};
use nix::fcntl::OFlag;
use nix::unistd::{Gid, Uid, setegid, seteuid};
use std::ffi::OsStr;
use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Octets of a list or `.forward`, at most: so much fits into a reply.
const LENGTH_LIMIT: u64 = 32 << 20;

/// A list, and whose it is.
pub(super) struct List {
    pub(super) text: Vec<u8>,
    pub(super) owner: Uid,
}

/// Reads a list as this process may: with a warning and what becomes of the mail where it may not.
pub(super) fn read_list(path: &[u8]) -> Result<List, (Note, Failure)> {
    let shown = String::from_utf8_lossy(path);
    let refuse = |why: String| (Note::Warning(why), Failure::of_configuration(5));
    if !path.starts_with(b"/") {
        return Err(refuse(format!(":include:{shown} uses a relative path")));
    }
    let path = PathBuf::from(OsStr::from_bytes(path));
    let meta = std::fs::metadata(&path)
        .map_err(|e| refuse(format!("unable to lookup :include: file {shown}: {}", strerror(&e))))?;
    if !meta.is_file() {
        return Err(refuse(format!(":include: file {shown} is not a regular file")));
    }
    if meta.mode() & 0o002 != 0 {
        return Err(refuse(format!(":include: file {shown} is world writable")));
    }
    let (file, meta) = open_same(&path, &meta)
        .map_err(|e| refuse(format!("cannot open include file {shown}: {}", strerror(&e))))?;
    let text = read_all(file).map_err(|e| {
        let why = format!("error reading forwarding file: {}", strerror(&e));
        (Note::Warning(format!("{shown}: {why}")), Failure::of_system(why))
    })?;
    Ok(List { text, owner: Uid::from_raw(meta.uid()) })
}

/// Opens the file that was looked at, and no other that has come in its place.
pub(super) fn open_same(path: &Path, seen: &Metadata) -> io::Result<(File, Metadata)> {
    let flags = (OFlag::O_NONBLOCK | OFlag::O_NOCTTY).bits();
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    let meta = file.metadata()?;
    match (meta.dev(), meta.ino()) == (seen.dev(), seen.ino()) {
        true => Ok((file, meta)),
        false => Err(nix::errno::Errno::ESTALE.into()),
    }
}

pub(super) fn read_all(file: File) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    match file.take(LENGTH_LIMIT + 1).read_to_end(&mut text)? as u64 {
        n if n <= LENGTH_LIMIT => Ok(text),
        _ => Err(nix::errno::Errno::EFBIG.into()),
    }
}

/// Does something with these rights in effect, and takes root's back. As another user it is simply done.
pub(super) fn as_user<T>(uid: Uid, gid: Gid, act: impl FnOnce() -> T) -> Result<T, NotReady> {
    let is_root = Uid::current().is_root();
    if !is_root || uid.is_root() {
        return Ok(act());
    }
    let failed = |e: nix::Error| {
        NotReady::Failed(Failure::of_system(format!("changing to the rights of uid {uid}: {}", e.desc())))
    };
    setegid(gid).map_err(failed)?;
    seteuid(uid).map_err(failed)?;
    let result = act();
    seteuid(Uid::from_raw(0)).map_err(failed)?;
    setegid(Gid::from_raw(0)).map_err(failed)?;
    Ok(result)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt;

    /// What Postfix warns of, and gives up on.
    #[test]
    fn lists() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = |name: &str| folder.path().join(name);
        let warning = |name: &str| match read_list(path(name).as_os_str().as_bytes()) {
            Ok(_) => panic!("{name} was read"),
            Err((Note::Warning(text), failure)) => {
                assert_eq!(failure, Failure::of_configuration(5));
                text.replace(&folder.path().display().to_string(), "")
            }
            Err((note, _)) => panic!("{note:?}"),
        };
        std::fs::write(path("list"), "alice\n").expect("written");
        std::fs::set_permissions(path("list"), Permissions::from_mode(0o644)).expect("set");
        let list = read_list(path("list").as_os_str().as_bytes()).expect("readable");
        assert_eq!((list.text, list.owner), (b"alice\n".to_vec(), Uid::current()));
        std::os::unix::fs::symlink(path("list"), path("link")).expect("made");
        assert!(read_list(path("link").as_os_str().as_bytes()).is_ok());
        assert_eq!(warning("none"), "unable to lookup :include: file /none: No such file or directory");
        assert_eq!(warning(""), ":include: file / is not a regular file");
        std::fs::set_permissions(path("list"), Permissions::from_mode(0o646)).expect("set");
        assert_eq!(warning("list"), ":include: file /list is world writable");
        let Err((Note::Warning(text), _)) = read_list(b"list") else { panic!("relative") };
        assert_eq!(text, ":include:list uses a relative path");
    }

    #[test]
    fn another_file_in_the_same_place_is_not_opened() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("x");
        std::fs::write(&path, "1").expect("written");
        let seen = std::fs::metadata(&path).expect("there");
        assert!(open_same(&path, &seen).is_ok());
        std::fs::write(folder.path().join("y"), "2").expect("written");
        std::fs::rename(folder.path().join("y"), &path).expect("moved");
        assert!(open_same(&path, &seen).is_err());
    }
}
