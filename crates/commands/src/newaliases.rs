//! What newaliases(1) does, which is one of sendmail's names: builds the files that `alias_database` names, as postalias(1)
//! does.

use crate::instance::Instance;
use crate::postmap;
use crate::program::{Program, Run};
use params::p;

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
