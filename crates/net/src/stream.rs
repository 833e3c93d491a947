//! A connection, whatever lies under it: TCP, a UNIX-domain socket, TLS over either. With a buffer for each direction, so
//! that many small commands cost one system call.

use bytes::{Buf, BytesMut};
use socket2::SockRef;
use std::io::{self, IoSlice};
use std::mem::{self, MaybeUninit};
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;
use tokio_openssl::SslStream;

/// Octets that a read asks for: few while little comes, so that idle connections are small, and more if that was filled.
const READ_MIN: usize = 4 << 10;
const READ_MAX: usize = 64 << 10;
/// Octets that wait for a flush; with more, the queue is written out first.
const QUEUE_LIMIT: usize = 64 << 10;

/// A connection to a client or a server.
#[derive(Debug)]
pub struct Stream {
    transport: Transport,
    input: BytesMut,
    output: BytesMut,
    read_size: usize,
}

#[derive(Debug)]
enum Transport {
    Plain(Socket),
    Tls(Box<SslStream<Socket>>),
}

/// What is under TLS, or under nothing.
#[derive(Debug)]
pub enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Stream {
    fn new(transport: Transport) -> Stream {
        Stream { transport, input: BytesMut::new(), output: BytesMut::new(), read_size: READ_MIN }
    }

    /// Over a finished handshake.
    pub(crate) fn tls(stream: SslStream<Socket>) -> Stream {
        Stream::new(Transport::Tls(Box::new(stream)))
    }

    /// What was received and not taken yet. Take octets off its front.
    pub fn input(&mut self) -> &mut BytesMut {
        &mut self.input
    }

    /// What waits to be written. Octets appended here go out with the next [`flush`](Stream::flush).
    pub fn output(&mut self) -> &mut BytesMut {
        &mut self.output
    }

    /// Waits for more input and appends it to [`input`](Stream::input); 0 is the end of it. Whoever calls sees to it that the
    /// buffer does not grow for ever. Nothing is lost if this is cancelled.
    pub async fn fill(&mut self) -> io::Result<usize> {
        self.input.reserve(self.read_size);
        let room = self.input.capacity() - self.input.len();
        let length = self.transport.read_buf(&mut self.input).await?;
        if length == room {
            self.read_size = (self.read_size * 2).min(READ_MAX);
        } else if length < self.read_size / 4 {
            self.read_size = (self.read_size / 2).max(READ_MIN);
        }
        Ok(length)
    }

    /// The same; fails with `TimedOut` when nothing comes for so long.
    pub async fn fill_within(&mut self, limit: Duration) -> io::Result<usize> {
        timeout(limit, self.fill()).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
    }

    /// Writes the queue out. Cancelled, it goes on where it was.
    pub async fn flush(&mut self) -> io::Result<()> {
        while !self.output.is_empty() {
            let written = self.transport.write(&self.output).await?;
            if written == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            self.output.advance(written);
        }
        // a queue that was long once need not stay
        if self.output.capacity() > 2 * QUEUE_LIMIT {
            self.output = BytesMut::new();
        }
        Ok(())
    }

    /// The same; fails with `TimedOut` when the peer takes nothing for so long.
    pub async fn flush_within(&mut self, limit: Duration) -> io::Result<()> {
        timeout(limit, self.flush()).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
    }

    /// Queues octets; if they are many, writes them and the queue out first, without copying them. Must not be cancelled:
    /// a part may have gone out.
    pub async fn write(&mut self, mut data: &[u8]) -> io::Result<()> {
        while self.output.len() + data.len() > QUEUE_LIMIT {
            let parts = [IoSlice::new(&self.output), IoSlice::new(data)];
            let mut written = self.transport.write_vectored(&parts).await?;
            if written == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            let queued = written.min(self.output.len());
            self.output.advance(queued);
            written -= queued;
            data = &data[written..];
        }
        self.output.extend_from_slice(data);
        Ok(())
    }

    /// Ends the connection in order: writes the queue out, and with TLS says that no more comes.
    pub async fn close(mut self) -> io::Result<()> {
        self.flush().await?;
        match &mut self.transport {
            Transport::Plain(_) => Ok(()),
            Transport::Tls(stream) => Pin::new(stream).shutdown().await,
        }
    }

    /// Whether an idle connection is still good: the peer neither closed it nor said anything. TLS may have something to
    /// say to itself (session tickets), which is read.
    pub fn is_quiet(&mut self) -> bool {
        if let Transport::Tls(stream) = &mut self.transport {
            let mut octet = [0];
            let mut context = Context::from_waker(Waker::noop());
            if Pin::new(stream).poll_read(&mut context, &mut ReadBuf::new(&mut octet)).is_ready() {
                return false;
            }
        }
        // the kernel is asked: what the runtime knows may be from before
        self.input.is_empty() && self.socket().is_drained()
    }

    pub fn is_tls(&self) -> bool {
        matches!(self.transport, Transport::Tls(_))
    }

    /// The peer's address; None for UNIX-domain sockets and for peers that are gone.
    pub fn peer_address(&self) -> Option<SocketAddr> {
        match self.socket() {
            Socket::Tcp(stream) => stream.peer_addr().ok().map(unmapped),
            Socket::Unix(_) => None,
        }
    }

    /// Our address.
    pub fn local_address(&self) -> Option<SocketAddr> {
        match self.socket() {
            Socket::Tcp(stream) => stream.local_addr().ok().map(unmapped),
            Socket::Unix(_) => None,
        }
    }

    /// The socket, to put TLS over it. What was received and not taken is dropped: it came in the clear and must not count as
    /// sent under TLS (RFC 3207 4.2 and 5). What is queued must have been flushed.
    ///
    /// # Errors
    /// There is TLS already.
    pub(crate) fn into_plain_socket(mut self) -> Result<Socket, Stream> {
        debug_assert!(self.output.is_empty(), "the reply to STARTTLS is flushed before the handshake");
        match self.transport {
            Transport::Plain(socket) => {
                drop(mem::take(&mut self.input));
                Ok(socket)
            }
            Transport::Tls(_) => Err(self),
        }
    }

    fn socket(&self) -> &Socket {
        match &self.transport {
            Transport::Plain(socket) => socket,
            Transport::Tls(stream) => stream.get_ref(),
        }
    }
}

impl Socket {
    fn is_drained(&self) -> bool {
        let mut octet = [MaybeUninit::uninit()];
        let peeked = match self {
            Socket::Tcp(stream) => SockRef::from(stream).peek(&mut octet),
            Socket::Unix(stream) => SockRef::from(stream).peek(&mut octet),
        };
        peeked.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
    }
}

/// IPv4 in IPv6 is IPv4.
pub(crate) fn unmapped(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

impl From<TcpStream> for Stream {
    fn from(stream: TcpStream) -> Stream {
        Stream::new(Transport::Plain(Socket::Tcp(stream)))
    }
}

impl From<UnixStream> for Stream {
    fn from(stream: UnixStream) -> Stream {
        Stream::new(Transport::Plain(Socket::Unix(stream)))
    }
}

/// Passes every method on to what is under it.
macro_rules! delegate {
    ($type:ident { $($variant:ident),* }) => {
        impl AsyncRead for $type {
            fn poll_read(
                self: Pin<&mut Self>,
                context: &mut Context<'_>,
                buffer: &mut ReadBuf<'_>,
            ) -> Poll<io::Result<()>> {
                match self.get_mut() {
                    $($type::$variant(inner) => Pin::new(inner).poll_read(context, buffer),)*
                }
            }
        }

        impl AsyncWrite for $type {
            fn poll_write(
                self: Pin<&mut Self>,
                context: &mut Context<'_>,
                data: &[u8],
            ) -> Poll<io::Result<usize>> {
                match self.get_mut() {
                    $($type::$variant(inner) => Pin::new(inner).poll_write(context, data),)*
                }
            }

            fn poll_write_vectored(
                self: Pin<&mut Self>,
                context: &mut Context<'_>,
                parts: &[IoSlice<'_>],
            ) -> Poll<io::Result<usize>> {
                match self.get_mut() {
                    $($type::$variant(inner) => Pin::new(inner).poll_write_vectored(context, parts),)*
                }
            }

            fn is_write_vectored(&self) -> bool {
                match self {
                    $($type::$variant(inner) => inner.is_write_vectored(),)*
                }
            }

            fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
                match self.get_mut() {
                    $($type::$variant(inner) => Pin::new(inner).poll_flush(context),)*
                }
            }

            fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
                match self.get_mut() {
                    $($type::$variant(inner) => Pin::new(inner).poll_shutdown(context),)*
                }
            }
        }
    };
}

delegate!(Socket { Tcp, Unix });
delegate!(Transport { Plain, Tls });

#[cfg(test)]
mod tests {
    use super::*;

    fn pair() -> (Stream, Stream) {
        let (near, far) = UnixStream::pair().unwrap();
        (near.into(), far.into())
    }

    #[tokio::test]
    async fn what_is_queued_goes_out_at_once() {
        let (mut near, mut far) = pair();
        near.write(b"MAIL\r\n").await.unwrap();
        near.output().extend_from_slice(b"RCPT\r\n");
        assert!(far.is_quiet());
        near.flush().await.unwrap();
        assert_eq!(far.fill().await.unwrap(), 12);
        assert_eq!(&far.input()[..], b"MAIL\r\nRCPT\r\n");
    }

    #[tokio::test]
    async fn much_data_comes_through_in_order() {
        let (mut near, mut far) = pair();
        let data: Vec<u8> = (0..1_000_000u32).map(|n| (n % 251) as u8).collect();
        let expect = [b"head", &data[..], &data[..100_000], b"tail"].concat();
        let sending = tokio::spawn(async move {
            near.write(b"head").await.unwrap();
            near.write(&data).await.unwrap();
            for part in data[..100_000].chunks(777) {
                near.write(part).await.unwrap();
            }
            near.write(b"tail").await.unwrap();
            near.close().await.unwrap();
        });
        while far.fill().await.unwrap() > 0 {}
        sending.await.unwrap();
        assert!(far.input()[..] == expect[..], "{} octets", far.input().len());
        assert!(far.read_size > READ_MIN);
    }

    #[tokio::test]
    async fn reads_shrink_again() {
        let (mut near, mut far) = pair();
        far.read_size = READ_MAX;
        for _ in 0..8 {
            near.write(b"x").await.unwrap();
            near.flush().await.unwrap();
            far.fill().await.unwrap();
        }
        assert_eq!(far.read_size, READ_MIN);
    }

    #[tokio::test]
    async fn silence_has_its_limit() {
        let (mut near, _far) = pair();
        let error = near.fill_within(Duration::from_millis(1)).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        near.output().resize(10_000_000, b'x');
        let error = near.flush_within(Duration::from_millis(10)).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test]
    async fn a_connection_is_quiet_until_the_peer_speaks_or_goes() {
        let (mut near, mut far) = pair();
        assert!(near.is_quiet() && near.is_quiet());
        far.write(b"421 bye\r\n").await.unwrap();
        far.flush().await.unwrap();
        assert!(!near.is_quiet());

        let (mut near, far) = pair();
        assert!(near.is_quiet());
        drop(far);
        assert!(!near.is_quiet());
    }

    #[tokio::test]
    async fn what_came_in_the_clear_is_dropped() {
        let (mut near, mut far) = pair();
        far.write(b"220 go\r\n250 injected\r\n").await.unwrap();
        far.flush().await.unwrap();
        near.fill().await.unwrap();
        let mut socket = near.into_plain_socket().expect("there is no TLS yet");
        far.write(b"x").await.unwrap();
        far.flush().await.unwrap();
        assert_eq!(socket.read_u8().await.unwrap(), b'x');
    }
}
