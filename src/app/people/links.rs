//! Creates the links of affiliates.

use super::{ActError, App};
use crate::app::actor::Actor;
use crate::domain::account::Refusal;
use crate::domain::affiliate::{Link, MOST_LINKS, Switch};
use crate::domain::fact::{LinkCreated, Within};
use crate::domain::id::{AffiliateId, LinkId};
use crate::domain::input::{BadInput, Label, Line, with_scheme};
use serde::Deserialize;

/// A new link.
#[derive(Debug, Clone, Default, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"destination": "https://www.calltrackingmetrics.com/plans?ref=spring", "label": "Spring mail"}))]
pub struct NewLink {
    /// Where it leads, on one of the program's hosts; absent: the program's landing page.
    #[schema(inline)]
    pub destination: Option<Line<1_024>>,
    /// The affiliate's own name for it. Only programs may leave it out.
    #[schema(inline)]
    pub label: Option<Label>,
}

impl App {
    /// A link to be created for an affiliate.
    pub fn new_link(
        &self,
        actor: &Actor,
        affiliate: AffiliateId,
        new: NewLink,
    ) -> Result<LinkCreated, ActError> {
        let directory = self.directory();
        directory.affiliate(affiliate).ok_or(ActError::Refused(Refusal::UnknownAffiliate))?;
        let link = Link {
            id: LinkId::random(),
            affiliate,
            destination: self.link_destination(new.destination)?,
            label: new.label.map(String::from),
            created_at: self.now(),
            switch: Switch::default(),
        };
        // People recognize a link by its name, programs by its id.
        if link.label.is_none() && !matches!(actor, Actor::Key(_)) {
            return Err(ActError::Invalid(vec![("label", BadInput::Blank)]));
        }
        let known = u32::try_from(directory.links_of(affiliate).len()).unwrap_or(u32::MAX);
        let within = Some(Within { most: MOST_LINKS, known });
        Ok(LinkCreated { link, within })
    }

    fn link_destination(&self, typed: Option<Line<1_024>>) -> Result<Option<String>, ActError> {
        let Some(typed) = typed else { return Ok(None) };
        let allowed = self.settings.destinations.destination(&with_scheme(typed.as_str()));
        let refused = |_| {
            let hosts = self.settings.destinations.to_string();
            ActError::Invalid(vec![("destination", BadInput::NotADestination(hosts))])
        };
        allowed.map(|allowed| Some(allowed.as_str().to_owned())).map_err(refused)
    }
}
