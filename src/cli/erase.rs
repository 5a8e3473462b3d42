//! `stockade user erase`: what is known of a person goes, in the database and in the audit log. What happened stays provable:
//! of each entry the half that names somebody is gone, its commitment stays, and an event accounts for it.

use http::Method;
use serde_json::json;

use super::api::Api;
use super::failure::Failure;
use super::local::Local;
use super::output::{self, Output};
use super::user::path;
use crate::audit_log::erasure;
use crate::model::filter::EventField;
use crate::model::{Outcome, event};
use crate::policy::Resource;
use crate::store::erase::Which;
use crate::store::holds;
use crate::store::log::{self, Filter};
use crate::store::users;

const ACTION: &str = "user:delete";
/// Entries of one look.
const PAGE: i64 = 1000;

#[derive(Debug, clap::Args)]
pub(super) struct EraseArgs {
    /// The person's id, which begins with usr_; also of somebody who was deleted before
    #[arg(value_name = "ID")]
    user_id: String,
    #[command(flatten)]
    output: Output,
}

pub(super) async fn run(api: &Api, args: &EraseArgs) -> Result<(), Failure> {
    let Api::Inside(local, _) = api else {
        return Err(Failure::usage("`user erase` works on the store itself: leave out --server"));
    };
    let user_id = &args.user_id;
    if !user_id.starts_with("usr_") {
        return Err(Failure::usage("give the person's id, such as usr_01…: `stockade user show` prints it"));
    }
    let decision = local.permit(event::kind::USER_CHANGED, ACTION, &Resource::user_registry()).await?;
    let name = format!("User::{user_id:?}");
    let held = holds::list(&mut local.store.read().await?).await?;
    if let Some(hold) = held.iter().find(|hold| hold.principal.as_ref().is_none_or(|held| *held == name)) {
        let (id, reason) = (&hold.hold_id, &hold.reason);
        return Err(Failure::failed(format!(
            "`{id}` holds what is to be erased ({reason}): `stockade audit hold list`"
        )));
    }
    let known = users::find(&mut local.store.read().await?, user_id).await?.is_some();
    if known {
        api.send(Method::DELETE, &path(user_id), None).await?;
    }
    // What waits for its number would stay.
    local.sequence().await?;
    let entries = entries(local, user_id).await?;
    let resource = format!("User::{user_id:?}");
    let event = local.event(event::kind::AUDIT_ERASED, Outcome::Allowed, ACTION, &resource).decided(&decision);
    let erased = match entries.is_empty() {
        true => 0,
        false => erasure::erase(&local.store, Which::Personal, &entries, &event).await?,
    };
    local.sequence().await?;
    if !known && entries.is_empty() {
        return Err(Failure::failed(format!("nothing is known of `{user_id}`")));
    }
    let rows = [("user_id", user_id.clone()), ("deleted", known.to_string()), ("entries", erased.to_string())];
    output::record(args.output.output, &json!({ "user_id": user_id, "deleted": known, "entries": erased }), &rows)
}

/// The numbers of the entries that name the person, ascending.
async fn entries(local: &Local, user_id: &str) -> Result<Vec<i64>, Failure> {
    let filter = Filter::is(EventField::Principal, format!("User::{user_id:?}"));
    let mut all = Vec::new();
    let mut before = None;
    loop {
        let page = log::page(&mut local.store.read_log().await?, &filter, before, PAGE).await?;
        let Some(last) = page.last() else { break };
        before = Some(last.seq);
        all.extend(page.iter().map(|entry| entry.seq));
    }
    all.reverse();
    Ok(all)
}
