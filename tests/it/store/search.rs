//! A search with any filter walks an index in the order of numbers, on both databases.

use stockade::store::log::{self, Filter};
use stockade::store::{Conn, Handle as _, Store};

use crate::support::stores::stores;

/// 20,000 entries: mostly one kind, one action, one resource; every ten-thousandth is another.
async fn fill(store: &Store) {
    let empty = if store.is_shared() { "''::bytea" } else { "x''" };
    let insert = format!(
        "insert into events (seq, event_id, time, kind, outcome, principal, action, resource, request_id,
             personal_salt, rest_salt, leaf)
         with recursive n (i) as (select 0 union all select i + 1 from n where i < 19999)
         select i, 'evt_' || i, 1800000000000000 + i,
             case when i % 10000 = 7 then 'key.changed' else 'decision' end,
             case when i % 10000 = 7 then 'denied' when i % 10000 = 8 then 'failed' else 'allowed' end,
             case when i % 10000 = 7 then 'User::\"ada\"' else 'Client::\"app\"' end,
             case when i % 10000 = 7 then 'key:rotate' else 'notes:read' end,
             case when i % 10000 = 7 then 'Key::\"k\"' else 'Route::\"GET /a\"' end,
             'req_' || i, {empty}, {empty}, {empty}
         from n"
    );
    let mut tx = store.begin_log().await.expect("begin");
    let query = sqlx::AssertSqlSafe(insert);
    match tx.conn() {
        Conn::Sqlite(conn) => drop(sqlx::query(query).execute(conn).await.expect("filled")),
        Conn::Postgres(conn) => {
            sqlx::query(query).execute(&mut *conn).await.expect("filled");
            sqlx::query("analyze events").execute(conn).await.expect("counted");
        }
    }
    tx.commit().await.expect("commit");
}

#[tokio::test]
async fn every_filter_of_a_search_walks_an_index_newest_first_and_sorts_nothing() {
    let text = |text: &str| Some(text.to_owned());
    let filters = [
        ("events_kind", Filter { kind: text("key.changed"), ..Filter::default() }, 2),
        ("events_refused", Filter { outcome: text("denied"), ..Filter::default() }, 2),
        ("events_refused", Filter { outcome: text("failed"), ..Filter::default() }, 2),
        ("events_principal", Filter { principal: text("User::\"ada\""), ..Filter::default() }, 2),
        ("events_action", Filter { action: text("key:rotate"), ..Filter::default() }, 2),
        ("events_resource", Filter { resource: text("Key::\"k\""), ..Filter::default() }, 2),
        ("events_request", Filter { request_id: text("req_4711"), ..Filter::default() }, 1),
    ];
    for test in stores().await {
        fill(&test.store).await;
        let mut reader = test.store.read_log().await.expect("read");
        for (index, filter, count) in &filters {
            for before in [None, Some(15_000)] {
                let plan = log::plan(&mut reader, filter, before).await.expect("a plan").join("\n");
                assert!(plan.contains(index), "{}: {filter:?} before {before:?}:\n{plan}", test.name);
                let sorts = plan.contains("Sort") || plan.contains("TEMP B-TREE");
                assert!(!sorts, "{}: {filter:?}:\n{plan}", test.name);
            }
            let found = log::page(&mut reader, filter, None, 50).await.expect("a page");
            assert_eq!(found.len(), *count, "{}: {filter:?}", test.name);
            assert!(found.is_sorted_by(|a, b| a.seq > b.seq), "{}: newest first", test.name);
        }
        let allowed = Filter { outcome: text("allowed"), ..Filter::default() };
        let found = log::page(&mut reader, &allowed, Some(100), 10).await.expect("a page");
        assert_eq!(found.iter().map(|entry| entry.seq).collect::<Vec<_>>(), (90..100).rev().collect::<Vec<_>>());
    }
}
