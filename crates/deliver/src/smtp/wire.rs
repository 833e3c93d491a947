//! A connection to a server, with a time limit for each stage of the conversation.

use bytes::BytesMut;
use net::Stream;
use net::tls::TlsSummary;
use smtp::client::{Lost, Stage, Wire};
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, timeout};

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
    /// `smtp_per_request_deadline`: a limit counts for a whole reply, or all of the content, in place of each read and write.
    pub per_request_deadline: bool,
    /// `smtp_min_data_rate`: octets of content in a second that earn the deadline's time back; 0: none do.
    pub min_data_rate: u32,
    /// `smtp_pix_workaround_delay_time`
    pub pix_workaround_delay: Duration,
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
    /// With `smtp_per_request_deadline`: what is under way, and when its time is over.
    pub(super) deadline: Option<(Stage, Instant)>,
}

impl Line {
    pub(super) fn new(stream: Stream, timeouts: Arc<Timeouts>) -> Line {
        Line { stream, timeouts, tls: None, deadline: None }
    }

    /// How long the next read or write may take.
    fn time_left(&mut self, stage: Stage) -> Duration {
        let limit = self.timeouts.of(stage);
        if !self.timeouts.per_request_deadline {
            return limit;
        }
        let now = Instant::now();
        match self.deadline {
            Some((begun, deadline)) if begun == stage => deadline.saturating_duration_since(now),
            _ => {
                self.deadline = Some((stage, now + limit));
                limit
            }
        }
    }

    /// Content that went out earns time, up to the limit.
    fn earn(&mut self, octets: usize, stage: Stage) {
        let rate = self.timeouts.min_data_rate;
        if let Some((Stage::Content, deadline)) = &mut self.deadline
            && rate > 0
        {
            let earned = Duration::from_secs_f64(octets as f64 / f64::from(rate));
            *deadline = (*deadline + earned).min(Instant::now() + self.timeouts.of(stage));
        }
    }
}

impl Wire for Line {
    async fn send(&mut self, octets: &[u8], stage: Stage) -> Result<(), Lost> {
        let written = timeout(self.time_left(stage), self.stream.write(octets)).await;
        written.map_err(|_| Lost::TimedOut)?.map_err(lost)?;
        self.earn(octets.len(), stage);
        Ok(())
    }

    async fn flush(&mut self, stage: Stage) -> Result<(), Lost> {
        if stage != Stage::Content {
            // A reply is awaited, with a time of its own.
            self.deadline = None;
        }
        let left = self.time_left(stage);
        self.stream.flush_within(left).await.map_err(lost)
    }

    async fn pause(&mut self) {
        tokio::time::sleep(self.timeouts.pix_workaround_delay).await;
    }

    async fn receive(&mut self, input: &mut BytesMut, stage: Stage) -> Result<(), Lost> {
        if self.stream.input().is_empty() {
            let left = self.time_left(stage);
            if self.stream.fill_within(left).await.map_err(lost)? == 0 {
                return Err(Lost::Closed);
            }
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
