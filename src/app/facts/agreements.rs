//! Facts about the agreement: its text, and who signed it.

use super::puts::{put_affiliate, write_to};
use super::{Applied, Audit, Context, Effect, Kind, Subject, sentence};
use crate::app::actor::Actor;
use crate::app::layout::{affiliate_key, agreement_key};
use crate::app::work::Work;
use crate::domain::account::Refusal;
use crate::domain::affiliate::Affiliate;
use crate::domain::fact::{AgreementPublished, AgreementSigned};
use crate::domain::mail::Message;
use crate::domain::person::{Agreement, Signature};
use crate::metrics::FactKind;

impl Kind for AgreementPublished {
    const METRIC: Option<FactKind> = None;
    const MAILS: usize = 0;
    const AUDIT: Option<Audit> = Some(Audit {
        hides: &["agreement", "text"],
        says: |entry| {
            let version = entry["agreement"]["version"].as_str().unwrap_or_default();
            Some(format!("Put the agreement {version} to use"))
        },
    });

    fn subject(&self) -> Subject<'_> {
        Subject::Directory
    }
    fn permits(&self, actor: &Actor) -> bool {
        actor.is_server()
    }
    fn documents(&self) -> Vec<String> {
        vec![agreement_key(&self.agreement.version)]
    }
    /// A version stands for one text, the first that was written; it never changes.
    fn apply(&self, work: &mut Work, _: &Context<'_>) -> Applied {
        let key = agreement_key(&self.agreement.version);
        match work.get::<Agreement>(&key)? {
            Some(known) if known.sha256 == self.agreement.sha256 => Ok(Effect::of(false)),
            Some(_) => Err(Refusal::AgreementChanged.into()),
            None => {
                work.put(&key, &self.agreement)?;
                Ok(Effect::of(true))
            }
        }
    }
}

impl Kind for AgreementSigned {
    const METRIC: Option<FactKind> = None;
    const MAILS: usize = 1;
    const AUDIT: Option<Audit> =
        Some(Audit { hides: &["signature", "ip"], says: |_| sentence("Signed the agreement") });

    fn subject(&self) -> Subject<'_> {
        Subject::Directory
    }
    fn permits(&self, actor: &Actor) -> bool {
        actor.is(self.affiliate_id)
    }
    fn documents(&self) -> Vec<String> {
        vec![affiliate_key(self.affiliate_id), agreement_key(&self.signature.version)]
    }
    fn apply(&self, work: &mut Work, _: &Context<'_>) -> Applied {
        let key = affiliate_key(self.affiliate_id);
        let mut affiliate: Affiliate = work.need(&key, Refusal::UnknownAffiliate)?;
        let stands: Option<Agreement> = work.get(&agreement_key(&self.signature.version))?;
        if stands.is_some_and(|stands| stands.sha256 != self.signature.sha256) {
            return Err(Refusal::AgreementChanged.into());
        }
        match affiliate.sign(self.signature.clone()) {
            Ok(true) => {}
            Ok(false) => return Ok(Effect::of(false)),
            Err(_) => return Err(Refusal::WrongStatus.into()),
        }
        put_affiliate(work, &affiliate)?;
        let Signature { version, sha256, name, at, .. } = self.signature.clone();
        write_to(work, &affiliate, Message::AgreementSigned { version, sha256, name, at })?;
        Ok(Effect::of(true))
    }
}
