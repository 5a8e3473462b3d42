//! The shipped policies load, and say what the product says.

use std::path::Path;

use stockade::policy::{self, Snapshot};

fn tree() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("policies")
}

#[test]
fn the_shipped_policies_have_no_problem() {
    let problems = policy::check(&tree());
    assert!(problems.is_empty(), "{}", problems.iter().map(|p| format!("{p}\n")).collect::<String>());
}

#[test]
fn the_binary_carries_exactly_the_shipped_policies() {
    let on_disk = Snapshot::load(&tree()).expect("loads");
    let carried = Snapshot::embedded().expect("loads");
    assert_eq!(on_disk.digest(), carried.digest());
    let carried_tests = carried.files().iter().map(|(path, _)| path).collect::<Vec<_>>();
    assert_eq!(on_disk.files().iter().map(|(path, _)| path).collect::<Vec<_>>(), carried_tests);
}

#[test]
fn the_shipped_tests_pass_and_every_policy_decides_at_least_one() {
    let report = policy::testing::run(&tree());
    let failed: Vec<_> = report.cases.iter().filter(|case| !case.differences.is_empty()).collect();
    assert!(report.passed(), "{:#?} {failed:#?}", report.problems);
    assert!(report.cases.len() > 25, "{} cases", report.cases.len());
    assert_eq!(report.untested(), Vec::<&str>::new());
}
