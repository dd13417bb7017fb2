//! What can go wrong between us and PayPal.

/// What it does and says at one creation of a batch.
#[derive(Debug, Clone, Copy)]
pub struct Lie {
    /// What happens in the book.
    pub does: Does,
    /// What the answer is.
    pub says: Says,
    /// Whether notifications arrive before the answer.
    pub tells_first: bool,
}

/// What happens in the book.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Does {
    /// What was asked, if it is in order.
    AsAsked,
    /// Nothing.
    Nothing,
    /// The batch is taken, and denied when it is processed.
    Denies,
}

/// What the answer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Says {
    /// What is so.
    Truth,
    /// The connection is reset.
    Reset,
    /// Nothing, and the connection stays.
    Silence,
    /// 500, in PayPal's form.
    Fault,
    /// 502 with a page of a gateway.
    Gateway,
    /// 400 with a page of a proxy.
    ProxyRefuses,
    /// 201, cut off in the middle.
    Truncated,
    /// 201 with `{}`.
    Empty,
    /// 201 with a page.
    Page,
    /// 201 with the id of a batch that is not ours.
    Foreign,
    /// 201 for another `sender_batch_id`.
    AnotherSender,
    /// 201 with an id of which nobody knows anything.
    Made,
    /// 307 to the same place.
    Elsewhere,
    /// 429.
    Throttled,
    /// 403 with this name.
    Restricted(&'static str),
    /// 422.
    Unfunded,
    /// 400: the call before is not done.
    InProgress,
    /// 400 "already exists" without a link.
    DuplicateWithoutLink,
    /// 400 "already exists" with a link to a batch that is not ours.
    DuplicateWithForeignLink,
    /// 400 with the older words.
    DuplicateInOldWords,
}

impl Lie {
    /// It does what was asked, and says this.
    pub const fn performs_then(says: Says) -> Self {
        Self { does: Does::AsAsked, says, tells_first: false }
    }
    /// It does nothing, and says this.
    pub const fn only(says: Says) -> Self {
        Self { does: Does::Nothing, says, tells_first: false }
    }
    /// It takes the batch, and denies it when it is processed.
    pub const fn denies() -> Self {
        Self { does: Does::Denies, says: Says::Truth, tells_first: false }
    }
    /// All is as it should be, but the notifications arrive before the answer.
    pub const fn tells_first() -> Self {
        Self { does: Does::AsAsked, says: Says::Truth, tells_first: true }
    }
}

/// What it says when a batch or an item is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadLie {
    /// What is so: for the calls before the one that matters.
    Truth,
    /// 404, as a copy of the data that is behind.
    NotFound,
    /// Everything as it was when it was made.
    Stale,
    /// Each amount is another.
    OtherAmounts,
    /// Each status is a word that nobody knows.
    UnknownWords,
    /// The page's first item is not there, and is not counted.
    ItemMissing,
    /// The page's first item is there twice.
    ItemTwice,
    /// The batch is done, and its items are pending.
    DoneButPending,
    /// The page has no items.
    EmptyPage,
    /// The first page, whichever was asked for.
    FirstPage,
    /// There are said to be so many items more.
    MoreItems(usize),
    /// 500, in PayPal's form.
    Fault,
    /// 502 with a page of a gateway.
    Gateway,
    /// 200 with a page.
    Page,
    /// 200, cut off in the middle.
    Truncated,
    /// More bytes than anybody reads.
    Endless,
    /// 429.
    Throttled,
    /// The connection is reset.
    Reset,
    /// Nothing, and the connection stays.
    Silence,
}

/// What it says when a token is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenLie {
    /// 429.
    Throttled,
    /// 401.
    Refused,
    /// 200 with a page.
    Page,
    /// Nothing, and the connection stays.
    Silence,
}
