//! Facts about links.

use super::puts::{link_key, put_link, write_to};
use super::{Applied, Audit, Context, Effect, Kind, NotApplied, Subject, sentence};
use crate::app::actor::Actor;
use crate::app::layout::{affiliate_key, link_count_key};
use crate::app::work::Work;
use crate::domain::account::Refusal;
use crate::domain::affiliate::{Affiliate, Link, Status};
use crate::domain::fact::{LinkCreated, LinkDisabled, LinkEnabled, Within};
use crate::domain::id::{AffiliateId, LinkId};
use crate::domain::mail::Message;
use crate::domain::person::Permission;
use crate::metrics::FactKind;
use crate::store::Result;

impl Kind for LinkCreated {
    const METRIC: Option<FactKind> = Some(FactKind::Link);
    const MAILS: usize = 0;
    const AUDIT: Option<Audit> = Audit::saying(|_| sentence("Made a link"));

    fn subject(&self) -> Subject<'_> {
        Subject::Directory
    }
    fn permits(&self, actor: &Actor) -> bool {
        actor.is(self.link.affiliate) || actor.may(Permission::ChangeAffiliates)
    }
    fn documents(&self) -> Vec<String> {
        let affiliate = self.link.affiliate;
        vec![affiliate_key(affiliate), link_key(self.link.id), link_count_key(affiliate)]
    }
    fn apply(&self, work: &mut Work, _: &Context<'_>) -> Applied {
        let key = affiliate_key(self.link.affiliate);
        let affiliate: Affiliate = work.need(&key, Refusal::UnknownAffiliate)?;
        if affiliate.status() != Status::Active {
            return Err(Refusal::NotActive.into());
        }
        if !count_link(work, &self.link, self.within)? {
            return Err(Refusal::TooManyLinks.into());
        }
        put_link(work, &self.link)?;
        Ok(Effect::of(true))
    }
}

/// Counts a new link; false: the limit is reached. Links are counted only from the first fact on that has a limit.
fn count_link(work: &mut Work, link: &Link, within: Option<Within>) -> Result<bool> {
    let key = link_count_key(link.affiliate);
    let counted: Option<u32> = work.get(&key)?;
    let Some(count) = counted.or(within.map(|within| within.known)) else { return Ok(true) };
    if within.is_some_and(|within| count >= within.most) {
        return Ok(false);
    }
    work.put(&key, &(count + 1))?;
    Ok(true)
}

impl Kind for LinkDisabled {
    const METRIC: Option<FactKind> = Some(FactKind::Link);
    const MAILS: usize = 1;
    const AUDIT: Option<Audit> = Audit::saying(|_| sentence("Switched a link off"));

    fn subject(&self) -> Subject<'_> {
        Subject::Directory
    }
    fn permits(&self, actor: &Actor) -> bool {
        actor.is(self.affiliate_id) || actor.may(Permission::ChangeAffiliates)
    }
    fn documents(&self) -> Vec<String> {
        vec![affiliate_key(self.affiliate_id), link_key(self.link_id)]
    }
    /// A default link is used on the affiliate's home page, in mail and in print: to stop it, suspend the
    /// affiliate.
    fn apply(&self, work: &mut Work, context: &Context<'_>) -> Applied {
        let (affiliate, mut link) = link_of(work, self.link_id, self.affiliate_id)?;
        if link.id == affiliate.default_link && self.reason.is_some() && !link.switch.is_off() {
            return Err(Refusal::DefaultLink.into());
        }
        let changed = link.switch.off(context.at, context.by, self.reason.as_deref());
        put_link(work, &link)?;
        // An affiliate that switched the link off itself needs no mail.
        if changed && !link.switch.is_off_by(affiliate.id) && affiliate.may_act() {
            let reason = link.switch.disabled_reason.unwrap_or_default();
            let message = Message::LinkDisabled { label: link.label, made_at: link.created_at, reason };
            write_to(work, &affiliate, message)?;
        }
        Ok(Effect::of(changed))
    }
}

impl Kind for LinkEnabled {
    const METRIC: Option<FactKind> = Some(FactKind::Link);
    const MAILS: usize = 1;
    const AUDIT: Option<Audit> = Audit::saying(|_| sentence("Switched a link on again"));

    fn subject(&self) -> Subject<'_> {
        Subject::Directory
    }
    fn permits(&self, actor: &Actor) -> bool {
        actor.may(Permission::ChangeAffiliates)
    }
    fn documents(&self) -> Vec<String> {
        vec![affiliate_key(self.affiliate_id), link_key(self.link_id)]
    }
    fn apply(&self, work: &mut Work, context: &Context<'_>) -> Applied {
        let (affiliate, mut link) = link_of(work, self.link_id, self.affiliate_id)?;
        let changed = link.switch.on(context.at);
        put_link(work, &link)?;
        if changed && affiliate.may_act() {
            let message = Message::LinkEnabled { label: link.label, made_at: link.created_at };
            write_to(work, &affiliate, message)?;
        }
        Ok(Effect::of(changed))
    }
}

/// A link with its affiliate.
fn link_of(
    work: &Work,
    link: LinkId,
    affiliate: AffiliateId,
) -> std::result::Result<(Affiliate, Link), NotApplied> {
    let owner: Affiliate = work.need(&affiliate_key(affiliate), Refusal::UnknownLink)?;
    let link: Link = work.need(&link_key(link), Refusal::UnknownLink)?;
    if link.affiliate == affiliate { Ok((owner, link)) } else { Err(Refusal::UnknownLink.into()) }
}
