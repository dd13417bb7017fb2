//! The HTTP layer: requests into facts and questions, outcomes into answers.
//!
//! All routes of the internal listener stand on this screen. What a route asks and answers stands in its
//! file; who may ask stands here: each group has its guard.

pub mod admin;
pub mod answer;
pub mod auth;
pub mod body;
pub mod callbacks;
pub mod click;
pub mod client_ip;
pub mod clock;
pub mod consent;
pub mod docs;
pub mod error;
pub mod fields;
pub mod flood;
pub mod guard;
pub mod health;
pub mod import;
pub mod lines;
pub mod openapi;
pub mod pages;
pub mod paypal;
pub mod refused;
pub mod script;
pub mod state;
pub mod visitor_cookie;
pub mod webhook;

use admin::{
    accounts, affiliates, aggregate, audit, by_hand, claims, facts, feed, links, notes, payouts, staff,
    statements, stats, store,
};
use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::{delete, get, patch, post};
use pages::PageState;
pub use state::ApiState;
use std::sync::Arc;

/// Everything that the internal listener answers; `pages`: those for staff, where they are switched on.
pub fn internal_router(state: ApiState, pages: Option<PageState>) -> Router {
    let open = Router::new()
        .route("/healthz", get(health::healthz))
        .route("/readyz", get(health::readyz))
        .route("/metrics", get(health::metrics))
        .route("/openapi.json", get(openapi::json))
        .route("/docs", get(docs::page));

    // Each verifies its bytes before it parses them.
    let callbacks = Router::new()
        .route("/v1/signups", post(callbacks::signup))
        .route("/v1/accounts/{account_id}/events", post(callbacks::event));

    let mut office = Router::new()
        .route("/v1/import", post(import::import))
        .route("/v1/affiliates", get(affiliates::list).post(affiliates::create))
        .route("/v1/affiliates/{affiliate_id}", get(affiliates::show).patch(affiliates::change))
        .route("/v1/affiliates/{affiliate_id}/links", get(links::list).post(links::create))
        .route("/v1/affiliates/{affiliate_id}/notes", get(notes::notes).post(notes::add_note))
        .route("/v1/affiliates/{affiliate_id}/adjustments", get(by_hand::lines).post(by_hand::add))
        .route("/v1/affiliates/{affiliate_id}/adjustments/{line_key}", delete(by_hand::take_back))
        .route("/v1/affiliates/{affiliate_id}/activation", post(notes::send_activation))
        .route("/v1/affiliates/{affiliate_id}/sign-out", post(notes::sign_out))
        .route("/v1/affiliates/{affiliate_id}/balance", get(payouts::balance))
        .route("/v1/affiliates/{affiliate_id}/payouts/release", post(payouts::release))
        .route("/v1/affiliates/{affiliate_id}/reject", post(affiliates::reject))
        .route("/v1/affiliates/{affiliate_id}/{step}", post(affiliates::step))
        .route("/v1/links/{link_id}/disable", post(links::disable))
        .route("/v1/links/{link_id}/enable", post(links::enable))
        .route("/v1/accounts", get(accounts::list))
        .route("/v1/accounts/{account_id}", get(accounts::show))
        .route("/v1/accounts/{account_id}/attribution", post(accounts::credit))
        .route("/v1/accounts/{account_id}/{review}", post(accounts::review))
        .route("/v1/claims", get(claims::list))
        .route("/v1/claims/{claim_id}/decision", post(claims::decide))
        .route("/v1/staff", get(staff::list).post(staff::create))
        .route("/v1/staff/{staff_id}", patch(staff::change))
        .route("/v1/staff/{staff_id}/invite", post(staff::invite))
        .route("/v1/staff/{staff_id}/disable", post(staff::disable))
        .route("/v1/staff/{staff_id}/enable", post(staff::enable))
        .route("/v1/stats", get(stats::read))
        .route("/v1/statements", get(statements::list))
        .route("/v1/payouts", get(payouts::list).post(payouts::create))
        .route("/v1/payouts/status", get(payouts::status))
        .route("/v1/payouts/opening", post(payouts::opening))
        .route("/v1/payouts/year", get(payouts::year))
        .route("/v1/payouts/{payout_id}", get(payouts::show))
        .route("/v1/payouts/{payout_id}/items", get(payouts::items))
        .route("/v1/payouts/{payout_id}/carried", get(payouts::carried))
        .route("/v1/payouts/{payout_id}/approve", post(payouts::approve))
        .route("/v1/payouts/{payout_id}/submit", post(payouts::submit))
        .route("/v1/payouts/{payout_id}/discard", post(payouts::discard))
        .route("/v1/payouts/{payout_id}/export", post(payouts::export))
        .route("/v1/payouts/{payout_id}/results", post(payouts::results))
        .route("/v1/payouts/{payout_id}/paid", post(payouts::paid))
        .route("/v1/payouts/{payout_id}/items/{item_id}/withdraw", post(payouts::withdraw_item))
        .route("/v1/payouts/{payout_id}/items/{item_id}/paid", post(payouts::item_paid))
        .route("/v1/payouts/{payout_id}/items/{item_id}/seen", post(payouts::seen_item))
        .route("/v1/payouts/{payout_id}/items/{item_id}/resolve", post(payouts::resolve_item))
        .route("/v1/aggregate", get(aggregate::progress).post(aggregate::run))
        .route("/v1/feed", get(feed::read))
        .route("/v1/audit", get(audit::read))
        .route("/v1/facts/set-aside", get(facts::set_aside))
        .route("/v1/facts/set-aside/{fact_id}/retry", post(facts::retry))
        .route("/v1/facts/set-aside/{fact_id}/drop", post(facts::drop_it))
        .route("/v1/nodes", get(store::nodes))
        .route("/v1/nodes/{node_id}", delete(store::forget))
        .route("/v1/store/confirm", post(store::confirm))
        .route("/v1/doctor", get(store::doctor))
        .route("/v1/verify", get(store::verify));
    if state.settable_clock.is_some() {
        office = office.route("/v1/clock", post(clock::set));
    }
    let office = office
        .route_layer(from_fn_with_state(state.clone(), guard::unknown_for_now))
        .route_layer(from_fn_with_state(state.clone(), auth::staff_only));

    open.merge(callbacks)
        .merge(office)
        .merge(pages.map_or_else(Router::new, |pages| pages::staff_pages(pages).with_state(())))
        .method_not_allowed_fallback(guard::other_method)
        .fallback(guard::nothing_here)
        .layer(from_fn_with_state(state.clone(), guard::measure))
        .layer(from_fn(guard::guard))
        // Bodies are bounded where they are read; axum's own limit would answer in its own way.
        .layer(DefaultBodyLimit::disable())
        .with_state(state)
}

/// What the public listener answers beside links: pages for everyone and for affiliates, and PayPal's notifications,
/// where they are taken; nothing of the internal listener.
pub fn public_fallback_router(pages: PageState, hook: Option<Arc<paypal::Hook>>) -> Router {
    let hook = hook.map_or_else(Router::new, paypal::router);
    pages::public_pages(pages).merge(hook).layer(from_fn(guard::guard)).layer(DefaultBodyLimit::disable())
}
