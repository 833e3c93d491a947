//! postlog(1): writes to the mail log for shell scripts.

use crate::getopt;
use crate::instance::Instance;
use crate::log;
use crate::program::{Fatal, Program, Run, reason};
use maillog::{Level, printable};
use std::io::{self, BufRead, Read};
use std::os::unix::ffi::OsStrExt;

/// Octets of a line of standard input; the rest is another line. The log cuts lines in any case.
const LINE_LIMIT: u64 = 64 << 10;

pub(crate) fn main(program: &Program) -> Run {
    let parsed = getopt::parse(&program.text_args(), "c:ip:t:v");
    let (mut level, mut tag, mut directory) = (Level::Info, None, None);
    for (letter, value) in parsed.options {
        match (letter, value) {
            ('c', value) => directory = value,
            ('p', Some(name)) => level = read_level(&name)?,
            ('t', Some(name)) => tag = Some(printable(name.as_bytes()).into_owned()),
            _ => {}
        }
    }
    if let Some(complaint) = parsed.complaint {
        program.complain(&complaint);
        return Err(Fatal::new("usage: postlog [-c config_dir] [-i] [-p priority] [-t tag] [-v] [text]"));
    }
    let instance = Instance::open(program, directory.as_deref())?;
    program.open_log(&instance.view);
    instance.common(program)?;
    let name = tag.clone().unwrap_or_else(|| program.name.clone());
    let speaker = Program::new(name, Vec::new(), 1, program.voice());
    speaker.set_log(match &tag {
        Some(tag) => log::open_as(&instance.view, tag),
        None => log::open(&instance.view, &program.name),
    });
    let words = &program.args[program.args.len() - parsed.operands.len()..];
    if !words.is_empty() {
        let text: Vec<&[u8]> = words.iter().map(|word| word.as_bytes()).collect();
        speaker.say(level, &printable(&text.join(&b' ')));
        return Ok(0);
    }
    log_lines(&speaker, level, &mut io::stdin().lock())?;
    Ok(0)
}

fn log_lines(speaker: &Program, level: Level, input: &mut impl BufRead) -> Result<(), Fatal> {
    let mut line = Vec::new();
    loop {
        line.clear();
        let read = input.take(LINE_LIMIT).read_until(b'\n', &mut line);
        if read.map_err(|e| Fatal::new(format!("read stdin: {}", reason(&e))))? == 0 {
            return Ok(());
        }
        speaker.say(level, &printable(line.strip_suffix(b"\n").unwrap_or(&line)));
    }
}

fn read_level(name: &str) -> Result<Level, Fatal> {
    match name.to_ascii_lowercase().as_str() {
        "info" => Ok(Level::Info),
        "warn" | "warning" => Ok(Level::Warning),
        "error" | "err" => Ok(Level::Error),
        "fatal" | "crit" => Ok(Level::Fatal),
        "panic" => Ok(Level::Panic),
        _ => Err(Fatal::new(format!("bad severity: \"{name}\""))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels() {
        for (name, expect) in [
            ("info", Some(Level::Info)),
            ("WARN", Some(Level::Warning)),
            ("err", Some(Level::Error)),
            ("crit", Some(Level::Fatal)),
            ("panic", Some(Level::Panic)),
            ("debug", None),
        ] {
            assert_eq!(read_level(name).ok(), expect, "{name}");
        }
        assert_eq!(read_level("x").map_err(|f| f.message), Err("bad severity: \"x\"".to_owned()));
    }
}
