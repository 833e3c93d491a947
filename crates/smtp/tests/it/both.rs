//! Client and server session with each other: what is sent is what arrives.

use super::client::block_on;
use bytes::{Bytes, BytesMut};
use mail::{Address, Encoding, Notify, Ret};
use smtp::client::{Client, Lost, Message, Protocol, Rcpt, Stage, Wire};
use smtp::server::{Config, Event, Mail, Peer, Session};

/// A server in which everybody is welcome, at the other end of the wire.
struct Welcome {
    session: Session,
    mail: Option<Mail>,
    recipients: Vec<Address>,
    content: Vec<u8>,
    delivered: Vec<(Mail, Vec<Address>, Vec<u8>)>,
}

impl Wire for Welcome {
    async fn send(&mut self, octets: &[u8], _: Stage) -> Result<(), Lost> {
        let mut input = octets;
        loop {
            match self.session.poll_event(&mut input) {
                Event::Input | Event::Close => return Ok(()),
                Event::Mail(mail) => {
                    self.mail = Some(mail);
                    self.session.accept();
                }
                Event::Rcpt(rcpt) => {
                    self.recipients.push(rcpt.recipient);
                    self.session.accept();
                }
                Event::Body(piece) => self.content.extend_from_slice(piece),
                Event::BodyEnd => {
                    let (recipients, content) =
                        (std::mem::take(&mut self.recipients), std::mem::take(&mut self.content));
                    self.delivered.push((self.mail.take().unwrap(), recipients, content));
                    self.session.queued("4Xyz");
                }
                Event::Notice(notice) => panic!("{notice:?}"),
                Event::Reset => {}
                _ => self.session.accept(),
            }
        }
    }

    async fn flush(&mut self, _: Stage) -> Result<(), Lost> {
        Ok(())
    }

    async fn pause(&mut self) {}

    async fn receive(&mut self, input: &mut BytesMut, stage: Stage) -> Result<(), Lost> {
        // the greeting is due before anything is said
        self.send(b"", stage).await?;
        let before = input.len();
        while let Some(reply) = self.session.poll_output() {
            input.extend_from_slice(reply.to_wire().as_bytes());
        }
        assert!(input.len() > before, "{stage:?}: there is no reply");
        Ok(())
    }
}

fn connect() -> Client<Welcome> {
    let session = Session::new(Config::default().into(), Peer::default(), false);
    let wire =
        Welcome { session, mail: None, recipients: Vec::new(), content: Vec::new(), delivered: Vec::new() };
    let mut client = Client::new(wire, Protocol::Smtp, Default::default(), Default::default());
    block_on(client.greet()).unwrap();
    block_on(client.hello()).unwrap();
    client
}

proptest::proptest! {
    #[test]
    fn what_is_sent_arrives(
        local in "[!-?A-~ ]{1,20}",
        recipients in proptest::collection::vec("[!-?A-~ ]{1,12}", 1..5),
        lines in proptest::collection::vec("[.a-z\u{e9} ]{0,20}", 0..10),
        size in 0u64..1000,
        chunk in 1usize..30,
    ) {
        let mut client = connect();
        let content: String = lines.iter().map(|line| format!("{line}\r\n")).collect();
        let sender = Address::from_parts(local.as_bytes(), b"a.example");
        let recipients: Vec<Rcpt> = recipients
            .iter()
            .map(|local| Address::from_parts(local.as_bytes(), b"b.example"))
            .map(|address| Rcpt { address, orcpt: None, notify: Notify::SUCCESS.with(Notify::DELAY) })
            .collect();
        let envid = Bytes::from("a+2Bb");
        let message = Message {
            body: Encoding::EightBitMime,
            smtputf8: true,
            requires_smtputf8: true,
            ret: Some(Ret::Headers),
            envid: Some(&envid),
            ..Message::new(&sender, &recipients, size)
        };
        let mut accepted = 0;
        for _ in 0..2 {
            let mut chunks = content.as_bytes().chunks(chunk).map(|chunk| Ok(Bytes::copy_from_slice(chunk)));
            let mut report = |_, result: Result<_, _>| accepted += usize::from(result.is_ok());
            block_on(client.deliver(&message, &mut chunks, &mut report)).unwrap();
        }
        proptest::prop_assert_eq!(accepted, 2 * recipients.len());
        let expect = Mail {
            sender: sender.clone(),
            size,
            encoding: Encoding::EightBitMime,
            smtputf8: true,
            ret: Some(Ret::Headers),
            envid: Some(envid.clone()),
            ..Mail::default()
        };
        let addresses: Vec<Address> = recipients.iter().map(|rcpt| rcpt.address.clone()).collect();
        let delivered = (expect, addresses, content.into_bytes());
        proptest::prop_assert_eq!(&client.wire().delivered, &[delivered.clone(), delivered]);
    }
}
