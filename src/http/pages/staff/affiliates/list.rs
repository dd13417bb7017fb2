//! The list of affiliates.

use super::PATH;
use crate::app::Directory;
use crate::domain::affiliate::Affiliate;
use crate::http::pages::PageError;
use crate::http::pages::staff::words::{self, Words};
use crate::http::pages::staff::{Staff, Visit, show_list};
use crate::http::pages::table::{self, Cell, List};
use axum::response::Response;
use std::sync::Arc;

fn affiliates<'a>(words: Words<'a>, directory: &'a Directory) -> List<'a, Arc<Affiliate>> {
    type Column<'a> = table::Column<'a, Arc<Affiliate>>;
    let text = |text: &Option<String>| text.as_ref().map_or_else(words::none, Cell::text);
    let links = move |one: &Affiliate| directory.links_of(one.id).len();
    let columns = vec![
        Column::text("name", "Affiliate", |one| {
            Cell::link(&one.profile.name, format!("{PATH}/{}", one.id)).note(&one.profile.email)
        })
        .sort_first_by(|one| one.profile.name.to_lowercase()),
        Column::text("status", "Status", |one| {
            let (stands, tone) = words::status(one.status());
            Cell::mark(stands, tone)
        })
        .sort_by(|one| one.status().code()),
        Column::text("company", "Company", move |one| text(&one.profile.company))
            .sort_by(|one| one.profile.company.clone()),
        Column::text("code", "Code", |one| Cell::id(one.code.to_string())).sort_by(|one| one.code.clone()),
        Column::text("paypal", "PayPal", move |one| text(&one.profile.paypal_email)),
        Column::number("links", "Links", move |one| Cell::text(links(one).to_string()))
            .sort_by(move |one| links(one)),
        Column::text("applied", "Applied", move |one| words.when(words::applied_at(one)))
            .sort_by(|one| words::applied_at(one)),
    ];
    let empty = "No affiliate yet. Applications come from the page /apply; affiliates of another system are brought over by “counterfoil affiliate bring-over”.";
    let statuses = [
        ("applied", "Applied"),
        ("approved", "Approved"),
        ("activated", "Activated"),
        ("active", "Active"),
        ("suspended", "Suspended"),
        ("rejected", "Rejected"),
        ("closed", "Closed"),
    ];
    List::new(PATH, "Affiliates", empty, columns)
        .search("Name, e-mail, code or id", |one| {
            let (profile, code, id) = (&one.profile, one.code.to_string(), one.id.to_string());
            let optional =
                [&profile.company, &profile.paypal_email].map(|text| text.as_deref().unwrap_or_default());
            [&profile.name, &profile.email, optional[0], optional[1], &code, &id].join("\n")
        })
        .filter("status", "Status", statuses, |one, code| one.status().code() == code)
}

pub async fn list(visit: Visit<Staff>) -> Result<Response, PageError> {
    let directory = visit.app.directory();
    let list = affiliates(Words::of(&visit), &directory);
    let query = list.read(visit.raw.as_deref())?;
    let list = list.show(directory.affiliates(), &query);
    show_list(&visit, "affiliates", "Affiliates", "", &query, list)
}
