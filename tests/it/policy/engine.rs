//! The snapshot in force: swapped whole, kept when a load fails, as fast at ten thousand policies as at ten.

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use cedar_policy::{Entities, Entity, EntityUid};
use stockade::base::Timestamp;
use stockade::model::DenyReason;
use stockade::policy::{Engine, Facts, Files, Index, Principal, Question, Resource, Snapshot, embedded};

fn facts() -> Facts<'static> {
    Facts::at(Timestamp::from_secs(1_800_000_000)).scopes("notes:read")
}

fn route() -> Resource {
    Resource::route("GET", "/demo/notes", "demo", "demo")
}

#[test]
fn the_last_good_snapshot_stays_when_a_load_fails() {
    let dir = tempfile::tempdir().expect("a directory");
    for (path, text) in embedded() {
        let path = dir.path().join(path);
        std::fs::create_dir_all(path.parent().expect("has one")).expect("is made");
        std::fs::write(path, text).expect("is written");
    }
    let engine = Engine::new();
    let good = engine.load(dir.path()).expect("loads");
    std::fs::write(dir.path().join("grant/demo.cedar"), "permit (").expect("is written");
    let problems = engine.load(dir.path()).expect_err("is broken");
    assert!(problems.iter().any(|p| p.file == "grant/demo.cedar" && p.line == 1), "{problems:#?}");
    assert_eq!(engine.snapshot().expect("stays").digest(), good.digest());
    let (principal, resource, facts) = (Principal::token_client("reader"), route(), facts());
    let question = Question { principal: &principal, action: "notes:list", resource: &resource, facts: &facts };
    assert!(engine.decide(&question).is_allowed());

    std::fs::write(dir.path().join("grant/demo.cedar"), "").expect("is written");
    let empty = engine.load(dir.path()).expect("loads");
    assert_ne!(empty.digest(), good.digest());
    assert_eq!(engine.decide(&question).denied, Some(DenyReason::NoPermit));
}

#[test]
fn the_digest_names_what_decides_and_nothing_else() {
    let of = |extra: Option<(&str, &str)>| {
        let files = Files::new(embedded().iter().copied().chain(extra));
        Snapshot::from_files(&files).unwrap_or_else(|p| panic!("{p:#?}")).digest().clone()
    };
    let plain = of(None);
    assert_eq!(plain.len(), 64);
    assert_eq!(plain, of(None));
    assert_eq!(plain, of(Some(("tests/more.test.yaml", "cases: []"))), "tests decide nothing");
    assert_ne!(plain, of(Some(("entities.json", "[]"))));
}

#[test]
fn a_decision_never_mixes_two_snapshots() {
    // The first allows, the second denies; whatever digest a decision carries, its answer is that snapshot's.
    let allows = Snapshot::embedded().expect("loads");
    let without = embedded().iter().copied().filter(|(path, _)| *path != "grant/demo.cedar");
    let denies = Snapshot::from_files(&Files::new(without)).expect("loads");
    let engine = Engine::new();
    engine.install(Arc::clone(&allows));
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let deciders: Vec<_> = (0..2)
            .map(|_| {
                scope.spawn(|| {
                    let (principal, resource, facts) = (Principal::token_client("reader"), route(), facts());
                    let question =
                        Question { principal: &principal, action: "notes:list", resource: &resource, facts: &facts };
                    let mut seen = [0_usize; 2];
                    while !stop.load(Ordering::Relaxed) || seen.contains(&0) {
                        let decision = engine.decide(&question);
                        let first = &decision.snapshot == allows.digest();
                        assert!(first || &decision.snapshot == denies.digest());
                        assert_eq!(decision.is_allowed(), first);
                        seen[usize::from(first)] += 1;
                    }
                    seen
                })
            })
            .collect();
        for swap in 0..200 {
            engine.install(Arc::clone(if swap % 2 == 0 { &denies } else { &allows }));
            std::thread::yield_now();
        }
        // Both must be seen; keep swapping until the deciders have.
        stop.store(true, Ordering::Relaxed);
        let mut swap = 0;
        while deciders.iter().any(|decider| !decider.is_finished()) {
            engine.install(Arc::clone(if swap % 2 == 0 { &denies } else { &allows }));
            swap += 1;
            std::thread::yield_now();
        }
        for decider in deciders {
            let seen = decider.join().expect("holds");
            assert!(seen.iter().all(|count| *count > 0), "{seen:?}");
        }
    });
}

/// `count` policies, each for a role of its own, and eight guards that are open to everyone.
fn crowd(count: usize) -> Index {
    let mut text = String::new();
    for number in 0..8 {
        writeln!(
            text,
            "@id(\"guard.{number}\") forbid (principal, action, resource) when {{ context.n == {number} }};"
        )
        .expect("text");
    }
    for number in 0..count {
        writeln!(
            text,
            "@id(\"crowd.{number}\") permit (principal in Role::\"r{number}\", action == Action::\"list\", \
             resource in Api::\"demo\");"
        )
        .expect("text");
    }
    Index::new(&text.parse().expect("parses"))
}

/// What a decision costs is what Cedar is given to evaluate: the benchmark times it, here its size is fixed.
#[test]
fn cedar_evaluates_as_many_policies_among_ten_thousand_as_among_ten() {
    let uid = |text: &str| text.parse::<EntityUid>().expect("an entity");
    let parents = |up: &str| std::collections::HashSet::from([uid(up)]);
    let asker = Entity::new_no_attrs(uid("User::\"ada\""), parents("Role::\"r3\""));
    let asked = Entity::new_no_attrs(uid("Route::\"x\""), parents("Api::\"demo\""));
    let entities = Entities::from_entities([asker, asked], None).expect("entities");
    let slice = |index: &Index| {
        let action = uid("Action::\"list\"");
        index.slice(&uid("User::\"ada\""), &action, &uid("Route::\"x\""), &entities).policies().count()
    };
    let (few, many) = (crowd(10), crowd(10_000));
    assert_eq!((few.len(), many.len()), (18, 10_008));
    assert_eq!((slice(&few), slice(&many)), (9, 9), "eight guards and the one permit of the role");
}

#[test]
fn a_remembered_tier_is_forgotten_with_the_second_the_scopes_and_the_snapshot() {
    let until = r#"@id("rate.full") permit (principal, action == Stockade::Action::"rate:use", resource == Stockade::RateTier::"full")
        when { context.now < datetime("2027-01-15T08:00:01Z") && context.scopes.contains("gold") };"#;
    let files: Vec<(&str, &str)> = embedded().iter().copied().filter(|(path, _)| *path != "rate/tiers.cedar").collect();
    let snapshot =
        Snapshot::from_files(&Files::new(files.into_iter().chain([("rate/tiers.cedar", until)]))).expect("loads");
    let principal = Principal::token_client("a");
    let gold = |secs| Facts::at(Timestamp::from_secs(secs)).scopes("gold");
    for _ in 0..2 {
        assert_eq!(&*snapshot.tier(&principal, "demo", &gold(1_800_000_000)).expect("one").name, "full");
        let later = snapshot.tier(&principal, "demo", &gold(1_800_000_001)).expect_err("none");
        assert_eq!(later.denied, Some(DenyReason::NoTier));
        let plain = Facts::at(Timestamp::from_secs(1_800_000_000));
        assert!(snapshot.tier(&principal, "demo", &plain).is_err());
    }
    let engine = Engine::new();
    engine.install(snapshot);
    assert!(engine.tier(&principal, "demo", &gold(1_800_000_000)).is_ok());
    engine.install(Snapshot::embedded().expect("loads"));
    assert_eq!(&*engine.tier(&principal, "demo", &gold(1_800_000_000)).expect("one").name, "reader");
}
