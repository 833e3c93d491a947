//! postmulti(1): several instances of the mail system on one host, each with a configuration of its own.

mod instances;
mod manage;

use crate::getopt;
use crate::instance::Instance;
use crate::program::{Fatal, Program, Run};
use crate::sibling;
use instances::{Instances, One, Selection};
use params::p;
use std::process::Command;

/// What is to be done with the instances.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    List,
    /// `-p`: postfix(1) for each.
    Postfix,
    /// `-x`: any command for each.
    Run,
    Edit(manage::Action),
}

/// The command line.
#[derive(Debug, Default)]
struct Options {
    mode: Option<Mode>,
    selection: Option<Selection>,
    is_reversed: bool,
    is_json: bool,
    /// `-I` and `-G`; empty to clear.
    name: Option<String>,
    group: Option<String>,
    operands: Vec<String>,
}

pub(crate) fn main(program: &Program) -> Run {
    let instance = Instance::open(program, None)?;
    program.set_log(crate::log::open_as(&instance.view, &program.name));
    let default = crate::instance::DEFAULT_DIRECTORY;
    if let Some(other) = crate::instance::named_directory(None).filter(|named| named != default) {
        return Err(Fatal::new(format!("Non-default configuration directory: MAIL_CONFIG={other}")));
    }
    let options = Options::read(program)?;
    let mode = options.mode.ok_or_else(|| Fatal::new(NO_MODE))?;
    match mode {
        Mode::Edit(action) => manage::run(program, &instance, action, &options),
        _ => iterate(program, &instance, mode, &options),
    }
}

const NO_MODE: &str = "Specify exactly one of '-e', '-l', '-p', '-x'";

impl Options {
    fn read(program: &Program) -> Result<Options, Fatal> {
        let parsed = getopt::parse(&program.text_args(), "ae:g:i:jG:I:lpRvx");
        if let Some(complaint) = parsed.complaint {
            program.complain(&complaint);
            return Err(Fatal::new(usage(&program.name)));
        }
        let mut options = Options { operands: parsed.operands, ..Options::default() };
        let (mut modes, mut selections) = (0, 0);
        for (letter, value) in parsed.options {
            let value = value.unwrap_or_default();
            let cleared = || if value == "-" { String::new() } else { value.clone() };
            match letter {
                'a' => {
                    selections += u32::from(options.selection.replace(Selection::All) != Some(Selection::All))
                }
                'g' | 'i' => {
                    selections += 1;
                    let select = if letter == 'g' { Selection::Group } else { Selection::Name };
                    options.selection = Some(select(value));
                }
                'e' => {
                    let action =
                        manage::Action::parse(&value).ok_or_else(|| Fatal::new(bad_action(&value)))?;
                    modes += options.set_mode(Mode::Edit(action));
                }
                'l' => modes += options.set_mode(Mode::List),
                'p' => modes += options.set_mode(Mode::Postfix),
                'x' => modes += options.set_mode(Mode::Run),
                'j' => options.is_json = true,
                'R' => options.is_reversed = !options.is_reversed,
                'G' if options.group.is_some() => return Err(Fatal::new("Specify at most one '-G' option")),
                'I' if options.name.is_some() => return Err(Fatal::new("Specify at most one '-I' option")),
                'G' => options.group = Some(cleared()),
                'I' => options.name = Some(cleared()),
                _ => {}
            }
        }
        options.check(modes, selections)?;
        Ok(options)
    }

    /// 1 if that is another mode than before.
    fn set_mode(&mut self, mode: Mode) -> u32 {
        u32::from(self.mode.replace(mode) != Some(mode))
    }

    fn check(&self, modes: u32, selections: u32) -> Result<(), Fatal> {
        use manage::Action::{Assign, Create, Import};
        let fail = |text: &str| Err(Fatal::new(text));
        if selections > 1 {
            // Postfix's spelling.
            return fail("Specity no more than one of '-a', '-g', '-i'");
        }
        let Some(mode) = self.mode.filter(|_| modes == 1) else { return fail(NO_MODE) };
        match mode {
            Mode::List if !self.operands.is_empty() => return fail("Command not allowed with '-l'"),
            Mode::Postfix | Mode::Run if self.operands.is_empty() => {
                return fail("Command required with '-p' or '-x' option");
            }
            Mode::Postfix | Mode::Edit(_) if self.is_reversed => {
                return fail("The '-p' and '-e' options preclude the use of '-R'");
            }
            _ => {}
        }
        let assigns = self.name.is_some() || self.group.is_some();
        match mode {
            Mode::Edit(Create | Import) => {}
            Mode::Edit(Assign) if !assigns => {
                return fail("Specify new instance name or group with '-e assign'");
            }
            Mode::Edit(action) if assigns && action != Assign => {
                return fail(&format!("Cannot assign instance name or group with '-e {}'", action.name()));
            }
            Mode::Edit(action) if !self.operands.is_empty() => {
                return fail(&format!("Parameter overrides not valid with '-e {}'", action.name()));
            }
            Mode::Edit(_) => {}
            _ if assigns => return fail("Cannot assign instance name or group without '-e assign'"),
            _ => {}
        }
        if self.is_json && mode != Mode::List {
            return fail("JSON output available only with '-l'");
        }
        Ok(())
    }
}

fn usage(name: &str) -> String {
    format!(
        "Usage:{name} -l [-v] [-a] [-g group] [-i instance] | {name} -p [-v] [-a] [-g group] [-i instance] command... | \
         {name} -x [-v] [-a] [-i name] [-g group] command... | {name} -e action [-v] [-a] [-i name] [-g group] \
         [-I name] [-G group] [param=value ...]"
    )
}

fn bad_action(word: &str) -> String {
    let mut names: Vec<String> = manage::ACTIONS.iter().map(|(name, _)| format!("'{name}'")).collect();
    let last = names.pop().unwrap_or_default();
    format!("Invalid '-e' edit action '{word}'. Specify {} or {last}", names.join(", "))
}

fn iterate(program: &Program, instance: &Instance, mode: Mode, options: &Options) -> Run {
    let all = Instances::load(program, instance)?;
    let selection = options.selection.clone().unwrap_or(Selection::All);
    if mode == Mode::List {
        let listed = all.ordered(options.is_reversed).filter(|one| one.matches(&selection));
        listed.for_each(|one| println!("{}", if options.is_json { one.json() } else { one.line() }));
        return Ok(0);
    }
    let course =
        if mode == Mode::Postfix { Course::of(instance, &options.operands[0]) } else { Course::default() };
    let mut status = None;
    for one in all.ordered(options.is_reversed || course.is_reversed) {
        if course.skips_disabled && !one.is_enabled || !one.matches(&selection) {
            continue;
        }
        let mut command = match mode {
            Mode::Postfix => postfix(instance, one, &options.operands, course.only_checks_disabled),
            _ => any(instance, one, &options.operands),
        };
        let ended = command.status().map_err(|error| {
            let name = command.get_program().to_string_lossy().into_owned();
            Fatal::new(format!("execvp {name}: {}", crate::program::reason(&error)))
        });
        let is_well = match ended {
            Ok(ended) => ended.success(),
            Err(fatal) => {
                program.say(maillog::Level::Fatal, &fatal.message);
                false
            }
        };
        status = Some(status.unwrap_or(0) | u8::from(!is_well));
    }
    status.ok_or_else(|| Fatal::new("No matching instances"))
}

/// In which order a postfix(1) command goes round, and whom it leaves out (`multi_instance_start_commands` and its kin).
#[derive(Clone, Copy, Debug, Default)]
struct Course {
    is_reversed: bool,
    skips_disabled: bool,
    /// Instances that are disabled are checked instead.
    only_checks_disabled: bool,
}

impl Course {
    fn of(instance: &Instance, command: &str) -> Course {
        let mut mistakes = Vec::new();
        let view = &instance.view;
        let has = |words: Vec<String>| words.iter().any(|word| word == command);
        if has(view.get(p::postmulti_start_commands, &mut mistakes)) {
            Course { only_checks_disabled: true, ..Course::default() }
        } else if has(view.get(p::postmulti_stop_commands, &mut mistakes)) {
            Course { is_reversed: true, skips_disabled: true, ..Course::default() }
        } else {
            let skips_disabled = has(view.get(p::postmulti_control_commands, &mut mistakes));
            Course { skips_disabled, ..Course::default() }
        }
    }
}

fn postfix(instance: &Instance, one: &One, operands: &[String], only_checks_disabled: bool) -> Command {
    let mut command = Command::new(sibling::path(instance, "postfix"));
    command.env("MAIL_CONFIG", &one.config_directory).arg("--");
    let is_check = only_checks_disabled && !one.is_enabled;
    command.arg(if is_check { "check" } else { &operands[0] }).args(&operands[1..]);
    command
}

fn any(instance: &Instance, one: &One, operands: &[String]) -> Command {
    let mut mistakes = Vec::new();
    let command_directory = instance.view.get(p::command_directory, &mut mistakes);
    let path = std::env::var("PATH").ok().filter(|path| !path.is_empty());
    let path = format!("{command_directory}:{}", path.as_deref().unwrap_or("/bin:/usr/bin:/sbin:/usr/sbin"));
    let mut command = Command::new(&operands[0]);
    command
        .args(&operands[1..])
        .env("MAIL_CONFIG", &one.config_directory)
        .env("daemon_directory", instance.view.get(p::daemon_directory, &mut mistakes))
        .env("command_directory", command_directory)
        .env("config_directory", &one.config_directory)
        .env("queue_directory", &one.queue_directory)
        .env("data_directory", &one.data_directory)
        .env("multi_instance_name", one.name.as_deref().unwrap_or_default())
        .env("multi_instance_group", one.group.as_deref().unwrap_or_default())
        .env("multi_instance_enable", if one.is_enabled { "yes" } else { "no" })
        .env("PATH", path);
    command
}
