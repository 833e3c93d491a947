//! A name server for tests, over UDP and TCP on one port of the loopback.

use crate::resolver::{CacheLimits, Resolver, Sources};
use domain::base::iana::{Class, Rcode, Rtype};
use domain::base::{Message, MessageBuilder, Name, ToName, Ttl};
use domain::rdata::{A, Aaaa, Cname, Mx, Ptr, Soa, Txt};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UdpSocket};
use tokio::task::JoinSet;

/// The zone is a line per record: `name TYPE data`, or a fault for all records of a name, or for one type of it:
/// `name !FAULT [TYPE]`. The faults: SERVFAIL, REFUSED, FORMERR; SILENT; TRUNCATED (over UDP), TRUNCATED-NO-TCP;
/// LIES (first a wrong id, a wrong question and noise, then the answer); NOISE (nothing but wrong ids over UDP);
/// NO-EDNS (FORMERR to questions with EDNS); SIGNED (the AD bit, if it was asked for); GARBAGE.
pub(crate) struct NameServer {
    address: SocketAddr,
    log: Arc<Mutex<Vec<String>>>,
    folder: tempfile::TempDir,
    _tasks: JoinSet<()>,
}

impl NameServer {
    pub(crate) async fn start(zone: &str) -> NameServer {
        let (udp, tcp) = sockets().await;
        let zone: Arc<Zone> = Arc::new(Zone::parse(zone));
        let log: Arc<Mutex<Vec<String>>> = Arc::default();
        let address = udp.local_addr().unwrap();
        let mut tasks = JoinSet::new();
        tasks.spawn(serve_udp(udp, zone.clone(), log.clone()));
        tasks.spawn(serve_tcp(tcp, zone, log.clone()));
        NameServer { address, log, folder: tempfile::tempdir().unwrap(), _tasks: tasks }
    }

    /// A resolver that asks this server, without a cache.
    pub(crate) fn resolver(&self) -> Resolver {
        self.resolver_with("options timeout:1 attempts:1\nsearch search.example\n", "", Duration::ZERO)
    }

    /// A resolver with more in resolv.conf behind this server, with /etc/hosts, and with a cache.
    pub(crate) fn resolver_with(&self, resolv_conf: &str, hosts: &str, ttl: Duration) -> Resolver {
        let path = |name: &str, text: &str| {
            let path = self.folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            path
        };
        let server = format!("nameserver [{}]:{}\n{resolv_conf}", self.address.ip(), self.address.port());
        Resolver::new(Sources {
            resolv_conf: path("resolv.conf", &server),
            hosts: path("hosts", hosts),
            cache: CacheLimits { ttl, entries: 100 },
        })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The questions so far: `name TYPE`, with `/tcp` behind those over TCP.
    pub(crate) fn log(&self) -> Vec<String> {
        self.log.lock().unwrap().clone()
    }
}

async fn sockets() -> (UdpSocket, TcpListener) {
    loop {
        let udp = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        if let Ok(tcp) = TcpListener::bind(udp.local_addr().unwrap()).await {
            return (udp, tcp);
        }
    }
}

async fn serve_udp(socket: UdpSocket, zone: Arc<Zone>, log: Arc<Mutex<Vec<String>>>) {
    let mut buffer = [0; 4096];
    loop {
        let Ok((length, client)) = socket.recv_from(&mut buffer).await else { continue };
        for reply in zone.answer(&buffer[..length], false, &log) {
            socket.send_to(&reply, client).await.unwrap();
        }
    }
}

async fn serve_tcp(listener: TcpListener, zone: Arc<Zone>, log: Arc<Mutex<Vec<String>>>) {
    loop {
        let (mut stream, _) = listener.accept().await.unwrap();
        let Ok(length) = stream.read_u16().await else { continue };
        let mut query = vec![0; usize::from(length)];
        if stream.read_exact(&mut query).await.is_ok() {
            for reply in zone.answer(&query, true, &log) {
                let framed = [&(reply.len() as u16).to_be_bytes(), &reply[..]].concat();
                let _ = stream.write_all(&framed).await;
            }
        }
    }
}

struct Zone {
    records: Vec<(String, Rtype, String)>,
    faults: Vec<(String, String, Option<Rtype>)>,
}

impl Zone {
    fn parse(text: &str) -> Zone {
        let mut zone = Zone { records: Vec::new(), faults: Vec::new() };
        for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let mut words = line.splitn(3, ' ');
            let name = words.next().unwrap().to_ascii_lowercase();
            let what = words.next().expect("NAME TYPE DATA");
            let rest = words.next();
            match what.strip_prefix('!') {
                Some(fault) => zone.faults.push((name, fault.into(), rest.map(|kind| kind.parse().unwrap()))),
                None => zone.records.push((name, what.parse().unwrap(), rest.expect("data").into())),
            }
        }
        zone
    }

    fn fault(&self, name: &str, kind: Rtype) -> &str {
        let hit = self.faults.iter().find(|(n, _, k)| n == name && k.is_none_or(|k| k == kind));
        hit.map_or("", |(_, fault, _)| fault)
    }

    fn answer(&self, query: &[u8], is_tcp: bool, log: &Mutex<Vec<String>>) -> Vec<Vec<u8>> {
        let query = Message::from_octets(query).unwrap();
        let question = query.sole_question().unwrap();
        let (name, kind) = (question.qname().to_string().to_ascii_lowercase(), question.qtype());
        log.lock().unwrap().push(format!("{name} {kind}{}", if is_tcp { "/tcp" } else { "" }));
        let asked = question.qname().to_vec();
        let with = |change: &dyn Fn(&mut Vec<u8>), name: &Name<Vec<u8>>| {
            let mut packet = self.reply(&query, name, kind);
            change(&mut packet);
            packet
        };
        let honest = || with(&|_| (), &asked);
        let rcode = |code: Rcode| vec![with(&|packet| packet[3] = packet[3] & 0xf0 | code.to_int(), &asked)];
        let wrong_id = || with(&|packet| packet[1] ^= 0x55, &asked);
        match self.fault(&name, kind) {
            "" => vec![honest()],
            "SERVFAIL" => rcode(Rcode::SERVFAIL),
            "REFUSED" => rcode(Rcode::REFUSED),
            "FORMERR" => rcode(Rcode::FORMERR),
            "SILENT" => vec![],
            "TRUNCATED" if is_tcp => vec![honest()],
            "TRUNCATED" | "TRUNCATED-NO-TCP" => vec![with(&|packet| packet[2] |= 2, &asked)],
            "LIES" => {
                let stranger = with(&|_| (), &"stranger.example".parse().unwrap());
                vec![wrong_id(), stranger, b"noise".to_vec(), vec![], honest()]
            }
            "NOISE" if is_tcp => vec![honest()],
            "NOISE" => vec![wrong_id(); 100],
            "NO-EDNS" if query.opt().is_some() => rcode(Rcode::FORMERR),
            "NO-EDNS" => vec![honest()],
            "SIGNED" if query.header().ad() && query.opt().is_some_and(|opt| opt.dnssec_ok()) => {
                vec![with(&|packet| packet[3] |= 0x20, &asked)]
            }
            "SIGNED" => vec![honest()],
            "GARBAGE" => vec![with(&|packet| packet.truncate(packet.len() - 3), &asked)],
            other => panic!("no such fault: {other}"),
        }
    }

    fn reply(&self, query: &Message<&[u8]>, name: &Name<Vec<u8>>, kind: Rtype) -> Vec<u8> {
        let mut builder = MessageBuilder::new_vec();
        builder.header_mut().set_id(query.header().id());
        builder.header_mut().set_qr(true);
        builder.header_mut().set_ra(true);
        let owner = name.to_string().to_ascii_lowercase();
        if !self.records.iter().any(|(n, _, _)| *n == owner) {
            builder.header_mut().set_rcode(Rcode::NXDOMAIN);
        }
        let mut builder = builder.question();
        builder.push((name, kind, Class::IN)).unwrap();
        let mut builder = builder.answer();
        let ttl = Ttl::from_secs(60);
        let matching =
            self.records.iter().filter(|(n, k, _)| *n == owner && (*k == kind || *k == Rtype::CNAME));
        let mut is_empty = true;
        for (_, kind, data) in matching {
            is_empty = false;
            let host = |text: &str| text.parse::<Name<Vec<u8>>>().unwrap();
            match *kind {
                Rtype::A => builder.push((name, ttl, A::new(data.parse().unwrap()))),
                Rtype::AAAA => builder.push((name, ttl, Aaaa::new(data.parse().unwrap()))),
                Rtype::CNAME => builder.push((name, ttl, Cname::new(host(data)))),
                Rtype::PTR => builder.push((name, ttl, Ptr::new(host(data)))),
                Rtype::TXT => {
                    builder.push((name, ttl, Txt::<Vec<u8>>::build_from_slice(data.as_bytes()).unwrap()))
                }
                Rtype::MX => {
                    let (preference, exchange) = data.split_once(' ').unwrap();
                    builder.push((name, ttl, Mx::new(preference.parse().unwrap(), host(exchange))))
                }
                other => panic!("no such record type here: {other}"),
            }
            .unwrap();
        }
        let mut builder = builder.authority();
        if is_empty {
            let root: Name<Vec<u8>> = Name::root_vec();
            let soa = Soa::new(root.clone(), root.clone(), 1.into(), ttl, ttl, ttl, ttl);
            builder.push((root, ttl, soa)).unwrap();
        }
        builder.finish()
    }
}
