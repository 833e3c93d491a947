//! postconf(1): shows and edits main.cf and master.cf. This file has the options; what they do is in the files beside it.

mod clients;
mod edit;
mod main_cf;
mod master_cf;
mod output;
mod templates;

use crate::getopt;
use crate::instance::{self, DEFAULT_DIRECTORY};
use crate::program::{Fatal, Program, Run};
use output::Output;
use params::{Config, MainCf, MasterCf, Names, View};
use std::collections::HashMap;

const OPTIONS: &str = "aAbc:C:deEfFhHjlmMno:pPqtT:vxX#";
const USAGE: &str = " [-a (server SASL types)] [-A (client SASL types)] [-b (bounce templates)] [-c config_dir] \
    [-c param_class] [-d (parameter defaults)] [-e (edit configuration)] [-f (fold lines)] [-F (master.cf fields)] \
    [-h (no names)] [-H (no values)] [-l (lock types)] [-m (map types)] [-M (master.cf)] \
    [-n (non-default parameters)] [-o name=value (override parameter value)] [-p (main.cf, default)] \
    [-P (master.cf parameters)] [-t (bounce templates)] [-T compile-version|run-version|public-key-algorithms] \
    [-v (verbose)] [-x (expand parameter values)] [-X (exclude)] [-# (comment-out)] [name...]";

/// Options that choose what is shown or edited: at most one.
const SUBJECTS: &str = "aAblmtpMFPT";
/// Options that exclude each other, apart from the subjects.
const EXCLUSIVE: [&str; 5] = ["denX#", "efX#", "exX#", "deoX#", "ehHX#"];
/// What goes with an option; in Postfix's order.
const COMPATIBLE: [(char, &str); 13] = [
    ('a', ""),
    ('A', ""),
    ('b', ""),
    ('l', ""),
    ('m', ""),
    ('T', ""),
    ('t', ""),
    ('p', "eX#fhCxdnoHj"),
    ('M', "eX#foxj"),
    ('F', "efhoxHj"),
    ('P', "eXfhoxHj"),
    ('j', "pMFPCdnox"),
    ('C', "pdnj"),
];
/// The order in which messages name options.
const NAMING: &str = "aAbCdefFhHjlmMnopPtTxX#";

/// What was asked for.
#[derive(Clone, Debug, Default)]
struct Request {
    /// The option letters given, with `p` and `e` where they are understood.
    letters: String,
    directory: Option<String>,
    /// `name=value`, not yet taken apart.
    overrides: Vec<String>,
    classes: Classes,
    tls_mode: String,
    operands: Vec<String>,
}

/// `-C`.
#[derive(Clone, Copy, Debug)]
struct Classes {
    builtin: bool,
    service: bool,
    user: bool,
}

impl Default for Classes {
    fn default() -> Classes {
        Classes { builtin: true, service: true, user: true }
    }
}

impl Request {
    fn has(&self, letter: char) -> bool {
        self.letters.contains(letter)
    }

    fn has_any(&self, letters: &str) -> bool {
        letters.chars().any(|l| self.has(l))
    }
}

pub(crate) fn main(program: &Program) -> Run {
    let request = Request::parse(program)?;
    let mut output = Output::default();
    if request.has_any("eX#") {
        edit::run(program, &request)?;
    } else if request.has('m') {
        instance::Instance::open(program, request.directory.as_deref())?.common(program)?;
        tables::known_types().iter().for_each(|name| output.line(name));
    } else if request.has('l') {
        ["flock", "fcntl", "dotlock"].iter().for_each(|name| output.line(name));
    } else if request.has('a') {
        ["cyrus", "dovecot"].iter().for_each(|name| output.line(name));
    } else if request.has('A') {
        output.line("cyrus");
    } else if request.has_any("bt") {
        return templates::show(program, &request);
    } else if request.has('T') {
        return show_tls(program, &request);
    } else if request.has_any("MFP") {
        master_cf::show(program, &request, &mut output)?;
    } else {
        main_cf::show(program, &request, &mut output)?;
    }
    Ok(0)
}

impl Request {
    fn parse(program: &Program) -> Result<Request, Fatal> {
        let parsed = getopt::parse(&program.text_args(), OPTIONS);
        if let Some(complaint) = &parsed.complaint {
            program.complain(complaint);
            return Err(Fatal::new(format!("usage: {}{USAGE}", program.name)));
        }
        let mut request = Request { operands: parsed.operands, ..Request::default() };
        for (letter, value) in parsed.options {
            request.take(letter, value.unwrap_or_default(), program)?;
        }
        request.complete();
        request.check()?;
        Ok(request)
    }

    fn take(&mut self, letter: char, value: String, program: &Program) -> Result<(), Fatal> {
        match letter {
            'c' => self.directory = Some(value),
            'C' => self.classes = Classes::parse(&value)?,
            'o' => self.overrides.push(value),
            'T' if self.has('T') => return Err(Fatal::new("At most one -T <mode> option may be specified")),
            'T' => self.tls_mode = value,
            'b' | 't' if self.has_any("bt") => return Err(Fatal::new("specify one of -b and -t")),
            'E' => return Err(Fatal::new(format!("usage: {}{USAGE}", program.name))),
            _ => {}
        }
        // -v, -q and -j go with everything.
        if !matches!(letter, 'c' | 'v') && !self.has(letter) {
            self.letters.push(letter);
        }
        Ok(())
    }

    /// Makes what is understood plain.
    fn complete(&mut self) {
        if !self.has_any(SUBJECTS) {
            self.letters.push('p');
        }
        let assigns = self.operands.first().is_some_and(|o| o.contains('='));
        if self.has_any("pMFP") && assigns && !self.has('e') {
            self.letters.push('e');
        }
    }

    fn check(&self) -> Result<(), Fatal> {
        for group in std::iter::once(SUBJECTS).chain(EXCLUSIVE) {
            let given = self.named(|l| group.contains(l));
            if given.len() > 1 {
                return Err(Fatal::new(format!("specify one of {}", given.join(" "))));
            }
        }
        for (letter, others) in COMPATIBLE.iter().filter(|(letter, _)| self.has(*letter)) {
            let excess = self.named(|l| l != *letter && !others.contains(l));
            if !excess.is_empty() {
                let excess = excess.join(" ");
                return Err(Fatal::new(format!("with option -{letter}, do not specify {excess}")));
            }
        }
        match self.has('e') && self.operands.is_empty() {
            true => Err(Fatal::new("-e requires name=value argument")),
            false => Ok(()),
        }
    }

    /// The options given that fit, as messages name them.
    fn named(&self, fits: impl Fn(char) -> bool) -> Vec<String> {
        NAMING.chars().filter(|l| self.has(*l) && fits(*l)).map(|l| format!("-{l}")).collect()
    }
}

impl Classes {
    fn parse(text: &str) -> Result<Classes, Fatal> {
        let mut classes = Classes { builtin: false, service: false, user: false };
        for word in params::word::plain_words(text) {
            match word.to_ascii_lowercase().as_str() {
                "builtin" => classes.builtin = true,
                "service" => classes.service = true,
                "user" => classes.user = true,
                "all" => classes = Classes::default(),
                _ => return Err(Fatal::new(format!("unknown -C option value \"{word}\" in \"{text}\""))),
            }
        }
        Ok(classes)
    }
}

fn parse_override(text: &str) -> Result<(&str, &str), Fatal> {
    let parsed = params::word::name_value(text);
    parsed.map_err(|why| Fatal::new(format!("invalid parameter override: {text}: {why}")))
}

/// What is read for showing, and what its names mean.
struct Files {
    view: View,
    names: Names,
    sources: HashMap<String, Vec<u8>>,
}

impl Files {
    /// With `-d` main.cf is not read. A master.cf that is not there is fatal only where it is what is shown.
    fn read(program: &Program, request: &Request, master_is_needed: bool) -> Result<Files, Fatal> {
        let named = instance::named_directory(request.directory.as_deref());
        let directory = named.clone().unwrap_or_else(|| DEFAULT_DIRECTORY.to_string());
        let mut sources = HashMap::new();
        let master_path = format!("{directory}/master.cf");
        let mut main = MainCf::default();
        let mut master = MasterCf { path: master_path.clone(), ..MasterCf::default() };
        if master_is_needed {
            master = read_master(program, &master_path, &mut sources)?;
        }
        if !request.has('d') {
            let given: Vec<_> = named.iter().map(|dir| ("config_directory", dir.as_str())).collect();
            main = read_main(program, &given, &format!("{directory}/main.cf"), &mut sources)?;
            for text in &request.overrides {
                let (name, value) = parse_override(text)?;
                main.set(name, value);
            }
        }
        if !master_is_needed {
            match read_master(program, &master_path, &mut sources) {
                Ok(read) => master = read,
                Err(fatal) if std::fs::metadata(&master_path).is_ok() => return Err(fatal),
                Err(fatal) => program.warning(&fatal.message),
            }
        }
        let mut host = instance::host_facts(&program.name, DEFAULT_DIRECTORY);
        host.config_directory = DEFAULT_DIRECTORY.to_string();
        let names = Names::new(&master);
        let view = instance::complete(View::new(Config { main, master, host }));
        Ok(Files { view, names, sources })
    }

    /// Adds what the files define themselves, and says what they use and define nowhere.
    fn add_user_defined(&mut self, program: &Program, request: &Request) -> Result<(), Fatal> {
        let said = self.names.add_user_defined(&self.view);
        self.warn(program, request, &said)?;
        clients::check(program, &self.names.client_files);
        Ok(())
    }

    fn warn_of_unused(&self, program: &Program, request: &Request, main_too: bool) -> Result<(), Fatal> {
        if main_too {
            self.warn(program, request, &self.names.unused_in_main(&self.view))?;
        }
        self.warn(program, request, &self.names.unused_in_master(&self.view))
    }

    fn warn(&self, program: &Program, request: &Request, said: &[params::Diagnostic]) -> Result<(), Fatal> {
        let wanted: Vec<_> = said.iter().filter(|d| d.is_fatal() || !request.has('q')).cloned().collect();
        instance::say_all(program, &wanted, &self.sources)
    }
}

fn read_main(
    program: &Program,
    given: &[(&str, &str)],
    path: &str,
    sources: &mut HashMap<String, Vec<u8>>,
) -> Result<MainCf, Fatal> {
    let bytes = instance::read_file(path)?;
    let (main, mistakes) = MainCf::parse_over(given, path, &bytes);
    sources.insert(path.to_string(), bytes);
    instance::say_all(program, &mistakes, sources)?;
    Ok(main)
}

fn read_master(
    program: &Program,
    path: &str,
    sources: &mut HashMap<String, Vec<u8>>,
) -> Result<MasterCf, Fatal> {
    let bytes = instance::read_file(path)?;
    let master = MasterCf::parse(path, &bytes);
    sources.insert(path.to_string(), bytes);
    let said: Vec<_> = master.mistakes.iter().filter_map(|m| m.postconf_diagnostic(path)).collect();
    instance::say_all(program, &said, sources)?;
    Ok(master)
}

/// The programs that talk TLS know: the one beside us answers.
fn show_tls(program: &Program, request: &Request) -> Run {
    let openssl = |args: &[&str]| std::process::Command::new("openssl").args(args).output().ok();
    let text = match request.tls_mode.as_str() {
        "compile-version" | "run-version" => openssl(&["version"]).map(|o| version_line(&o.stdout)),
        "public-key-algorithms" => Some("dsa\necdsa\nrsa".to_string()),
        mode => {
            program.warning(&format!("unknown 'postconf -T' mode: {mode}"));
            return Ok(1);
        }
    };
    Output::default().line(&text.unwrap_or_default());
    Ok(0)
}

/// `OpenSSL 3.0.19 27 Jan 2026 (Library: …)` without the library.
fn version_line(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    text.split(" (").next().unwrap_or_default().trim().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(args: &[&str]) -> Result<String, String> {
        let args = args.iter().map(|a| a.into()).collect();
        let parsed = Request::parse(&Program::new("postconf".into(), args, 1, crate::program::Voice::Stderr));
        parsed.map(|r| r.letters).map_err(|f| f.message)
    }

    #[test]
    fn options() {
        for (args, expect) in [
            (&[][..], Ok("p")),
            (&["-n"], Ok("np")),
            (&["a=b"], Ok("pe")),
            (&["-Mf"], Ok("Mf")),
            (&["-hx", "-c", "/x", "name"], Ok("hxp")),
            (&["-F", "a/b/c=d"], Ok("Fe")),
            (&["-n", "-d"], Err("specify one of -d -n")),
            (&["-M", "-n"], Err("with option -M, do not specify -n")),
            (&["-b", "-t"], Err("specify one of -b and -t")),
            (&["-X", "=x"], Err("specify one of -e -X")),
            (&["-#", "a=b"], Err("specify one of -e -#")),
            (&["-a", "-M"], Err("specify one of -a -M")),
            (&["-e"], Err("-e requires name=value argument")),
            (&["-C", "foo"], Err("unknown -C option value \"foo\" in \"foo\"")),
            (&["-hH"], Err("specify one of -h -H")),
            (&["-P#", "a/b/c"], Err("with option -P, do not specify -#")),
        ] {
            assert_eq!(check(args), expect.map(str::to_string).map_err(str::to_string), "{args:?}");
        }
    }

    #[test]
    fn versions() {
        let text = b"OpenSSL 3.0.19 27 Jan 2026 (Library: OpenSSL 3.0.19 27 Jan 2026)\n";
        assert_eq!(version_line(text), "OpenSSL 3.0.19 27 Jan 2026");
    }
}
