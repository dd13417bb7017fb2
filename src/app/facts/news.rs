//! Facts of what affiliates are told about their referrals and statements. These are in other partitions of the store than
//! mail: the server [reads there](crate::app::news) what is new, and hands it in.

use super::puts::write_to;
use super::{Applied, Audit, Context, Effect, Kind, Subject};
use crate::app::actor::Actor;
use crate::app::layout::{affiliate_key, told_key};
use crate::app::work::Work;
use crate::domain::account::Refusal;
use crate::domain::affiliate::Affiliate;
use crate::domain::fact::AffiliateTold;
use crate::metrics::FactKind;
use chrono::{DateTime, Utc};

impl AffiliateTold {
    /// The document that says that it was told.
    pub(crate) fn told_key(&self) -> String {
        told_key(self.affiliate_id, self.news.topic(), &self.news.subject())
    }
}

impl Kind for AffiliateTold {
    const METRIC: Option<FactKind> = None;
    const MAILS: usize = 1;
    const AUDIT: Option<Audit> = None;

    fn subject(&self) -> Subject<'_> {
        Subject::Directory
    }
    fn permits(&self, actor: &Actor) -> bool {
        actor.is_server()
    }
    fn documents(&self) -> Vec<String> {
        vec![affiliate_key(self.affiliate_id), self.told_key()]
    }
    fn apply(&self, work: &mut Work, context: &Context<'_>) -> Applied {
        let key = self.told_key();
        let affiliate: Affiliate = work.need(&affiliate_key(self.affiliate_id), Refusal::UnknownAffiliate)?;
        if work.get::<DateTime<Utc>>(&key)?.is_some() {
            return Ok(Effect::of(false));
        }
        work.put(&key, &context.at)?;
        write_to(work, &affiliate, self.news.clone().into())?;
        Ok(Effect::of(true))
    }
}
