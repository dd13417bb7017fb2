//! Payouts: how closed statements become money in an affiliate's account, once.
//!
//! A *batch* pays the closed statements of a month and of earlier ones. Each affiliate in it has one *item*: its
//! free parts (closed statements, and corrections of what was paid too much), together. What an affiliate is owed,
//! what is under way and what was paid is in its [`Ledger`]. Nothing here sends money: it says what may be sent, and
//! what each answer means.

mod batch;
mod chunk;
pub mod file;
mod hint;
mod id;
mod item;
mod ledger;
mod outlook;
mod plan;
pub mod report;

pub use batch::{Approval, Batch, BatchStatus, Method};
pub use chunk::{Answer, Chunk, ChunkState, ITEMS_PER_CALL, Next};
pub use hint::{Hint, MOST_HINTS, PayPalId};
pub use id::{ItemId, MOST_BATCHES, PayoutId};
pub use item::{Event, Item, ItemStatus, Means, Provider, Step};
pub use ledger::{
    Balance, Change, Clearance, ClosedStatement, Entry, Imbalance, Ledger, NotAllowed, Part, PartOf,
};
pub use outlook::{Due, Outlook, Payment};
pub use plan::{Carried, CarriedSum, NewItem, Notice, Planned, Terms, notices, plan};
