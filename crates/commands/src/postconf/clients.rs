//! Files with a database table's settings: a setting that the table type does not have is warned of.

use crate::instance;
use crate::program::{Fatal, Program, reason};
use params::MainCf;
use params::client::CLIENT_PARAMETERS;
use std::collections::HashMap;

/// Looks into each `(type, file)`. A file that may not be read is left alone: it may have a password in it.
pub(super) fn check(program: &Program, files: &[(String, String)]) -> Result<(), Fatal> {
    for (kind, path) in files {
        match read(path) {
            Ok(bytes) => warn_of_unused(program, kind, path, &bytes)?,
            Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {}
            Err(error) => {
                program.warning(&format!("open \"{kind}\" configuration \"{path}\": {}", reason(&error)));
            }
        }
    }
    Ok(())
}

fn read(path: &str) -> std::io::Result<Vec<u8>> {
    if std::fs::metadata(path)?.is_file() {
        std::fs::read(path)
    } else {
        Err(std::io::Error::other("not a regular file"))
    }
}

fn warn_of_unused(program: &Program, kind: &str, path: &str, bytes: &[u8]) -> Result<(), Fatal> {
    let (settings, mistakes) = MainCf::parse(path, bytes);
    instance::say_all(program, &mistakes, &HashMap::from([(path.to_string(), bytes.to_vec())]))?;
    let known = CLIENT_PARAMETERS.iter().find(|(k, _)| *k == kind).map_or(&[][..], |(_, names)| names);
    for entry in settings.entries().filter(|e| !known.contains(&e.name.as_str())) {
        program.warning(&format!("{kind}:{path}: unused parameter: {}={}", entry.name, entry.value));
    }
    Ok(())
}
