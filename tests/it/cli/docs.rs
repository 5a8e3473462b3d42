//! README and docs are held against the program: the command list, every command line, key and link in them.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use super::Place;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// README.md, SECURITY.md and docs/*.md.
pub(super) fn pages() -> Vec<(PathBuf, String)> {
    let mut pages = vec![root().join("README.md"), root().join("SECURITY.md")];
    pages.extend(std::fs::read_dir(root().join("docs")).unwrap().map(|entry| entry.unwrap().path()));
    pages.retain(|path| path.extension().is_some_and(|extension| extension == "md"));
    assert!(pages.len() >= 8, "{pages:?}");
    pages.into_iter().map(|path| (path.clone(), read(&path))).collect()
}

fn leaves(command: &clap::Command, prefix: &str, out: &mut Vec<(String, String)>) {
    let name = format!("{prefix}{}", command.get_name());
    // A command such as `migrate` does something itself and has a subcommand.
    let runs = !command.is_subcommand_required_set() && !command.is_arg_required_else_help_set();
    if runs && !prefix.is_empty() {
        out.push((name.clone(), command.get_about().map(ToString::to_string).unwrap_or_default()));
    }
    for sub in command.get_subcommands().filter(|sub| sub.get_name() != "help") {
        leaves(sub, &format!("{name} "), out);
    }
}

fn command_list() -> String {
    let mut all = Vec::new();
    leaves(&stockade::cli::definition(), "", &mut all);
    let width = all.iter().map(|(name, _)| name.len()).max().unwrap();
    let mut text = String::new();
    for (name, about) in all {
        writeln!(text, "{name:width$}  {about}").unwrap();
    }
    text
}

#[test]
fn the_readme_lists_the_commands_as_help_does() {
    let readme = read(&root().join("README.md"));
    let block = readme.split("<!-- commands").nth(1).and_then(|rest| rest.split("```text\n").nth(1));
    let block = block.and_then(|rest| rest.split("```").next()).expect("the block");
    assert_eq!(block, command_list(), "the block should be:\n{}", command_list());
}

/// The lines of fenced `sh` blocks.
pub(super) fn shell_lines(text: &str) -> Vec<String> {
    let blocks = text.split("```sh\n").skip(1).filter_map(|rest| rest.split("```").next());
    blocks.flat_map(str::lines).map(str::to_owned).collect()
}

/// Splits as a shell does, as far as the docs go: blanks, single quotes; what a redirection names is left out.
pub(super) fn words(line: &str) -> Vec<String> {
    let (mut words, mut word, mut quoted) = (Vec::new(), String::new(), false);
    for c in line.chars() {
        match c {
            '\'' => quoted = !quoted,
            ' ' if !quoted => words.push(std::mem::take(&mut word)),
            c => word.push(c),
        }
    }
    words.push(word);
    let end = words.iter().position(|word| word == ">" || word == "<").unwrap_or(words.len());
    words.truncate(end);
    words
}

#[test]
fn every_command_line_in_the_docs_is_one() {
    let mut count = 0;
    for (page, text) in pages() {
        for line in shell_lines(&text) {
            assert!(line.starts_with("stockade "), "{}: `{line}`", page.display());
            let parsed = stockade::cli::definition().try_get_matches_from(words(&line));
            assert!(parsed.is_ok(), "{}: `{line}`: {}", page.display(), parsed.unwrap_err());
            count += 1;
        }
    }
    assert!(count >= 20, "{count}");
}

#[test]
fn every_setting_named_in_the_docs_is_one() {
    let place = Place::new();
    let shown = place.json(&["config", "show"]);
    let keys: Vec<&str> = shown.as_array().unwrap().iter().map(|row| row["key"].as_str().unwrap()).collect();
    let sections: Vec<&str> = keys.iter().filter_map(|key| key.split_once('.').map(|(section, _)| section)).collect();
    let mut count = 0;
    for (page, text) in pages() {
        for name in text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').filter(|w| w.starts_with("STOCKADE_"))
        {
            if name.contains("__") && !name.starts_with("STOCKADE_SECTION") {
                let key = name.trim_start_matches("STOCKADE_").replace("__", ".").to_ascii_lowercase();
                let known = keys.iter().any(|k| *k == key || format!("{k}_file") == key);
                assert!(known, "{}: {name}", page.display());
                count += 1;
            }
        }
        // `section.key` in backquotes, perhaps with a value.
        for quoted in text.split('`').skip(1).step_by(2) {
            let key = quoted.split(' ').next().unwrap();
            let in_section = key.split_once('.').is_some_and(|(section, rest)| {
                sections.contains(&section)
                    && !rest.is_empty()
                    && rest.chars().all(|c| c.is_ascii_lowercase() || c == '_')
            });
            if in_section && !key.ends_with(".toml") && !key.ends_with(".gap") {
                assert!(keys.contains(&key), "{}: `{key}`", page.display());
                count += 1;
            }
        }
    }
    assert!(count >= 15, "{count}");
}

#[test]
fn every_link_in_the_docs_leads_somewhere() {
    for (page, text) in pages() {
        for target in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            if !target.contains("://") && !target.starts_with('#') {
                let (file, heading) = target.split_once('#').unwrap_or((target, ""));
                let path = page.parent().unwrap().join(file);
                assert!(path.exists(), "{}: {target}", page.display());
                if !heading.is_empty() {
                    let text = std::fs::read_to_string(&path).unwrap().to_lowercase();
                    let mut headings = text.lines().filter_map(|line| line.strip_prefix("## "));
                    assert!(headings.any(|one| one.replace(' ', "-") == heading), "{}: {target}", page.display());
                }
            }
        }
    }
}

#[test]
fn the_toml_in_the_docs_is_configuration_or_part_of_a_policy_tree() {
    for (page, text) in pages() {
        for block in text.split("```toml\n").skip(1).filter_map(|rest| rest.split("```").next()) {
            let table: toml::Table = block.parse().unwrap_or_else(|e| panic!("{}: {e}\n{block}", page.display()));
            if ["client", "user"].iter().any(|key| table.contains_key(*key)) {
                let mut declared = stockade::registry::declared::Declared::default();
                assert_eq!(declared.read(&page, block), [], "{}", page.display());
                continue;
            }
            let of_policies = ["api", "route", "tier"].iter().any(|key| table.contains_key(*key));
            if !of_policies {
                let dir = tempfile::tempdir().unwrap();
                let file = dir.path().join("stockade.toml");
                std::fs::write(&file, block).unwrap();
                let key = "0123456789abcdef0123456789abcdef".to_owned();
                let env = std::collections::BTreeMap::from([("STOCKADE_CRYPTO__SEAL_KEYS".to_owned(), key)]);
                let loaded = stockade::config::load(Some(&file), &env);
                assert!(loaded.is_ok(), "{}: {loaded:?}\n{block}", page.display());
            }
        }
    }
}
