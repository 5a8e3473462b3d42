//! The interoperability scenarios of the AuthZEN working group: Todo 01 and 02, and the API gateway.

use serde_json::Value;

use super::stage::{Stage, corpus};

/// Every `evaluation` of a file; how many there were, and how many allowed.
async fn evaluations(stage: &Stage, file: &Value) -> (usize, usize) {
    let cases = file["evaluation"].as_array().expect("an array");
    let mut allowed = 0;
    for case in cases {
        let decision = stage.decide(&case["request"]).await;
        assert_eq!(decision, case["expected"], "{}", case["request"]);
        allowed += usize::from(decision);
    }
    (cases.len(), allowed)
}

#[tokio::test]
async fn the_todo_scenario_01_is_decided_as_expected() {
    let Some(file) = corpus("todo/decisions-1_0-01.json") else { return };
    let stage = Stage::over("todo").await;
    assert_eq!(evaluations(&stage, &file).await, (40, 26));
}

#[tokio::test]
async fn the_todo_scenario_02_is_decided_as_expected_one_by_one_and_in_batches() {
    let Some(file) = corpus("todo/decisions-1_0-02.json") else { return };
    let stage = Stage::over("todo").await;
    assert_eq!(evaluations(&stage, &file).await.0, 40);
    let batches = file["evaluations"].as_array().expect("an array");
    assert_eq!(batches.len(), 3);
    for batch in batches {
        let answer = stage.post("/access/v1/evaluations", &batch["request"]).await;
        assert_eq!(answer.status, 200);
        let answer = answer.json();
        let decisions = |value: &Value| -> Vec<bool> {
            let items = value.as_array().expect("an array").iter();
            items.map(|item| item["decision"].as_bool().expect("a decision")).collect()
        };
        assert_eq!(decisions(&answer["evaluations"]), decisions(&batch["expected"]), "{}", batch["request"]);
    }
}

#[tokio::test]
async fn the_gateway_scenario_is_decided_as_expected() {
    let Some(file) = corpus("gateway/decisions.json") else { return };
    let stage = Stage::over("gateway").await;
    assert_eq!(evaluations(&stage, &file).await, (25, 19));
}
