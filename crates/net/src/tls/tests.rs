//! Client and server against each other, over sockets in memory. The lines were compared with Debian's Postfix.

use super::*;
use crate::testing::{Identity, KeyKind};
use crate::{Socket, Stream};
use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

const LIMIT: Duration = Duration::from_secs(10);
const ADDRESS: &str = "192.0.2.1";

fn quiet(warning: String) {
    panic!("{warning}");
}

fn silent(_: Level, line: String) {
    panic!("{line}");
}

/// Certificates in a folder: an authority, a server of each kind, a client, and some that are not in order.
struct World {
    folder: tempfile::TempDir,
    authority: Identity,
}

impl World {
    fn new() -> World {
        let folder = tempfile::tempdir().unwrap();
        let authority = Identity::self_signed("Test CA", KeyKind::Ec);
        for (identity, name) in [
            (authority.issue("mx.example", KeyKind::Ec), "ec"),
            (authority.issue("mx.example", KeyKind::Rsa), "rsa"),
            (authority.issue("mx.example", KeyKind::Ed25519), "ed25519"),
            (authority.issue_expired("mx.example"), "expired"),
            (authority.issue("client.example", KeyKind::Rsa), "client"),
            (Identity::self_signed("mx.example", KeyKind::Ec), "self"),
            (Identity::self_signed("Other CA", KeyKind::Ec).issue("mx.example", KeyKind::Ec), "stranger"),
        ] {
            identity.write(folder.path(), name);
        }
        authority.write(folder.path(), "ca");
        World { folder, authority }
    }

    fn files(&self, name: &str) -> CertificateFiles {
        let path = |name: String| self.folder.path().join(name);
        let pair = CertificatePair {
            kind: "RSA",
            certificate: path(format!("{name}.pem")),
            key: path(format!("{name}.key")),
        };
        CertificateFiles { pairs: vec![pair], ..CertificateFiles::none() }
    }

    /// A file with a certificate and the authority's behind it.
    fn chain(&self, name: &str) -> std::path::PathBuf {
        let path = |name: &str| self.folder.path().join(name);
        let pem = [path(&format!("{name}.pem")), path("ca.pem")].map(|part| std::fs::read(part).unwrap());
        std::fs::write(path("chain.pem"), pem.concat()).unwrap();
        path("chain.pem")
    }

    fn trusting(&self) -> CertificateFiles {
        CertificateFiles { ca_file: Some(self.folder.path().join("ca.pem")), ..CertificateFiles::none() }
    }

    fn server(&self, certificate: &str, change: impl FnOnce(&mut ServerSettings)) -> ServerTls {
        let files = if certificate == "none" { CertificateFiles::none() } else { self.files(certificate) };
        let mut settings = ServerSettings {
            files,
            common: CommonOptions::default(),
            protocols: ">=TLSv1".parse().unwrap(),
            ciphers: CipherLists::default().with("medium", &[]).unwrap(),
            preempt_cipherlist: false,
            dh_param_file: None,
            ask_ccert: false,
            req_ccert: false,
            ccert_verifydepth: 9,
            session_cache: false,
            session_tickets: true,
            fingerprint_digest: "sha256".into(),
        };
        change(&mut settings);
        ServerTls::new(settings, None, quiet).unwrap()
    }

    fn client(&self, files: CertificateFiles) -> ClientTls {
        let settings = ClientSettings {
            files,
            common: CommonOptions::default(),
            scert_verifydepth: 9,
            session_cache: Some(Duration::from_secs(3600)),
            fingerprint_digest: "sha256".into(),
            dane_digests: DaneDigests::parse(&["sha512".into(), "sha256".into()], quiet),
        };
        ClientTls::new(settings).unwrap()
    }
}

fn policy(level: ClientLevel) -> ClientPolicy {
    ClientPolicy {
        level,
        protocols: ">=TLSv1".parse().unwrap(),
        ciphers: ClientPolicy::ciphers(&CipherLists::default(), level, "medium", &[]).unwrap(),
        grade: "medium".into(),
        servername: None,
        cert_match: vec!["hostname".into()],
        tlsa: vec![],
    }
}

fn protocols(mut policy: ClientPolicy, protocols: &str) -> ClientPolicy {
    policy.protocols = protocols.parse().unwrap();
    policy
}

fn identity() -> ServerIdentity<'static> {
    let address: IpAddr = ADDRESS.parse().unwrap();
    ServerIdentity { nexthop: "example", host: "MX.example", address: Some(address), port: 25 }
}

fn streams() -> (Stream, Stream) {
    let (near, far) = UnixStream::pair().unwrap();
    (near.into(), far.into())
}

type Side = Result<(Stream, TlsSummary), TlsError>;

/// Both sides of a handshake. The server says something, so that the client reads once and takes its ticket.
async fn shake(client: &ClientTls, policy: &ClientPolicy, server: &ServerTls) -> (Side, Side) {
    let (near, far) = streams();
    let (mut near, mut far) = tokio::join!(
        client.connect(near, identity(), policy, LIMIT, quiet),
        server.accept(far, "Client.Example[192.0.2.2]", LIMIT, silent)
    );
    if let (Ok((near, _)), Ok((far, _))) = (&mut near, &mut far) {
        far.write(b"250 ok\r\n").await.unwrap();
        far.flush().await.unwrap();
        near.fill().await.unwrap();
        assert_eq!(&near.input()[..], b"250 ok\r\n");
        near.input().clear();
    }
    (near, far)
}

async fn lines(client: &ClientTls, policy: &ClientPolicy, server: &ServerTls) -> [String; 2] {
    let line = |side: Side| match side {
        Ok((_, summary)) => summary.to_string(),
        Err(error) => error.log_lines().iter().map(|(_, line)| line.clone()).collect::<Vec<_>>().join("\n"),
    };
    let (near, far) = shake(client, policy, server).await;
    [line(near), line(far)]
}

const TO: &str = "TLS connection established to mx.example[192.0.2.1]:25:";
const FROM: &str = "TLS connection established from client.example[192.0.2.2]:";
const TLS13: &str = "TLSv1.3 with cipher TLS_AES_256_GCM_SHA384 (256/256 bits)";

#[tokio::test]
async fn lines_of_every_key_kind() {
    let world = World::new();
    let client = world.client(CertificateFiles::none());
    let may = || policy(ClientLevel::May);
    let p256 = |s: &mut ServerSettings| s.common.eecdh_auto_curves = "prime256v1".into();
    let tls12 = |s: &mut ServerSettings| s.protocols = "TLSv1.2".parse().unwrap();
    for (certificate, change, policy, to, from, what) in [
        (
            "ec",
            &(|_: &mut ServerSettings| ()) as &dyn Fn(&mut ServerSettings),
            may(),
            "Untrusted",
            "Anonymous",
            format!("{TLS13} key-exchange X25519 server-signature ECDSA (prime256v1) server-digest SHA256"),
        ),
        (
            "rsa",
            &p256,
            may(),
            "Untrusted",
            "Anonymous",
            format!(
                "{TLS13} key-exchange ECDHE (prime256v1) server-signature RSA-PSS (2048 bits) server-digest SHA256"
            ),
        ),
        (
            "ed25519",
            &|_| (),
            may(),
            "Untrusted",
            "Anonymous",
            format!("{TLS13} key-exchange X25519 server-signature ED25519"),
        ),
        // Postfix: below TLS 1.3 servers need not show a certificate that nobody looks at
        (
            "rsa",
            &tls12,
            may(),
            "Anonymous",
            "Anonymous",
            "TLSv1.2 with cipher ADH-AES256-GCM-SHA384 (256/256 bits)".into(),
        ),
        (
            "none",
            &|_| (),
            may(),
            "Anonymous",
            "Anonymous",
            "TLSv1.2 with cipher ADH-AES256-GCM-SHA384 (256/256 bits)".into(),
        ),
        (
            "rsa",
            &tls12,
            ClientPolicy { ciphers: CipherLists::default().with("high", &["aNULL"]).unwrap(), ..may() },
            "Untrusted",
            "Anonymous",
            "TLSv1.2 with cipher ECDHE-RSA-AES256-GCM-SHA384 (256/256 bits)".into(),
        ),
        (
            "rsa",
            &|s| s.protocols = "<=TLSv1".parse().unwrap(),
            ClientPolicy { ciphers: CipherLists::default().with("high", &["aNULL"]).unwrap(), ..may() },
            "Untrusted",
            "Anonymous",
            "TLSv1 with cipher ECDHE-RSA-AES256-SHA (256/256 bits)".into(),
        ),
    ] {
        let server = world.server(certificate, change);
        let expect = [format!("{to} {TO} {what}"), format!("{from} {FROM} {what}")];
        assert_eq!(lines(&client, &policy, &server).await, expect, "{certificate}");
    }
}

#[tokio::test]
async fn how_much_a_certificate_is_worth() {
    let world = World::new();
    let trusting = world.client(world.trusting());
    let blind = world.client(CertificateFiles::none());
    let secure = |names: &[&str]| ClientPolicy {
        cert_match: names.iter().map(|name| name.to_string()).collect(),
        ..policy(ClientLevel::Secure)
    };
    let verify = || policy(ClientLevel::Verify);
    let failed = "certificate verification failed for mx.example[192.0.2.1]:25";
    use Certificate::{Trusted, Untrusted, Verified};
    for (client, certificate, policy, expect, failure) in [
        (&trusting, "ec", policy(ClientLevel::May), Trusted, None),
        (&trusting, "ec", policy(ClientLevel::Encrypt), Trusted, None),
        (&trusting, "ec", verify(), Verified, None),
        (&trusting, "ec", secure(&["other.example", ".example"]), Verified, None),
        (&trusting, "ec", secure(&["dot-nexthop"]), Verified, None),
        (&trusting, "ec", secure(&["nexthop"]), Untrusted, Some("server ! num=62:hostname mismatch")),
        (&trusting, "ec", secure(&[ADDRESS]), Untrusted, Some("server ! num=64:IP address mismatch")),
        (&trusting, "expired", verify(), Untrusted, Some("server ! certificate has expired")),
        (&trusting, "self", verify(), Untrusted, Some("! self-signed certificate")),
        (&trusting, "stranger", verify(), Untrusted, Some("! untrusted issuer /CN=Other CA")),
        (&blind, "ec", verify(), Untrusted, Some("! untrusted issuer /CN=Test CA")),
    ] {
        let server = world.server(certificate, |_| ());
        let (near, _far) = shake(client, &policy, &server).await;
        let summary = near.unwrap().1;
        let failure = failure.map(|failure| match failure.split_once('!') {
            Some((before, after)) => format!("{before}{failed}:{after}"),
            None => failure.to_string(),
        });
        assert_eq!(
            (summary.certificate, summary.verify_failure),
            (expect, failure),
            "{certificate} {policy:?}"
        );
    }
}

#[tokio::test]
async fn fingerprints_match_certificate_or_key() {
    let world = World::new();
    let client = world.client(CertificateFiles::none());
    let server = world.server("self", |_| ());
    let seen = shake(&client, &policy(ClientLevel::May), &server).await.0.unwrap().1;
    assert_eq!((seen.certificate_fingerprint.len(), seen.peer_name.as_str()), (95, "mx.example"));
    for (listed, expect) in [
        (seen.certificate_fingerprint.to_lowercase(), Certificate::Verified),
        (seen.public_key_fingerprint.clone(), Certificate::Verified),
        (seen.certificate_fingerprint.replace(':', ""), Certificate::Verified),
        ("ab".repeat(32), Certificate::Untrusted),
    ] {
        let tlsa = Tlsa::of_fingerprint(&parse_fingerprint(&listed).unwrap()).to_vec();
        let policy = ClientPolicy { tlsa, ..policy(ClientLevel::Fingerprint) };
        assert_eq!(shake(&client, &policy, &server).await.0.unwrap().1.certificate, expect);
    }
}

/// What is wanted, as records, and what comes of it: the certificate's worth, whether it matched, and what is said.
#[tokio::test]
async fn records_decide() {
    let world = World::new();
    let client = world.client(CertificateFiles::none());
    let server = world.server("ec", |s| s.files.pairs[0].certificate = world.chain("ec"));
    let seen = shake(&client, &policy(ClientLevel::May), &server).await.0.unwrap().1;
    let own = parse_fingerprint(&seen.certificate_fingerprint).unwrap();
    let key = parse_fingerprint(&seen.public_key_fingerprint).unwrap();
    let authority = openssl::sha::sha256(&world.authority.certificate.to_der().unwrap()).to_vec();
    let record =
        |usage, selector, matching, data: &[u8]| Tlsa { usage, selector, matching, data: data.to_vec() };
    use Certificate::{Untrusted, Verified};
    use ClientLevel::{Dane, DaneOnly, HalfDane, Secure};
    let failed = "server certificate verification failed for mx.example[192.0.2.1]:25: num=65:no matching DANE TLSA records";
    for (level, name, tlsa, expect, is_matched, said) in [
        (Dane, "mx.example", record(3, 0, 1, &own), Verified, true, ""),
        (Dane, "mx.example", record(3, 1, 1, &key), Verified, true, ""),
        (Dane, "other.example", record(3, 1, 1, &key), Verified, true, ""),
        (Dane, "mx.example", record(2, 0, 1, &authority), Verified, true, ""),
        (Dane, "other.example", record(2, 0, 1, &authority), Untrusted, false, "num=62:hostname mismatch"),
        (DaneOnly, "mx.example", record(2, 0, 1, &authority), Verified, true, ""),
        (HalfDane, "mx.example", record(3, 1, 1, &key), Certificate::Trusted, true, ""),
        (Dane, "mx.example", record(3, 1, 1, &own), Untrusted, false, failed),
        (
            Dane,
            "mx.example",
            record(3, 1, 7, &own),
            Untrusted,
            false,
            ": all TLSA records unusable, fallback to",
        ),
        (DaneOnly, "mx.example", record(3, 1, 7, &own), Untrusted, false, "num=1:unspecified"),
        (
            Secure,
            "mx.example",
            record(2, 0, 0, &world.authority.certificate.to_der().unwrap()),
            Verified,
            true,
            "",
        ),
        (Secure, ".", record(2, 0, 1, &authority), Untrusted, false, "could not configure peer name checks"),
    ] {
        let policy = ClientPolicy { tlsa: vec![tlsa], cert_match: vec![name.into()], ..policy(level) };
        let said_here = Mutex::new(String::new());
        let warn = |warning: String| *said_here.lock().unwrap() += &(warning + "\n");
        let (near, far) = streams();
        let (near, _) = tokio::join!(
            client.connect(near, identity(), &policy, LIMIT, warn),
            server.accept(far, "client", LIMIT, silent)
        );
        let summary = near.unwrap().1;
        let said_here = said_here.into_inner().unwrap() + &summary.verify_failure.unwrap_or_default();
        assert_eq!((summary.certificate, summary.is_matched), (expect, is_matched), "{policy:?} {said_here}");
        assert!(said_here.contains(said), "{policy:?}: {said_here}");
    }
}

#[tokio::test]
async fn client_certificates() {
    let world = World::new();
    let asking = |s: &mut ServerSettings| {
        s.files.ca_file = Some(world.folder.path().join("ca.pem"));
        s.ask_ccert = true;
    };
    let trusting = world.server("ec", asking);
    let blind = world.server("ec", |s| s.ask_ccert = true);
    let known = world.client(world.files("client"));
    let nobody = world.client(CertificateFiles::none());
    for (client, server, line, comment) in [
        (&known, &trusting, "Trusted", "\t(Client CN \"client.example\", Issuer \"Test CA\" (verified OK))"),
        (&known, &blind, "Untrusted", "\t(Client CN \"client.example\", Issuer \"Test CA\" (not verified))"),
        (&nobody, &trusting, "Anonymous", "\t(Client did not present a certificate)"),
    ] {
        let (near, far) = shake(client, &policy(ClientLevel::May), server).await;
        let summary = far.unwrap().1;
        let signed = if line == "Anonymous" {
            ""
        } else {
            " client-signature RSA-PSS (2048 bits) client-digest SHA256"
        };
        let what = format!(
            "{TLS13} key-exchange X25519 server-signature ECDSA (prime256v1) server-digest SHA256{signed}"
        );
        assert_eq!(summary.to_string(), format!("{line} {FROM} {what}"));
        assert_eq!(summary.received_comment(true).last().unwrap(), comment);
        assert_eq!(near.unwrap().1.to_string(), format!("Untrusted {TO} {what}"));
    }
}

#[tokio::test]
async fn sessions_are_resumed() {
    let world = World::new();
    let policy12 = || ClientPolicy {
        ciphers: CipherLists::default().with("high", &["aNULL"]).unwrap(),
        ..protocols(policy(ClientLevel::May), "TLSv1.2")
    };
    for (change, policy, resumes) in [
        (&(|_: &mut ServerSettings| ()) as &dyn Fn(&mut ServerSettings), policy(ClientLevel::May), true),
        (&|_| (), policy12(), true),
        (&|s| s.session_tickets = false, policy(ClientLevel::May), false),
        (&|s| s.session_tickets = false, policy12(), false),
        (&|s| (s.session_tickets, s.session_cache) = (false, true), policy(ClientLevel::May), true),
        (&|s| (s.session_tickets, s.session_cache) = (false, true), policy12(), true),
    ] {
        let (client, server) = (world.client(CertificateFiles::none()), world.server("ec", change));
        let mut resumed = Vec::new();
        for _ in 0..3 {
            let (near, far) = shake(&client, &policy, &server).await;
            let ((near, near_summary), (far, far_summary)) = (near.unwrap(), far.unwrap());
            assert_eq!(near_summary.is_resumed, far_summary.is_resumed);
            resumed.push(near_summary.is_resumed);
            // OpenSSL's own cache forgets sessions that were cut
            far.close().await.unwrap();
            drop(near);
        }
        assert_eq!(resumed, [false, resumes, resumes], "{policy:?}");
    }
}

/// Postfix logs no digest then.
#[tokio::test]
async fn the_line_of_a_resumed_session() {
    let world = World::new();
    let (client, server) = (world.client(world.trusting()), world.server("rsa", |_| ()));
    let policy = policy(ClientLevel::Verify);
    lines(&client, &policy, &server).await;
    let what = format!("{TLS13} key-exchange X25519 server-signature RSA-PSS (2048 bits)");
    let expect = [format!("Verified {TO} {what}"), format!("Anonymous {FROM} {what}")];
    assert_eq!(lines(&client, &policy, &server).await, expect);
    // what was agreed on for one host is not what another policy would have agreed on
    let other = ClientPolicy { cert_match: vec!["other.example".into()], ..policy };
    let summary = shake(&client, &other, &server).await.0.unwrap().1;
    assert_eq!((summary.certificate, summary.is_resumed), (Certificate::Untrusted, false));
}

#[tokio::test]
async fn without_a_common_protocol() {
    let world = World::new();
    let client = world.client(CertificateFiles::none());
    let server = world.server("ec", |s| s.protocols = ">=TLSv1.3".parse().unwrap());
    let (near, far) = shake(&client, &protocols(policy(ClientLevel::Encrypt), "TLSv1.2"), &server).await;
    let (near, far) = (near.unwrap_err(), far.unwrap_err());
    assert_eq!(near.to_string(), "Cannot start TLS: handshake failure");
    for (error, first, second) in [
        (
            near,
            "SSL_connect error to MX.example[192.0.2.1]:25: -1",
            "error:0A00042E:SSL routines::tlsv1 alert protocol version:",
        ),
        (
            far,
            "SSL_accept error from Client.Example[192.0.2.2]: -1",
            "error:0A000102:SSL routines::unsupported protocol:",
        ),
    ] {
        let lines = error.log_lines();
        assert_eq!(lines[0], (Level::Info, first.to_string()));
        assert_eq!(lines[1].0, Level::Warning);
        assert!(lines[1].1.starts_with(&format!("TLS library problem: {second}")), "{}", lines[1].1);
    }
}

#[tokio::test]
async fn peers_that_do_not_shake_hands() {
    let world = World::new();
    let client = world.client(CertificateFiles::none());
    let head = "SSL_connect error to MX.example[192.0.2.1]:25:";
    for (case, expect) in [
        ("close", format!("{head} lost connection")),
        ("silence", format!("{head} Connection timed out")),
        (
            "junk",
            format!("{head} -1\nTLS library problem: error:0A00010B:SSL routines::wrong version number:"),
        ),
        (
            "alert",
            format!(
                "{head} -1\nTLS library problem: error:0A000410:SSL routines::sslv3 alert handshake failure:"
            ),
        ),
    ] {
        let (near, far) = UnixStream::pair().unwrap();
        let peer = async {
            let mut far = far;
            let mut hello = [0; 4096];
            assert!(far.read(&mut hello).await.unwrap() > 0);
            match case {
                "close" => drop(far),
                "junk" => far.write_all(b"HELLO THIS IS NOT TLS AT ALL\r\n").await.unwrap(),
                "alert" => far.write_all(&[21, 3, 3, 0, 2, 2, 40]).await.unwrap(),
                _ => std::future::pending().await,
            }
        };
        let limit = if case == "silence" { Duration::from_millis(50) } else { LIMIT };
        let may = policy(ClientLevel::May);
        let connecting = client.connect(near.into(), identity(), &may, limit, quiet);
        let error = tokio::select! {
            result = connecting => result.unwrap_err(),
            () = async { peer.await; std::future::pending().await } => unreachable!(),
        };
        let lines: Vec<String> = error.log_lines().into_iter().map(|(_, line)| line).collect();
        assert!(lines.join("\n").starts_with(&expect), "{case}: {lines:?}");
    }
}

#[tokio::test]
async fn what_is_sent_before_the_handshake_is_not_heard() {
    let world = World::new();
    let (client, server) = (world.client(CertificateFiles::none()), world.server("ec", |_| ()));
    let (mut near, mut far) = streams();
    // a client that pipelines behind STARTTLS, and a server that injects a reply
    near.write(b"STARTTLS\r\nMAIL FROM:<x>\r\n").await.unwrap();
    near.flush().await.unwrap();
    far.write(b"220 go\r\n250 injected\r\n").await.unwrap();
    far.flush().await.unwrap();
    near.fill().await.unwrap();
    far.fill().await.unwrap();
    let may = policy(ClientLevel::May);
    let (near, far) = tokio::join!(
        client.connect(near, identity(), &may, LIMIT, quiet),
        server.accept(far, "client.example[192.0.2.2]", LIMIT, silent)
    );
    let (mut near, mut far) = (near.unwrap().0, far.unwrap().0);
    assert!(near.input().is_empty() && far.input().is_empty());
    near.write(b"EHLO x\r\n").await.unwrap();
    near.flush().await.unwrap();
    far.fill().await.unwrap();
    assert_eq!(&far.input()[..], b"EHLO x\r\n");
    far.write(b"250 x\r\n").await.unwrap();
    far.flush().await.unwrap();
    near.fill().await.unwrap();
    assert_eq!(&near.input()[..], b"250 x\r\n");
    near.input().clear();
    assert!(near.is_tls() && near.is_quiet());
    // and there is no second layer
    let error = server.accept(far, "client.example[192.0.2.2]", LIMIT, silent).await.unwrap_err();
    assert_eq!(error.log_lines(), [(Level::Warning, "TLS is active already".to_string())]);
}

#[tokio::test]
async fn much_data_both_ways_and_an_orderly_end() {
    let world = World::new();
    let (client, server) = (world.client(CertificateFiles::none()), world.server("ec", |_| ()));
    let (near, far) = shake(&client, &policy(ClientLevel::May), &server).await;
    let (mut near, mut far) = (near.unwrap().0, far.unwrap().0);
    let data: Vec<u8> = (0..1_000_000u32).map(|n| (n % 251) as u8).collect();
    let sending = async {
        near.write(&data).await.unwrap();
        near.write(b"end").await.unwrap();
        near.flush().await.unwrap();
        near
    };
    let receiving = async {
        while far.input().len() < data.len() + 3 {
            assert!(far.fill().await.unwrap() > 0);
        }
    };
    let (near, ()) = tokio::join!(sending, receiving);
    assert!(far.input()[..data.len()] == data[..] && far.input().ends_with(b"end"));
    assert!(far.is_tls());
    near.close().await.unwrap();
    assert_eq!(far.fill().await.unwrap(), 0);
}

#[tokio::test]
async fn a_cut_connection_is_an_end_too() {
    let world = World::new();
    let (client, server) = (world.client(CertificateFiles::none()), world.server("ec", |_| ()));
    let (near, far) = shake(&client, &policy(ClientLevel::May), &server).await;
    drop(near);
    let mut far = far.unwrap().0;
    assert_eq!(far.fill().await.unwrap(), 0);
    assert!(!far.is_quiet());
}

#[tokio::test]
async fn a_renewed_certificate_is_taken_up_and_a_broken_one_is_not() {
    let world = World::new();
    let (client, server) = (world.client(CertificateFiles::none()), world.server("ec", |_| ()));
    let may = policy(ClientLevel::May);
    let fingerprint =
        async |server: &ServerTls| shake(&client, &may, server).await.0.unwrap().1.certificate_fingerprint;
    let first = fingerprint(&server).await;
    world.authority.issue("mx.example", KeyKind::Ec).write(world.folder.path(), "ec");
    assert_eq!(fingerprint(&server).await, first, "not before its time");
    server.look_at_files();
    let second = fingerprint(&server).await;
    assert_ne!(second, first);

    std::fs::write(world.folder.path().join("ec.key"), "half a fi").unwrap();
    server.look_at_files();
    let warnings = Mutex::new(Vec::new());
    let (near, far) = streams();
    let warn = |_: Level, warning: String| warnings.lock().unwrap().push(warning);
    let (near, far) = tokio::join!(
        client.connect(near, identity(), &may, LIMIT, quiet),
        server.accept(far, "client.example[192.0.2.2]", LIMIT, warn)
    );
    assert_eq!((near.unwrap().1.certificate_fingerprint, far.is_ok()), (second, true));
    assert!(warnings.lock().unwrap()[0].starts_with("cannot get RSA private key from file"));
}

#[tokio::test]
async fn server_names_are_sent() {
    let world = World::new();
    let client = world.client(CertificateFiles::none());
    for (servername, expect) in [
        (None, None),
        (Some("hostname"), Some("MX.example")),
        (Some("nexthop"), Some("example")),
        (Some("b\u{fc}cher.example"), Some("xn--bcher-kva.example")),
    ] {
        let policy = ClientPolicy { servername: servername.map(str::to_string), ..policy(ClientLevel::May) };
        let (near, far) = UnixStream::pair().unwrap();
        let seen = Arc::new(Mutex::new(None));
        let mut context = openssl::ssl::SslContext::builder(openssl::ssl::SslMethod::tls_server()).unwrap();
        let noting = seen.clone();
        context.set_servername_callback(move |ssl, _| {
            *noting.lock().unwrap() = ssl.servername(openssl::ssl::NameType::HOST_NAME).map(str::to_string);
            Err(openssl::ssl::SniError::ALERT_FATAL)
        });
        let ssl = openssl::ssl::Ssl::new(&context.build()).unwrap();
        let mut accepting = SslStream::new(ssl, far).unwrap();
        let (connected, _) =
            tokio::join!(client.connect(near.into(), identity(), &policy, LIMIT, quiet), async {
                std::pin::Pin::new(&mut accepting).accept().await
            });
        assert!(connected.is_err());
        assert_eq!(seen.lock().unwrap().as_deref(), expect);
    }
    let long = ClientPolicy { servername: Some("a".repeat(256)), ..policy(ClientLevel::May) };
    let (near, _far) = streams();
    let error = client.connect(near, identity(), &long, LIMIT, quiet).await.unwrap_err();
    assert!(
        error.log_lines()[0].1.starts_with("MX.example[192.0.2.1]:25: ignoring too long SNI hostname: aaa")
    );
}

#[tokio::test]
async fn diffie_hellman_parameters() {
    let world = World::new();
    let warnings = Mutex::new(Vec::new());
    let settings = |name: &str| {
        let mut settings = None;
        world.server("ec", |s| {
            settings =
                Some(ServerSettings { dh_param_file: Some(world.folder.path().join(name)), ..s.clone() });
        });
        settings.unwrap()
    };
    let warn = |warning: String| warnings.lock().unwrap().push(warning);
    let parameters = openssl::dh::Dh::get_2048_256().unwrap().params_to_pem().unwrap();
    std::fs::write(world.folder.path().join("dh.pem"), parameters).unwrap();
    assert!(ServerTls::new(settings("dh.pem"), None, warn).is_ok());
    assert!(warnings.lock().unwrap().is_empty());
    assert!(ServerTls::new(settings("nix"), None, warn).is_ok());
    let warnings = warnings.lock().unwrap();
    assert!(
        warnings[0].ends_with("nix\": No such file or directory -- using compiled-in defaults"),
        "{warnings:?}"
    );
}

#[tokio::test]
async fn any_stream_will_do() {
    let world = World::new();
    let (client, server) = (world.client(CertificateFiles::none()), world.server("ec", |_| ()));
    let (near, far) = UnixStream::pair().unwrap();
    let may = policy(ClientLevel::May);
    let (near, far) = tokio::join!(
        client.handshake(Socket::Unix(near), identity(), &may, LIMIT, quiet),
        server.accept(far.into(), "client.example[192.0.2.2]", LIMIT, silent)
    );
    let (mut near, mut far) = (near.unwrap().0, far.unwrap().0);
    near.write_all(b"hi").await.unwrap();
    far.fill().await.unwrap();
    assert_eq!(&far.input()[..], b"hi");
}
