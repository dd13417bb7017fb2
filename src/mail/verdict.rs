//! Whom a failed conversation with a mail server is the fault of: the one mail's, or the server's.

/// How far a conversation got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// Connecting, TLS, the greeting, EHLO, signing in: nothing was said of a mail yet.
    Door,
    /// `MAIL FROM`: our own sender, the same for all mail.
    Sender,
    /// `RCPT TO`.
    Recipient,
    /// `DATA`, the text, and the answer to it.
    Content,
}

/// What came instead of a yes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Met {
    /// An answer with this code.
    Reply(u16),
    /// Nothing in time.
    Silence,
    /// The end of the connection, or what is no answer.
    Cut,
}

/// Whom it is the fault of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The server takes no mail of ours now.
    Server,
    /// The mail's, for now.
    Mail,
    /// The mail's, for good.
    MailForGood,
    /// Either's: a server that hangs up may be going away, or may do so at this mail only. Whether it takes another
    /// conversation tells.
    Unclear,
}

/// The table.
pub(super) const fn judge(stage: Stage, met: Met) -> Verdict {
    match (stage, met) {
        (Stage::Door, _) => Verdict::Server,
        // 421 to 538: shutting down; TLS or a password wanted or wrong. Some servers pass on what the recipient's server
        // said to them.
        (Stage::Sender, _) | (_, Met::Silence | Met::Cut | Met::Reply(421 | 454 | 530 | 534 | 535 | 538)) => {
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
        use Met::{Cut, Reply, Silence};
        use Stage::{Content, Door, Recipient, Sender};
        use Verdict::{Mail, MailForGood, Server, Unclear};
        let table: [(Met, [Verdict; 4]); 16] = [
            (Silence, [Server, Unclear, Unclear, Unclear]),
            (Cut, [Server, Unclear, Unclear, Unclear]),
            // What a server says of itself, or of us, wherever it says so.
            (Reply(421), [Server, Unclear, Unclear, Unclear]),
            (Reply(454), [Server, Unclear, Unclear, Unclear]),
            (Reply(530), [Server, Unclear, Unclear, Unclear]),
            (Reply(534), [Server, Unclear, Unclear, Unclear]),
            (Reply(535), [Server, Unclear, Unclear, Unclear]),
            (Reply(538), [Server, Unclear, Unclear, Unclear]),
            // Of a mailbox or a text, once one was named.
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
            for (stage, verdict) in [Door, Sender, Recipient, Content].into_iter().zip(row) {
                assert_eq!(judge(stage, met), verdict, "{met:?} at {stage:?}");
            }
        }
    }
}
