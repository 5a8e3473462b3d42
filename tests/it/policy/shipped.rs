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
