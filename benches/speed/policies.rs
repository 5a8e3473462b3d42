//! Generated policy sets: eight open guards, and policies whose scope names a role, an action and an API.

use std::fmt::Write as _;

use stockade::policy::{Files, embedded};

/// Policies whose scope matches the principal and resource that are asked about, in a set of any size.
pub(crate) const MATCHING: usize = 2;
/// Open guards in a set of any size: they can match every request.
pub(crate) const GUARDS: usize = 8;

/// The Cedar text of `count` policies, of which [`GUARDS`] are open and [`MATCHING`] match `Role::"r0"` and `Api::"a0"`:
/// files and their paths, at most 1,000 policies each.
pub(crate) fn files(count: usize) -> Vec<(String, String)> {
    assert!(count >= GUARDS + MATCHING);
    let guards = (0..GUARDS).map(|n| {
        let level = 5 + n;
        format!(
            "@id(\"bench.guard.{n}\")\nforbid (principal, action, resource) when {{ context.risk.level >= {level} }};\n"
        )
    });
    let mut files = vec![("guard/generated.cedar".to_owned(), guards.collect::<String>())];
    let mut all = Vec::with_capacity(count);
    for n in 0..count - GUARDS {
        let role = if n < MATCHING { 0 } else { 1 + n / 7 };
        let api = if n < MATCHING { 0 } else { 1 + n % 7 };
        let mut text = format!(
            "@id(\"bench.{n}\")\npermit (principal in Stockade::Role::\"r{role}\", \
             action == Notes::Action::\"notes:list\", resource in Stockade::Api::\"a{api}\")"
        );
        match n % 3 {
            0 => {}
            1 => {
                write!(text, "\nwhen {{ context.acr >= {} || context.authAgeSeconds < 600 }}", n % 4).expect("written")
            }
            _ => text.push_str("\nwhen { resource.class == \"demo\" }\nunless { context.risk.level >= 3 }"),
        }
        all.push(text + ";\n");
    }
    let pieces = all.chunks(1000).enumerate();
    files.extend(pieces.map(|(n, piece)| (format!("grant/generated-{n}.cedar"), piece.concat())));
    files
}

/// A whole tree of such a set: the shipped schema, routes, tiers and types, and `count` generated policies. With
/// `keep`, the shipped policies as well.
pub(crate) fn tree(count: usize, keep: bool) -> Files {
    let shipped = embedded().iter().filter(|(path, _)| {
        let ours = std::path::Path::new(path);
        let schema_or_table = ours.extension().is_none_or(|end| end != "cedar") && !path.starts_with("tests");
        schema_or_table || (keep && !path.starts_with("tests"))
    });
    let shipped = shipped.map(|(path, text)| ((*path).to_owned(), (*text).to_owned()));
    Files::new(shipped.chain(files(count)))
}
