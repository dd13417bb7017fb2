//! Facts about the server's own housekeeping: mail that ended, facts that were set aside.

use super::{Applied, Audit, Context, Effect, Kind, Subject, sentence};
use crate::app::actor::Actor;
use crate::app::layout::{SET_ASIDE, lost_mail_key, set_aside_key};
use crate::app::outbox::{mail_done, mail_key, remember_lost};
use crate::app::set_aside::{Ended, SetAside};
use crate::app::work::Work;
use crate::domain::account::Refusal;
use crate::domain::fact::{self, MailDone, SetAsideEnded};
use crate::metrics::FactKind;

impl Kind for MailDone {
    const METRIC: Option<FactKind> = None;
    const MAILS: usize = 0;
    /// Only mail that never reached its recipient is shown: staff should know about it.
    const AUDIT: Option<Audit> = Audit::saying(|entry| {
        let kind = entry["lost"]["kind"].as_str()?;
        Some(format!("Gave up a mail: {}", kind.replace('_', " ")))
    });

    fn subject(&self) -> Subject<'_> {
        Subject::Directory
    }
    fn permits(&self, actor: &Actor) -> bool {
        actor.is_server()
    }
    fn documents(&self) -> Vec<String> {
        let lost = self.lost.as_ref().map(|lost| lost_mail_key(lost.person));
        std::iter::once(mail_key(&self.mail_id)).chain(lost).collect()
    }
    fn apply(&self, work: &mut Work, context: &Context<'_>) -> Applied {
        mail_done(work, &self.mail_id, self.outcome, context.at)?;
        if let Some(mail) = &self.lost {
            remember_lost(work, mail, context.at)?;
        }
        Ok(Effect::of(true))
    }
}

impl Kind for fact::SetAside {
    const METRIC: Option<FactKind> = None;
    const MAILS: usize = 0;
    const AUDIT: Option<Audit> = None;

    fn subject(&self) -> Subject<'_> {
        Subject::Directory
    }
    fn permits(&self, actor: &Actor) -> bool {
        actor.is_server()
    }
    fn documents(&self) -> Vec<String> {
        vec![set_aside_key(self.id())]
    }
    fn apply(&self, work: &mut Work, context: &Context<'_>) -> Applied {
        let Self { node, position, epoch, cause, kind, account_id, record } = self.clone();
        let id = self.id();
        let key = set_aside_key(id);
        if work.get::<SetAside>(&key)?.is_some() {
            return Ok(Effect::of(false));
        }
        work.index(SET_ASIDE.to_owned(), id.to_string(), true);
        let aside =
            SetAside { node, position, epoch, at: context.at, cause, kind, account_id, record, ended: None };
        work.put(&key, &aside)?;
        Ok(Effect::of(true))
    }
}

impl Kind for SetAsideEnded {
    const METRIC: Option<FactKind> = None;
    const MAILS: usize = 0;
    const AUDIT: Option<Audit> = Audit::saying(|entry| {
        sentence(match entry["retried"].as_bool() {
            Some(true) => "Had a fact tried again that was set aside",
            _ => "Dropped a fact that was set aside",
        })
    });

    fn subject(&self) -> Subject<'_> {
        Subject::Directory
    }
    fn permits(&self, actor: &Actor) -> bool {
        matches!(actor, Actor::Key(_))
    }
    fn documents(&self) -> Vec<String> {
        vec![set_aside_key(self.id())]
    }
    fn apply(&self, work: &mut Work, context: &Context<'_>) -> Applied {
        let id = self.id();
        let key = set_aside_key(id);
        let mut aside: SetAside = work.need(&key, Refusal::NotSetAside)?;
        if aside.ended.is_some() {
            return Err(Refusal::NotSetAside.into());
        }
        // It may hold personal data, and nobody needs it any more.
        aside.record = None;
        let (at, by, reason) = (context.at, context.by.to_owned(), self.reason.clone());
        aside.ended = Some(Ended { at, by, retried: self.retried, reason });
        work.index(SET_ASIDE.to_owned(), id.to_string(), false);
        work.put(&key, &aside)?;
        Ok(Effect::of(true))
    }
}
