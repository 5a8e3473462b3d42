//! What a restart keeps, and what it does not bring back.

use std::sync::Arc;
use std::time::Duration;

use http::header;
use serde_json::json;
use stockade::base::ManualClock;
use stockade::model::Acr;

use super::fence::{Fence, OPAQUE, START, wish};
use super::people::{People, page, returned};
use crate::support::stores;

const OFFLINE: (&str, &str) = ("scope", "openid offline_access notes:read");

#[tokio::test]
async fn a_restart_loses_no_session_and_revives_no_token() {
    for store in stores::stores().await {
        let name = store.name;
        let clock = Arc::new(ManualClock::at(START));
        let people = People::on(Fence::populated_at(store, Arc::clone(&clock), wish()).await).await;
        people.sign_in(Acr::Two).await;
        people.agree("web").await;
        people.agree("one").await;
        // Two of each: one that lives, one that is dead.
        let alive = people.tokens("web", &[OFFLINE]).await;
        let opaque = people.tokens("web", &[OFFLINE, ("resource", OPAQUE)]).await;
        let [revoked, dead] =
            [people.tokens("web", &[OFFLINE]).await, people.tokens("web", &[("resource", OPAQUE)]).await];
        let text = |body: &serde_json::Value, member: &str| body[member].as_str().unwrap().to_owned();
        for token in [text(&revoked, "refresh_token"), text(&dead, "access_token")] {
            assert_eq!(people.fence.post("/oauth/revoke", Some("web"), &[("token", &token)]).await.status, 200);
        }
        let machine = people.fence.token("app", &[]).await;
        assert_eq!(people.fence.post("/oauth/revoke", Some("app"), &[("token", &machine)]).await.status, 200);
        let rotated = people.tokens("one", &[OFFLINE]).await;
        let successor = people.refresh("one", &text(&rotated, "refresh_token"), &[]).await.json();
        let third = people.refresh("one", &text(&successor, "refresh_token"), &[]).await.json();
        let used = people.code("web", &[]).await;
        let unused = people.code("web", &[]).await;
        assert_eq!(people.redeem("web", &used, &[]).await.status, 200);
        clock.advance(Duration::from_secs(1));

        let cookies = people.cookies();
        let fence = Fence::on(people.fence.store, clock, wish()).await;
        let again = People::restarted(fence);
        again.take_cookies(cookies);

        let there = again.authorize("web", &[("prompt", "none")]).await;
        assert!(returned("web", &there).contains_key("code"), "{name}: still signed in, and agreed");
        assert!(again.is_alive(&alive).await && again.is_alive(&opaque).await, "{name}");
        assert_eq!(again.refresh("web", &text(&alive, "refresh_token"), &[]).await.status, 200, "{name}");
        assert_eq!(again.redeem("web", &unused, &[]).await.status, 200, "{name}: a code under way");

        assert!(!again.is_alive(&revoked).await && !again.is_alive(&dead).await, "{name}");
        assert_eq!(again.fence.introspect("app", &machine).await, json!({ "active": false }), "{name}");
        assert_eq!(again.refresh("web", &text(&revoked, "refresh_token"), &[]).await.status, 400, "{name}");
        assert_eq!(again.redeem("web", &used, &[]).await.error(), (400, "invalid_grant".to_owned()), "{name}");
        assert!(again.is_alive(&third).await, "{name}");
        assert_eq!(again.refresh("one", &text(&rotated, "refresh_token"), &[]).await.status, 400, "{name}: theft");
        assert!(!again.is_alive(&third).await, "{name}: and known as such");
        again.forget_cookies();
        let stranger = again.authorize("web", &[]).await;
        assert_eq!(page(&stranger), "/login", "{name}: {:?}", stranger.header(header::LOCATION));
    }
}
