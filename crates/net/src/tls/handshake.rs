//! The handshake itself, over any stream, with a time limit.

use super::{Role, TlsError, library_lines};
use crate::dial::error_text;
use openssl::ssl::{self, ErrorCode, Ssl};
use std::pin::Pin;
use std::time::Duration;
use std::{fmt, io};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;
use tokio_openssl::SslStream;

/// Why a handshake failed; prints what Postfix logs behind the peer's name.
#[derive(Debug)]
pub enum Cause {
    /// OpenSSL objects, or the peer does. The lines to be logged as warnings.
    Library(Vec<String>),
    Io(io::Error),
    /// The peer hung up.
    LostConnection,
    TimedOut,
}

/// Shakes hands as a client or a server. Zero is no time limit.
pub(super) async fn handshake<S: AsyncRead + AsyncWrite + Unpin>(
    ssl: Ssl,
    stream: S,
    role: Role,
    peer: &str,
    limit: Duration,
) -> Result<SslStream<S>, TlsError> {
    let failed = |cause| TlsError::Handshake { role, peer: peer.to_string(), cause };
    let mut stream =
        SslStream::new(ssl, stream).map_err(|stack| failed(Cause::Library(library_lines(&stack))))?;
    let shaking = async {
        match role {
            Role::Client => Pin::new(&mut stream).connect().await,
            Role::Server => Pin::new(&mut stream).accept().await,
        }
    };
    let outcome = if limit.is_zero() {
        shaking.await
    } else {
        timeout(limit, shaking).await.map_err(|_| failed(Cause::TimedOut))?
    };
    outcome.map_err(|error| failed(Cause::of(error)))?;
    Ok(stream)
}

impl Cause {
    fn of(error: ssl::Error) -> Cause {
        if let Some(stack) = error.ssl_error() {
            return Cause::Library(library_lines(stack));
        }
        match error.code() {
            ErrorCode::ZERO_RETURN => Cause::LostConnection,
            _ => error.into_io_error().map_or(Cause::LostConnection, Cause::Io),
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // what SSL_connect returned
            Cause::Library(_) => f.write_str("-1"),
            Cause::Io(error) => f.write_str(&error_text(error)),
            Cause::LostConnection => f.write_str("lost connection"),
            Cause::TimedOut => f.write_str("Connection timed out"),
        }
    }
}
