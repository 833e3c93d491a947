//! A provider's submission server: STARTTLS, AUTH PLAIN and LOGIN, and it keeps what it is given.
//!
//! A thread for each session; enough to relay to in a demonstration and in end-to-end tests.

use crate::Certificate;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use openssl::ssl::{SslAcceptor, SslMethod, SslStream};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// What the provider asks of its clients.
#[derive(Clone)]
pub struct Settings {
    pub name: String,
    /// The login: user and password.
    pub login: (String, String),
    pub certificate: Certificate,
}

/// A message that the provider took.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taken {
    pub sender: String,
    pub recipients: Vec<String>,
    /// As sent, dots unstuffed, lines ended by LF.
    pub content: Vec<u8>,
    /// The user that had logged in.
    pub user: String,
    pub over_tls: bool,
}

/// A running provider. It stops when the process does.
pub struct Provider {
    pub address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    settings: Settings,
    acceptor: SslAcceptor,
    taken: Mutex<Vec<Taken>>,
    arrived: Condvar,
}

impl Provider {
    /// Listens on a loopback port.
    pub fn start(settings: Settings) -> io::Result<Provider> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let mut acceptor = SslAcceptor::mozilla_intermediate_v5(SslMethod::tls())?;
        acceptor.set_certificate(&settings.certificate.certificate)?;
        acceptor.set_private_key(&settings.certificate.key)?;
        let shared = Arc::new(Shared {
            settings,
            acceptor: acceptor.build(),
            taken: Mutex::default(),
            arrived: Condvar::new(),
        });
        let serving = shared.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let shared = serving.clone();
                // A client that breaks off ends its own session only.
                std::thread::spawn(move || Session::new(&shared, stream).and_then(|mut s| s.run()));
            }
        });
        Ok(Provider { address, shared })
    }

    /// The messages so far, once there are `count` of them; None if that takes longer than `patience`.
    pub fn wait_for(&self, count: usize, patience: Duration) -> Option<Vec<Taken>> {
        let deadline = Instant::now() + patience;
        let mut taken = self.shared.taken.lock().unwrap_or_else(PoisonError::into_inner);
        while taken.len() < count {
            let left = deadline.checked_duration_since(Instant::now())?;
            taken = self.shared.arrived.wait_timeout(taken, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        Some(taken.clone())
    }
}

enum Stream {
    Plain(TcpStream),
    Tls(Box<SslStream<TcpStream>>),
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Stream::Plain(s) => s.read(buffer),
            Stream::Tls(s) => s.read(buffer),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        match self {
            Stream::Plain(s) => s.write(buffer),
            Stream::Tls(s) => s.write(buffer),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Stream::Plain(s) => s.flush(),
            Stream::Tls(s) => s.flush(),
        }
    }
}

struct Session<'a> {
    shared: &'a Shared,
    plain: TcpStream,
    stream: BufReader<Stream>,
    over_tls: bool,
    user: Option<String>,
    sender: String,
    recipients: Vec<String>,
}

impl<'a> Session<'a> {
    fn new(shared: &'a Shared, plain: TcpStream) -> io::Result<Session<'a>> {
        plain.set_read_timeout(Some(Duration::from_secs(60)))?;
        Ok(Session {
            shared,
            stream: BufReader::new(Stream::Plain(plain.try_clone()?)),
            plain,
            over_tls: false,
            user: None,
            sender: String::new(),
            recipients: Vec::new(),
        })
    }

    fn run(&mut self) -> io::Result<()> {
        let name = self.shared.settings.name.clone();
        self.say(&format!("220 {name} ESMTP"))?;
        loop {
            let line = self.line()?;
            let (verb, argument) = line.split_once(' ').unwrap_or((&line, ""));
            match verb.to_ascii_uppercase().as_str() {
                "EHLO" => self.say(&self.features())?,
                "HELO" => self.say(&format!("250 {name}"))?,
                "STARTTLS" if !self.over_tls => self.start_tls()?,
                "AUTH" if self.over_tls => self.authenticate(argument)?,
                "MAIL" if self.user.is_none() => self.say("530 5.7.0 Authentication required")?,
                "MAIL" => {
                    self.sender = path_of(argument);
                    self.recipients.clear();
                    self.say("250 2.1.0 Ok")?;
                }
                "RCPT" => {
                    self.recipients.push(path_of(argument));
                    self.say("250 2.1.5 Ok")?;
                }
                "DATA" if !self.recipients.is_empty() => self.take_message()?,
                "RSET" | "NOOP" => self.say("250 2.0.0 Ok")?,
                "QUIT" => return self.say("221 2.0.0 Bye"),
                _ => self.say("502 5.5.2 Error: command not recognized")?,
            }
        }
    }

    fn features(&self) -> String {
        let login = if self.over_tls { "250-AUTH PLAIN LOGIN\r\n" } else { "250-STARTTLS\r\n" };
        let name = &self.shared.settings.name;
        format!(
            "250-{name}\r\n250-PIPELINING\r\n250-SIZE 52428800\r\n{login}250-ENHANCEDSTATUSCODES\r\n250 8BITMIME"
        )
    }

    fn start_tls(&mut self) -> io::Result<()> {
        self.say("220 2.0.0 Ready to start TLS")?;
        let tls = self.shared.acceptor.accept(self.plain.try_clone()?).map_err(io::Error::other)?;
        self.stream = BufReader::new(Stream::Tls(Box::new(tls)));
        self.over_tls = true;
        Ok(())
    }

    fn authenticate(&mut self, argument: &str) -> io::Result<()> {
        let (mechanism, initial) = argument.split_once(' ').unwrap_or((argument, ""));
        let given = match mechanism.to_ascii_uppercase().as_str() {
            "PLAIN" => {
                let response = if initial.is_empty() { self.challenge("")? } else { decode(initial) };
                let mut parts = response.split('\0').skip(1).map(str::to_owned);
                (parts.next().unwrap_or_default(), parts.next().unwrap_or_default())
            }
            "LOGIN" => {
                let user = if initial.is_empty() { self.challenge("Username:")? } else { decode(initial) };
                (user, self.challenge("Password:")?)
            }
            _ => return self.say("504 5.5.4 Mechanism not supported"),
        };
        if given == self.shared.settings.login {
            self.user = Some(given.0);
            self.say("235 2.7.0 Authentication successful")
        } else {
            self.say("535 5.7.8 Error: authentication failed")
        }
    }

    fn challenge(&mut self, text: &str) -> io::Result<String> {
        self.say(&format!("334 {}", STANDARD.encode(text)))?;
        Ok(decode(&self.line()?))
    }

    fn take_message(&mut self) -> io::Result<()> {
        self.say("354 End data with <CR><LF>.<CR><LF>")?;
        let mut content = Vec::new();
        loop {
            let line = self.raw_line()?;
            if line == b".\r\n" {
                break;
            }
            let line = line.strip_prefix(b".").unwrap_or(&line);
            content.extend_from_slice(line.strip_suffix(b"\r\n").unwrap_or(line));
            content.push(b'\n');
        }
        let taken = Taken {
            sender: std::mem::take(&mut self.sender),
            recipients: std::mem::take(&mut self.recipients),
            content,
            user: self.user.clone().unwrap_or_default(),
            over_tls: self.over_tls,
        };
        let mut all = self.shared.taken.lock().unwrap_or_else(PoisonError::into_inner);
        all.push(taken);
        let number = all.len();
        drop(all);
        self.shared.arrived.notify_all();
        self.say(&format!("250 2.0.0 Ok: taken as {number}"))
    }

    fn say(&mut self, text: &str) -> io::Result<()> {
        self.stream.get_mut().write_all(format!("{text}\r\n").as_bytes())
    }

    fn line(&mut self) -> io::Result<String> {
        let line = self.raw_line()?;
        Ok(String::from_utf8_lossy(&line).trim_end().to_owned())
    }

    fn raw_line(&mut self) -> io::Result<Vec<u8>> {
        let mut line = Vec::new();
        // Tests send no longer lines.
        self.stream.by_ref().take(1 << 20).read_until(b'\n', &mut line)?;
        if line.is_empty() { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(line) }
    }
}

/// `FROM:<a@b> SIZE=1` → `a@b`.
fn path_of(argument: &str) -> String {
    let inner = argument.split_once('<').and_then(|(_, rest)| rest.split_once('>'));
    inner.map_or("", |(path, _)| path).to_owned()
}

fn decode(text: &str) -> String {
    STANDARD.decode(text).map(|raw| String::from_utf8_lossy(&raw).into_owned()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use openssl::ssl::{SslConnector, SslVerifyMode};

    #[test]
    fn a_login_over_tls_and_a_message() {
        let certificate = Certificate::self_signed("relay.test").expect("a certificate");
        let login = ("user".to_owned(), "pass:word".to_owned());
        let provider =
            Provider::start(Settings { name: "relay.test".into(), login, certificate }).expect("a port");

        let plain = TcpStream::connect(provider.address).expect("listening");
        let mut reader = BufReader::new(plain.try_clone().expect("a stream"));
        let mut reply = || {
            let mut line = String::new();
            while reader.read_line(&mut line).expect("a reply") > 0
                && line.lines().last().is_some_and(|l| l.as_bytes()[3] == b'-')
            {}
            line
        };
        assert!(reply().starts_with("220 "));
        (&plain).write_all(b"EHLO me\r\nMAIL FROM:<a@b>\r\nSTARTTLS\r\n").expect("sent");
        assert!(reply().contains("STARTTLS"));
        assert!(reply().starts_with("530 "));
        assert!(reply().starts_with("220 "));

        let mut connector = SslConnector::builder(SslMethod::tls()).expect("a connector");
        connector.set_verify(SslVerifyMode::NONE);
        let mut tls = connector.build().connect("relay.test", plain).expect("a handshake");
        let plain_login = STANDARD.encode("\0user\0pass:word");
        let script = format!(
            "EHLO me\r\nAUTH PLAIN {plain_login}\r\nMAIL FROM:<a@b> SIZE=3\r\nRCPT TO:<c@d>\r\nDATA\r\nhi\r\n..\r\n.\r\nQUIT\r\n"
        );
        tls.write_all(script.as_bytes()).expect("sent");
        let mut replies = String::new();
        // The provider closes without a TLS closure, as many do.
        let _ = tls.read_to_string(&mut replies);
        assert!(replies.contains("235 2.7.0") && replies.contains("250 2.0.0 Ok: taken as 1"), "{replies}");

        let taken = provider.wait_for(1, Duration::from_secs(5)).expect("taken");
        let expect = Taken {
            sender: "a@b".into(),
            recipients: vec!["c@d".into()],
            content: b"hi\n.\n".to_vec(),
            user: "user".into(),
            over_tls: true,
        };
        assert_eq!(taken, [expect]);
        assert_eq!(provider.wait_for(2, Duration::from_millis(1)), None);
    }
}
