//! The page on which images to train on are chosen and put together, and its requests.

use axum::Router;

use super::site::Site;

mod contents;
mod names;
mod part;
pub(super) mod sets;
mod sets_api;
#[cfg(test)]
mod tests;

/// What is answered here.
pub(super) fn routes() -> Router<Site> {
    Router::new().merge(sets_api::routes())
}
