//! Tables of this process and this host: `environ:`, `unix:passwd.byname`, `unix:group.byname`, `internal:`, `nis:`.

use crate::open::OpenError;
use crate::{Found, Lookup, OpenContext, Owner, Severity, Table, TryLater};
use bytes::Bytes;
use nix::errno::Errno;
use nix::unistd::{Group, User};
use std::ffi::OsStr;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::sync::{Arc, Once};

struct System {
    name: String,
    what: What,
}

#[derive(Clone, Copy)]
enum What {
    Environment,
    Users,
    Groups,
    /// A table that nobody can write, or a NIS map on a host without NIS.
    Nothing,
}

pub(crate) fn open_environ(text: &str) -> Arc<dyn Table> {
    Arc::new(System { name: format!("environ:{text}"), what: What::Environment })
}

pub(crate) fn open_internal(text: &str) -> Arc<dyn Table> {
    Arc::new(System { name: format!("internal:{text}"), what: What::Nothing })
}

/// The default of `alias_maps` has one. Without a NIS domain it finds nothing, as Postfix's does; NIS itself is not spoken.
pub(crate) fn open_nis(text: &str, context: &OpenContext) -> Result<Arc<dyn Table>, OpenError> {
    static TOLD: Once = Once::new();
    let name = format!("nis:{text}");
    let domain = std::fs::read("/proc/sys/kernel/domainname").unwrap_or_default();
    if !matches!(domain.trim_ascii(), b"" | b"(none)") {
        return Err(OpenError::Unusable(format!("{name}: NIS is not supported")));
    }
    let warning = "dict_nis_init: NIS domain name not set - NIS lookups disabled";
    TOLD.call_once(|| (context.report)(Severity::Warning, warning));
    Ok(Arc::new(System { name, what: What::Nothing }))
}

pub(crate) fn open_unix(text: &str) -> Result<Arc<dyn Table>, OpenError> {
    let name = format!("unix:{text}");
    let what = match text {
        "passwd.byname" => What::Users,
        "group.byname" => What::Groups,
        _ => return Err(OpenError::Unusable(format!("unknown table: {name}"))),
    };
    Ok(Arc::new(System { name, what }))
}

impl System {
    fn find(&self, key: &[u8]) -> Found {
        match self.what {
            What::Nothing => Ok(None),
            What::Environment => Ok(std::env::var_os(OsStr::from_bytes(key)).map(|v| v.into_vec().into())),
            What::Users => self.entry(key, |name| Ok(User::from_name(name)?.map(|user| user_line(&user)))),
            What::Groups => {
                self.entry(key, |name| Ok(Group::from_name(name)?.map(|group| group_line(&group))))
            }
        }
    }

    fn entry(&self, key: &[u8], find: impl Fn(&str) -> Result<Option<Bytes>, Errno>) -> Found {
        // A name that is no UTF-8 is nobody's.
        let Ok(name) = std::str::from_utf8(key) else {
            return Ok(None);
        };
        match find(name) {
            // Some sources of names say so when there is no such name.
            Err(Errno::ENOENT | Errno::ESRCH) => Ok(None),
            Err(error) => Err(TryLater(format!("{} is unavailable. {}", self.name, error.desc()))),
            Ok(line) => Ok(line),
        }
    }
}

/// As passwd(5).
fn user_line(user: &User) -> Bytes {
    let mut line = format!("{}:", user.name).into_bytes();
    line.extend_from_slice(user.passwd.as_bytes());
    line.extend_from_slice(format!(":{}:{}:", user.uid, user.gid).as_bytes());
    line.extend_from_slice(user.gecos.as_bytes());
    for path in [&user.dir, &user.shell] {
        line.push(b':');
        line.extend_from_slice(path.as_os_str().as_bytes());
    }
    line.into()
}

/// As group(5).
fn group_line(group: &Group) -> Bytes {
    let mut line = format!("{}:", group.name).into_bytes();
    line.extend_from_slice(group.passwd.as_bytes());
    line.extend_from_slice(format!(":{}:{}", group.gid, group.mem.join(",")).as_bytes());
    line.into()
}

impl Table for System {
    fn get<'a>(&'a self, key: &'a [u8]) -> Lookup<'a> {
        Lookup::ready(self.find(key))
    }

    fn name(&self) -> &str {
        &self.name
    }

    fn visit(&self, _visit: &mut dyn FnMut(&[u8], &[u8])) -> Option<Result<(), TryLater>> {
        matches!(self.what, What::Nothing).then_some(Ok(()))
    }

    fn owner(&self) -> Owner {
        Owner::Trusted
    }
}
