//! The Received: header (RFC 5321 4.4): how the message came here.

use super::{Incoming, Settings};
use mail::Client;
use mail::header::quote;
use std::sync::Arc;

/// How a message came, as far as the envelope does not say.
#[derive(Clone, Debug)]
pub enum Received {
    /// By SMTP, from the envelope's client.
    Smtp(Shown),
    /// Through `sendmail` and the maildrop, by this uid.
    Local { uid: u32 },
    /// Made by the mail system. Date: comes with it.
    Internal,
    /// Passed on by local delivery, with a Delivered-To: header of this value.
    Forwarded { delivered_to: Option<Vec<u8>> },
}

/// What of an SMTP session is shown.
#[derive(Clone, Debug, Default)]
pub struct Shown {
    pub is_tls: bool,
    /// `smtpd_tls_received_header`: lines that describe the TLS session, each with its leading blanks, without its end.
    pub tls: Option<Arc<[String]>>,
    /// `smtpd_sasl_authenticated_header`: the name of who logged in.
    pub login: bool,
}

/// Writes what goes before the content: prepended headers and Received:.
pub(crate) fn received_lines(settings: &Settings, message: &Incoming) -> Vec<u8> {
    let mut out = Vec::with_capacity(512);
    let mut line = |text: &[u8]| {
        out.extend_from_slice(text);
        out.extend_from_slice(b"\r\n");
    };
    message.prepend.iter().for_each(|prepended| line(prepended));
    let (id, date, name) = (message.id, &message.date, &settings.myhostname);
    let mail_name = &settings.mail_name;
    match &message.received {
        Received::Smtp(shown) => write_smtp(settings, message, shown, &mut line),
        Received::Local { uid } => {
            line(format!("Received: by {name} ({mail_name}, from userid {uid})").as_bytes());
            line(format!("\tid {id}; {date}").as_bytes());
        }
        Received::Internal => {
            line(format!("Received: by {name} ({mail_name})").as_bytes());
            line(format!("\tid {id}; {date}").as_bytes());
            line(format!("Date: {date}").as_bytes());
        }
        Received::Forwarded { delivered_to } => {
            line(format!("Received: by {name} ({mail_name})").as_bytes());
            line(format!("\tid {id}; {date}").as_bytes());
            if let Some(address) = delivered_to {
                line(&[b"Delivered-To: ", &address[..]].concat());
            }
        }
    }
    out
}

fn write_smtp(settings: &Settings, message: &Incoming, shown: &Shown, line: &mut impl FnMut(&[u8])) {
    let client = &message.envelope.client;
    let helo = if client.helo.is_empty() { &client.name } else { &client.helo };
    let tag = if client.address.contains(':') { "IPv6:" } else { "" };
    line(format!("Received: from {helo} ({} [{tag}{}])", client.name, client.address).as_bytes());
    shown.tls.iter().flat_map(|lines| lines.iter()).for_each(|text| line(text.as_bytes()));
    if shown.login && !client.sasl_username.is_empty() {
        line(format!("\t(Authenticated sender: {})", in_comment(&client.sasl_username)).as_bytes());
    }
    let protocol = protocol(client, message.envelope.smtputf8, shown.is_tls);
    let (id, date) = (message.id, &message.date);
    let by = format!("\tby {} ({}) with {protocol} id {id}", settings.myhostname, settings.mail_name);
    if let [recipient] = &message.envelope.recipients[..] {
        line(by.as_bytes());
        let address = quote(recipient.address.as_bytes());
        line(&[b"\tfor <", &address[..], b">; ", date.as_bytes()].concat());
    } else {
        line(format!("{by};").as_bytes());
        line(format!("\t{date}").as_bytes());
    }
}

/// RFC 3848: ESMTP with `S` for TLS and `A` for a login; RFC 6531 4.3: UTF8SMTP.
fn protocol(client: &Client, smtputf8: bool, has_tls: bool) -> String {
    let protocol = if smtputf8 { "UTF8SMTP" } else { &client.protocol };
    let is_esmtp = client.protocol == "ESMTP";
    let tls = if has_tls && is_esmtp { "S" } else { "" };
    let login = if !client.sasl_username.is_empty() && is_esmtp { "A" } else { "" };
    format!("{protocol}{tls}{login}")
}

/// Makes text fit to stand in a comment: printable ASCII, parentheses in pairs.
fn in_comment(text: &str) -> String {
    let mut open = 0;
    let mut clean = |byte: u8| match byte {
        b'(' => {
            open += 1;
            '('
        }
        b')' if open > 0 => {
            open -= 1;
            ')'
        }
        b')' | b'\\' => '?',
        b' '..=b'~' => char::from(byte),
        _ => '?',
    };
    let mut out: String = text.bytes().map(&mut clean).collect();
    out.extend(std::iter::repeat_n(')', open));
    out
}

#[cfg(test)]
mod tests {
    use super::super::Options;
    use super::*;
    use mail::{Envelope, QueueId, Time};

    #[test]
    fn comments() {
        for (text, expect) in [
            ("alice", "alice"),
            ("a(b", "a(b)"),
            ("a)b", "a?b"),
            ("(a)(b", "(a)(b)"),
            ("a\\b\n", "a?b?"),
            ("\u{e9}", "??"),
        ] {
            assert_eq!(in_comment(text), expect);
        }
    }

    fn header(received: Received, change: impl FnOnce(&mut Incoming, &mut Settings)) -> String {
        let mut settings = Settings::new("mail.example.com", "Postfix");
        let mut message = Incoming {
            id: QueueId::parse(b"9E1C3B4").expect("an id"),
            now: Time::from_secs(0),
            date: "DATE".to_string(),
            received,
            prepend: Vec::new(),
            full_name: None,
            envelope: Envelope {
                client: Client {
                    name: "unknown".to_string(),
                    address: "2001:db8::1".to_string(),
                    helo: "client.example".to_string(),
                    protocol: "ESMTP".to_string(),
                    ..Client::default()
                },
                ..Envelope::default()
            },
            options: Options::SMTP,
        };
        change(&mut message, &mut settings);
        String::from_utf8(received_lines(&settings, &message)).expect("ASCII")
    }

    #[test]
    fn how_it_came() {
        let tls: Arc<[String]> = Arc::new(["\t(using TLSv1.3 …)".to_string()]);
        let in_the_clear = Received::Smtp(Shown::default());
        let by_tls = Received::Smtp(Shown { is_tls: true, ..Shown::default() });
        let all = Received::Smtp(Shown { is_tls: true, tls: Some(tls), login: true });
        assert_eq!(
            header(in_the_clear, |_, _| {}),
            "Received: from client.example (unknown [IPv6:2001:db8::1])\r\n\
             \tby mail.example.com (Postfix) with ESMTP id 9E1C3B4;\r\n\tDATE\r\n"
        );
        let logged_in = |message: &mut Incoming, _: &mut Settings| {
            message.envelope.client.sasl_username = "al)ice".to_string();
            message.envelope.smtputf8 = true;
            message.prepend.push(b"X-First: 1".to_vec());
        };
        assert_eq!(
            header(all, logged_in),
            "X-First: 1\r\nReceived: from client.example (unknown [IPv6:2001:db8::1])\r\n\
             \t(using TLSv1.3 …)\r\n\t(Authenticated sender: al?ice)\r\n\
             \tby mail.example.com (Postfix) with UTF8SMTPSA id 9E1C3B4;\r\n\tDATE\r\n"
        );
        let old_client = |message: &mut Incoming, _: &mut Settings| {
            message.envelope.client.protocol = "SMTP".to_string();
            message.envelope.client.helo.clear();
        };
        assert_eq!(
            header(by_tls, old_client),
            "Received: from unknown (unknown [IPv6:2001:db8::1])\r\n\
             \tby mail.example.com (Postfix) with SMTP id 9E1C3B4;\r\n\tDATE\r\n"
        );
        assert_eq!(
            header(Received::Internal, |_, _| {}),
            "Received: by mail.example.com (Postfix)\r\n\tid 9E1C3B4; DATE\r\nDate: DATE\r\n"
        );
        assert_eq!(
            header(Received::Forwarded { delivered_to: Some(b"a@example.com".to_vec()) }, |_, _| {}),
            "Received: by mail.example.com (Postfix)\r\n\tid 9E1C3B4; DATE\r\nDelivered-To: a@example.com\r\n"
        );
    }
}
