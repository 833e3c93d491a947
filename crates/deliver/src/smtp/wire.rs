//! A connection to a server, with a time limit for each stage of the conversation.

use bytes::BytesMut;
use net::Stream;
use net::tls::TlsSummary;
use smtp::client::{Lost, Stage, Wire};
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;

/// `smtp_helo_timeout` and its like: how long one read or write may take.
#[derive(Clone, Debug)]
pub struct Timeouts {
    pub helo: Duration,
    pub starttls: Duration,
    pub xforward: Duration,
    pub mail: Duration,
    pub rcpt: Duration,
    pub data_init: Duration,
    pub data_xfer: Duration,
    pub data_done: Duration,
    pub rset: Duration,
    pub quit: Duration,
}

impl Timeouts {
    fn of(&self, stage: Stage) -> Duration {
        match stage {
            Stage::Greeting | Stage::Ehlo | Stage::Helo | Stage::Lhlo => self.helo,
            Stage::Starttls => self.starttls,
            Stage::XforwardNameAddress | Stage::XforwardProtocolHelo => self.xforward,
            Stage::Mail => self.mail,
            Stage::Rcpt => self.rcpt,
            Stage::Data => self.data_init,
            Stage::Content => self.data_xfer,
            Stage::EndOfData => self.data_done,
            Stage::FinalRset | Stage::RsetProbe => self.rset,
            Stage::Quit => self.quit,
        }
    }
}

/// An open connection.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) stream: Stream,
    pub(super) timeouts: Arc<Timeouts>,
    /// What the handshake came to, if there was one.
    pub(super) tls: Option<Box<TlsSummary>>,
}

impl Wire for Line {
    async fn send(&mut self, octets: &[u8], stage: Stage) -> Result<(), Lost> {
        let written = timeout(self.timeouts.of(stage), self.stream.write(octets)).await;
        written.map_err(|_| Lost::TimedOut)?.map_err(lost)
    }

    async fn flush(&mut self, stage: Stage) -> Result<(), Lost> {
        self.stream.flush_within(self.timeouts.of(stage)).await.map_err(lost)
    }

    async fn receive(&mut self, input: &mut BytesMut, stage: Stage) -> Result<(), Lost> {
        if self.stream.input().is_empty()
            && self.stream.fill_within(self.timeouts.of(stage)).await.map_err(lost)? == 0
        {
            return Err(Lost::Closed);
        }
        let received = self.stream.input();
        input.extend_from_slice(received);
        received.clear();
        Ok(())
    }
}

fn lost(error: io::Error) -> Lost {
    if error.kind() == io::ErrorKind::TimedOut { Lost::TimedOut } else { Lost::Closed }
}
