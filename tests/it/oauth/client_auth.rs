//! B2, B3, B4: how clients prove who they are.

use std::time::Duration;

use axum::body::Body;
use base64::Engine as _;
use http::{Request, header};
use stockade::base::{Clock as _, SystemClock};
use stockade::crypto::{b64url, sha256};
use stockade::model::AuthMethod;
use stockade::model::client::ClientSecret;

use super::fence::{Fence, START, basic, secret};

fn request(authorization: &[&str], body: String) -> Request<Body> {
    let mut request = Request::post("/oauth/token").header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
    for line in authorization {
        request = request.header(header::AUTHORIZATION, *line);
    }
    request.body(Body::from(body)).unwrap()
}

const GRANT: &str = "grant_type=client_credentials";

#[tokio::test]
async fn a_secret_may_come_in_the_header_or_in_the_form() {
    let fence = Fence::new().await;
    assert_eq!(fence.ask("app", &[]).await.status, 200);
    let form = [("grant_type", "client_credentials"), ("client_id", "app"), ("client_secret", &secret("app"))];
    assert_eq!(fence.post("/oauth/token", None, &form).await.status, 200);
    let both = [("grant_type", "client_credentials"), ("client_id", "app")];
    assert_eq!(fence.post("/oauth/token", Some("app"), &both).await.status, 200, "client_id beside Basic, the same");
}

#[tokio::test]
async fn b2_bad_credentials_are_401_and_say_nothing_about_which_clients_exist() {
    let fence = Fence::new().await;
    fence.change("rs", |client| client.disabled = true).await;
    let wrong = secret("someone else");
    let mut answers = Vec::new();
    for (id, secret) in [
        ("app", wrong.as_str()),
        ("app", ""),
        ("nobody", wrong.as_str()),
        ("spa", wrong.as_str()),
        ("rs", &secret("rs")),
        ("APP", &secret("app")),
        ("", &secret("app")),
    ] {
        let by_header = fence.send(request(&[&basic(id, secret)], GRANT.to_owned())).await;
        assert_eq!(by_header.error(), (401, "invalid_client".to_owned()), "{id}");
        assert!(by_header.header(header::WWW_AUTHENTICATE).unwrap().starts_with("Basic realm="), "{by_header:?}");
        let form = [("grant_type", "client_credentials"), ("client_id", id), ("client_secret", secret)];
        let by_form = fence.post("/oauth/token", None, &form).await;
        assert_eq!(by_form.error(), (401, "invalid_client".to_owned()), "{id}");
        answers.extend([by_header.body, by_form.body]);
    }
    assert!(answers.windows(2).all(|pair| pair[0] == pair[1]), "one body for all: {answers:?}");
}

/// The best of many interleaved tries: whether one kind of refusal takes noticeably longer than another.
#[tokio::test]
async fn b2_an_unknown_client_takes_as_long_as_a_wrong_secret() {
    let fence = Fence::new().await;
    let wrong = secret("someone else");
    let mut best = [u64::MAX; 2];
    for _ in 0..100 {
        for (best, id) in best.iter_mut().zip(["app", "nobody"]) {
            let start = SystemClock.monotonic_ns();
            let answer = fence.send(request(&[&basic(id, &wrong)], GRANT.to_owned())).await;
            *best = (*best).min(SystemClock.monotonic_ns() - start);
            assert_eq!(answer.status, 401);
        }
    }
    let ratio = best[0] as f64 / best[1] as f64;
    assert!((0.6..1.7).contains(&ratio), "known {} ns, unknown {} ns", best[0], best[1]);
}

#[tokio::test]
async fn b3_two_methods_at_once_are_400() {
    let fence = Fence::new().await;
    let header = basic("app", &secret("app"));
    let in_form = format!("client_id=app&client_secret={}", secret("app"));
    let assertion =
        "client_assertion_type=urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer&client_assertion=x.y.z";
    for (lines, body) in [
        (&[header.as_str()][..], format!("{GRANT}&{in_form}")),
        (&[header.as_str()], format!("{GRANT}&{assertion}")),
        (&[], format!("{GRANT}&{in_form}&{assertion}")),
        (&[header.as_str(), header.as_str()], GRANT.to_owned()),
        (&[header.as_str(), "Bearer x"], GRANT.to_owned()),
        (&[header.as_str()], format!("{GRANT}&client_id=rs")),
        (&[], format!("{GRANT}&client_id=app&client_assertion=x.y.z")),
    ] {
        let answer = fence.send(request(lines, body.clone())).await;
        assert_eq!(answer.error(), (400, "invalid_request".to_owned()), "{lines:?} {body}");
    }
}

#[tokio::test]
async fn b3_lenient_base64_and_a_missing_colon_are_401() {
    let fence = Fence::new().await;
    let good = basic("app", &secret("app"));
    assert_eq!(fence.send(request(&[&good], GRANT.to_owned())).await.status, 200);
    let encoded = good.trim_start_matches("Basic ");
    let url_alphabet = base64::engine::general_purpose::URL_SAFE.encode("app:??>");
    let no_colon = base64::engine::general_purpose::STANDARD.encode("app");
    for line in [
        format!("Basic {}", encoded.trim_end_matches('=')).as_str(),
        &format!("Basic {encoded}="),
        &format!("Basic {}\t{}", encoded.get(..8).unwrap(), encoded.get(8..).unwrap()),
        &format!("Basic {url_alphabet}"),
        &format!("Basic {no_colon}"),
        "Basic",
        "Basic ",
        "Digest username=app",
        encoded,
    ] {
        if line == good {
            continue;
        }
        let answer = fence.send(request(&[line], GRANT.to_owned())).await;
        assert_eq!(answer.error(), (401, "invalid_client".to_owned()), "{line}");
        assert!(answer.headers.contains_key(header::WWW_AUTHENTICATE));
    }
}

#[tokio::test]
async fn b3_id_and_secret_are_form_decoded() {
    let fence = Fence::new().await;
    let line = |text: String| format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(text));
    let escaped = secret("app").replace('_', "%5F");
    let answer = fence.send(request(&[&line(format!("%61pp:{escaped}"))], GRANT.to_owned())).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    for broken in [format!("app%:{}", secret("app")), format!("app:{}%zz", secret("app"))] {
        let answer = fence.send(request(&[&line(broken)], GRANT.to_owned())).await;
        assert_eq!(answer.error(), (401, "invalid_client".to_owned()));
    }
}

#[tokio::test]
async fn b4_both_secrets_of_a_rotation_count_until_the_old_one_ends() {
    let fence = Fence::new().await;
    let next = secret("the next one");
    fence
        .change("app", |client| {
            client.secrets[0].expires_at = Some(START.plus(Duration::from_secs(60)));
            let digest = b64url::encode(&sha256(next.as_bytes()));
            client.secrets.insert(0, ClientSecret { digest, created_at: START, expires_at: None });
        })
        .await;
    let status = async |secret: &str| fence.send(request(&[&basic("app", secret)], GRANT.to_owned())).await.status;
    assert_eq!((status(&secret("app")).await, status(&next).await), (200.try_into().unwrap(), 200.try_into().unwrap()));
    fence.clock.advance(Duration::from_secs(60));
    assert_eq!((status(&secret("app")).await, status(&next).await), (401.try_into().unwrap(), 200.try_into().unwrap()));
    // What is stored is no secret: the digest does not authenticate.
    let stored = fence.live.client("app").unwrap().client.secrets[0].digest.clone();
    assert_eq!(status(&stored).await, 401);
}

#[tokio::test]
async fn a_client_authenticates_in_the_way_it_registered() {
    let fence = Fence::new().await;
    fence.change("app", |client| client.auth_method = AuthMethod::PrivateKeyJwt).await;
    assert_eq!(fence.ask("app", &[]).await.error(), (401, "invalid_client".to_owned()));
    let nothing = [("grant_type", "client_credentials"), ("client_id", "app")];
    assert_eq!(fence.post("/oauth/token", None, &nothing).await.error(), (401, "invalid_client".to_owned()));
    assert_eq!(fence.post("/oauth/token", None, &nothing[..1]).await.error(), (401, "invalid_client".to_owned()));
}

#[tokio::test]
async fn a_stranger_s_failures_are_one_event_a_second_with_a_count() {
    let fence = Fence::new().await;
    for _ in 0..20 {
        fence.send(request(&[&basic("nobody", &secret("x"))], GRANT.to_owned())).await;
    }
    let events = fence.events_of("auth.refused", 1).await;
    assert_eq!((&events[0]["count"], &events[0]["reason"]), (&20.into(), &"invalid_client".into()), "{events:?}");
    assert_eq!(events[0]["outcome"], "denied");
}
