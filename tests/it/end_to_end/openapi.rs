//! `/api/openapi.json` of a running server: what it names is answered, what it does not name is not, and a validator of
//! somebody else's takes it.

use std::path::Path;
use std::process::Command;

use reqwest::Method;

use super::stage::Stage;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_call_of_the_document_is_answered_and_no_other_method_is() {
    let stage = Stage::dev().await;
    let answer = stage.send(stage.http.get(format!("{}/api/openapi.json", stage.issuer))).await;
    assert_eq!((answer.status, answer.header("content-type")), (200, "application/json"));
    let document = answer.json();
    assert_eq!(document["servers"][0]["url"], stage.issuer.as_str());
    for (template, item) in document["paths"].as_object().expect("paths") {
        let url = format!("{}{}", stage.issuer, template.replace(['{', '}'], ""));
        for method in [Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE] {
            let known = item.get(method.as_str().to_ascii_lowercase()).is_some();
            let expected = match known {
                true if template == "/api/openapi.json" => 200,
                true => 401,
                false => 405,
            };
            let status = stage.send(stage.http.request(method.clone(), &url)).await.status;
            assert_eq!(status, expected, "{method} {template}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_validator_takes_it_for_openapi_3_1() {
    let python = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/outside/python/bin/python");
    let there = Command::new(&python).args(["-c", "import openapi_spec_validator"]).output();
    if !there.is_ok_and(|output| output.status.success()) {
        return crate::support::skip("openapi-spec-validator is not installed: run tests/outside/install");
    }
    let stage = Stage::dev().await;
    let text = stage.send(stage.http.get(format!("{}/api/openapi.json", stage.issuer))).await.text;
    let validate = |text: &str| {
        let file = stage.data().join("openapi.json");
        std::fs::write(&file, text).expect("written");
        Command::new(&python)
            .args(["-m", "openapi_spec_validator", "--schema", "3.1"])
            .arg(&file)
            .output()
            .expect("it runs")
    };
    let taken = validate(&text);
    assert!(taken.status.success(), "{taken:?}");
    let broken = validate(
        &text.replace("\"operationId\"", "\"operation\"").replace("\"responses\":{\"200\"", "\"responses\":{\"2x0\""),
    );
    assert!(!broken.status.success(), "it takes anything: {broken:?}");
}
