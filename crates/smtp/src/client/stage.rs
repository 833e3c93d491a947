//! Stages of a conversation, with the words that logs and reports have for them.

/// What the client is doing. Each has a time limit among the parameters; [`Wire`](super::Wire) knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stage {
    /// `smtp_helo_timeout`, as for the next three and AUTH.
    Greeting,
    Ehlo,
    Helo,
    Lhlo,
    /// `smtp_starttls_timeout`.
    Starttls,
    /// `smtp_xforward_timeout`, twice.
    XforwardNameAddress,
    XforwardProtocolHelo,
    /// `smtp_mail_timeout`.
    Mail,
    /// `smtp_rcpt_timeout`.
    Rcpt,
    /// `smtp_data_init_timeout`.
    Data,
    /// `smtp_data_xfer_timeout`: of each write.
    Content,
    /// `smtp_data_done_timeout`.
    EndOfData,
    /// `smtp_rset_timeout`, twice.
    FinalRset,
    RsetProbe,
    /// `smtp_quit_timeout`.
    Quit,
}

impl Stage {
    /// `sending MAIL FROM`: what went on when the connection was lost.
    pub fn doing(self) -> &'static str {
        match self {
            Stage::Greeting => "receiving the initial server greeting",
            Stage::Ehlo => "performing the EHLO handshake",
            Stage::Helo => "performing the HELO handshake",
            Stage::Lhlo => "performing the LHLO handshake",
            Stage::Starttls => "receiving the STARTTLS response",
            Stage::XforwardNameAddress => "sending XFORWARD name/address",
            Stage::XforwardProtocolHelo => "sending XFORWARD protocol/helo_name",
            Stage::Mail => "sending MAIL FROM",
            Stage::Rcpt => "sending RCPT TO",
            Stage::Data => "sending DATA command",
            Stage::Content => "sending message body",
            Stage::EndOfData => "sending end of data -- message may be sent more than once",
            Stage::FinalRset => "sending final RSET",
            Stage::RsetProbe => "sending RSET probe",
            Stage::Quit => "sending QUIT",
        }
    }

    /// `MAIL FROM command`: what a reply was an answer to. Empty where none is quoted so.
    pub fn command(self) -> &'static str {
        match self {
            Stage::XforwardNameAddress => "XFORWARD name/address command",
            Stage::XforwardProtocolHelo => "XFORWARD helo/protocol command",
            Stage::Mail => "MAIL FROM command",
            Stage::Rcpt => "RCPT TO command",
            Stage::Data => "DATA command",
            Stage::Content | Stage::EndOfData => "end of DATA command",
            Stage::FinalRset => "final RSET command",
            Stage::RsetProbe => "RSET probe",
            Stage::Quit => "QUIT command",
            Stage::Greeting | Stage::Ehlo | Stage::Helo | Stage::Lhlo | Stage::Starttls => "",
        }
    }
}
