//! Policies edited under a running server: a good edit counts, a broken one does not, and nobody is let in by mistake.

use std::process::Command;

use super::stage::{Stage, until};

/// Waits until the audit API tells of a rejected load. The command line cannot: it reads the broken files itself.
async fn rejection_recorded(stage: &Stage) {
    let token = stage.token("AUDITOR", None).await;
    until("the rejected load is recorded", || async {
        let answer = stage.send(stage.get("/api/v1/audit/events?kind=policy.rejected", &token)).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        (!answer.json()["items"].as_array().expect("items").is_empty()).then_some(())
    })
    .await;
}

/// The files below `policies/` with this extension, first to last.
fn policy_files(stage: &Stage, extension: &str) -> Vec<std::path::PathBuf> {
    let output =
        Command::new("find").arg(stage.data().join("policies")).args(["-name", &format!("*.{extension}")]).output();
    let text = String::from_utf8(output.expect("find runs").stdout).expect("text");
    let mut files: Vec<_> = text.lines().map(std::path::PathBuf::from).collect();
    files.sort();
    files
}

async fn reads_notes(stage: &Stage, token: &str) -> u16 {
    stage.send(stage.get(&format!("{}/notes", stage.var("API")), token)).await.status
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broken_edit_leaves_the_last_good_policies_in_force_and_a_good_one_counts() {
    let stage = Stage::dev().await;
    let token = stage.token("DEMO", Some(stage.var("API"))).await;
    assert_eq!(reads_notes(&stage, &token).await, 200);
    let extra = stage.data().join("policies/guard/outside.cedar");

    // Broken: the log says so, and nothing changes.
    std::fs::create_dir_all(extra.parent().expect("a directory")).expect("the directory");
    std::fs::write(&extra, "@id(\"outside\")\nforbid (principal, action, resource) when { this is not Cedar };\n")
        .expect("written");
    rejection_recorded(&stage).await;
    assert_eq!(reads_notes(&stage, &token).await, 200, "the last good policies were lost");
    let check = stage_policy_check(&stage);
    assert_eq!(check.status.code(), Some(1));
    let said = format!("{}{}", String::from_utf8_lossy(&check.stdout), String::from_utf8_lossy(&check.stderr));
    assert!(said.contains("outside.cedar:2"), "no file and line: {said}");

    // Good: it counts, without a restart.
    std::fs::write(&extra, "@id(\"outside\")\nforbid (principal, action, resource);\n").expect("written");
    until("the forbid counts", || async { (reads_notes(&stage, &token).await == 403).then_some(()) }).await;
    std::fs::remove_file(&extra).expect("removed");
    until("its removal counts", || async { (reads_notes(&stage, &token).await == 200).then_some(()) }).await;
}

fn stage_policy_check(stage: &Stage) -> std::process::Output {
    let mut command = super::stage::stockade();
    command.args(["policy", "check"]).arg(stage.data().join("policies")).output().expect("it runs")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_schema_change_that_orphans_a_policy_is_refused() {
    let stage = Stage::dev().await;
    let token = stage.token("DEMO", Some(stage.var("API"))).await;
    assert_eq!(reads_notes(&stage, &token).await, 200);
    assert!(stage_policy_check(&stage).status.success());
    let schema = policy_files(&stage, "cedarschema")
        .into_iter()
        .find(|file| std::fs::read_to_string(file).is_ok_and(|text| text.contains("notes:list")));
    let schema = schema.expect("a schema that declares the demo's actions");
    let text = std::fs::read_to_string(&schema).expect("the schema");
    std::fs::write(&schema, text.replace("notes:list", "notes:peruse")).expect("written");
    let check = stage_policy_check(&stage);
    assert_eq!(check.status.code(), Some(1), "{}", String::from_utf8_lossy(&check.stdout));
    let said = format!("{}{}", String::from_utf8_lossy(&check.stdout), String::from_utf8_lossy(&check.stderr));
    assert!(said.contains("notes:list"), "the orphaned action is not named: {said}");
    rejection_recorded(&stage).await;
    assert_eq!(reads_notes(&stage, &token).await, 200, "the last good policies were lost");
}

/// One of the counters on `/metrics`.
async fn counted(stage: &Stage, series: &str) -> u64 {
    let url = format!("{}/metrics", stage.ops);
    let text = stage.http.get(url).send().await.expect("an answer").text().await.expect("text");
    let line = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    line.and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("no {series} in:\n{text}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_directory_of_policies_that_is_gone_is_logged_once_and_counted() {
    let stage = Stage::dev().await;
    let token = stage.token("DEMO", Some(stage.var("API"))).await;
    let (there, aside) = (stage.data().join("policies"), stage.data().join("aside"));
    let rejected = "stockade_policy_loads_total{result=\"rejected\"}";
    for gone in 1..=2 {
        let before = counted(&stage, rejected).await;
        std::fs::rename(&there, &aside).expect("moved away");
        until("four looks find nothing", || async { (counted(&stage, rejected).await >= before + 4).then_some(()) })
            .await;
        assert_eq!(reads_notes(&stage, &token).await, 200, "the last good policies were lost");
        let printed = stage.process.printed();
        let said = printed.matches("the policies were not loaded").count();
        assert_eq!(said, gone, "one line each time it goes: {printed}");
        std::fs::rename(&aside, &there).expect("moved back");
        until("the policies are read again", || async {
            (stage.process.printed().matches("the policies can be read again").count() == gone).then_some(())
        })
        .await;
    }
}
