//! Reads from the store: lists in pages, and single items.

use super::layout::{
    AUDIT, FEED, RUNS, account_key, account_partition, affiliate_partition, all_partitions, events_index,
    events_prefix, referrals_index, statement_key, statements_index,
};
use super::work::{decode, load_one};
use super::{AccountList, App, Logged, Page, ReadError, RunDoc, StatementDoc};
use crate::domain::account::Account;
use crate::domain::calendar::Month;
use crate::domain::id::{AccountId, AffiliateId, LinkId};
use crate::store::{Dates, DayCounts, Entry, Partition, Result, StoreError, Stream, StreamId, missing};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::NaiveDate;
use futures_util::StreamExt;
use futures_util::future::try_join_all;
use std::collections::BTreeMap;

/// Names read at once when an index is counted.
const COUNT_PAGE: usize = 10_000;
/// Affiliates whose counts are read at the same time.
const COUNTS_AT_ONCE: usize = 64;

impl App {
    /// An account.
    pub async fn account(&self, id: &AccountId) -> std::result::Result<Option<Account>, ReadError> {
        Ok(self.load_account(id).await?)
    }
    pub(crate) async fn load_account(&self, id: &AccountId) -> Result<Option<Account>> {
        let partition = account_partition(id, self.store.partitions());
        match load_one(self.store.as_ref(), partition, &account_key(id)).await? {
            Some(account) => self.with_all_events(account).await.map(Some),
            None => Ok(None),
        }
    }
    /// An account from its document, with the events that are kept apart from it.
    pub(crate) async fn with_all_events(&self, mut account: Account) -> Result<Account> {
        if account.events_apart > 0 {
            let partition = account_partition(&account.id, self.store.partitions());
            let index = [events_index(&account.id)];
            let lists = self.store.load_indexed(partition, &index, &events_prefix(&account.id)).await?;
            let events = lists.into_iter().flatten().map(|doc| decode("event", &doc?.body));
            let events = events.collect::<Result<Vec<_>>>()?;
            // Events that were kept apart after the account was read are found too.
            if (events.len() as u64) < account.events_apart {
                return Err(StoreError::Corrupt(format!(
                    "{} events of account:{} are kept apart from it, and `{}` names {}",
                    account.events_apart,
                    account.id,
                    index[0],
                    events.len()
                )));
            }
            account.put_events_back(events);
        }
        Ok(account)
    }

    /// Accounts, a page.
    pub async fn accounts(
        &self,
        list: AccountList,
        cursor: Option<&str>,
        limit: usize,
    ) -> std::result::Result<Page<Account>, ReadError> {
        self.accounts_named(list, "", cursor, limit).await
    }

    /// Accounts whose ids have a prefix, a page.
    pub async fn accounts_named(
        &self,
        list: AccountList,
        beginning: &str,
        cursor: Option<&str>,
        limit: usize,
    ) -> std::result::Result<Page<Account>, ReadError> {
        let index = match list {
            AccountList::All => "accounts".to_owned(),
            AccountList::Held => "held".to_owned(),
            AccountList::Conflict => "conflicts".to_owned(),
            AccountList::Waiting => "waiting".to_owned(),
            AccountList::Of(affiliate) => referrals_index(affiliate),
        };
        let (names, next_cursor) = self.page_of(&index, beginning, cursor, limit).await?;
        let load = names.iter().map(async |(_, name)| {
            let gone = || missing(&index, &format!("account:{name}"));
            let id = name.parse::<AccountId>().map_err(|_| gone())?;
            self.load_account(&id).await?.ok_or_else(gone)
        });
        let mut data: Vec<Account> = try_join_all(load).await?;
        // An index is read after a name, so an account whose id is the prefix itself is read first.
        if let (None, Ok(id)) = (cursor, beginning.parse::<AccountId>())
            && let Some(named) = self.load_account(&id).await?.filter(|account| is_in(list, account))
        {
            data.insert(0, named);
        }
        Ok(Page { data, next_cursor })
    }

    /// How many accounts are credited to an affiliate.
    pub async fn referral_count(&self, affiliate: AffiliateId) -> std::result::Result<u64, ReadError> {
        let index = referrals_index(affiliate);
        let mut count = 0;
        for partition in all_partitions(self.store.partitions()) {
            let mut after: Option<String> = None;
            loop {
                let names = self.store.members(partition, &index, after.as_deref(), COUNT_PAGE).await?;
                count += names.len() as u64;
                if names.len() < COUNT_PAGE {
                    break;
                }
                after = names.into_iter().next_back();
            }
        }
        Ok(count)
    }

    /// Statements of a month, of an affiliate, or of both, a page.
    pub async fn statements(
        &self,
        month: Option<Month>,
        affiliate: Option<AffiliateId>,
        cursor: Option<&str>,
        limit: usize,
    ) -> std::result::Result<Page<StatementDoc>, ReadError> {
        let mut keys: Vec<(Partition, String)> = Vec::new();
        let mut next_cursor = None;
        if let (Some(affiliate), Some(month)) = (affiliate, month) {
            let partition = affiliate_partition(affiliate, self.store.partitions());
            keys.push((partition, statement_key(affiliate, month)));
        } else if let Some(affiliate) = affiliate {
            let partition = affiliate_partition(affiliate, self.store.partitions());
            let after = cursor.map(decode_cursor).transpose()?.map(|(_, after)| after);
            let index = statements_index(affiliate);
            let months = self.store.members(partition, &index, after.as_deref(), limit + 1).await?;
            if months.len() > limit {
                next_cursor = months.get(limit - 1).map(|last| encode_cursor(0, last));
            }
            let months = months.iter().take(limit);
            keys.extend(months.map(|month| (partition, format!("statement:{affiliate}:{month}"))));
        } else {
            let prefix = month.map(|month| format!("{month}:")).unwrap_or_default();
            let (names, next) = self.page_of("statements", &prefix, cursor, limit).await?;
            next_cursor = next;
            keys.extend(names.into_iter().filter_map(|(partition, name)| {
                let (month, affiliate) = name.split_once(':')?;
                Some((partition, format!("statement:{affiliate}:{month}")))
            }));
        }
        let load = keys.iter().map(|(partition, key)| load_one(self.store.as_ref(), *partition, key));
        let docs: Vec<Option<StatementDoc>> = try_join_all(load).await?;
        let mut data = Vec::new();
        for ((_, key), doc) in keys.iter().zip(docs) {
            match doc {
                Some(doc) => data.push(doc),
                None if affiliate.is_some() && month.is_some() => {}
                None => return Err(missing("statements", key).into()),
            }
        }
        data.retain(|doc| !doc.withdrawn);
        Ok(Page { data, next_cursor })
    }

    /// The click counts of an affiliate by day; without an affiliate, of all together.
    pub async fn click_counts(
        &self,
        affiliate: Option<AffiliateId>,
        days: &Dates,
    ) -> std::result::Result<Vec<DayCounts>, ReadError> {
        if let Some(affiliate) = affiliate {
            return Ok(self.store.click_counts(affiliate, days).await?);
        }
        let affiliates = self.directory().affiliates();
        let reads = affiliates.into_iter().map(|affiliate| {
            let store = std::sync::Arc::clone(&self.store);
            async move { store.click_counts(affiliate.id, days).await }
        });
        let mut reads = futures_util::stream::iter(reads).buffer_unordered(COUNTS_AT_ONCE);
        let mut sums: BTreeMap<NaiveDate, BTreeMap<_, u64>> = BTreeMap::new();
        while let Some(read) = reads.next().await {
            for day in read? {
                let sums = sums.entry(day.day).or_default();
                for (counter, count) in day.counts {
                    *sums.entry(counter).or_default() += count;
                }
            }
        }
        let counts = |(day, sums): (_, BTreeMap<_, _>)| DayCounts { day, counts: sums.into_iter().collect() };
        Ok(sums.into_iter().map(counts).collect())
    }

    /// An affiliate's clicks by day: by verdict, and for these links.
    pub async fn click_totals(
        &self,
        affiliate: AffiliateId,
        links: &[LinkId],
        days: &Dates,
    ) -> std::result::Result<Vec<DayCounts>, ReadError> {
        Ok(self.store.click_totals(affiliate, links, days).await?)
    }

    /// The feed after a cursor: attributed referrals, their events and qualifications. Entries about one account
    /// are in order.
    pub async fn feed(
        &self,
        cursor: Option<&str>,
        limit: usize,
    ) -> std::result::Result<Page<Logged>, ReadError> {
        let partitions: Vec<Partition> =
            all_partitions(self.store.partitions()).filter(|part| *part != Partition::Directory).collect();
        let mut places = match cursor {
            Some(cursor) => decode_places(cursor, partitions.len())?,
            None => vec![StreamId::default(); partitions.len()],
        };
        let reads = partitions
            .iter()
            .zip(&places)
            .map(|(partition, after)| self.store.read_stream(Stream(*partition, FEED), *after, limit));
        let mut entries: Vec<(usize, Entry)> = Vec::new();
        for (partition, read) in try_join_all(reads).await?.into_iter().enumerate() {
            entries.extend(read.into_iter().map(|entry| (partition, entry)));
        }
        entries.sort_by_key(|(partition, entry)| (entry.id, *partition));
        entries.truncate(limit);
        let mut data = Vec::with_capacity(entries.len());
        for (partition, entry) in entries {
            places[partition] = entry.id;
            data.push(Logged { cursor: encode_places(&places), body: decode(FEED, &entry.body)? });
        }
        // The feed has no end: a reader continues from here when there is more.
        Ok(Page { next_cursor: Some(encode_places(&places)), data })
    }

    /// The audit log, newest first.
    pub async fn audit(
        &self,
        cursor: Option<&str>,
        limit: usize,
    ) -> std::result::Result<Page<Logged>, ReadError> {
        let before = cursor.map(|cursor| decode_places(cursor, 1)).transpose()?.map(|places| places[0]);
        let entries =
            self.store.read_stream_back(Stream(Partition::Directory, AUDIT), before, limit + 1).await?;
        let more = entries.len() > limit;
        let logged = entries.into_iter().take(limit).map(|entry| {
            Ok(Logged { cursor: encode_places(&[entry.id]), body: decode(AUDIT, &entry.body)? })
        });
        let data = logged.collect::<Result<Vec<_>>>()?;
        let next_cursor = data.last().filter(|_| more).map(|last| last.cursor.clone());
        Ok(Page { data, next_cursor })
    }

    /// Finished nightly runs, newest first, up to a limit.
    pub async fn runs(&self, limit: usize) -> std::result::Result<Vec<RunDoc>, ReadError> {
        let entries = self.store.read_stream_back(Stream(Partition::Directory, RUNS), None, limit).await?;
        let runs = entries.iter().map(|entry| decode(RUNS, &entry.body));
        let mut runs = runs.collect::<Result<Vec<RunDoc>>>()?;
        if runs.is_empty() {
            // The last run may be older than the list of runs.
            runs.extend(self.directory().last_run().map(|last| RunDoc::clone(last)));
        }
        Ok(runs)
    }

    /// A page of an index's names with a prefix, over all hashed partitions.
    async fn page_of(
        &self,
        index: &str,
        prefix: &str,
        cursor: Option<&str>,
        limit: usize,
    ) -> std::result::Result<(Vec<(Partition, String)>, Option<String>), ReadError> {
        let (mut number, mut after) = match cursor {
            Some(cursor) => decode_cursor(cursor).map(|(number, after)| (number, Some(after)))?,
            None => (0, None),
        };
        let mut names = Vec::new();
        while number < self.store.partitions() {
            let partition = Partition::Hashed(number);
            let start = after.take().unwrap_or_else(|| prefix.to_owned());
            let wanted = limit + 1 - names.len();
            let start = Some(start.as_str()).filter(|start| !start.is_empty());
            let found = self.store.members(partition, index, start, wanted).await?;
            let found = found.into_iter().take_while(|name| name.starts_with(prefix));
            names.extend(found.map(|name| (partition, name)));
            if names.len() > limit {
                names.truncate(limit);
                let last = names.last().map(|(partition, name)| (*partition, name.clone()));
                let next = last.map(|(partition, name)| match partition {
                    Partition::Hashed(number) => encode_cursor(number, &name),
                    Partition::Directory => encode_cursor(0, &name),
                });
                return Ok((names, next));
            }
            number += 1;
        }
        Ok((names, None))
    }
}

/// Whether an account is in a list, by its indexes.
fn is_in(list: AccountList, account: &Account) -> bool {
    match list {
        AccountList::All => true,
        AccountList::Held => account.is_held(),
        AccountList::Conflict => !account.conflicts.is_empty(),
        AccountList::Waiting => account.signup.is_none() && !account.events.is_empty(),
        AccountList::Of(affiliate) => account.credited_to == Some(affiliate),
    }
}

fn encode_cursor(partition: u16, after: &str) -> String {
    URL_SAFE_NO_PAD.encode(format!("{partition}/{after}"))
}

fn decode_cursor(cursor: &str) -> std::result::Result<(u16, String), ReadError> {
    let text = URL_SAFE_NO_PAD.decode(cursor).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    let (partition, after) =
        text.as_deref().and_then(|text| text.split_once('/')).ok_or(ReadError::BadCursor)?;
    Ok((partition.parse().map_err(|_| ReadError::BadCursor)?, after.to_owned()))
}

fn encode_places(places: &[StreamId]) -> String {
    let texts: Vec<String> = places.iter().map(|place| format!("{}-{}", place.0, place.1)).collect();
    URL_SAFE_NO_PAD.encode(texts.join(","))
}

fn decode_places(cursor: &str, count: usize) -> std::result::Result<Vec<StreamId>, ReadError> {
    let text = URL_SAFE_NO_PAD.decode(cursor).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    let place = |text: &str| {
        let (first, second) = text.split_once('-')?;
        let number = |text: &str| text.parse::<u64>().ok().filter(|number| *number < u64::MAX >> 1);
        Some(StreamId(number(first)?, number(second)?))
    };
    let text = text.ok_or(ReadError::BadCursor)?;
    let places: Option<Vec<StreamId>> = text.split(',').map(place).collect();
    places.filter(|places| places.len() == count).ok_or(ReadError::BadCursor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursors_read_back_and_others_are_refused() {
        assert_eq!(decode_cursor(&encode_cursor(3, "a/b")).expect("ours"), (3, "a/b".to_owned()));
        let places = [StreamId(1, 2), StreamId(3, 4)];
        assert_eq!(decode_places(&encode_places(&places), 2).expect("ours"), places);
        for foreign in ["", "x", "!!", "MTI", &encode_places(&places)] {
            assert!(decode_cursor(foreign).is_err() || foreign.is_empty(), "{foreign}");
            assert!(decode_places(foreign, 1).is_err(), "{foreign}");
        }
    }
}
