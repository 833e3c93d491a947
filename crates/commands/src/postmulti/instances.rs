//! The instances there are: the primary one, and those that its `multi_instance_directories` names.

use crate::instance::Instance;
use crate::program::{Fatal, Program};
use params::p;
use std::collections::HashMap;

/// Names of instances begin with this; on the command line it may be left out.
pub(super) const NAME_PREFIX: &str = "postfix-";

/// One instance.
#[derive(Clone, Debug)]
pub(super) struct One {
    pub(super) config_directory: String,
    pub(super) queue_directory: String,
    pub(super) data_directory: String,
    pub(super) name: Option<String>,
    pub(super) group: Option<String>,
    pub(super) is_enabled: bool,
    pub(super) is_primary: bool,
}

/// Which instances are meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Selection {
    All,
    Group(String),
    /// A name, with or without its prefix, a configuration directory, or `-` for the primary one.
    Name(String),
}

/// All of them, the primary one first.
pub(super) struct Instances {
    pub(super) list: Vec<One>,
    /// What names and directories belong to whom: two instances must not share any.
    claims: HashMap<String, String>,
}

impl Instances {
    pub(super) fn load(program: &Program, primary: &Instance) -> Result<Instances, Fatal> {
        let mut all = Instances { list: Vec::new(), claims: HashMap::new() };
        let others = primary.view.get(p::multi_instance_directories, &mut Vec::new());
        let mut first = One::of(primary, true);
        first.is_enabled |= others.is_empty();
        all.push(first)?;
        for directory in others {
            all.push(One::read(program, &directory)?)?;
        }
        Ok(all)
    }

    fn push(&mut self, one: One) -> Result<(), Fatal> {
        self.claim_all(&one)?;
        self.list.push(one);
        Ok(())
    }

    pub(super) fn claim_all(&mut self, one: &One) -> Result<(), Fatal> {
        let named = one.name.iter().map(|name| ("multi_instance_name", name));
        let folders = [
            ("config_directory", &one.config_directory),
            ("queue_directory", &one.queue_directory),
            ("data_directory", &one.data_directory),
        ];
        named
            .chain(folders)
            .try_for_each(|(parameter, value)| self.claim(&one.config_directory, parameter, value))
    }

    pub(super) fn claim(&mut self, directory: &str, parameter: &str, value: &str) -> Result<(), Fatal> {
        let claimant = format!("{directory}, {parameter}");
        match self.claims.get(value).filter(|owner| **owner != claimant) {
            Some(owner) => Err(Fatal::new(format!(
                "instance {directory}, {parameter}={value} conflicts with instance {owner}={value}"
            ))),
            None => {
                self.claims.insert(value.to_owned(), claimant);
                Ok(())
            }
        }
    }

    /// Whose a value is.
    pub(super) fn owner(&self, value: &str) -> Option<&str> {
        self.claims.get(value).map(String::as_str)
    }

    pub(super) fn ordered(&self, is_reversed: bool) -> Box<dyn Iterator<Item = &One> + '_> {
        if is_reversed { Box::new(self.list.iter().rev()) } else { Box::new(self.list.iter()) }
    }

    /// The value of `multi_instance_directories` for these.
    pub(super) fn directories(&self) -> String {
        let others = self.list.iter().filter(|one| !one.is_primary);
        others.map(|one| one.config_directory.as_str()).collect::<Vec<_>>().join(" ")
    }
}

impl One {
    pub(super) fn of(instance: &Instance, is_primary: bool) -> One {
        let mut mistakes = Vec::new();
        let view = &instance.view;
        let word = |text: String| Some(text).filter(|text| !text.is_empty());
        One {
            config_directory: instance.directory.clone(),
            queue_directory: view.get(p::queue_directory, &mut mistakes),
            data_directory: view.get(p::data_directory, &mut mistakes),
            name: word(view.get(p::multi_instance_name, &mut mistakes)),
            group: word(view.get(p::multi_instance_group, &mut mistakes)),
            is_enabled: view.get(p::multi_instance_enable, &mut mistakes),
            is_primary,
        }
    }

    /// Another instance, from its main.cf.
    pub(super) fn read(program: &Program, directory: &str) -> Result<One, Fatal> {
        let opened = Instance::open(program, Some(directory));
        opened.map(|instance| One::of(&instance, false)).map_err(|fatal| {
            eprintln!("postconf: fatal: {}", fatal.message);
            Fatal::new(format!("Failed to obtain all required {directory}/main.cf parameters"))
        })
    }

    pub(super) fn matches(&self, selection: &Selection) -> bool {
        match selection {
            Selection::All => true,
            Selection::Group(group) => self.group.as_ref() == Some(group),
            Selection::Name(wanted) => {
                let ours = match &self.name {
                    Some(name) if !wanted.starts_with('/') => {
                        let bare = name.strip_prefix(NAME_PREFIX);
                        bare.filter(|_| !wanted.starts_with(NAME_PREFIX)).unwrap_or(name)
                    }
                    _ => &self.config_directory,
                };
                wanted == ours || self.is_primary && wanted == "-"
            }
        }
    }

    /// As `-l` lists it.
    pub(super) fn line(&self) -> String {
        let (name, group) = self.shown();
        let enabled = if self.is_enabled { "y" } else { "n" };
        format!("{name:<15} {group:<15} {enabled:<9} {}", self.config_directory)
    }

    /// As `-l -j` does (Postfix 3.11).
    pub(super) fn json(&self) -> String {
        let (name, group) = self.shown();
        let quoted = |text: &str| serde_json::Value::from(text).to_string();
        let enabled = quoted(if self.is_enabled { "y" } else { "n" });
        format!(
            "{{\"name\": {},\"group\": {},\"enabled\": {enabled},\"config_directory\": {}}}",
            quoted(name),
            quoted(group),
            quoted(&self.config_directory)
        )
    }

    fn shown(&self) -> (&str, &str) {
        (self.name.as_deref().unwrap_or("-"), self.group.as_deref().unwrap_or("-"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(name: &str, is_primary: bool) -> One {
        One {
            config_directory: format!("/etc/{name}"),
            queue_directory: format!("/var/spool/{name}"),
            data_directory: format!("/var/lib/{name}"),
            name: Some(name.to_owned()).filter(|_| !is_primary),
            group: Some("mta".to_owned()).filter(|_| !is_primary),
            is_enabled: is_primary,
            is_primary,
        }
    }

    #[test]
    fn selections() {
        let (first, other) = (one("postfix", true), one("postfix-out", false));
        for (selection, expect) in [
            (Selection::All, (true, true)),
            (Selection::Name("-".into()), (true, false)),
            (Selection::Name("/etc/postfix".into()), (true, false)),
            (Selection::Name("out".into()), (false, true)),
            (Selection::Name("postfix-out".into()), (false, true)),
            (Selection::Name("/etc/postfix-out".into()), (false, true)),
            (Selection::Name("in".into()), (false, false)),
            (Selection::Group("mta".into()), (false, true)),
            (Selection::Group("x".into()), (false, false)),
        ] {
            assert_eq!((first.matches(&selection), other.matches(&selection)), expect, "{selection:?}");
        }
    }

    #[test]
    fn lines() {
        assert_eq!(one("postfix", true).line(), "-               -               y         /etc/postfix");
        assert_eq!(
            one("postfix-out", false).json(),
            r#"{"name": "postfix-out","group": "mta","enabled": "n","config_directory": "/etc/postfix-out"}"#
        );
    }

    #[test]
    fn nothing_is_shared() {
        let mut all = Instances { list: Vec::new(), claims: HashMap::new() };
        all.push(one("postfix", true)).unwrap();
        let twin = One { queue_directory: "/var/spool/postfix".into(), ..one("postfix-out", false) };
        assert_eq!(
            all.push(twin).unwrap_err().message,
            "instance /etc/postfix-out, queue_directory=/var/spool/postfix conflicts with instance /etc/postfix, \
             queue_directory=/var/spool/postfix"
        );
    }
}
