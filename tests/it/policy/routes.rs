//! The route map: fixed segments over names, names over the rest, and nothing by accident.

use std::sync::Arc;

use stockade::policy::{Files, Snapshot, embedded};

fn snapshot(routes: &[(&str, &str)]) -> Arc<Snapshot> {
    let api = "[[api]]\nname = \"demo\"\naudience = \"https://demo.example\"\n".to_owned();
    let text: String = routes
        .iter()
        .map(|(method, path)| {
            format!("[[route]]\nmethod = \"{method}\"\npath = \"{path}\"\naction = \"notes:list\"\napi = \"demo\"\n")
        })
        .fold(api, |all, route| all + &route);
    let kept = embedded().iter().copied().filter(|(path, _)| *path != "routes.toml");
    let files: Vec<(String, String)> = kept.map(|(path, text)| (path.to_owned(), text.to_owned())).collect();
    Snapshot::from_files(&Files::new(files.into_iter().chain([("routes.toml".to_owned(), text)])))
        .unwrap_or_else(|problems| panic!("{problems:#?}"))
}

#[test]
fn the_most_fixed_template_wins_and_names_take_one_whole_segment() {
    let snapshot = snapshot(&[
        ("GET", "/notes"),
        ("GET", "/notes/{id}"),
        ("GET", "/notes/mine"),
        ("POST", "/notes/{id}/tags/{tag}"),
        ("GET", "/files/{*path}"),
        ("GET", "/notes/mine/{part}"),
        ("GET", "/"),
    ]);
    let took = |method: &str, path: &str| {
        let found = snapshot.route(method, path)?;
        let params: Vec<String> = found.params.iter().map(|(name, value)| format!("{name}={value}")).collect();
        Some(format!("{} {}", found.route.template, params.join(",")).trim().to_owned())
    };
    for (method, path, expected) in [
        ("GET", "/", Some("/")),
        ("GET", "/notes", Some("/notes")),
        ("HEAD", "/notes", Some("/notes")),
        ("GET", "/notes/mine", Some("/notes/mine")),
        ("GET", "/notes/7", Some("/notes/{id} id=7")),
        ("GET", "/notes/mine/x", Some("/notes/mine/{part} part=x")),
        ("POST", "/notes/mine/tags/red", Some("/notes/{id}/tags/{tag} id=mine,tag=red")),
        ("GET", "/files/a/b/c", Some("/files/{*path} path=a/b/c")),
        ("POST", "/notes", None),
        ("HEAD", "/notes/7/tags/red", None),
        ("GET", "/notes/", None),
        ("GET", "/notes//", None),
        ("GET", "/Notes", None),
        ("GET", "notes", None),
        ("GET", "", None),
        ("get", "/notes", None),
    ] {
        assert_eq!(took(method, path).as_deref(), expected, "{method} {path}");
    }
    assert!(snapshot.route("GET", &"/files".repeat(100)).is_none(), "too deep");
}
