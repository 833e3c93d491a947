//! postkick(1): sends a request to a service of the mail system over its socket.

use crate::getopt;
use crate::instance::Instance;
use crate::program::{Fatal, Program, Run, reason};
use crate::server::trigger;
use params::p;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

pub(crate) fn main(program: &Program) -> Run {
    let parsed = getopt::parse(&program.text_args(), "c:v");
    let usage = || Fatal::new(format!("usage: {} [-c config_dir] [-v] class service request", program.name));
    if let Some(complaint) = &parsed.complaint {
        program.complain(complaint);
        return Err(usage());
    }
    let [class, service, _] = &parsed.operands[..] else { return Err(usage()) };
    let directory =
        parsed.options.into_iter().rev().find_map(|(letter, value)| value.filter(|_| letter == 'c'));
    let instance = Instance::open(program, directory.as_deref())?;
    let queue_directory = instance.common(program)?.queue_directory;
    std::env::set_current_dir(&queue_directory)
        .map_err(|e| Fatal::new(format!("chdir {queue_directory}: {}", reason(&e))))?;
    let path = Path::new(class).join(service);
    let request = program.args.last().map(|arg| arg.as_bytes()).unwrap_or_default();
    if let Some(mut stream) = trigger(program, &path, request) {
        // The service closes the connection when it has read the request; what it says is for others.
        let patience = instance.view.get(p::application_event_drain_time, &mut Vec::new());
        let waiting = stream.set_read_timeout(Some(patience).filter(|limit| !limit.is_zero()));
        let _ = waiting.and_then(|()| io::copy(&mut stream.by_ref().take(1), &mut io::sink()));
        return Ok(0);
    }
    let what = format!("class {class} service {service}");
    program.warning(&format!("Cannot contact {what} - perhaps the mail system is down"));
    Ok(1)
}
