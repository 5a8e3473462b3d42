//! `stockade user`.

use serde_json::json;
use stockade::base::SystemRng;
use stockade::model::event::kind;
use stockade::model::{Event, Outcome, PrincipalRef};
use stockade::store::{Store, credentials, users};

use super::Place;

async fn store(place: &Place) -> Store {
    Store::open(&format!("sqlite:{}", place.path().join("stockade.db").display())).await.unwrap()
}

#[tokio::test]
async fn a_person_who_was_added_has_a_password_that_is_shown_once_and_stored_as_a_hash() {
    let place = Place::new();
    let made =
        place.json(&["user", "create", "Ada", "--name", "Ada L", "--email", "ada@example.com", "--role", "admin"]);
    let password = made["password"].as_str().unwrap();
    assert_eq!(password.len(), 27, "{password}");
    let shown = place.json(&["user", "show", "ADA"]);
    assert_eq!((&shown["username"], &shown["roles"]), (&json!("ada"), &json!(["admin"])));
    assert!(shown.get("password").is_none() && !shown.to_string().contains("argon2"), "{shown}");
    for file in ["stockade.db", "stockade.db-wal", "audit.db"] {
        let bytes = std::fs::read(place.path().join(file)).unwrap_or_default();
        assert!(!bytes.windows(password.len()).any(|window| window == password.as_bytes()), "{file}");
    }
    let again = place.run(&["user", "create", "aDa"]);
    assert_eq!(again.code, 1, "{again:?}");
    let store = store(&place).await;
    let found = users::find_by_username(&mut store.read().await.unwrap(), "ada").await.unwrap().unwrap();
    let held = credentials::of_user(&mut store.read().await.unwrap(), &found.user.user_id).await.unwrap();
    assert!(held.len() == 1 && held[0].body.starts_with(b"$argon2id$"), "{held:?}");
    store.close().await;
}

#[test]
fn a_given_password_is_not_printed_and_a_short_one_not_taken() {
    let place = Place::new();
    let said = place.run_with(&["user", "create", "ada", "--password-stdin"], "correct horse battery\n");
    assert_eq!(said.code, 0, "{said:?}");
    assert!(!said.out.contains("correct horse"), "{said:?}");
    let said = place.run_with(&["user", "set-password", "ada", "--password-stdin"], "short\n");
    assert_eq!(said.code, 2, "{said:?}");
    assert_eq!(place.run(&["user", "set-password", "ada"]).code, 0);
}

#[tokio::test]
async fn people_are_listed_disabled_enabled_and_deleted() {
    let place = Place::new();
    for name in ["ada", "bob"] {
        place.json(&["user", "create", name]);
    }
    let names = |list: &serde_json::Value| {
        let all = list.as_array().unwrap().iter();
        all.map(|user| user["username"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(names(&place.json(&["user", "list"])), ["bob", "ada"]);
    assert_eq!(place.json(&["user", "assign-roles", "ada", "--role", "auditor"])["roles"], json!(["auditor"]));
    assert_eq!(place.json(&["user", "assign-roles", "Ada"])["roles"], json!([]));
    assert_eq!(place.json(&["user", "disable", "ada"])["disabled"], json!(true));
    assert_eq!(place.json(&["user", "enable", "ada"])["disabled"], json!(false));
    place.json(&["user", "delete", "ada"]);
    assert_eq!(names(&place.json(&["user", "list"])), ["bob"]);
    let gone = place.run(&["user", "show", "ada"]);
    assert_eq!(gone.code, 1);
    assert!(gone.err.contains("nobody called `ada`"), "{gone:?}");
}

#[tokio::test]
async fn an_erased_person_is_in_no_row_and_no_entry_and_the_log_still_verifies() {
    let place = Place::new();
    let [ada, bob] = ["ada", "bob"].map(|name| {
        place.json(&["user", "create", name, "--email", &format!("{name}@example.com")])["user_id"]
            .as_str()
            .unwrap()
            .to_owned()
    });
    // What a person did themselves names them in the half that can go.
    let store = store(&place).await;
    let mut tx = store.begin().await.unwrap();
    for user_id in [&ada, &bob, &ada] {
        let now = stockade::base::Timestamp::from_secs(1_800_000_000);
        let mut event = Event::new(kind::SESSION_STARTED, Outcome::Allowed, now, &SystemRng);
        event.principal = Some(PrincipalRef::new("User", user_id.as_str()));
        event.address = Some([192, 0, 2, 7].into());
        stockade::store::events::intake(&mut tx, &event).await.unwrap();
    }
    tx.commit().await.unwrap();
    store.close().await;
    let erased = place.json(&["user", "erase", &ada]);
    assert_eq!((&erased["deleted"], &erased["entries"]), (&json!(true), &json!(2)));
    assert_eq!(place.run(&["audit", "verify"]).code, 0);
    let named =
        |user_id: &str| place.json(&["audit", "query", "--principal", &format!("User::{user_id:?}")]).to_string();
    assert!(!named(&ada).contains("session.started") && named(&bob).contains("session.started"));
    assert_eq!(place.run(&["user", "show", "ada"]).code, 1);
    assert_eq!(place.json(&["user", "show", "bob"])["email"], "bob@example.com");
    let again = place.run(&["user", "erase", &ada]);
    assert_eq!((again.code, again.err.contains("nothing is known")), (1, true), "{again:?}");
    assert_eq!(place.run(&["user", "erase", "bob"]).code, 2);
}

#[test]
fn each_act_is_decided_and_recorded_under_its_own_action() {
    let place = Place::new();
    for arguments in [
        &["user", "create", "ada", "--role", "auditor"][..],
        &["user", "assign-roles", "ada"],
        &["user", "set-password", "ada"],
        &["user", "disable", "ada"],
        &["user", "enable", "ada"],
        &["user", "delete", "ada"],
    ] {
        place.json(arguments);
    }
    let events = place.json(&["audit", "query", "--kind", "user.changed"]);
    let actions: Vec<_> = events.as_array().unwrap().iter().rev().map(|e| e["action"].as_str().unwrap()).collect();
    let expected =
        ["user:create", "user:assign-roles", "user:set-password", "user:disable", "user:enable", "user:delete"];
    assert_eq!(actions, expected);
    // Who may change names may not shut anybody out.
    let guard = "@id(\"guard.names\")\nforbid (principal, action, resource is Stockade::UserRegistry)\n\
         unless { [Stockade::Action::\"user:list\", Stockade::Action::\"user:create\", Stockade::Action::\"user:update\"]\
         .contains(action) };\n";
    std::fs::write(place.path().join("policies/guard/names.cedar"), guard).unwrap();
    place.json(&["user", "create", "bob"]);
    for act in ["disable", "enable", "set-password", "delete", "assign-roles"] {
        let said = place.run(&["user", act, "bob"]);
        assert!(said.code == 1 && said.err.contains(&format!("`user:{act}`: forbidden (guard.names)")), "{said:?}");
    }
}
