//! `postmulti -e`: instances are made, taken in, renamed, switched on and off, and given up. Postfix has a script for what
//! happens to files; here it is done by postconf(1) and postfix(1), run for the instance.

use super::Options;
use super::instances::{Instances, NAME_PREFIX, One, Selection};
use crate::instance::Instance;
use crate::program::{Fatal, Program, Run, reason};
use crate::sibling;
use params::p;
use std::fs;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::process::{Command, Stdio};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    Create,
    Destroy,
    Import,
    Deport,
    Enable,
    Disable,
    Assign,
    Init,
}

pub(super) const ACTIONS: [(&str, Action); 8] = [
    ("create", Action::Create),
    ("destroy", Action::Destroy),
    ("import", Action::Import),
    ("deport", Action::Deport),
    ("enable", Action::Enable),
    ("disable", Action::Disable),
    ("assign", Action::Assign),
    ("init", Action::Init),
];

impl Action {
    pub(super) fn parse(name: &str) -> Option<Action> {
        ACTIONS.iter().find(|(known, _)| *known == name).map(|(_, action)| *action)
    }

    pub(super) fn name(self) -> &'static str {
        ACTIONS.iter().find(|(_, action)| *action == self).map_or("", |(name, _)| name)
    }
}

pub(super) fn run(program: &Program, primary: &Instance, action: Action, options: &Options) -> Run {
    // With Postfix it is a script that speaks from here on.
    let syslog_name = primary.view.get(p::syslog_name, &mut Vec::new());
    let name = format!("{syslog_name}/postmulti-script");
    let script = Program::new(name.clone(), Vec::new(), 1, program.voice());
    script.set_log(crate::log::open_as(&primary.view, &name));
    let site = Site { script, primary };
    if action == Action::Init {
        return site.postconf(
            &primary.directory,
            &["multi_instance_wrapper = ${command_directory}/postmulti -p --", "multi_instance_enable = yes"],
        );
    }
    let mut all = Instances::load(program, primary)?;
    match action {
        Action::Create | Action::Import => {
            let (new, names) = new_instance(program, primary, &mut all, action, options)?;
            insert(&mut all, new.clone(), options.selection.as_ref())?;
            site.change(|site| site.install(&new, action, &names, &all))
        }
        Action::Assign => {
            let mut one = find(&all, options.selection.as_ref())?;
            check_names(options)?;
            let names = assign(&mut all, &mut one, options)?;
            if names.is_empty() {
                return Ok(0);
            }
            site.change(|site| site.postconf(&one.config_directory, &as_text(&names)))
        }
        Action::Destroy | Action::Deport => {
            let one = find(&all, options.selection.as_ref())?;
            if one.is_primary {
                return Err(Fatal::new("Cannot remove the primary instance"));
            }
            if one.is_enabled {
                return Err(Fatal::new("Cannot remove enabled instances"));
            }
            all.list.retain(|other| other.config_directory != one.config_directory);
            match action {
                Action::Deport => site.change(|site| site.deport(&one, &all)),
                _ => site.change(|site| site.destroy(&one, &all)),
            }
        }
        _ => {
            let one = find(&all, options.selection.as_ref())?;
            let value = if action == Action::Enable { "yes" } else { "no" };
            let setting = format!("multi_instance_enable = {value}");
            site.change(|site| site.postconf(&one.config_directory, &[&setting]))
        }
    }
}

fn as_text(settings: &[String]) -> Vec<&str> {
    settings.iter().map(String::as_str).collect()
}

fn find(all: &Instances, selection: Option<&Selection>) -> Result<One, Fatal> {
    let Some(selection @ Selection::Name(name)) = selection else {
        return Err(Fatal::new("Select an instance via '-i name'"));
    };
    let found = all.list.iter().find(|one| one.matches(selection)).cloned();
    found.ok_or_else(|| Fatal::new(format!("No instance named {name}")))
}

fn insert(all: &mut Instances, new: One, selection: Option<&Selection>) -> Result<(), Fatal> {
    all.claim_all(&new)?;
    let before = selection
        .and_then(|selection| all.list.iter().position(|one| !one.is_primary && one.matches(selection)));
    match (before, selection) {
        (Some(at), _) => all.list.insert(at, new),
        (None, Some(Selection::Group(_) | Selection::Name(_))) => {
            return Err(Fatal::new("No matching secondary instances"));
        }
        (None, _) => all.list.push(new),
    }
    Ok(())
}

/// The instance that is to be, and the settings of its name and group.
fn new_instance(
    program: &Program,
    primary: &Instance,
    all: &mut Instances,
    action: Action,
    options: &Options,
) -> Result<(One, Vec<String>), Fatal> {
    check_names(options)?;
    let template = One::of(primary, true);
    let [mut config, mut queue, mut data] = [None, None, None];
    for setting in &options.operands {
        let (name, path) = new_setting(setting, action)?;
        match name {
            "config_directory" => config = Some(path),
            "queue_directory" => queue = Some(path),
            _ => data = Some(path),
        }
    }
    let name = options.name.as_deref();
    let path = |given: Option<String>, parameter: &str, primary: &str| {
        given.map_or_else(|| private_path(parameter, primary, name), Ok)
    };
    let config_directory = path(config, "config_directory", &template.config_directory)?;
    if let Some(owner) = all.owner(&config_directory) {
        return Err(Fatal::new(format!(
            "new config_directory={config_directory} is already in use by instance {owner}={config_directory}"
        )));
    }
    let mut new = match action {
        Action::Import => One::read(program, &config_directory)?,
        _ => One {
            queue_directory: path(queue, "queue_directory", &template.queue_directory)?,
            data_directory: path(data, "data_directory", &template.data_directory)?,
            config_directory,
            name: None,
            group: None,
            is_enabled: false,
            is_primary: false,
        },
    };
    let names = assign(all, &mut new, options)?;
    Ok((new, names))
}

/// `config_directory=/path` and its like.
fn new_setting(setting: &str, action: Action) -> Result<(&'static str, String), Fatal> {
    let fail = |text: String| Err(Fatal::new(text));
    let Some((name, value)) = setting.split_once('=') else {
        return fail(format!("Malformed parameter setting '{setting}'"));
    };
    let (name, value) = (name.trim(), value.trim());
    let names = ["config_directory", "queue_directory", "data_directory"];
    let allowed = if action == Action::Import { &names[..1] } else { &names[..] };
    let Some(known) = allowed.iter().find(|known| **known == name) else {
        return fail(format!("Parameter '{name}' not valid with action {}", action.name()));
    };
    if !value.starts_with('/') {
        return fail(format!("Parameter setting '{name}' is not an absolute path"));
    }
    match value.trim_end_matches('/') {
        "" => fail(format!("Parameter setting '{name}' is the root directory")),
        path => Ok((known, path.to_owned())),
    }
}

/// Beside the primary instance's, under the new instance's name.
fn private_path(parameter: &str, primary: &str, name: Option<&str>) -> Result<String, Fatal> {
    let Some(name) = name.filter(|name| !name.is_empty()) else {
        return Err(Fatal::new(format!("Missing {parameter} parameter value")));
    };
    if !primary.starts_with('/') {
        return Err(Fatal::new(format!(
            "Invalid default {parameter} parameter value: '{primary}': specify an absolute pathname"
        )));
    }
    let parent = primary.trim_end_matches('/').rsplit_once('/').map_or("", |(parent, _)| parent);
    Ok(format!("{}/{name}", parent.trim_end_matches('/')))
}

fn check_names(options: &Options) -> Result<(), Fatal> {
    let is_safe = |text: &str| text.bytes().all(|b| b.is_ascii_alphanumeric() || b"!@%-_=+:./".contains(&b));
    if let Some(name) = options.name.as_deref().filter(|name| !name.is_empty()) {
        if !is_safe(name) {
            return Err(Fatal::new(format!("Unsafe characters in new instance name: '{name}'")));
        }
        if name.contains('/') {
            return Err(Fatal::new(format!("Illegal '/' character in new instance name: '{name}'")));
        }
        if !name.starts_with(NAME_PREFIX) {
            return Err(Fatal::new(format!("New instance name must start with '{NAME_PREFIX}'")));
        }
    }
    match options.group.as_deref().filter(|group| !is_safe(group)) {
        Some(group) => Err(Fatal::new(format!("Unsafe characters in '-G {group}'"))),
        None => Ok(()),
    }
}

/// Gives an instance its new name and group; what of that changes anything, as settings.
fn assign(all: &mut Instances, one: &mut One, options: &Options) -> Result<Vec<String>, Fatal> {
    let mut settings = Vec::new();
    if let Some(name) = options.name.as_ref().filter(|name| **name != one.name.clone().unwrap_or_default()) {
        all.claim(&one.config_directory, "multi_instance_name", name)?;
        one.name = Some(name.clone()).filter(|name| !name.is_empty());
        settings.push(format!("multi_instance_name = {name}"));
    }
    if let Some(group) =
        options.group.as_ref().filter(|group| **group != one.group.clone().unwrap_or_default())
    {
        one.group = Some(group.clone()).filter(|group| !group.is_empty());
        settings.push(format!("multi_instance_group = {group}"));
    }
    Ok(settings)
}

/// Where the changes are made.
struct Site<'a> {
    script: Program,
    primary: &'a Instance,
}

/// Parameters that a new instance has from the primary one, where they are set there.
const SHARED: [&str; 13] = [
    "command_directory",
    "daemon_directory",
    "meta_directory",
    "mail_owner",
    "setgid_group",
    "sendmail_path",
    "mailq_path",
    "newaliases_path",
    "html_directory",
    "manpage_directory",
    "sample_directory",
    "readme_directory",
    "shlib_directory",
];

/// What a new instance begins with.
const MAIN_CF: &str = include_str!("../../../../conf/main.cf");
const MASTER_CF: &str = include_str!("../../../../conf/master.cf");

impl Site<'_> {
    fn change(&self, change: impl FnOnce(&Self) -> Run) -> Run {
        Ok(self.script.run_with(|_| {
            self.require_init()?;
            change(self)
        }))
    }

    fn require_init(&self) -> Result<(), Fatal> {
        let view = &self.primary.view;
        if view.get(p::multi_instance_wrapper, &mut Vec::new()).is_empty() {
            return Err(Fatal::new("multi_instance_wrapper is empty, run 'postmulti -e init' first."));
        }
        if !view.get(p::multi_instance_enable, &mut Vec::new()) {
            return Err(Fatal::new("multi_instance_enable!=yes, run 'postmulti -e init' first."));
        }
        Ok(())
    }

    fn install(&self, new: &One, action: Action, names: &[String], all: &Instances) -> Run {
        let directory = Path::new(&new.config_directory);
        let lacks = ["main.cf", "master.cf"].into_iter().find(|name| !directory.join(name).is_file());
        if let Some(name) = lacks {
            if action == Action::Import {
                return Err(Fatal::new(format!("'{}' lacks a {name} file", new.config_directory)));
            }
            self.make(new)?;
        }
        if !names.is_empty() {
            done(self.postconf(&new.config_directory, &as_text(names))?)?;
        }
        self.update_directories(new, all, false)?;
        self.postfix(new, "set-permissions")
    }

    /// The files of a new instance. master.cf comes last: with it the instance is whole.
    fn make(&self, new: &One) -> Result<(), Fatal> {
        let folder = |path: &str, mode: u32| {
            let made = fs::DirBuilder::new().recursive(true).mode(mode).create(path);
            made.map_err(|error| Fatal::new(format!("mkdir {path}: {}", reason(&error))))
        };
        folder(&new.config_directory, 0o755)?;
        folder(&new.queue_directory, 0o755)?;
        folder(&new.data_directory, 0o700)?;
        let directory = Path::new(&new.config_directory);
        write(&directory.join("main.cf"), MAIN_CF)?;
        let mut settings = vec![
            format!("queue_directory = {}", new.queue_directory),
            format!("data_directory = {}", new.data_directory),
            "authorized_submit_users =".to_owned(),
            "master_service_disable = inet".to_owned(),
        ];
        let main = &self.primary.view.config().main;
        let shared = SHARED.iter().filter_map(|name| Some(format!("{name} = {}", main.entry(name)?.value)));
        settings.extend(shared);
        done(self.postconf(&new.config_directory, &as_text(&settings))?)?;
        write(&directory.join("master.cf"), MASTER_CF)
    }

    fn deport(&self, one: &One, all: &Instances) -> Run {
        if Path::new(&one.config_directory).join("main.cf").is_file() {
            self.require_stopped(one)?;
            return self.update_directories(one, all, true).map(|()| 0);
        }
        self.update_directories(one, all, false).map(|()| 0)
    }

    /// Removes what nothing was added to.
    fn destroy(&self, one: &One, all: &Instances) -> Run {
        let directory = Path::new(&one.config_directory);
        if !directory.join("main.cf").is_file() {
            return Err(Fatal::new(format!("{}/main.cf file not found", one.config_directory)));
        }
        self.require_stopped(one)?;
        self.update_directories(one, all, false)?;
        let queue = Path::new(&one.queue_directory);
        let below = ["pid", "queue", "corrupt", "private", "public", "maildrop"];
        let folders = below.iter().map(|name| queue.join(name));
        let folders = folders.chain([one.data_directory.clone().into(), queue.to_owned()]);
        folders.for_each(|folder| self.remove(&folder));
        for name in ["master.cf", "main.cf"] {
            // What is left keeps the folder, which is told.
            let _ = fs::remove_file(directory.join(name));
        }
        self.remove(directory);
        Ok(0)
    }

    fn remove(&self, folder: &Path) {
        if fs::remove_dir(folder).is_err() {
            self.script.warning(&format!("{}: please verify contents and remove by hand", folder.display()));
        }
    }

    fn require_stopped(&self, one: &One) -> Result<(), Fatal> {
        let mut status = self.command(one, "postfix");
        status.arg("status").stdout(Stdio::null()).stderr(Stdio::null());
        match status.status() {
            Ok(status) if status.success() => {
                Err(Fatal::new(format!("Instance '{}' is not stopped", one.config_directory)))
            }
            _ => Ok(()),
        }
    }

    /// The primary instance's lists of the others: of those that belong together, and of those that commands may be asked
    /// to look at.
    fn update_directories(&self, one: &One, all: &Instances, becomes_alternate: bool) -> Result<(), Fatal> {
        let mut settings = vec![format!("multi_instance_directories = {}", all.directories())];
        let known = self.primary.view.get(p::alternate_config_directories, &mut Vec::new());
        let is_known = known.contains(&one.config_directory);
        if is_known != becomes_alternate {
            let others = known.into_iter().filter(|name| *name != one.config_directory);
            let with_it: Vec<String> =
                others.chain(becomes_alternate.then(|| one.config_directory.clone())).collect();
            settings.push(format!("alternate_config_directories = {}", with_it.join(" ")));
        }
        done(self.postconf(&self.primary.directory, &as_text(&settings))?)
    }

    fn postconf(&self, directory: &str, settings: &[&str]) -> Run {
        let mut command = Command::new(sibling::path(self.primary, "postconf"));
        command.arg("-c").arg(directory).arg("-e").args(settings);
        status_of(command)
    }

    fn postfix(&self, one: &One, word: &str) -> Run {
        let mut command = self.command(one, "postfix");
        command.arg(word);
        status_of(command)
    }

    fn command(&self, one: &One, name: &str) -> Command {
        let mut command = Command::new(sibling::path(self.primary, name));
        command.arg("-c").arg(&one.config_directory);
        command
    }
}

fn status_of(mut command: Command) -> Run {
    let status = command.status().map_err(|error| {
        Fatal::new(format!("execv {}: {}", command.get_program().to_string_lossy(), reason(&error)))
    })?;
    Ok(status.code().map_or(1, |code| code as u8))
}

/// A step that failed has said why.
fn done(status: u8) -> Result<(), Fatal> {
    match status {
        0 => Ok(()),
        _ => Err(Fatal::new("the change was given up")),
    }
}

fn write(path: &Path, text: &str) -> Result<(), Fatal> {
    fs::write(path, text).map_err(|error| Fatal::new(format!("open {}: {}", path.display(), reason(&error))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_beside_the_primary_ones() {
        for (primary, name, expect) in [
            ("/etc/postfix", Some("postfix-out"), Ok("/etc/postfix-out")),
            ("/postfix/", Some("postfix-out"), Ok("/postfix-out")),
            ("/var//postfix//", Some("postfix-out"), Ok("/var/postfix-out")),
            ("/etc/postfix", None, Err("Missing x parameter value")),
            ("etc", Some("a"), Err("Invalid default x parameter value: 'etc': specify an absolute pathname")),
        ] {
            let got = private_path("x", primary, name).map_err(|fatal| fatal.message);
            assert_eq!(got, expect.map(str::to_owned).map_err(str::to_owned), "{primary}");
        }
    }

    #[test]
    fn settings_of_a_new_one() {
        for (setting, action, expect) in [
            ("queue_directory=/q/", Action::Create, Ok(("queue_directory", "/q"))),
            ("config_directory = /c", Action::Import, Ok(("config_directory", "/c"))),
            (
                "queue_directory=/q",
                Action::Import,
                Err("Parameter 'queue_directory' not valid with action import"),
            ),
            ("x", Action::Create, Err("Malformed parameter setting 'x'")),
            (
                "data_directory=q",
                Action::Create,
                Err("Parameter setting 'data_directory' is not an absolute path"),
            ),
            (
                "data_directory=//",
                Action::Create,
                Err("Parameter setting 'data_directory' is the root directory"),
            ),
        ] {
            let got = new_setting(setting, action).map_err(|fatal| fatal.message);
            let expect = expect.map(|(name, path)| (name, path.to_owned())).map_err(str::to_owned);
            assert_eq!(got, expect, "{setting}");
        }
    }
}
