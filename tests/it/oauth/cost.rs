//! What a flow costs the database, as PostgreSQL's own log tells it.

use http::{Method, header};
use stockade::model::Acr;

use super::fence::{Fence, wish};
use super::people::{People, returned};
use crate::support::postgres::{Durability, Server};
use crate::support::stores;

/// The log of events and what belongs to it.
const AUDIT: [&str; 6] = ["event_intake", "log_state", "log_blocks", "log_segments", "checkpoints", "leases"];

/// Statements in the order in which each connection sent them.
fn statements(log: &str) -> Vec<(String, String)> {
    let mut all: Vec<(String, String)> = Vec::new();
    for line in log.lines() {
        if let Some(more) = line.strip_prefix('\t') {
            if let Some((_, text)) = all.last_mut() {
                text.push(' ');
                text.push_str(more.trim());
            }
            continue;
        }
        let said = line.split_once("LOG:  statement: ").or_else(|| {
            let (head, rest) = line.split_once("LOG:  execute ")?;
            Some((head, rest.split_once(": ")?.1))
        });
        if let Some((head, text)) = said {
            let process = head.split(['[', ']']).nth(1).expect("a process in brackets").to_owned();
            all.push((process, text.to_owned()));
        }
    }
    all
}

/// Transactions that wrote, and statements, of everything but the audit.
fn counted(log: &str) -> (usize, Vec<String>) {
    let all = statements(log);
    let mut processes: Vec<&str> = all.iter().map(|(process, _)| process.as_str()).collect();
    processes.sort_unstable();
    processes.dedup();
    let (mut transactions, mut counted) = (0, Vec::new());
    for process in processes {
        let mut wrote = false;
        for (_, text) in all.iter().filter(|(of, _)| of == process) {
            let text = text.trim().to_ascii_lowercase();
            match text.trim_end_matches(';') {
                "begin" => wrote = false,
                "commit" => transactions += usize::from(std::mem::take(&mut wrote)),
                "rollback" => {}
                // The announcement of new events goes with them.
                _ if AUDIT.iter().any(|table| text.contains(table))
                    || text.contains("changes")
                    || text.contains("pg_notify") => {}
                text => {
                    wrote |= ["insert", "update", "delete"].iter().any(|verb| text.starts_with(verb));
                    counted.push(text.to_owned());
                }
            }
        }
    }
    (transactions, counted)
}

#[tokio::test]
async fn a_code_flow_costs_three_write_transactions_and_six_statements() {
    let Some(server) = Server::start(Durability::None) else {
        return crate::support::skip("PostgreSQL is not installed");
    };
    let url = server.fresh_database();
    server.sql(&url, "alter role stockade set log_statement = 'all'");
    let store = stores::at("PostgreSQL", &url).await;
    let people = People::on(Fence::populated(store, wish()).await).await;
    people.fence.change("web", |client| client.grants.retain(|grant| grant.as_str() == "authorization_code")).await;
    people.sign_in(Acr::One).await;
    people.agree("web").await;
    let play = async || {
        let pushed = People::usual("web", &[]);
        let pushed: Vec<(&str, &str)> = pushed.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
        let answer = people.fence.post("/oauth/par", Some("web"), &pushed).await;
        assert_eq!(answer.status, 201, "{answer:?}");
        let uri = answer.json()["request_uri"].as_str().unwrap().to_owned();
        let query = serde_urlencoded::to_string([("client_id", "web"), ("request_uri", &uri)]).unwrap();
        let mut answer = people.visit(Method::GET, &format!("/oauth/authorize?{query}"), None).await;
        while let Some(to) = answer.header(header::LOCATION).filter(|to| to.starts_with('/')).map(str::to_owned) {
            answer = people.get(&to).await;
        }
        let code = returned("web", &answer)["code"].clone();
        people.fence.keep_secret(&code);
        let answer = people.redeem("web", &code, &[]).await;
        assert_eq!(answer.status, 200, "{answer:?}");
    };
    // The first fills what is remembered: clients, keys, the person.
    play().await;
    let before = std::fs::read_to_string(server.log()).unwrap().len();
    play().await;
    let log = std::fs::read_to_string(server.log()).unwrap();
    let (transactions, statements) = counted(log.get(before..).unwrap());
    assert!((1..=3).contains(&transactions), "{transactions} transactions: {statements:#?}");
    assert!((4..=6).contains(&statements.len()), "{} statements: {statements:#?}", statements.len());
}
