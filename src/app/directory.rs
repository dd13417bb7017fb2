//! The directory in memory: all affiliates, links, months and staff, followed through the store's `changes`.

use super::layout::{CHANGES, RUN};
use super::work::decode;
use crate::domain::affiliate::{Affiliate, Link};
use crate::domain::calendar::Month;
use crate::domain::fact::RunReport;
use crate::domain::id::{AffiliateId, LinkId, ReferralCode, StaffId};
use crate::domain::person::{StaffMember, same_email};
use crate::store::{Doc, Partition, Result, Store, Stream, StreamId, missing};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

/// Entries of `changes` read at once.
const CHANGES_AT_ONCE: usize = 1_000;

/// A month that is closing or closed for the program.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct MonthDoc {
    /// The month.
    pub month: Month,
    /// The rules by which its statements are computed, now and later.
    pub rules: crate::domain::program::Rules,
    /// The as-of of the run that closes it.
    pub as_of: chrono::DateTime<chrono::Utc>,
    /// When its closing began.
    pub closing_at: chrono::DateTime<chrono::Utc>,
    /// Whether all its statements are closed.
    pub closed: bool,
    /// How many statements it has, once closed.
    pub statements: u64,
}

/// A finished nightly run.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct RunDoc {
    /// What the run did.
    pub run: RunReport,
    /// When the run ended; its as-of may be much earlier.
    pub finished_at: chrono::DateTime<chrono::Utc>,
    /// Who asked for it; the nightly schedule is `counterfoil`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// How long it took, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub took_ms: Option<u64>,
}

/// The directory as a node holds it in memory. A copy is cheap: entries are shared.
#[derive(Debug, Clone, Default)]
pub struct Directory {
    affiliates: HashMap<AffiliateId, Arc<Affiliate>>,
    links: HashMap<LinkId, Arc<Link>>,
    by_code: HashMap<ReferralCode, AffiliateId>,
    links_of: HashMap<AffiliateId, BTreeSet<(chrono::DateTime<chrono::Utc>, LinkId)>>,
    months: BTreeMap<Month, Arc<MonthDoc>>,
    last_run: Option<Arc<RunDoc>>,
    staff: BTreeMap<StaffId, Arc<StaffMember>>,
    /// Documents that can't be read, or are missing. What needs them waits, and no month closes.
    unreadable: BTreeSet<String>,
    /// How far `changes` has been followed.
    seen: StreamId,
}

impl Directory {
    /// An affiliate.
    pub fn affiliate(&self, id: AffiliateId) -> Option<&Arc<Affiliate>> {
        self.affiliates.get(&id)
    }
    /// A link.
    pub fn link(&self, id: LinkId) -> Option<&Arc<Link>> {
        self.links.get(&id)
    }
    /// The affiliate with a referral code.
    pub fn by_code(&self, code: &ReferralCode) -> Option<&Arc<Affiliate>> {
        self.by_code.get(code).and_then(|id| self.affiliates.get(id))
    }
    /// All affiliates, by id.
    pub fn affiliates(&self) -> Vec<Arc<Affiliate>> {
        let mut all: Vec<_> = self.affiliates.values().cloned().collect();
        all.sort_unstable_by_key(|affiliate| affiliate.id);
        all
    }
    /// The links of an affiliate, oldest first.
    pub fn links_of(&self, id: AffiliateId) -> Vec<Arc<Link>> {
        let ids = self.links_of.get(&id).into_iter().flatten();
        ids.filter_map(|(_, link)| self.links.get(link).cloned()).collect()
    }
    /// All links.
    pub fn links(&self) -> impl Iterator<Item = &Arc<Link>> {
        self.links.values()
    }
    /// Months that are closing or closed, in ascending order.
    pub fn months(&self) -> impl Iterator<Item = &Arc<MonthDoc>> {
        self.months.values()
    }
    /// The last finished nightly run.
    pub fn last_run(&self) -> Option<&Arc<RunDoc>> {
        self.last_run.as_ref()
    }

    /// A member of staff.
    pub fn staff_member(&self, id: StaffId) -> Option<&Arc<StaffMember>> {
        self.staff.get(&id)
    }
    /// The member of staff who signs in with this e-mail.
    pub fn staff_with(&self, email: &str) -> Option<&Arc<StaffMember>> {
        self.staff.values().find(|member| same_email(&member.email, email))
    }
    /// All members of staff, oldest first.
    pub fn staff(&self) -> Vec<Arc<StaffMember>> {
        let mut all: Vec<_> = self.staff.values().cloned().collect();
        all.sort_by_key(|member| (member.created_at, member.id));
        all
    }

    /// The names of documents that can't be read, or are missing.
    pub fn unreadable(&self) -> impl ExactSizeIterator<Item = &str> {
        self.unreadable.iter().map(String::as_str)
    }

    /// Reads the whole directory.
    pub(crate) async fn load(store: &dyn Store) -> Result<Self> {
        // The position in `changes` is read first, so that what changes meanwhile is read again.
        let newest = store.read_stream_back(Stream(Partition::Directory, CHANGES), None, 1).await?;
        let mut directory =
            Self { seen: newest.first().map(|entry| entry.id).unwrap_or_default(), ..Self::default() };
        for (index, kind) in
            [("affiliates", "affiliate"), ("links", "link"), ("months", "month"), ("staff", "staff")]
        {
            let names = store.members(Partition::Directory, index, None, usize::MAX).await?;
            let keys: Vec<String> = names.iter().map(|name| format!("{kind}:{name}")).collect();
            for some in keys.chunks(CHANGES_AT_ONCE) {
                directory.take(some, store.load(Partition::Directory, some).await?);
            }
        }
        let run = [RUN.to_owned()];
        directory.take(&run, store.load(Partition::Directory, &run).await?);
        Ok(directory)
    }

    /// Reads what changed since then; `None`: nothing changed.
    pub(crate) async fn follow(&self, store: &dyn Store) -> Result<Option<Self>> {
        let changes = Stream(Partition::Directory, CHANGES);
        let entries = store.read_stream(changes, self.seen, CHANGES_AT_ONCE).await?;
        let Some(last) = entries.last() else { return Ok(None) };
        if entries.len() == CHANGES_AT_ONCE {
            return Self::load(store).await.map(Some);
        }
        let mut next = self.clone();
        next.seen = last.id;
        let mut keys = BTreeSet::new();
        for entry in &entries {
            let change: Changed = decode("changes", &entry.body)?;
            keys.insert(change.id.map_or_else(|| RUN.to_owned(), |id| format!("{}:{id}", change.kind)));
        }
        let keys: Vec<String> = keys.into_iter().collect();
        next.take(&keys, store.load(Partition::Directory, &keys).await?);
        Ok(Some(next))
    }

    /// Adds documents. One that can't be read, or is missing, is left out, and its name is remembered.
    fn take(&mut self, keys: &[String], docs: Vec<Option<Doc>>) {
        for (key, doc) in keys.iter().zip(docs) {
            // Before the first nightly run there is no `run`. All other documents are named in an index or in
            // `changes`.
            if doc.is_none() && key == RUN {
                continue;
            }
            let taken = doc.ok_or_else(|| missing("the directory", key));
            self.unreadable.remove(key);
            if let Err(error) = taken.and_then(|doc| self.take_one(key, &doc.body)) {
                tracing::error!(%error, "a document of the directory can't be read");
                self.unreadable.insert(key.clone());
            }
        }
    }
    fn take_one(&mut self, key: &str, body: &[u8]) -> Result<()> {
        match key.split(':').next() {
            Some("affiliate") => self.put_affiliate(decode(key, body)?),
            Some("link") => self.put_link(decode(key, body)?),
            Some("month") => self.put_month(decode(key, body)?),
            Some("staff") => self.put_staff(decode(key, body)?),
            Some(RUN) => self.last_run = Some(Arc::new(decode(key, body)?)),
            // A kind that a newer version keeps in memory, and this one does not.
            _ => {}
        }
        Ok(())
    }
    fn put_affiliate(&mut self, affiliate: Affiliate) {
        if let Some(former) = self.affiliates.get(&affiliate.id) {
            self.by_code.remove(&former.code);
        }
        self.by_code.insert(affiliate.code.clone(), affiliate.id);
        self.affiliates.insert(affiliate.id, Arc::new(affiliate));
    }
    fn put_link(&mut self, link: Link) {
        self.links_of.entry(link.affiliate).or_default().insert((link.created_at, link.id));
        self.links.insert(link.id, Arc::new(link));
    }
    fn put_staff(&mut self, member: StaffMember) {
        self.staff.insert(member.id, Arc::new(member));
    }
    fn put_month(&mut self, month: MonthDoc) {
        self.months.insert(month.month, Arc::new(month));
    }
}

#[derive(serde::Deserialize)]
struct Changed {
    kind: String,
    #[serde(default)]
    id: Option<String>,
}
