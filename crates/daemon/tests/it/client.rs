//! An SMTP client that says one line at a time.

use std::io::{self, BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

pub(crate) struct Client {
    stream: BufReader<TcpStream>,
}

impl Client {
    pub(crate) fn connect(server: SocketAddr) -> io::Result<Client> {
        let stream = TcpStream::connect(server)?;
        stream.set_read_timeout(Some(Duration::from_secs(20)))?;
        let mut client = Client { stream: BufReader::new(stream) };
        client.reply()?;
        Ok(client)
    }

    /// Says a line and takes the last line of the reply.
    pub(crate) fn say(&mut self, line: &str) -> io::Result<String> {
        self.stream.get_mut().write_all(format!("{line}\r\n").as_bytes())?;
        self.reply()
    }

    /// Sends one message; the reply to its end.
    pub(crate) fn send(&mut self, sender: &str, recipient: &str, content: &str) -> io::Result<String> {
        for line in [&format!("MAIL FROM:<{sender}>"), &format!("RCPT TO:<{recipient}>"), "DATA"] {
            let reply = self.say(line)?;
            if !reply.starts_with(['2', '3']) {
                return Ok(reply);
            }
        }
        self.say(&format!("{content}\r\n."))
    }

    fn reply(&mut self) -> io::Result<String> {
        loop {
            let mut line = String::new();
            if self.stream.read_line(&mut line)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            if line.as_bytes().get(3) != Some(&b'-') {
                return Ok(line.trim_end().to_owned());
            }
        }
    }
}
