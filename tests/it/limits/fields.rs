//! Header fields as draft-ietf-httpapi-ratelimit-headers-11 spells them.

use http::HeaderMap;
use stockade::limits::{Claim, Limit, Verdict, fields};

use super::{SECOND, buckets, limit};

fn rendered(names: &[Option<(&str, Limit)>], verdict: &Verdict) -> Vec<(String, String)> {
    let mut headers = HeaderMap::new();
    fields::apply(&mut headers, names, verdict);
    let mut all: Vec<_> = headers.iter().map(|(n, v)| (n.to_string(), v.to_str().unwrap().to_owned())).collect();
    all.sort();
    all
}

#[test]
fn an_answer_within_the_limits_says_what_is_left_of_the_tightest() {
    let ours = buckets(64);
    let (burst, daily) = (limit(5, 1000, 40), limit(1000, 86_400_000, 1000));
    let names = [Some(("burst", burst)), Some(("daily", daily))];
    let claims =
        [Claim::new(ours.keys().client("burst", "a"), burst), Claim::new(ours.keys().client("daily", "a"), daily)];
    let verdict = ours.check(&claims, SECOND);
    assert_eq!(
        rendered(&names, &verdict),
        [
            ("ratelimit".to_owned(), r#""burst";r=39;t=1"#.to_owned()),
            ("ratelimit-policy".to_owned(), r#""burst";q=40;w=8, "daily";q=1000;w=86400"#.to_owned()),
        ]
    );
}

#[test]
fn a_refusal_names_only_what_refused_and_when_to_come_back() {
    let ours = buckets(64);
    let (wide, narrow) = (limit(100, 1000, 100), limit(2, 3000, 1));
    let names = [Some(("wide", wide)), Some(("narrow", narrow))];
    let claims =
        [Claim::new(ours.keys().client("wide", "a"), wide), Claim::new(ours.keys().client("narrow", "a"), narrow)];
    assert!(ours.check(&claims, SECOND).is_allowed());
    let verdict = ours.check(&claims, SECOND);
    // 1.5 s until the next unit: rounded up.
    assert_eq!(
        rendered(&names, &verdict),
        [
            ("ratelimit".to_owned(), r#""narrow";r=0;t=2"#.to_owned()),
            ("ratelimit-policy".to_owned(), r#""narrow";q=1;w=2"#.to_owned()),
            ("retry-after".to_owned(), "2".to_owned()),
        ]
    );
    assert_eq!(fields::violated(&names, &verdict), ["narrow"]);
}

#[test]
fn a_limit_that_is_nobody_s_business_says_only_when_to_come_back() {
    let ours = buckets(64);
    let coarse = limit(1, 1000, 1);
    let claims = [Claim::new(ours.keys().client("coarse", "a"), coarse)];
    assert!(rendered(&[None], &ours.check(&claims, SECOND)).is_empty());
    let refused = ours.check(&claims, SECOND + 900_000_000);
    assert_eq!(rendered(&[None], &refused), [("retry-after".to_owned(), "1".to_owned())]);
}

#[test]
fn a_call_that_can_never_pass_is_not_told_to_come_back() {
    let ours = buckets(64);
    let small = limit(1, 1000, 3);
    let verdict = ours.check(&[Claim::new(ours.keys().client("x", "a"), small).costing(4)], SECOND);
    assert!(!verdict.is_allowed());
    assert!(rendered(&[Some(("small", small))], &verdict).iter().all(|(name, _)| name != "retry-after"));
}

#[test]
fn a_name_is_a_structured_field_string() {
    let any = limit(1, 1, 1);
    for (name, expected) in
        [("gold", r#""gold";q=1;w=1"#), (r#"a"b\c"#, r#""a\"b\\c";q=1;w=1"#), ("zwölf\n", r#""zwlf";q=1;w=1"#)]
    {
        assert_eq!(fields::policy(name, any), expected);
    }
}
