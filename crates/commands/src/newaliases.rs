//! newaliases(1): builds the files that `alias_database` names, as postalias(1) does.

use crate::getopt;
use crate::instance::Instance;
use crate::postmap;
use crate::program::{Fatal, Program, Run, reason};
use params::p;

/// sysexits(3): the command was used wrongly.
const EX_USAGE: u8 = 64;

pub(crate) fn main(program: &Program) -> Run {
    // The options of sendmail(1): it is the same program there.
    let parsed = getopt::parse(&program.text_args(), "A:B:C:F:GIL:N:O:R:UV:X:b:ce:f:h:imno:p:r:q:stvx");
    if let Some(complaint) = parsed.complaint {
        program.complain(&complaint);
        return Err(Fatal::new(format!("usage: {} [options]", program.name)).with_status(EX_USAGE));
    }
    if !parsed.operands.is_empty() {
        return Err(Fatal::new("alias initialization mode requires no recipient"));
    }
    let value = |wanted: char| {
        let found = parsed.options.iter().rev().find(|(letter, _)| *letter == wanted);
        found.and_then(|(_, value)| value.clone())
    };
    let database = value('o').and_then(|text| text.strip_prefix('A').map(str::to_owned));
    let instance = Instance::open(program, value('C').as_deref())?;
    let queue_directory = instance.common(program)?.queue_directory;
    // Relative names are relative to the queue, as with all that sendmail does.
    std::env::set_current_dir(&queue_directory)
        .map_err(|error| Fatal::new(format!("chdir {queue_directory}: {}", reason(&error))))?;
    rebuild(program, &instance, database)
}

/// Builds the named databases, or those of main.cf. Messages are postalias's.
pub(crate) fn rebuild(program: &Program, instance: &Instance, database: Option<String>) -> Run {
    let mut mistakes = Vec::new();
    let databases = match database {
        Some(database) => vec![database],
        None => instance.view.get(p::alias_database, &mut mistakes),
    };
    instance.say(program, &mistakes)?;
    if databases.is_empty() {
        return Ok(0);
    }
    let postalias = Program::new("postalias".to_owned(), Vec::new(), 1, program.voice());
    postalias.open_log(&instance.view);
    Ok(postalias.run_with(|postalias| postmap::rebuild_aliases(postalias, instance, &databases)))
}
