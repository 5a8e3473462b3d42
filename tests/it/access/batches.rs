//! Batches: defaults, order, short circuits, broken items.

use serde_json::{Value, json};

use super::stage::Stage;

const PATH: &str = "/access/v1/evaluations";

async fn decisions(stage: &Stage, body: &Value) -> Vec<bool> {
    let answer = stage.post(PATH, body).await;
    assert_eq!(answer.status, 200, "{body}: {answer:?}");
    let items = answer.json()["evaluations"].as_array().expect("an array").clone();
    items.iter().map(|item| item["decision"].as_bool().expect("a decision")).collect()
}

/// Allowed and denied in turn: reading is allowed to all, writing the active record to alice but not to bob.
fn mixed(semantic: Option<&str>, order: &[bool]) -> Value {
    let items: Vec<Value> =
        order.iter().map(|allowed| json!({ "action": { "name": if *allowed { "read" } else { "write" } } })).collect();
    let mut body = json!({
        "subject": { "type": "user", "id": "bob" },
        "resource": { "type": "record", "id": "record-1" },
        "evaluations": items,
    });
    if let Some(semantic) = semantic {
        body["options"] = json!({ "evaluations_semantic": semantic, "other": 1 });
    }
    body
}

#[tokio::test]
async fn a_batch_is_answered_in_order_and_stops_where_its_semantic_says() {
    let stage = Stage::over("cert").await;
    let order = [true, true, false, true, false];
    for (semantic, expected) in [
        (None, &order[..]),
        (Some("execute_all"), &order[..]),
        (Some("deny_on_first_deny"), &[true, true, false]),
        (Some("permit_on_first_permit"), &[true]),
    ] {
        assert_eq!(decisions(&stage, &mixed(semantic, &order)).await, expected, "{semantic:?}");
    }
    assert_eq!(
        decisions(&stage, &mixed(Some("permit_on_first_permit"), &[false, false, true, true])).await,
        [false, false, true]
    );
    assert_eq!(decisions(&stage, &mixed(Some("deny_on_first_deny"), &[true, true])).await, [true, true]);
}

#[tokio::test]
async fn an_item_replaces_a_default_whole() {
    let stage = Stage::over("cert").await;
    let body = json!({
        "subject": { "type": "user", "id": "alice", "properties": { "role": "admin" } },
        "action": { "name": "write" },
        "resource": { "type": "record", "id": "record-2", "properties": { "status": "archived" } },
        "evaluations": [
            {},
            { "subject": { "type": "user", "id": "alice" } },
            { "resource": { "id": "record-2" } },
            { "resource": { "type": "record", "id": "record-1" } },
            { "subject": { "type": "user", "id": "bob" } },
        ],
    });
    // The admin's role is gone with the default subject; a resource without a type is broken, not completed.
    assert_eq!(decisions(&stage, &body).await, [true, false, false, false, true]);
}

#[tokio::test]
async fn a_broken_item_is_false_at_its_place_even_when_it_is_the_only_one() {
    let stage = Stage::over("cert").await;
    let good = json!({
        "subject": { "type": "user", "id": "alice" },
        "action": { "name": "read" },
        "resource": { "type": "record", "id": "record-1" },
    });
    for broken in [
        json!({}),
        json!("x"),
        json!(null),
        json!([]),
        json!({ "subject": "alice" }),
        json!({ "action": { "name": 1 } }),
    ] {
        assert_eq!(decisions(&stage, &json!({ "evaluations": [broken.clone()] })).await, [false], "{broken}");
        assert_eq!(decisions(&stage, &json!({ "evaluations": [good, broken, good] })).await, [true, false, true]);
    }
    let answer = stage.post(PATH, &json!({ "evaluations": [{}] })).await.json();
    assert_eq!(answer["evaluations"][0]["context"]["stockade"]["reason"], "malformed");
}

#[tokio::test]
async fn a_batch_that_is_none_is_one_question() {
    let stage = Stage::over("cert").await;
    let mut body = mixed(None, &[]);
    body["action"] = json!({ "name": "read" });
    assert_eq!(stage.post(PATH, &body).await.json(), json!({ "decision": true }));
    body.as_object_mut().expect("an object").remove("evaluations");
    assert_eq!(stage.post(PATH, &body).await.json(), json!({ "decision": true }));
    body["action"] = json!({});
    assert_eq!(stage.post(PATH, &body).await.status, 400);
}

#[tokio::test]
async fn a_broken_batch_is_400() {
    let stage = Stage::over("cert").await;
    let many = vec![json!({}); 101];
    for (name, value) in [
        ("evaluations", json!({})),
        ("evaluations", json!("x")),
        ("evaluations", Value::Null),
        ("evaluations", Value::Array(many)),
        ("options", json!([])),
        ("options", json!({ "evaluations_semantic": "allow_all" })),
        ("options", json!({ "evaluations_semantic": 1 })),
        ("subject", json!("bob")),
        ("context", json!([])),
    ] {
        let mut body = mixed(None, &[true]);
        body[name] = value;
        assert_eq!(stage.post(PATH, &body).await.status, 400, "{name}");
    }
}
