//! One question and its reply over UDP or TCP: which server, how long, how often. As the C library does it.

use super::conf::ResolvConf;
use super::wire::{Flags, Question, Received, Reply};
use mail::dns::Failure;
use openssl::rand::rand_bytes;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::{Instant, timeout_at};

/// Octets of a datagram that are read. More than we say we take: some servers do not listen.
const DATAGRAM_LIMIT: usize = 4096;
/// Datagrams that are no answer, after which the question goes over TCP: somebody is guessing ids.
const STRAY_LIMIT: usize = 64;

const NOERROR: u16 = 0;
const FORMERR: u16 = 1;
const SERVFAIL: u16 = 2;
const NXDOMAIN: u16 = 3;
const NOTIMP: u16 = 4;
const REFUSED: u16 = 5;
const BADVERS: u16 = 16;

/// Asks the servers in turn, beginning with the one at `first`, until one has an answer: records, or that there are none.
pub(super) async fn exchange(
    conf: &ResolvConf,
    first: usize,
    question: &Question,
    flags: Flags,
) -> Result<Reply, Failure> {
    let mut failure = Failure::Timeout;
    for round in 0..conf.attempts {
        let mut all_replied = true;
        for n in 0..conf.servers.len() {
            let server = conf.servers[(first + n) % conf.servers.len()];
            let patience = patience(conf, round);
            match ask(server, conf.use_vc, question, flags, patience).await {
                Ok(reply) => match reply.rcode {
                    NOERROR | NXDOMAIN => return Ok(reply),
                    SERVFAIL | NOTIMP | REFUSED => {
                        failure = Failure::ServerFailure { rcode: reply.rcode as u8 }
                    }
                    other => return Err(Failure::ServerFailure { rcode: other.min(255) as u8 }),
                },
                Err(_) => all_replied = false,
            }
        }
        if all_replied {
            break;
        }
    }
    Err(failure)
}

/// As the C library: the time for a server doubles with each round, and is then shared among them.
fn patience(conf: &ResolvConf, round: u32) -> Duration {
    let total = conf.timeout * 2u32.pow(round);
    let share = if round == 0 { total } else { total / conf.servers.len() as u32 };
    share.max(Duration::from_secs(1))
}

/// Asks one server, again without EDNS if it does not know that.
async fn ask(
    server: SocketAddr,
    use_vc: bool,
    question: &Question,
    flags: Flags,
    patience: Duration,
) -> io::Result<Reply> {
    let reply = ask_with(server, use_vc, question, flags, patience).await?;
    let plain = Flags { edns: false, ..flags };
    if flags.edns && matches!(reply.rcode, FORMERR | NOTIMP | BADVERS) {
        return ask_with(server, use_vc, question, plain, patience).await;
    }
    Ok(reply)
}

async fn ask_with(
    server: SocketAddr,
    use_vc: bool,
    question: &Question,
    flags: Flags,
    patience: Duration,
) -> io::Result<Reply> {
    let deadline = Instant::now() + patience;
    let id = random_id()?;
    let message = question.to_wire(id, flags);
    if !use_vc && let Some(reply) = timeout_at(deadline, over_udp(server, question, id, &message)).await?? {
        return Ok(reply);
    }
    timeout_at(Instant::now() + patience, over_tcp(server, question, id, &message)).await?
}

/// None: to be asked over TCP. The socket is new, so that its port is random too, and connected, so that the kernel drops
/// what other addresses send.
async fn over_udp(
    server: SocketAddr,
    question: &Question,
    id: u16,
    message: &[u8],
) -> io::Result<Option<Reply>> {
    let any: SocketAddr = match server {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let socket = UdpSocket::bind(any).await?;
    socket.connect(server).await?;
    socket.send(message).await?;
    let mut buffer = [0; DATAGRAM_LIMIT];
    for _ in 0..STRAY_LIMIT {
        let length = socket.recv(&mut buffer).await?;
        match question.read(id, &buffer[..length]) {
            Received::Other => {}
            Received::Truncated => return Ok(None),
            Received::Reply(reply) => return Ok(Some(reply)),
        }
    }
    Ok(None)
}

/// RFC 7766: a length of two octets before each message. TC is meaningless here.
async fn over_tcp(server: SocketAddr, question: &Question, id: u16, message: &[u8]) -> io::Result<Reply> {
    let mut stream = TcpStream::connect(server).await?;
    let length = u16::try_from(message.len()).map_err(io::Error::other)?;
    stream.write_all(&[&length.to_be_bytes(), message].concat()).await?;
    let length = stream.read_u16().await?;
    let mut reply = vec![0; usize::from(length)];
    stream.read_exact(&mut reply).await?;
    match question.read(id, &reply) {
        Received::Reply(reply) => Ok(reply),
        Received::Other | Received::Truncated => Err(io::ErrorKind::InvalidData.into()),
    }
}

fn random_id() -> io::Result<u16> {
    let mut id = [0; 2];
    rand_bytes(&mut id)?;
    Ok(u16::from_be_bytes(id))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patience_grows_and_is_shared() {
        let conf = |timeout, servers: usize| ResolvConf {
            timeout: Duration::from_secs(timeout),
            servers: vec![([192, 0, 2, 1], 53).into(); servers],
            ..ResolvConf::default()
        };
        for (timeout, servers, round, expect) in
            [(5, 1, 0, 5), (5, 1, 1, 10), (5, 3, 0, 5), (6, 3, 1, 4), (1, 3, 1, 1), (30, 1, 4, 480)]
        {
            assert_eq!(patience(&conf(timeout, servers), round), Duration::from_secs(expect));
        }
    }
}
