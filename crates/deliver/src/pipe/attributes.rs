//! The attributes of a pipe(8) service: `flags=`, `user=`, `directory=` and the others, up to `argv=`.

use crate::copy::Form;
use nix::unistd::{Group, User};

/// A pipe(8) service as master.cf has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Attributes {
    pub(crate) flags: Flags,
    pub(crate) eol: Vec<u8>,
    pub(crate) directory: Option<String>,
    pub(crate) chroot: Option<String>,
    /// What stands for the null sender.
    pub(crate) null_sender: String,
    /// `size=`, in octets; 0: none.
    pub(crate) size: u64,
    user: String,
    group: Option<String>,
    /// The command and its arguments, not expanded; at least one.
    pub(crate) argv: Vec<String>,
}

/// `flags=`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Flags {
    /// `B`
    pub(crate) ends_blank: bool,
    /// `D`
    pub(crate) delivered_to: bool,
    /// `F`
    pub(crate) from_line: bool,
    /// `O`
    pub(crate) original_to: bool,
    /// `R`
    pub(crate) return_path: bool,
    /// `X`: the command is the end of the way.
    pub(crate) is_final: bool,
    /// `.`
    pub(crate) stuffs_dots: bool,
    /// `>`
    pub(crate) quotes_from: bool,
    /// `h`
    pub(crate) folds_host: bool,
    /// `q`
    pub(crate) quotes_local: bool,
    /// `u`
    pub(crate) folds_user: bool,
}

/// Why the service cannot work, in Postfix's words. It says so in the log when mail comes for it, and the mail waits.
type MistakeOf<T> = Result<T, String>;

/// Who the mail system itself runs as: whose rights no command may have.
pub(crate) struct MailSystem<'a> {
    /// `mail_owner`
    pub(crate) mail_owner: &'a str,
    /// `setgid_group`
    pub(crate) setgid_group: &'a str,
}

impl Attributes {
    pub(crate) fn parse(words: &[String]) -> MistakeOf<Attributes> {
        let mut attributes = Attributes {
            flags: Flags::default(),
            eol: b"\n".to_vec(),
            directory: None,
            chroot: None,
            null_sender: "MAILER-DAEMON".into(),
            size: 0,
            user: String::new(),
            group: None,
            argv: Vec::new(),
        };
        let mut words = words.iter();
        let mut has_user = false;
        while let Some(word) = words.next() {
            let (name, value) = word.split_once('=').unwrap_or((word, ""));
            let is = |known: &str| word.contains('=') && name.eq_ignore_ascii_case(known);
            if is("flags") {
                attributes.flags.add(value)?;
            } else if is("user") {
                has_user = true;
                let (user, group) = value.split_once(':').unwrap_or((value, ""));
                attributes.user = user.to_owned();
                attributes.group = Some(group.to_owned()).filter(|group| !group.is_empty());
            } else if is("directory") {
                attributes.directory = Some(value.to_owned());
            } else if is("chroot") {
                attributes.chroot = Some(value.to_owned());
            } else if is("eol") {
                attributes.eol = unescape(value);
            } else if is("null_sender") {
                attributes.null_sender = value.to_owned();
            } else if is("size") {
                let number = value.parse().ok().filter(|_| value.bytes().all(|b| b.is_ascii_digit()));
                attributes.size =
                    number.ok_or_else(|| format!("get_service_attr: bad size= value: {value}"))?;
            } else if is("argv") {
                attributes.argv =
                    std::iter::once(value).chain(words.map(String::as_str)).map(str::to_owned).collect();
                break;
            } else {
                return Err(format!("unknown attribute name: {word}"));
            }
        }
        if !has_user {
            return Err("missing user= command-line attribute".into());
        }
        match attributes.argv.first() {
            None => Err("missing argv= command-line attribute".into()),
            Some(_) => Ok(attributes),
        }
    }

    /// The rights of the command. Not root's, and none of the mail system's.
    pub(crate) fn rights(&self, system: &MailSystem<'_>) -> MistakeOf<(nix::unistd::Uid, nix::unistd::Gid)> {
        let user = User::from_name(&self.user).ok().flatten();
        let user = user.ok_or_else(|| format!("get_service_attr: unknown username: {}", self.user))?;
        let gid = match &self.group {
            None => user.gid,
            Some(name) => {
                let group = Group::from_name(name).ok().flatten();
                group.ok_or_else(|| format!("get_service_attr: unknown group: {name}"))?.gid
            }
        };
        let said = "user= command-line attribute specifies";
        let MailSystem { mail_owner, setgid_group } = system;
        let owner = User::from_name(mail_owner).ok().flatten();
        let setgid = Group::from_name(setgid_group).ok().flatten();
        if user.uid.is_root() {
            Err(format!("{said} root privileges"))
        } else if owner.as_ref().is_some_and(|o| o.uid == user.uid) {
            Err(format!("{said} mail system owner {mail_owner}"))
        } else if gid.as_raw() == 0 {
            Err(format!("{said} privileged group id 0"))
        } else if owner.as_ref().is_some_and(|o| o.gid == gid) {
            Err(format!("{said} mail system owner {mail_owner} group id {gid}"))
        } else if setgid.is_some_and(|group| group.gid == gid) {
            Err(format!("{said} mail system {setgid_group} group id {gid}"))
        } else {
            Ok((user.uid, gid))
        }
    }

    pub(crate) fn form(&self) -> Form {
        let flags = self.flags;
        Form {
            from_line: flags.from_line,
            return_path: flags.return_path,
            original_to: flags.original_to,
            delivered_to: flags.delivered_to,
            quotes_from: flags.quotes_from,
            stuffs_dots: flags.stuffs_dots,
            ends_blank: flags.ends_blank,
            eol: self.eol.clone(),
        }
    }
}

impl Flags {
    fn add(&mut self, letters: &str) -> MistakeOf<()> {
        for letter in letters.chars() {
            let flag = match letter {
                'B' => &mut self.ends_blank,
                'D' => &mut self.delivered_to,
                'F' => &mut self.from_line,
                'O' => &mut self.original_to,
                'R' => &mut self.return_path,
                'X' => &mut self.is_final,
                '.' => &mut self.stuffs_dots,
                '>' => &mut self.quotes_from,
                'h' => &mut self.folds_host,
                'q' => &mut self.quotes_local,
                'u' => &mut self.folds_user,
                _ => return Err(format!("unknown flag: {letter} (ignored)")),
            };
            *flag = true;
        }
        Ok(())
    }
}

/// C's backslash sequences.
fn unescape(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((&octet, tail)) = rest.split_first() {
        rest = tail;
        if octet != b'\\' {
            out.push(octet);
            continue;
        }
        let Some((&escaped, tail)) = rest.split_first() else { break };
        rest = tail;
        out.push(match escaped {
            b'a' => 7,
            b'b' => 8,
            b'f' => 12,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'v' => 11,
            b'0'..=b'7' => {
                let more = rest.iter().take(2).take_while(|b| (b'0'..=b'7').contains(b)).count();
                let digits = std::iter::once(&escaped).chain(&rest[..more]);
                let value = digits.fold(0u32, |value, digit| value * 8 + u32::from(digit - b'0'));
                rest = &rest[more..];
                value as u8
            }
            other => other,
        });
    }
    out
}

/// For the fuzz target of that name.
pub fn fuzz_pipe_attributes(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let words: Vec<String> = text.split('\n').map(str::to_owned).collect();
    if let Ok(attributes) = Attributes::parse(&words) {
        assert!(!attributes.argv.is_empty() && attributes.eol.len() <= data.len());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(words: &str) -> MistakeOf<Attributes> {
        let words: Vec<String> = words.split(' ').filter(|w| !w.is_empty()).map(str::to_owned).collect();
        Attributes::parse(&words)
    }

    #[test]
    fn all_of_them() {
        let all = "flags=DRhu FLAGS=q user=alice:mail directory=/tmp chroot=/jail eol=\\r\\n null_sender= size=300 \
                   argv=/bin/x -f $sender user=x";
        let attributes = parse(all).expect("valid");
        let flags = Flags {
            delivered_to: true,
            return_path: true,
            folds_host: true,
            folds_user: true,
            quotes_local: true,
            ..Flags::default()
        };
        let expect = Attributes {
            flags,
            eol: b"\r\n".to_vec(),
            directory: Some("/tmp".into()),
            chroot: Some("/jail".into()),
            null_sender: String::new(),
            size: 300,
            user: "alice".into(),
            group: Some("mail".into()),
            argv: ["/bin/x", "-f", "$sender", "user=x"].map(str::to_owned).to_vec(),
        };
        assert_eq!(attributes, expect);
        let form = attributes.form();
        assert!(form.delivered_to && form.return_path && !form.from_line && form.eol == b"\r\n");
    }

    #[test]
    fn mistakes() {
        for (words, expect) in [
            ("argv=/bin/x", "missing user= command-line attribute"),
            ("user=alice", "missing argv= command-line attribute"),
            ("flags=DZ user=alice argv=x", "unknown flag: Z (ignored)"),
            ("user=alice colour=red argv=x", "unknown attribute name: colour=red"),
            ("user=alice argv", "unknown attribute name: argv"),
            ("user=alice size=1k argv=x", "get_service_attr: bad size= value: 1k"),
            ("user=alice size= argv=x", "get_service_attr: bad size= value: "),
        ] {
            assert_eq!(parse(words).expect_err(words), expect);
        }
    }

    #[test]
    fn whose_rights() {
        let system = MailSystem { mail_owner: "daemon", setgid_group: "bin" };
        for (user, expect) in [
            ("root", "user= command-line attribute specifies root privileges"),
            ("nosuchuser", "get_service_attr: unknown username: nosuchuser"),
            ("nobody:nosuchgroup", "get_service_attr: unknown group: nosuchgroup"),
            ("nobody:root", "user= command-line attribute specifies privileged group id 0"),
            ("daemon", "user= command-line attribute specifies mail system owner daemon"),
            ("nobody:daemon", "user= command-line attribute specifies mail system owner daemon group id 1"),
            ("nobody:bin", "user= command-line attribute specifies mail system bin group id 2"),
        ] {
            let attributes = parse(&format!("user={user} argv=x")).expect("valid");
            assert_eq!(attributes.rights(&system).expect_err(user), expect);
        }
        let attributes = parse("user=nobody argv=x").expect("valid");
        let nobody = User::from_name("nobody").expect("readable").expect("there");
        assert_eq!(attributes.rights(&system), Ok((nobody.uid, nobody.gid)));
    }

    #[test]
    fn escapes() {
        for (text, expect) in [
            (r"\r\n", &b"\r\n"[..]),
            (r"\\x\q", b"\\xq"),
            (r"\0121\7z", b"\n1\x07z"),
            (r"\a\b\f\t\v", b"\x07\x08\x0c\x09\x0b"),
            ("x\\", b"x"),
            ("", b""),
        ] {
            assert_eq!(unescape(text), expect);
        }
    }

    proptest::proptest! {
        #[test]
        fn any_words(text in "((flags|user|size|eol|argv)=[a-zD0-7\\\\:]{0,5}\n?){0,6}") {
            fuzz_pipe_attributes(text.as_bytes());
        }
    }
}
