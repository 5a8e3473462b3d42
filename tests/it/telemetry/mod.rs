//! Tests of `telemetry`.

use std::fs;
use std::path::Path;

use stockade::telemetry::metrics::CATALOGUE;

fn sources(dir: &Path, text: &mut String) {
    for entry in fs::read_dir(dir).expect("src is readable") {
        let path = entry.expect("an entry").path();
        if path.is_dir() && path.file_name().is_some_and(|name| name != "telemetry") {
            sources(&path, text);
        } else if path.extension().is_some_and(|e| e == "rs") {
            text.push_str(&fs::read_to_string(&path).expect("readable"));
        }
    }
}

/// A metric that nobody sets stands at zero and says that all is well.
#[test]
fn every_metric_of_the_catalogue_is_set_somewhere() {
    let mut text = String::new();
    sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut text);
    // `metrics.field`, and no longer name that only begins so.
    let used = |field: &str| {
        let is_end = |rest: &str| !rest.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_');
        text.split(&format!("metrics.{field}")).skip(1).any(is_end)
    };
    let unused: Vec<_> = CATALOGUE.iter().filter(|d| !used(d.field)).map(|d| d.name).collect();
    assert_eq!(unused, Vec::<&str>::new());
    assert!(!used("no_such_metric"));
}
