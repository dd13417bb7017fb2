//! Who caused a failed conversation with a mail server: this mail or the server.

/// How far a conversation got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// Connecting, TLS, the greeting, EHLO, signing in: before anything about a mail.
    Connecting,
    /// `MAIL FROM`: our own sender, the same for all mail.
    Sender,
    /// `RCPT TO`.
    Recipient,
    /// `DATA`, the text, and the answer to it.
    Content,
}

/// The server's reaction, if it was not a success.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Met {
    /// An answer with this code.
    Reply(u16),
    /// No answer in time.
    NoAnswer,
    /// The end of the connection, or something that is not an answer.
    Disconnected,
}

/// What caused it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The server accepts no mail from us now.
    Server,
    /// The mail, for now.
    Mail,
    /// The mail, permanently.
    MailForGood,
    /// Unclear: a server that hangs up may be going away, or may do so for this mail only. Another
    /// conversation shows which.
    Unclear,
}

/// The table.
pub(super) const fn judge(stage: Stage, met: Met) -> Verdict {
    match (stage, met) {
        (Stage::Connecting, _) => Verdict::Server,
        // 421 to 538: shutting down; TLS or a password required or wrong. Some servers pass on the answers of
        // the recipient's server.
        (Stage::Sender, _)
        | (_, Met::NoAnswer | Met::Disconnected | Met::Reply(421 | 454 | 530 | 534 | 535 | 538)) => {
            Verdict::Unclear
        }
        (_, Met::Reply(500..)) => Verdict::MailForGood,
        (_, Met::Reply(_)) => Verdict::Mail,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_whose_fault_a_failure_is() {
        use Met::{Disconnected, NoAnswer, Reply};
        use Stage::{Connecting, Content, Recipient, Sender};
        use Verdict::{Mail, MailForGood, Server, Unclear};
        let table: [(Met, [Verdict; 4]); 16] = [
            (NoAnswer, [Server, Unclear, Unclear, Unclear]),
            (Disconnected, [Server, Unclear, Unclear, Unclear]),
            // Answers about the server or about us, at any stage.
            (Reply(421), [Server, Unclear, Unclear, Unclear]),
            (Reply(454), [Server, Unclear, Unclear, Unclear]),
            (Reply(530), [Server, Unclear, Unclear, Unclear]),
            (Reply(534), [Server, Unclear, Unclear, Unclear]),
            (Reply(535), [Server, Unclear, Unclear, Unclear]),
            (Reply(538), [Server, Unclear, Unclear, Unclear]),
            // Answers about a mailbox or a text, once one was named.
            (Reply(450), [Server, Unclear, Mail, Mail]),
            (Reply(451), [Server, Unclear, Mail, Mail]),
            (Reply(452), [Server, Unclear, Mail, Mail]),
            (Reply(550), [Server, Unclear, MailForGood, MailForGood]),
            (Reply(552), [Server, Unclear, MailForGood, MailForGood]),
            (Reply(553), [Server, Unclear, MailForGood, MailForGood]),
            (Reply(554), [Server, Unclear, MailForGood, MailForGood]),
            (Reply(555), [Server, Unclear, MailForGood, MailForGood]),
        ];
        for (met, row) in table {
            for (stage, verdict) in [Connecting, Sender, Recipient, Content].into_iter().zip(row) {
                assert_eq!(judge(stage, met), verdict, "{met:?} at {stage:?}");
            }
        }
    }
}
