//! What `postfix check` and the other commands say before they do anything, as Postfix's script does by calling other programs:
//! first what postconf(1) has to say of the files, then what is ours.

use super::{Site, restrictions};
use crate::postconf;
use crate::program::{Fatal, Program, Voice};
use params::Severity;
use std::io::IsTerminal;
use std::path::Path;

/// A part of Postfix's script in which it calls other programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// Whatever the command is.
    Beginning,
    /// Missing folders are made.
    Folders,
    /// Whether there is a log is asked, and the queue is looked through.
    Queue,
    /// Owners and permissions are looked at.
    Owners,
}

/// A program that is called, and says what is wrong with the files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Call {
    /// `postconf -dh NAME`, which reads master.cf only.
    Default,
    /// `postconf -h NAME`.
    Value,
    Postsuper,
}

impl Stage {
    /// The calls in their order. Scripts that count lines see as many as from Postfix.
    fn calls(self) -> Vec<Call> {
        let both = [Call::Default, Call::Value];
        match self {
            Stage::Beginning | Stage::Owners => both.to_vec(),
            Stage::Folders => [both.repeat(3), vec![Call::Value; 14]].concat(),
            Stage::Queue => vec![Call::Value, Call::Postsuper],
        }
    }
}

impl Site<'_> {
    /// `postfix check`.
    pub(super) fn check(&self) -> Result<(), Fatal> {
        self.check_fatal()?;
        self.check_warn()?;
        self.tell(Severity::Advice)
    }

    /// What makes a start impossible.
    pub(super) fn check_fatal(&self) -> Result<(), Fatal> {
        self.hear(Stage::Folders)?;
        self.make_folders()?;
        let master_cf = Path::new(&self.config_directory).join("master.cf");
        if !master_cf.is_file() {
            return Err(Fatal::new(format!("no {} file found", master_cf.display())));
        }
        self.hear(Stage::Queue)
    }

    /// What is as nobody should want it.
    pub(super) fn check_warn(&self) -> Result<(), Fatal> {
        self.hear(Stage::Owners)?;
        self.warn_of_owners();
        Ok(())
    }

    /// Tells what else is wrong with the configuration, from that severity on. Notes are for terminals only.
    pub(super) fn tell(&self, least: Severity) -> Result<(), Fatal> {
        let view = &self.instance.view;
        let mut found = params::check::findings(view);
        found.extend(restrictions::findings(view));
        found.extend(instance::check::findings(view));
        found.retain(|diagnostic| diagnostic.severity >= least);
        self.instance.say_every(self.program, &found)
    }

    /// What the programs that are called in a stage say. A terminal is told everything once.
    pub(super) fn hear(&self, stage: Stage) -> Result<(), Fatal> {
        let calls = match (std::io::stderr().is_terminal(), stage) {
            (false, _) => stage.calls(),
            (true, Stage::Beginning) => vec![Call::Value],
            (true, _) => Vec::new(),
        };
        calls.into_iter().try_for_each(|call| self.call(call, stage))
    }

    fn call(&self, call: Call, stage: Stage) -> Result<(), Fatal> {
        let postconf = self.command_directory.join("postconf").display().to_string();
        let speak = |defaults: bool| {
            let program = Program::new(postconf.clone(), Vec::new(), 1, Voice::Stderr);
            let status = program
                .run_with(|p| postconf::speak_of_files(p, &self.config_directory, defaults).map(|()| 0));
            status == 0
        };
        match call {
            Call::Default if !speak(true) => Err(Fatal::new(format!("cannot execute {postconf}!"))),
            Call::Value if speak(false) => Ok(()),
            // Only the call without main.cf, which a terminal is spared, stops at a bad master.cf.
            Call::Value if self.master_cf_is_bad() => Err(Fatal::new(format!("cannot execute {postconf}!"))),
            // Postfix: at its beginning the script goes on without the value.
            Call::Value if !matches!(stage, Stage::Beginning | Stage::Owners) => {
                Err(Fatal::new("unable to create missing queue directories"))
            }
            Call::Postsuper => self.call_postsuper(),
            _ => Ok(()),
        }
    }

    /// Whether postconf(1) cannot read it.
    fn master_cf_is_bad(&self) -> bool {
        let master = &self.instance.view.config().master;
        let said = master.mistakes.iter().filter_map(|mistake| mistake.postconf_diagnostic(&master.path));
        said.into_iter().any(|diagnostic| diagnostic.is_fatal())
    }

    pub(super) fn call_postsuper(&self) -> Result<(), Fatal> {
        let postsuper = Program::new("postsuper".to_owned(), Vec::new(), 1, Voice::StderrAndLog);
        postsuper.open_log(&self.instance.view);
        self.instance.say_form(&postsuper)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Postfix 3.7.11: `postfix check` with an unused parameter and a line of master.cf that continues nothing.
    #[test]
    fn as_often_as_postfix() {
        let stages = [Stage::Beginning, Stage::Folders, Stage::Queue, Stage::Owners];
        let letters: String = stages
            .iter()
            .flat_map(|stage| stage.calls())
            .map(|call| match call {
                Call::Default => 'd',
                Call::Value => 'v',
                Call::Postsuper => 's',
            })
            .collect();
        assert_eq!(letters, "dvdvdvdvvvvvvvvvvvvvvvvsdv");
    }
}
