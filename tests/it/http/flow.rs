//! C2, A21: of a pushed request the browser carries a name, and the store keeps it until it is answered once.

use std::sync::Arc;

use http::{HeaderMap, HeaderValue, header};
use stockade::base::{ManualClock, Secret, SystemRng, Timestamp};
use stockade::crypto::seal::Sealer;
use stockade::crypto::sha256;
use stockade::http::Flows;
use stockade::http::browser::Site;
use stockade::http::flow::{Authorization, Kept, Needs, Requested, Wishes};
use stockade::model::PushedRequest;
use stockade::store::pushed_requests;

use crate::support::stores::stores;

const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);
const URI: &str = "urn:ietf:params:oauth:request_uri:x";

#[tokio::test]
async fn c2_a_pushed_request_is_read_until_it_is_answered_and_by_its_client_alone() {
    for test in stores().await {
        let keys = [Secret::new("a sealing key of thirty-two chars".to_owned())];
        let sealer = Arc::new(Sealer::new(&keys).expect("long"));
        let site = Site::new("https://issuer.example", &keys);
        let flows = Flows::new(site, sealer, Arc::new(ManualClock::at(NOW)), Arc::new(SystemRng));
        let authorization =
            Authorization { redirect_uri: "https://app.example/cb".to_owned(), ..Authorization::default() };
        let kept = Kept { authorization: authorization.clone(), wishes: Wishes::default() };
        let body = serde_json::to_string(&kept).expect("JSON");
        let row = PushedRequest { client_id: "app".to_owned(), body, expires_at: NOW, used_at: None };
        let mut tx = test.store.begin().await.expect("begin");
        pushed_requests::insert(&mut tx, &sha256(URI.as_bytes()), &row).await.expect("insert");
        tx.commit().await.expect("commit");

        let begin = |client: &str| {
            let pushed = Requested::Pushed(URI.to_owned());
            flows.begin(&HeaderMap::new(), client, pushed, Needs::default()).expect("begins")
        };
        let (others, _) = begin("other");
        assert_eq!(others.authorization(&test.store).await.expect("answers"), None, "{}", test.name);
        let (flow, cookies) = begin("app");
        let pair = cookies[0].to_str().expect("text").split(';').next().expect("a pair").to_owned();
        let sent: HeaderMap = [(header::COOKIE, HeaderValue::from_str(&pair).expect("text"))].into_iter().collect();
        let opened = flows.open(&sent, &flow.flow_id).expect("open");
        for _ in 0..2 {
            let read = opened.authorization(&test.store).await.expect("answers");
            assert_eq!(read.as_ref(), Some(&authorization), "{}: again after a reload", test.name);
        }
        for first in [true, false] {
            let mut tx = test.store.begin().await.expect("begin");
            assert_eq!(opened.use_up(&mut tx, NOW).await.expect("answers"), first, "{}", test.name);
            tx.commit().await.expect("commit");
        }
        assert_eq!(opened.authorization(&test.store).await.expect("answers"), None, "{}: answered", test.name);
    }
}
