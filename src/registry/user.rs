//! People: read from JSON members, checked whole. What they prove themselves with is not among them.

use serde_json::{Map, Value};

use super::Mistake;
use super::members::{self, Null};
use crate::base::{Rng, Timestamp, id};
use crate::model::{User, user};

/// Members that a caller may send. Roles have a call of their own, because they give rights.
pub const MEMBERS: &[&str] = &["username", "name", "email", "email_verified", "roles"];
/// Of those, what may be patched.
pub const PATCHABLE: &[&str] = &["username", "name", "email", "email_verified"];

/// Most roles of a person.
const MOST: usize = 100;

/// A new person, without credentials.
///
/// # Errors
/// Every mistake.
pub fn create(sent: &Map<String, Value>, now: Timestamp, random: &dyn Rng) -> Result<User, Vec<Mistake>> {
    let blank = User::new(id::new("usr", now, random), String::new(), now);
    checked(members::lay(&blank, &blank, sent, MEMBERS, &Map::new(), Null::Stays)?)
}

/// `current` with the members of `sent` in place of its own; `null` puts a default back (RFC 7396).
///
/// # Errors
/// Every mistake.
pub fn patch(current: &User, sent: &Map<String, Value>, now: Timestamp) -> Result<User, Vec<Mistake>> {
    let blank = User::new(current.user_id.clone(), String::new(), current.created_at);
    let mut fixed = members::of(current);
    fixed.retain(|name, _| !PATCHABLE.contains(&name.as_str()));
    let after = members::lay(current, &blank, sent, PATCHABLE, &fixed, Null::Resets)?;
    checked(User { updated_at: now, ..after })
}

/// `current` with these roles and no others.
///
/// # Errors
/// Every mistake.
pub fn with_roles(current: &User, roles: Vec<String>, now: Timestamp) -> Result<User, Vec<Mistake>> {
    checked(User { roles, updated_at: now, ..current.clone() })
}

fn checked(mut person: User) -> Result<User, Vec<Mistake>> {
    let mut all = Vec::new();
    match user::fold(&person.username) {
        Some(folded) => person.username = folded,
        None => {
            all.push(Mistake::of("username", "a username has 1 to 128 characters, none of them a control character"))
        }
    }
    let short = |text: &str| (1..=256).contains(&text.chars().count()) && !text.chars().any(char::is_control);
    if person.name.as_deref().is_some_and(|name| !short(name)) {
        all.push(Mistake::of("name", "a name has 1 to 256 characters"));
    }
    if person.email.as_deref().is_some_and(|email| !short(email) || !is_address(email)) {
        all.push(Mistake::of("email", "expected a mail address such as ada@example.com"));
    }
    if person.email_verified && person.email.is_none() {
        all.push(Mistake::of("email_verified", "there is no mail address to be verified"));
    }
    let mut roles: Vec<String> = Vec::new();
    for (at, role) in person.roles.drain(..).enumerate() {
        if role.is_empty() || role.len() > 128 || role.chars().any(char::is_control) {
            all.push(Mistake::item("roles", at, "a role is a name of 1 to 128 bytes"));
        } else if !roles.contains(&role) {
            roles.push(role);
        }
    }
    if roles.len() > MOST {
        all.push(Mistake::of("roles", format!("at most {MOST} are kept: this has {}", roles.len())));
    }
    person.roles = roles;
    if all.is_empty() { Ok(person) } else { Err(all) }
}

/// One `@` with something on both sides and no blank: whether mail arrives, only mail tells.
fn is_address(text: &str) -> bool {
    let parts = text.split_once('@');
    parts.is_some_and(|(local, host)| !local.is_empty() && !host.is_empty() && !host.contains('@'))
        && !text.chars().any(char::is_whitespace)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::base::SeededRng;

    const NOW: Timestamp = Timestamp::from_secs(1000);

    fn made(sent: Value) -> Result<User, Vec<String>> {
        let told = |all: Vec<Mistake>| all.into_iter().map(|m| m.pointer).collect();
        create(sent.as_object().unwrap(), NOW, &SeededRng::new(1)).map_err(told)
    }

    #[test]
    fn a_person_has_one_spelling_of_the_name_and_each_role_once() {
        let ada = made(json!({ "username": " Ada ", "email": "ada@example.com", "roles": ["a", "b", "a"] })).unwrap();
        assert_eq!((ada.username.as_str(), ada.roles.len()), ("ada", 2));
        assert!(ada.user_id.starts_with("usr_") && !ada.disabled);
    }

    #[test]
    fn every_mistake_is_told_at_once() {
        let sent =
            json!({ "email": "nobody", "email_verified": false, "name": "", "roles": ["ok", ""], "username": "" });
        assert_eq!(made(sent).unwrap_err(), ["/username", "/name", "/email", "/roles/1"]);
        assert_eq!(made(json!({ "username": "a", "disabled": true })).unwrap_err(), ["/disabled"]);
        assert_eq!(made(json!({ "username": "a", "email_verified": true })).unwrap_err(), ["/email_verified"]);
        for address in ["a@b@c", "@b", "a@", "a b@c"] {
            assert_eq!(made(json!({ "username": "a", "email": address })).unwrap_err(), ["/email"], "{address}");
        }
    }

    #[test]
    fn a_patch_gives_no_role_and_null_puts_the_default_back() {
        let ada = made(json!({ "username": "ada", "name": "Ada", "roles": ["r"] })).unwrap();
        let patched = patch(&ada, json!({ "name": null, "username": "A2" }).as_object().unwrap(), NOW).unwrap();
        assert_eq!((patched.name, patched.username.as_str(), patched.roles), (None, "a2", ada.roles.clone()));
        let wrong = patch(&ada, json!({ "roles": ["admin"] }).as_object().unwrap(), NOW).unwrap_err();
        assert_eq!(wrong[0].member(), "roles");
        assert_eq!(with_roles(&ada, Vec::new(), NOW).unwrap().roles.len(), 0);
    }
}
