//! What a delivery process is for: how the worker asks for one, and how the parent passes that on.

use mail::Address;
use sys::fields::{BadMessage, Reader, Writer};

/// What a delivery process is for. Everything in it is a question to the configuration, never an answer: no path is opened, no
/// command run and no uid taken because it stands here.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Task {
    /// A user's mail: mailbox, `.forward`, what that names, `mailbox_command`.
    User { service: String, user: String },
    /// What one entry of an alias table names: files and commands. `includes` leads on to a list that the entry names, a list
    /// that this one names, and so on; then it is what the last list names.
    Alias { service: String, table: String, name: Vec<u8>, includes: Vec<Vec<u8>> },
    /// Virtual mailboxes of whoever this recipient's belongs to.
    Virtual { service: String, recipient: Address },
    /// pipe(8)'s command.
    Pipe { service: String },
}

/// Lists that lead to one another, at most.
const INCLUDE_LIMIT: u64 = 100;

const USER: u8 = 1;
const ALIAS: u8 = 2;
const VIRTUAL: u8 = 3;
const PIPE: u8 = 4;

impl Task {
    /// The `name/type` of master.cf whose delivery it is.
    pub fn service(&self) -> &str {
        match self {
            Task::User { service, .. }
            | Task::Alias { service, .. }
            | Task::Virtual { service, .. }
            | Task::Pipe { service } => service,
        }
    }

    /// The program that service has to be.
    pub fn program(&self) -> &'static str {
        match self {
            Task::User { .. } | Task::Alias { .. } => "local",
            Task::Virtual { .. } => "virtual",
            Task::Pipe { .. } => "pipe",
        }
    }

    pub fn encode(&self) -> Vec<u8> {
        match self {
            Task::User { service, user } => {
                Writer::tagged(USER).bytes(service.as_bytes()).bytes(user.as_bytes()).finish()
            }
            Task::Alias { service, table, name, includes } => {
                let message = Writer::tagged(ALIAS)
                    .bytes(service.as_bytes())
                    .bytes(table.as_bytes())
                    .bytes(name)
                    .number(includes.len() as u64);
                includes.iter().fold(message, |message, path| message.bytes(path)).finish()
            }
            Task::Virtual { service, recipient } => {
                Writer::tagged(VIRTUAL).bytes(service.as_bytes()).bytes(recipient.as_bytes()).finish()
            }
            Task::Pipe { service } => Writer::tagged(PIPE).bytes(service.as_bytes()).finish(),
        }
    }

    /// Whatever comes, this gives a task or an error.
    pub fn decode(message: &[u8]) -> Result<Task, BadMessage> {
        let (tag, mut fields) = Reader::open(message)?;
        let service = fields.text()?;
        let task = match tag {
            USER => Task::User { service, user: fields.text()? },
            ALIAS => Task::Alias {
                service,
                table: fields.text()?,
                name: fields.bytes()?.to_vec(),
                includes: decode_includes(&mut fields)?,
            },
            VIRTUAL => Task::Virtual { service, recipient: fields.bytes()?.into() },
            PIPE => Task::Pipe { service },
            _ => return Err(BadMessage("an unknown task")),
        };
        fields.end()?;
        Ok(task)
    }
}

fn decode_includes(fields: &mut Reader<'_>) -> Result<Vec<Vec<u8>>, BadMessage> {
    match fields.number()? {
        n if n <= INCLUDE_LIMIT => (0..n).map(|_| Ok(fields.bytes()?.to_vec())).collect(),
        _ => Err(BadMessage("too many lists")),
    }
}

/// For logs of the parent.
impl std::fmt::Display for Task {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        match self {
            Task::User { service, user } => write!(f, "{service}: user {user}"),
            Task::Alias { service, table, name, includes } => {
                write!(f, "{service}: {} of {table}", text(name))?;
                includes.iter().try_for_each(|path| write!(f, ", :include:{}", text(path)))
            }
            Task::Virtual { service, recipient } => write!(f, "{service}: mailbox of {recipient}"),
            Task::Pipe { service } => f.write_str(service),
        }
    }
}

/// For the fuzz target of that name.
pub fn fuzz_task(data: &[u8]) {
    if let Ok(task) = Task::decode(data) {
        assert_eq!(Task::decode(&task.encode()), Ok(task));
    }
}

#[cfg(test)]
pub(super) fn examples() -> Vec<Task> {
    vec![
        Task::User { service: "local/unix".into(), user: "alice".into() },
        Task::Alias {
            service: "local/unix".into(),
            table: "hash:/etc/aliases".into(),
            name: b"a list".to_vec(),
            includes: vec![b"/etc/mail/list".to_vec(), b"/x".to_vec()],
        },
        Task::Virtual { service: "virtual/unix".into(), recipient: "a@b".into() },
        Task::Pipe { service: "maildrop/unix".into() },
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_task_comes_back_and_nothing_else_is_one() {
        for task in examples() {
            let message = task.encode();
            assert_eq!(Task::decode(&message), Ok(task.clone()));
            assert!((0..message.len()).all(|cut| Task::decode(&message[..cut]).is_err()), "{task}");
            assert!(Task::decode(&[&message[..], b"x"].concat()).is_err());
        }
        assert!(Task::decode(&[99, 0, 0, 0, 0]).is_err());
    }

    proptest::proptest! {
        #[test]
        fn any_octets(data: Vec<u8>) {
            fuzz_task(&data);
        }
    }
}
