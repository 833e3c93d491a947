//! A small SMTP client that shows both sides of the dialogue.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

pub(super) struct Client {
    stream: BufReader<TcpStream>,
}

impl Client {
    /// Connects as soon as the server listens, and takes its greeting.
    pub(super) fn connect(server: SocketAddr, patience: Duration) -> Result<Client, String> {
        let deadline = Instant::now() + patience;
        let stream = loop {
            match TcpStream::connect(server) {
                Ok(stream) => break stream,
                Err(e) if Instant::now() > deadline => return Err(format!("connecting to {server}: {e}")),
                Err(_) => std::thread::sleep(Duration::from_millis(20)),
            }
        };
        stream.set_read_timeout(Some(patience)).map_err(|e| e.to_string())?;
        let mut client = Client { stream: BufReader::new(stream) };
        client.reply()?;
        Ok(client)
    }

    pub(super) fn send_message(&mut self, sender: &str, recipients: &[&str]) -> Result<(), String> {
        self.command("EHLO client.example.test")?;
        self.command(&format!("MAIL FROM:<{sender}>"))?;
        for recipient in recipients {
            self.command(&format!("RCPT TO:<{recipient}>"))?;
        }
        self.command("DATA")?;
        let to = recipients.join(", ");
        let lines = [
            format!("From: <{sender}>"),
            format!("To: {to}"),
            "Subject: The first message".into(),
            String::new(),
            "Hello from Oxipost.".into(),
        ];
        for line in &lines {
            self.send(line)?;
        }
        self.command(".")?;
        self.command("QUIT")
    }

    fn command(&mut self, line: &str) -> Result<(), String> {
        self.send(line)?;
        self.reply()
    }

    fn send(&mut self, line: &str) -> Result<(), String> {
        println!("    C: {line}");
        self.stream.get_mut().write_all(format!("{line}\r\n").as_bytes()).map_err(|e| format!("sending: {e}"))
    }

    /// Shows a reply; one that is no success ends the demonstration.
    fn reply(&mut self) -> Result<(), String> {
        loop {
            let mut line = String::new();
            self.stream.read_line(&mut line).map_err(|e| format!("waiting for a reply: {e}"))?;
            println!("    S: {}", line.trim_end());
            match line.as_bytes() {
                [b'2' | b'3', _, _, b'-', ..] => {}
                [b'2' | b'3', ..] => return Ok(()),
                _ => return Err(format!("unexpected reply: {}", line.trim_end())),
            }
        }
    }
}
