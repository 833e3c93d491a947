//! A mail system whose server runs: it is asked.

use super::System;
use crate::program::{Fatal, reason};
use crate::server::Connection;
use mail::QueueId;
use spool::Admin;
use spool::control::{ADMIN_SOCKET, Answer, Order, SHOWQ_SOCKET};
use spool::showq::{Queue, decode, decode_preamble};
use std::io::{self, BufReader};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

/// Connections that share the orders: the server does one order of a connection at a time, but syncs the disk for all that
/// wait.
const CONNECTIONS: usize = 16;
/// Unanswered orders of a connection, so that no side has to wait for room in a socket.
const DEPTH: usize = 32;

pub(super) struct Running {
    connections: Vec<Connection>,
    ipc_timeout: Duration,
}

impl Running {
    pub(super) fn connect(ipc_timeout: Duration) -> Result<Running, Fatal> {
        let mut running = Running { connections: Vec::new(), ipc_timeout };
        running.open_connection()?;
        Ok(running)
    }

    fn open_connection(&mut self) -> Result<(), Fatal> {
        let connection = Connection::open(Path::new(ADMIN_SOCKET), self.ipc_timeout)
            .map_err(|e| Fatal::new(format!("connect to {ADMIN_SOCKET}: {}", reason(&e))))?;
        self.connections.push(connection);
        Ok(())
    }

    fn send(&mut self, ids: &[QueueId], action: Admin) -> io::Result<()> {
        let count = self.connections.len();
        for (index, connection) in self.connections.iter_mut().enumerate() {
            let share = ids.iter().skip(index).step_by(count);
            let orders: Vec<Order> = share.map(|id| Order::Administer(*id, action)).collect();
            if !orders.is_empty() {
                connection.send(&orders)?;
            }
        }
        Ok(())
    }
}

impl System for Running {
    fn messages(&mut self) -> Result<Vec<(QueueId, Queue)>, Fatal> {
        let stream = UnixStream::connect(SHOWQ_SOCKET)
            .map_err(|e| Fatal::new(format!("connect to {SHOWQ_SOCKET}: {}", reason(&e))))?;
        let mut stream = BufReader::with_capacity(64 << 10, stream);
        decode_preamble(&mut stream).map_err(unreadable)?;
        let mut messages = Vec::new();
        while let Some(entry) = decode(&mut stream).map_err(unreadable)? {
            if entry.queue != Queue::Maildrop {
                messages.push((entry.id, entry.queue));
            }
        }
        Ok(messages)
    }

    fn administer(
        &mut self,
        ids: &[QueueId],
        action: Admin,
        tell: &mut dyn FnMut(QueueId, bool),
    ) -> Result<(), Fatal> {
        while self.connections.len() < ids.len().min(CONNECTIONS) {
            self.open_connection()?;
        }
        let count = self.connections.len();
        for batch in ids.chunks(count * DEPTH) {
            self.send(batch, action).map_err(unreadable)?;
            for (index, id) in batch.iter().enumerate() {
                match self.connections[index % count].answer().map_err(unreadable)? {
                    Answer::Done => tell(*id, true),
                    Answer::Unknown => tell(*id, false),
                    Answer::Failed(why) => return Err(Fatal::new(format!("{id}: {why}"))),
                }
            }
        }
        Ok(())
    }
}

fn unreadable(error: io::Error) -> Fatal {
    Fatal::new(format!("the mail system does not answer: {}", reason(&error)))
}
