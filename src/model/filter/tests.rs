//! The grammar, held against random trees and random text.

use proptest::prelude::*;

use super::*;
use crate::base::Timestamp;

const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);

fn events(text: &str) -> Result<Filter<EventField>, FilterError> {
    parse(text, NOW)
}

fn printed(text: &str) -> String {
    events(text).unwrap().to_string()
}

#[test]
fn the_grammar_reads_as_aip_160_says() {
    for (given, means) in [
        ("", ""),
        ("  ", ""),
        ("kind = decision", "kind = decision"),
        ("kind=decision outcome=denied", "kind = decision AND outcome = denied"),
        ("kind=decision AND outcome=denied", "kind = decision AND outcome = denied"),
        // OR binds tighter than AND.
        ("outcome=denied AND action=a OR action=b", "outcome = denied AND (action = \"a\" OR action = \"b\")"),
        ("(outcome=denied AND action=a) OR action=b", "(outcome = denied AND action = \"a\") OR action = \"b\""),
        ("NOT outcome=allowed", "NOT outcome = allowed"),
        ("-outcome=allowed", "NOT outcome = allowed"),
        ("outcome!=allowed", "NOT outcome = allowed"),
        ("-(action=a OR action=b)", "NOT (action = \"a\" OR action = \"b\")"),
        ("principal=reader", "principal = \"Client::\\\"reader\\\"\""),
        ("principal=User::ada", "principal = \"User::\\\"ada\\\"\""),
        ("principal=User::\"a b\"", "principal = \"User::\\\"a b\\\"\""),
        ("principal:ada", "principal:\"ada\""),
        (
            "resource=Route::\"GET /x (y)\" kind=decision",
            "resource = \"Route::\\\"GET /x (y)\\\"\" AND kind = decision",
        ),
        ("resource = 'it is \"so\"'", "resource = \"it is \\\"so\\\"\""),
        ("time >= 2026-11-24T10:00:00+01:00", "time >= 2026-11-24T09:00:00.000000Z"),
        ("time > -24h", "time > 2027-01-14T08:00:00.000000Z"),
        ("latency_us>5000", "latency_us > 5000"),
        ("address:10.1.2.3/8", "address:10.0.0.0/8"),
        ("address=::ffff:10.0.0.1", "address = 10.0.0.1"),
        ("policies:audit.search", "policies:\"audit.search\""),
        ("request_id:*", "request_id:*"),
        ("request_id:\"*\"", "request_id:\"*\""),
        ("data.client_id=app data.n=5 data.m=\"5\"", "data.client_id = \"app\" AND data.n = 5 AND data.m = \"5\""),
        ("reader", "\"reader\""),
        ("\"two words\" -other", "\"two words\" AND NOT \"other\""),
        ("order", "\"order\""),
    ] {
        assert_eq!(printed(given), means, "{given}");
        assert_eq!(printed(means), means);
    }
}

#[test]
fn every_mistake_is_told_with_its_place() {
    for (given, at, told) in [
        ("knd=decision", 1, "did you mean `kind`?"),
        ("outcome = denied AND knid=decision", 22, "`knid`"),
        ("\u{fc} = 1", 1, "there is no field"),
        ("kind=decison", 6, "did you mean `decision`?"),
        ("outcome=", 9, "a value for `outcome` is missing"),
        ("=a", 1, "the name of a field is missing"),
        ("(kind=decision", 1, "not closed"),
        ("kind=decision)", 14, "no parenthesis is open"),
        ("kind=decision AND", 18, "missing"),
        ("kind=decision OR", 17, "missing"),
        ("AND kind=decision", 1, "missing at `AND`"),
        ("NOT", 4, "missing"),
        ("NOT NOT kind=decision", 5, "missing"),
        ("kind=decision and outcome=denied", 15, "write `AND`"),
        ("action=\"a", 8, "not closed"),
        ("action=\"a\\b\"", 10, "backslash"),
        ("action<a", 8, "compared by"),
        ("time:5", 6, "compared by"),
        ("time=yesterday", 6, "RFC 3339"),
        ("time>-24", 6, "RFC 3339"),
        ("seq>x", 5, "whole number"),
        ("address=here", 9, "IP address"),
        ("policies=x", 10, "compared by"),
        ("data.=x", 1, "no field"),
        ("data.a.b=x", 1, "no field"),
        ("!a", 1, "`!=`"),
        ("--", 2, "no word"),
        ("\"...\"", 1, "no word"),
        ("()", 2, "missing"),
    ] {
        let error = events(given).unwrap_err();
        assert!(error.at == at && error.problem.contains(told), "{given}: {error}");
    }
    let control = events("action=\"a\u{7}b\"").unwrap_err();
    assert!(control.problem.contains("control"), "{control}");
}

#[test]
fn length_depth_and_terms_are_bounded() {
    let deep = |n: usize| format!("{}kind=decision{}", "(".repeat(n), ")".repeat(n));
    assert!(events(&deep(DEEPEST)).is_ok());
    for n in [DEEPEST + 1, 4000] {
        assert!(events(&deep(n)).unwrap_err().problem.contains("deep"), "{n}");
    }
    let broad = |n: usize| vec!["kind=decision"; n].join(" OR ");
    assert!(events(&broad(MOST)).is_ok());
    assert!(events(&broad(MOST + 1)).unwrap_err().problem.contains("at most"));
    assert!(events(&" ".repeat(LONGEST)).is_ok());
    assert!(events(&" ".repeat(LONGEST + 1)).unwrap_err().problem.contains("bytes"));
    assert!(events(&"-(".repeat(4000)).is_err());
}

#[test]
fn findings_have_the_same_grammar() {
    let parse = |text| parse::<FindingField>(text, NOW);
    assert_eq!(parse("severity>=high").unwrap().to_string(), "severity >= high");
    assert_eq!(parse("sample=true").unwrap().to_string(), "sample = true");
    assert_eq!(parse("domain=Evil.Example.").unwrap().to_string(), "domain = \"evil.example\"");
    assert!(parse("address:10.0.0.0/8").is_err(), "addresses of findings are looked up one by one");
    assert!(parse("sevrity=high").unwrap_err().problem.contains("severity"));
}

#[test]
fn words_stand_next_to_each_other_in_either_case() {
    let stand = |words: &str, text: &str| Words::new(words).unwrap().stand_in(text);
    assert!(stand("GET notes", "Route::\"GET /notes/{id}\""));
    assert!(stand("\u{dc}BER", "\u{fc}ber-alles"));
    assert!(!stand("notes get", "GET /notes"));
    assert!(!stand("note", "notes"));
    assert!(Words::new(" - ").is_none());
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof!["[a-z]{1,6}", "[ -~]{1,12}", "\\PC{1,8}"].prop_filter("no empty text", |text| !text.is_empty())
}

fn leaf() -> impl Strategy<Value = Filter<EventField>> {
    let ops = prop_oneof![Just(Op::Eq), Just(Op::Lt), Just(Op::Le), Just(Op::Gt), Just(Op::Ge)];
    prop_oneof![
        text().prop_map(|text| Filter::is(EventField::Action, text)),
        text().prop_map(|text| Filter::of(EventField::Resource, Op::Has, Value::Text(text))),
        text().prop_map(|text| Filter::of(EventField::Policies, Op::Has, Value::Text(text))),
        (ops.clone(), any::<i32>()).prop_map(|(op, n)| Filter::of(EventField::LatencyUs, op, Value::Number(n.into()))),
        (ops, 0..4_000_000_000_000_000_i64).prop_map(|(op, at)| Filter::of(
            EventField::Time,
            op,
            Value::Time(Timestamp::from_micros(at))
        )),
        (0..crate::model::event::kind::ALL.len())
            .prop_map(|n| Filter::is(EventField::Kind, crate::model::event::kind::ALL[n])),
        any::<[u8; 4]>().prop_map(|ip| Filter::of(EventField::Address, Op::Eq, Value::Address(ip.into()))),
        ("[a-z_]{1,9}", text()).prop_map(|(name, text)| Filter::is(EventField::Data(name.into()), text)),
        ("[a-z_]{1,9}", any::<i64>()).prop_map(|(name, n)| Filter::of(
            EventField::Data(name.into()),
            Op::Gt,
            Value::Number(n)
        )),
        Just(Filter::of(EventField::RequestId, Op::Has, Value::Anything)),
        "[a-z]{1,5}( [a-z]{1,5})?".prop_map(|text| Filter::Says(Words::new(&text).unwrap())),
    ]
}

/// Trees as the parser makes them: groups of two or more, within the bounds.
fn tree() -> impl Strategy<Value = Filter<EventField>> {
    leaf().prop_recursive(5, 40, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 2..4).prop_map(Filter::All),
            proptest::collection::vec(inner.clone(), 2..4).prop_map(Filter::Any),
            inner.prop_map(|one| Filter::Not(Box::new(one))),
        ]
    })
}

proptest! {
    #[test]
    fn a_tree_prints_as_text_that_reads_back_as_the_same_tree(tree in tree()) {
        let text = tree.to_string();
        match events(&text) {
            Ok(read) => prop_assert_eq!(read, tree, "{}", text),
            Err(error) => prop_assert!(
                text.len() > LONGEST || error.problem.contains("at most") || error.problem.contains("text like this"),
                "{}: {}", text, error
            ),
        }
    }

    #[test]
    fn any_text_is_a_tree_or_an_error_within_it(text in "\\PC{0,200}") {
        if let Err(error) = events(&text) {
            prop_assert!(error.at <= text.chars().count() + 1 && !error.problem.is_empty());
        }
    }

    #[test]
    fn text_of_the_grammar_s_own_parts_is_too(parts in proptest::collection::vec(
        prop_oneof![
            Just("("), Just(")"), Just("-"), Just("NOT "), Just(" AND "), Just(" OR "), Just("kind"), Just("time"),
            Just("="), Just("!="), Just(":"), Just(">="), Just("decision"), Just("\""), Just("'"), Just("\\"),
            Just("*"), Just("data."), Just("x"), Just("-5h"), Just("\u{e4}"), Just("10.0.0.0/8"),
        ], 0..60)
    ) {
        let text = parts.concat();
        match events(&text) {
            Ok(tree) => prop_assert_eq!(events(&tree.to_string()), Ok(tree)),
            Err(error) => prop_assert!(error.at <= text.chars().count() + 1),
        }
        let _ = parse::<FindingField>(&text, NOW);
    }
}
