//! A broken tree: every problem at once, each at its place, and nothing of it in force.

use stockade::base::Timestamp;
use stockade::model::DenyReason;
use stockade::policy::{self, Facts, Files, Principal, Question, Resource, Snapshot, embedded};

/// The shipped tree with some files replaced or added.
fn with(changes: &[(&str, &str)]) -> Result<(), Vec<String>> {
    let kept = embedded().iter().filter(|(path, _)| !changes.iter().any(|(changed, _)| changed == path));
    let files = Files::new(kept.chain(changes).copied());
    Snapshot::from_files(&files).map(|_| ()).map_err(|problems| problems.iter().map(ToString::to_string).collect())
}

fn only(changes: &[(&str, &str)]) -> String {
    let problems = with(changes).expect_err("is broken");
    assert_eq!(problems.len(), 1, "{problems:#?}");
    problems[0].clone()
}

const OPEN: &str = r#"permit (principal, action == Notes::Action::"notes:list", resource);"#;

#[test]
fn every_problem_is_reported_at_once_and_at_its_place() {
    let problems = with(&[
        ("grant/a.cedar", "// fine\n@id(\"a\") permit (principal, action, resource) when { context.nonsense };\n"),
        ("grant/b.cedar", "permit (principal, action\n  resource);"),
        ("routes.toml", "[[api]]\nname = \"demo\"\naudience = \"/demo\"\n[[route]]\nmethod = \"get\"\npath = \"/x\"\naction = \"notes:list\"\napi = \"demo\"\n"),
        ("tiers.toml", "[[tier]]\nname = \"full\"\nrate = \"fast\"\nburst = 1\n"),
        ("types.toml", "[[type]]\nwire = \"x\"\nentity = \"Stockade::Nobody\"\nsource = \"stored\"\n"),
    ])
    .expect_err("is broken");
    let at = |place: &str| problems.iter().filter(|problem| problem.starts_with(place)).count();
    assert_eq!(at("grant/a.cedar:2:54: for policy `a`, attribute `nonsense` in context"), 1, "{problems:#?}");
    assert_eq!(at("grant/b.cedar:2:3: "), 1, "{problems:#?}");
    assert_eq!(at("routes.toml:4:1: route `get /x`: the method must be in capitals"), 1, "{problems:#?}");
    assert_eq!(at("tiers.toml:1:1: tier `full`: `fast` is no rate"), 1, "{problems:#?}");
    assert_eq!(at("types.toml:1:1: type `x`: the schema has no entity type"), 1, "{problems:#?}");
}

#[test]
fn a_policy_without_an_id_is_refused() {
    assert!(only(&[("grant/x.cedar", OPEN)]).starts_with("grant/x.cedar:1:1: a policy without `@id("));
}

#[test]
fn two_policies_of_one_id_are_refused_across_files() {
    let text = format!("\n@id(\"audit.search\") {OPEN}");
    let problem = only(&[("grant/x.cedar", &text)]);
    assert_eq!(
        problem,
        "grant/x.cedar:2:1: `@id(\"audit.search\")` is taken by a policy in grant/audit.cedar; choose another"
    );
}

#[test]
fn guards_only_forbid_and_grants_only_permit() {
    let text = format!("@id(\"x\") {OPEN}");
    let problem = only(&[("guard/x.cedar", &text)]);
    assert!(problem.starts_with("guard/x.cedar:1:1: `x` permits, and guard/ holds only `forbid`"), "{problem}");
    let text = format!("// fine\n  {}", text.replace("permit", "forbid"));
    let problem = only(&[("grant/x.cedar", &text)]);
    assert!(problem.starts_with("grant/x.cedar:2:3: `x` forbids, and grant/ holds only `permit`"), "{problem}");
}

#[test]
fn a_template_is_refused_by_name_and_place_wherever_it_lies() {
    let one =
        "// fine\n@id(\"t\") permit (principal == ?principal, action == Stockade::Action::\"audit:search\", resource);";
    let both = "@id(\"t\")\nforbid (principal in ?principal, action, resource == ?resource);";
    for (file, text, want) in [
        ("grant/t.cedar", one, "grant/t.cedar:2:1: `?principal` makes this a Cedar template, and templates are not"),
        ("templates/t.cedar", one, "templates/t.cedar:2:1: `?principal` makes this a Cedar template"),
        ("guard/t.cedar", both, "guard/t.cedar:1:1: `?principal` and `?resource` make this a Cedar template"),
    ] {
        let problem = only(&[(file, text)]);
        assert!(problem.starts_with(want), "{problem}");
    }
}

#[test]
fn a_record_annotation_that_means_nothing_is_refused() {
    let text = format!("@id(\"x\") @record(\"after\") {OPEN}");
    assert!(only(&[("grant/x.cedar", &text)]).contains("`@record(\"after\")` means nothing"));
}

#[test]
fn a_step_up_that_means_nothing_is_refused() {
    let forbid = r#"forbid (principal is Stockade::User, action == Notes::Action::"notes:list", resource);"#;
    for (annotation, problem) in [
        (r#"@acr("4")"#, "`@acr(\"4\")` is none of 1, 2, 3"),
        (r#"@acr("two")"#, "`@acr(\"two\")` is none of 1, 2, 3"),
        (r#"@max_age("-1")"#, "`@max_age(\"-1\")` is no number of seconds"),
        (r#"@max_age("5m")"#, "`@max_age(\"5m\")` is no number of seconds"),
    ] {
        let text = format!("@id(\"x\") {annotation} {forbid}");
        assert!(only(&[("guard/x.cedar", &text)]).contains(problem), "{annotation}");
    }
    let text = format!("@id(\"x\") @acr(\"2\") {OPEN}");
    assert!(only(&[("grant/x.cedar", &text)]).contains("this permits"));
}

#[test]
fn a_permit_of_everything_to_everyone_is_refused() {
    let problem = only(&[("grant/x.cedar", "@id(\"x\") permit (principal, action, resource);")]);
    assert!(problem.contains("`x` permits everything to everyone"), "{problem}");
}

#[test]
fn a_policy_that_reaches_beyond_what_a_decision_is_given_is_refused() {
    let schema = "namespace Deep { entity Owner { name: String }; entity Doc { owner: Owner };\n\
        action \"deep\" appliesTo { principal: [Stockade::User], resource: [Doc], context: Stockade::Ctx }; }";
    let policy = "@id(\"deep\") permit (principal, action == Deep::Action::\"deep\", resource)\n\
        when { resource.owner.name == \"x\" };";
    let problem = only(&[("schema/deep.cedarschema", schema), ("grant/deep.cedar", policy)]);
    assert!(problem.starts_with("grant/deep.cedar:2:"), "{problem}");
    assert!(problem.contains("level"), "{problem}");
}

#[test]
fn a_schema_change_that_orphans_a_policy_is_refused_at_the_policy() {
    let schema = embedded().iter().find(|(path, _)| *path == "schema/demo.cedarschema").expect("is there").1;
    let problems = with(&[("schema/demo.cedarschema", &schema.replace("\"notes:write\"", "\"notes:amend\""))])
        .expect_err("is broken");
    assert!(problems.iter().any(|p| p.starts_with("grant/demo.cedar:8:")), "{problems:#?}");
}

#[test]
fn a_route_to_an_action_that_nobody_declared_is_refused() {
    let text = "[[api]]\nname = \"demo\"\naudience = \"/demo\"\n\n[[route]]\nmethod = \"GET\"\npath = \"/x\"\naction = \"notes:lst\"\napi = \"demo\"\n";
    assert_eq!(
        only(&[("routes.toml", text)]),
        "routes.toml:5:1: action `notes:lst` is not in the schema; declare it, or name another"
    );
}

#[test]
fn unknown_keys_and_repeated_routes_are_refused() {
    let api = "[[api]]\nname = \"demo\"\naudience = \"/demo\"\n";
    let route = "[[route]]\nmethod = \"GET\"\npath = \"/x/{id}\"\naction = \"notes:list\"\napi = \"demo\"\n";
    let undeclared = only(&[("routes.toml", route)]);
    assert!(undeclared.starts_with("routes.toml:1:1: route `GET /x/{id}`: api `demo` is not declared"), "{undeclared}");
    let route = &format!("{api}{route}");
    assert!(
        only(&[("routes.toml", &format!("{route}colour = 1\n"))])
            .starts_with("routes.toml:9:1: unknown field `colour`")
    );
    let twice = format!("{route}{}", route.replace("{id}", "{other}").trim_start_matches(api));
    assert!(only(&[("routes.toml", &twice)]).starts_with("routes.toml:9:1: route `GET /x/{other}` is declared twice"));
}

#[test]
fn a_schema_that_does_not_parse_or_resolve_is_refused_at_its_place() {
    let problems =
        with(&[("schema/demo.cedarschema", "namespace Notes {\n  entity A in [;\n}")]).expect_err("is broken");
    assert!(problems.iter().any(|p| p.starts_with("schema/demo.cedarschema:2:")), "{problems:#?}");
    let problems =
        with(&[("schema/x.cedarschema", "namespace X {\n  entity A in [Nowhere];\n}")]).expect_err("is broken");
    assert!(problems.iter().any(|p| p.starts_with("schema/x.cedarschema:2:")), "{problems:#?}");
}

#[test]
fn entities_that_do_not_fit_the_schema_are_refused_at_their_place() {
    let text = "[\n{ \"uid\": { \"type\": \"Stockade::User\", \"id\": \"ada\" }, \"attrs\": { \"disabled\": \"no\" }, \"parents\": [] }\n]";
    let problem = only(&[("entities.json", text)]);
    assert!(problem.starts_with("entities.json:2:"), "{problem}");
    assert!(only(&[("entities.json", "[\n{]")]).starts_with("entities.json:2:2: "));
}

#[test]
fn a_tree_without_a_schema_is_refused() {
    let problems = Snapshot::from_files(&Files::new([("x.cedar", OPEN)])).map(|_| ()).expect_err("is broken");
    assert!(problems.iter().any(|p| p.message.starts_with("no `.cedarschema` file")), "{problems:#?}");
}

#[test]
fn a_tier_that_is_named_but_not_declared_and_tiers_that_nobody_gets_are_warnings() {
    let dir = tempfile::tempdir().expect("a directory");
    for (path, text) in embedded().iter().filter(|(path, _)| *path != "rate/tiers.cedar") {
        let path = dir.path().join(path);
        std::fs::create_dir_all(path.parent().expect("has one")).expect("is made");
        std::fs::write(path, text).expect("is written");
    }
    let problems = policy::check(dir.path());
    assert_eq!(problems.len(), 1, "{problems:#?}");
    assert!(!problems[0].is_error());
    assert!(problems[0].to_string().starts_with("tiers.toml: warning: no policy permits `rate:use`"));

    let text = "\n@id(\"r\") permit (principal, action == Stockade::Action::\"rate:use\", resource == Stockade::RateTier::\"gold\");";
    std::fs::write(dir.path().join("rate.cedar"), text).expect("is written");
    let problems = policy::check(dir.path());
    assert_eq!(problems.len(), 1, "{problems:#?}");
    let expected = "rate.cedar:2:1: warning: `r` names Stockade::RateTier::\"gold\", which tiers.toml does not declare; declare it";
    assert_eq!(problems[0].to_string(), expected);
    assert!(Snapshot::load(dir.path()).is_ok(), "warnings stop nothing");
    assert!(policy::check(&dir.path().join("nowhere")).iter().any(policy::Problem::is_error));
}

#[test]
fn a_schema_older_than_the_binary_loads_says_what_it_lacks_and_denies_that() {
    let core = embedded().iter().find(|(path, _)| *path == "schema/core.cedarschema").expect("shipped").1;
    let older = core.replace("\"user:set-password\",\n", "\n").replace(", \"session:revoke\"", "");
    let kept = embedded().iter().filter(|(path, _)| *path != "schema/core.cedarschema");
    let snapshot =
        Snapshot::from_files(&Files::new(kept.chain([&("schema/core.cedarschema", older.as_str())]).copied()));
    let snapshot = snapshot.expect("it loads");
    let warnings: Vec<_> = snapshot.warnings().iter().map(ToString::to_string).collect();
    assert_eq!(warnings.len(), 1, "{warnings:#?}");
    let says = "schema/core.cedarschema: warning: the schema lacks `session:revoke`, `user:set-password`, which";
    assert!(warnings[0].starts_with(says), "{warnings:#?}");
    let facts = Facts::at(Timestamp::from_secs(1_800_000_000));
    let (principal, resource) = (Principal::operator("local"), Resource::user_registry());
    let denied = |action| {
        snapshot.decide(&Question { principal: &principal, action, resource: &resource, facts: &facts }).denied
    };
    assert_eq!(denied("user:set-password"), Some(DenyReason::UnknownAction));
    assert_eq!(denied("user:disable"), None);
    assert!(Snapshot::embedded().expect("loads").warnings().is_empty());
}

#[test]
fn a_tree_that_declares_nothing_of_ours_lacks_nothing() {
    let schema = "namespace Shop { entity User; entity Basket; action \"basket:see\" appliesTo { principal: User, resource: Basket }; }";
    let snapshot = Snapshot::from_files(&Files::new([("schema/shop.cedarschema", schema)])).expect("it loads");
    assert!(snapshot.warnings().is_empty(), "{:?}", snapshot.warnings());
}
