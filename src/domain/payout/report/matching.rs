//! Which item of a batch each row of a report is about, if that is certain.

use super::{ReportRow, Reported};
use crate::domain::money::Money;
use crate::domain::named::named;
use std::collections::{HashMap, HashSet};

/// An item of the batch that the report is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Known<'a> {
    /// Our id of the payment.
    pub item_id: &'a str,
    /// To whom it goes.
    pub receiver: &'a str,
    /// How much.
    pub amount: Money,
    /// ISO 4217 code.
    pub currency: &'a str,
}

/// What a row of a report is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Matched {
    /// The line of the report on which the row begins.
    pub line: u64,
    /// The item, or why a person must look.
    pub outcome: Outcome,
}

/// What a row of a report is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The item at this place.
    Item(usize),
    /// It says the same, word for word, as an earlier row about the same item.
    Repeated,
    /// Nothing certain: no state may change by it.
    Person(Reason),
}

named! {
    /// Why a person must look at a row of a report.
    pub enum Reason {
        /// No item of this batch has this id, or this receiver, amount and currency.
        NotOurs = "not_ours",
        /// The row has no id, and it may be about more than one item, or about one that another row names by its id.
        Ambiguous = "ambiguous",
        /// The row has no amount that can be read.
        NoAmount = "no_amount",
        /// The amount is not that of the item.
        AmountDiffers = "amount_differs",
        /// The currency is not that of the item.
        CurrencyDiffers = "currency_differs",
        /// The receiver is not that of the item.
        ReceiverDiffers = "receiver_differs",
        /// The status is none that we know.
        UnknownStatus = "unknown_status",
        /// Another row about the same item says something else: compare both with PayPal.
        TwoRows = "two_rows",
    }
}

/// How a row names its item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Naming {
    ById(usize),
    ByPayment(usize),
    Nothing(Reason),
}

/// For each row, in their order, the item that it is about, or why a person must look.
///
/// A row with an id is about the item with that id, or about none of this batch. A row without one is about the
/// only item with its receiver, amount and currency, as long as no other row names that item by its id. Rows
/// about one item that say different things all go to a person.
pub fn match_rows(rows: &[ReportRow], items: &[Known<'_>]) -> Vec<Matched> {
    let index = Index::of(items);
    let namings: Vec<Naming> = rows.iter().map(|row| index.naming(row)).collect();
    let mut about = vec![About::default(); items.len()];
    for (row, naming) in rows.iter().zip(&namings) {
        match *naming {
            Naming::ById(item) => about[item].by_id.add(row),
            Naming::ByPayment(item) => about[item].by_payment.add(row),
            Naming::Nothing(_) => {}
        }
    }
    let outcome = |row, naming| match naming {
        Naming::Nothing(reason) => Outcome::Person(reason),
        Naming::ById(item) => about[item].decide(row, &items[item], about[item].fault_by_id(), item),
        Naming::ByPayment(item) => {
            about[item].decide(row, &items[item], about[item].fault_by_payment(), item)
        }
    };
    let outcomes = rows.iter().zip(namings).map(|(row, naming)| (row.line, outcome(row, naming)));
    outcomes.map(|(line, outcome)| Matched { line, outcome }).collect()
}

/// The items, by what a row may name them.
struct Index<'a> {
    ids: HashMap<&'a str, usize>,
    receivers: HashSet<String>,
    payments: HashMap<(String, Money, String), Vec<usize>>,
}

impl<'a> Index<'a> {
    fn of(items: &[Known<'a>]) -> Self {
        let mut index = Self { ids: HashMap::new(), receivers: HashSet::new(), payments: HashMap::new() };
        for (place, item) in items.iter().enumerate() {
            index.ids.insert(item.item_id, place);
            index.receivers.insert(item.receiver.to_lowercase());
            index.payments.entry(payment(item.receiver, item.amount, item.currency)).or_default().push(place);
        }
        index
    }

    fn naming(&self, row: &ReportRow) -> Naming {
        let by_id = |id: &String| {
            self.ids.get(&**id).map_or(Naming::Nothing(Reason::NotOurs), |item| Naming::ById(*item))
        };
        row.item_id.as_ref().map_or_else(|| self.naming_by_payment(row), by_id)
    }

    fn naming_by_payment(&self, row: &ReportRow) -> Naming {
        let receiver = row.receiver.as_deref().unwrap_or_default();
        let Some(amount) = row.amount else {
            let is_known = self.receivers.contains(&receiver.to_lowercase());
            return Naming::Nothing(if is_known { Reason::NoAmount } else { Reason::NotOurs });
        };
        let key = payment(receiver, amount, row.currency.as_deref().unwrap_or_default());
        match self.payments.get(&key).map(Vec::as_slice) {
            None | Some([]) => Naming::Nothing(Reason::NotOurs),
            Some([item]) => Naming::ByPayment(*item),
            Some(_) => Naming::Nothing(Reason::Ambiguous),
        }
    }
}

/// A payment as it is looked up. The same money coming back names it too, so that it is not overlooked.
fn payment(receiver: &str, amount: Money, currency: &str) -> (String, Money, String) {
    (receiver.to_lowercase(), amount.max(-amount), currency.to_uppercase())
}

/// The rows that name one item in one way.
#[derive(Debug, Clone, Copy, Default)]
struct Rows<'a> {
    first: Option<&'a ReportRow>,
    do_differ: bool,
}

impl<'a> Rows<'a> {
    fn add(&mut self, row: &'a ReportRow) {
        let first = *self.first.get_or_insert(row);
        self.do_differ |= *row != ReportRow { line: row.line, ..first.clone() };
    }
}

/// All rows that name one item.
#[derive(Debug, Clone, Copy, Default)]
struct About<'a> {
    by_id: Rows<'a>,
    by_payment: Rows<'a>,
}

impl About<'_> {
    /// What is wrong with the rows that name the item by its id.
    fn fault_by_id(&self) -> Option<Reason> {
        let say_another = |(one, other): (&ReportRow, &ReportRow)| {
            self.by_payment.do_differ || (&one.result, one.amount) != (&other.result, other.amount)
        };
        let is_contradicted = self.by_id.first.zip(self.by_payment.first).is_some_and(say_another);
        (self.by_id.do_differ || is_contradicted).then_some(Reason::TwoRows)
    }

    /// What is wrong with the rows that name the item by receiver, amount and currency.
    fn fault_by_payment(&self) -> Option<Reason> {
        let is_anothers = self.by_id.first.map(|_| Reason::Ambiguous);
        is_anothers.or(self.by_payment.do_differ.then_some(Reason::TwoRows))
    }

    fn decide(&self, row: &ReportRow, known: &Known<'_>, fault: Option<Reason>, item: usize) -> Outcome {
        let is_first = [self.by_id.first, self.by_payment.first]
            .into_iter()
            .flatten()
            .any(|first| std::ptr::eq(first, row));
        match difference(row, known).or(fault) {
            Some(reason) => Outcome::Person(reason),
            None if is_first => Outcome::Item(item),
            None => Outcome::Repeated,
        }
    }
}

/// In what a row does not fit the item that it names. A report may have no column of receivers or currencies:
/// what is not said does not differ. The amount must be said.
fn difference(row: &ReportRow, known: &Known<'_>) -> Option<Reason> {
    let differs = |said: Option<&String>, known: &str| {
        said.is_some_and(|said| said.to_lowercase() != known.to_lowercase())
    };
    match row.amount {
        None => Some(Reason::NoAmount),
        Some(amount) if amount != known.amount => Some(Reason::AmountDiffers),
        _ if differs(row.currency.as_ref(), known.currency) => Some(Reason::CurrencyDiffers),
        _ if differs(row.receiver.as_ref(), known.receiver) => Some(Reason::ReceiverDiffers),
        _ if matches!(row.result, Reported::Unknown(_)) => Some(Reason::UnknownStatus),
        _ => None,
    }
}
