//! The processes: a root parent, an unprivileged worker, children that write mailboxes. The only place that wires the rooms.

pub mod ipc;
