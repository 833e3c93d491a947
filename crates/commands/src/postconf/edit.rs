//! Editing main.cf and master.cf: the new content is written beside the file, synced, and put in its place.

use super::Request;
use super::master_cf::check_field;
use crate::instance;
use crate::program::{Fatal, Program, reason};
use nix::fcntl::{Flock, FlockArg};
use params::edit::{EditMode, edit_main};
use params::line::is_space;
use params::master_cf::FIELDS;
use params::master_edit::{MasterAction, MasterEdit, ServicePattern, edit_master};
use params::word::{BLANKS, name_value};
use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};

pub(super) fn run(program: &Program, request: &Request) -> Result<(), Fatal> {
    if request.operands.is_empty() {
        return Err(Fatal::new("missing service argument"));
    }
    let directory = instance::directory(request.directory.as_deref());
    if request.has_any("MFP") {
        let edits =
            request.operands.iter().map(|o| master_request(request, o)).collect::<Result<Vec<_>, _>>()?;
        let path = format!("{directory}/master.cf");
        let replacement = Replacement::open(&path)?;
        let (bytes, warnings) = edit_master(&path, &replacement.old, &edits).map_err(Fatal::new)?;
        warnings.iter().for_each(|w| program.report(w, None));
        return replacement.write(&bytes);
    }
    let (mode, requests) = main_requests(program, request)?;
    let path = format!("{directory}/main.cf");
    let replacement = Replacement::open(&path)?;
    let (bytes, warnings) = edit_main(&path, &replacement.old, mode, &requests);
    warnings.iter().for_each(|w| program.report(w, None));
    replacement.write(&bytes)
}

type MainRequests = (EditMode, Vec<(String, String)>);

fn main_requests(program: &Program, request: &Request) -> Result<MainRequests, Fatal> {
    let mode = match () {
        _ if request.has('e') => EditMode::Set,
        _ if request.has('#') => EditMode::CommentOut,
        _ => EditMode::Remove,
    };
    let mut requests: Vec<(String, String)> = Vec::new();
    for operand in &request.operands {
        let (name, value) = main_request(mode, operand)?;
        if let Some(at) = requests.iter().position(|(n, _)| *n == name) {
            let (name, value) = requests.remove(at);
            if mode == EditMode::Set {
                program.warning(&format!("ignoring earlier request: '{name} = {value}'"));
            }
        }
        requests.push((name, value));
    }
    Ok((mode, requests))
}

fn main_request(mode: EditMode, operand: &str) -> Result<(String, String), Fatal> {
    let text = one_line(
        operand,
        "-e, -X, or -# accepts no multi-line input",
        "-e, -X, or -# accepts no comment input",
    )?;
    if mode == EditMode::Set {
        let (name, value) = name_value(text).map_err(|why| Fatal::new(format!("{why}: \"{text}\"")))?;
        return Ok((name.to_string(), value.to_string()));
    }
    // Postfix: a blank at the end is part of the name.
    match text {
        "" => Err(Fatal::new("-X or -# requires non-blank parameter names")),
        name if name.contains('=') => Err(Fatal::new("-X or -# requires parameter names without value")),
        name => Ok((name.to_string(), String::new())),
    }
}

fn one_line<'a>(operand: &'a str, on_lines: &str, on_comment: &str) -> Result<&'a str, Fatal> {
    let text = operand.trim_start_matches(is_space);
    match () {
        _ if operand.contains('\n') => Err(Fatal::new(on_lines)),
        _ if text.starts_with('#') => Err(Fatal::new(on_comment)),
        _ => Ok(text),
    }
}

fn master_request(request: &Request, operand: &str) -> Result<MasterEdit, Fatal> {
    let options = "-Me, -Fe, -Pe, -X, or -#";
    let on_lines = format!("{options} accept no multi-line input");
    let text = one_line(operand, &on_lines, &format!("{options} accept no comment input"))?;
    let (pattern, value) = match request.has('e') {
        true => name_value(text).map_err(|why| Fatal::new(format!("{why}: \"{operand}\"")))?,
        false if text.contains('=') => return Err(Fatal::new("-X or -# requires names without value")),
        false => (text.trim_end_matches(is_space), ""),
    };
    let (parts, form) = match () {
        _ if request.has('M') => (2, "-Me, -MX or -M# requires service_name/type"),
        _ if request.has('F') => (3, "-Fe or -FX requires service_name/type/field_name"),
        _ => (3, "-Pe or -PX requires service_name/type/parameter"),
    };
    let parts = ServicePattern::split(pattern, parts, parts).ok_or_else(|| Fatal::new(form))?;
    let action = action(request, parts.get(2).map_or("", String::as_str), value)?;
    let pattern = ServicePattern { name: parts[0].clone(), kind: parts[1].clone() };
    Ok(MasterEdit { pattern, action, raw: operand.to_string() })
}

fn action(request: &Request, part: &str, value: &str) -> Result<MasterAction, Fatal> {
    let has_blanks = value.contains(|c| BLANKS.contains(c));
    match () {
        _ if request.has('M') && request.has('e') => Ok(MasterAction::Replace(value.to_string())),
        _ if request.has('M') && request.has('#') => Ok(MasterAction::CommentOut),
        _ if request.has('M') => Ok(MasterAction::Remove),
        _ if request.has('F') => {
            let no_wildcard = || Fatal::new("-Fe does not accept wild-card field name");
            let field = check_field(part)?.ok_or_else(no_wildcard)?;
            if field < FIELDS - 1 && has_blanks {
                return Err(Fatal::new("-Fe does not accept whitespace in non-command field"));
            }
            Ok(MasterAction::SetField(field, value.to_string()))
        }
        _ if part == "*" => Err(Fatal::new("-Pe does not accept wild-card parameter name")),
        _ if has_blanks => Err(Fatal::new("-Pe does not accept whitespace in parameter value")),
        _ if request.has('e') => Ok(MasterAction::SetParameter(part.to_string(), value.to_string())),
        _ => Ok(MasterAction::RemoveParameter(part.to_string())),
    }
}

/// A file that is about to be replaced. Its temporary neighbour is locked, so that edits come one after the other.
struct Replacement {
    path: String,
    old: Vec<u8>,
    new: Option<Flock<File>>,
}

impl Replacement {
    fn open(path: &str) -> Result<Replacement, Fatal> {
        let new = open_locked(&temporary(path))
            .map_err(|error| Fatal::new(format!("open {}: {}", temporary(path), reason(&error))))?;
        // Read behind the lock: another edit may just have been made.
        match std::fs::read(path) {
            Ok(old) => Ok(Replacement { path: path.to_string(), old, new: Some(new) }),
            Err(error) => {
                let _ = std::fs::remove_file(temporary(path));
                let doing = match error.kind() {
                    ErrorKind::IsADirectory => format!("read {path}"),
                    _ => format!("open {path} for reading"),
                };
                Err(Fatal::new(format!("{doing}: {}", reason(&error))))
            }
        }
    }

    fn write(mut self, bytes: &[u8]) -> Result<(), Fatal> {
        let temporary = temporary(&self.path);
        let Some(mut new) = self.new.take() else {
            return Ok(());
        };
        let written = new
            .write_all(bytes)
            .and_then(|()| new.set_permissions(std::fs::Permissions::from_mode(0o644)))
            .and_then(|()| new.sync_all())
            .and_then(|()| std::fs::rename(&temporary, &self.path));
        written.map_err(|error| {
            let _ = std::fs::remove_file(&temporary);
            Fatal::new(format!("close {temporary}: {}", reason(&error)))
        })
    }
}

/// An edit that is given up leaves no file behind.
impl Drop for Replacement {
    fn drop(&mut self) {
        if self.new.is_some() {
            let _ = std::fs::remove_file(temporary(&self.path));
        }
    }
}

fn temporary(path: &str) -> String {
    format!("{path}.tmp")
}

/// Opens the temporary file under its lock, empty. Whoever had the lock may have renamed the file in the meantime.
fn open_locked(path: &str) -> std::io::Result<Flock<File>> {
    loop {
        let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path)?;
        let locked =
            Flock::lock(file, FlockArg::LockExclusive).map_err(|(_, errno)| std::io::Error::from(errno))?;
        let opened = locked.metadata()?;
        let is_still_there =
            std::fs::metadata(path).is_ok_and(|now| (now.dev(), now.ino()) == (opened.dev(), opened.ino()));
        if is_still_there {
            locked.set_len(0)?;
            return Ok(locked);
        }
    }
}
