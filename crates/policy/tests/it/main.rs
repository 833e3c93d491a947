//! Restrictions against what Debian's Postfix answered to the same sessions.

mod rows;
mod world;
