//! A database that another build made is refused with what to do about it.

use stockade::store::{Conn, Handle as _, Store};

use crate::support::stores::stores;

async fn run(store: &Store, statement: &str) {
    let mut tx = store.begin().await.expect("begin");
    let query = sqlx::AssertSqlSafe(statement.to_owned());
    let done = match tx.conn() {
        Conn::Sqlite(conn) => sqlx::query(query).execute(conn).await.map(|done| done.rows_affected()),
        Conn::Postgres(conn) => sqlx::query(query).execute(conn).await.map(|done| done.rows_affected()),
    };
    assert_eq!(done.expect("it runs"), 1, "{statement}");
    tx.commit().await.expect("commit");
}

#[tokio::test]
async fn a_migration_of_another_build_or_of_a_later_version_is_refused_with_what_to_do() {
    for test in stores().await {
        test.store.migrate().await.expect("nothing to do");
        run(&test.store, "update _sqlx_migrations set version = 9003 where version = 3").await;
        let error = test.store.migrate().await.expect_err("a later version's").to_string();
        assert!(error.contains("migration 9003") && error.contains("a later one"), "{}: {error}", test.name);
        run(&test.store, "update _sqlx_migrations set version = 3 where version = 9003").await;
        let other = if test.store.is_shared() { "decode('00', 'hex')" } else { "x'00'" };
        run(&test.store, &format!("update _sqlx_migrations set checksum = {other} where version = 3")).await;
        let error = test.store.migrate().await.expect_err("another build's").to_string();
        assert!(error.contains("migration 3") && error.contains("stockade audit export"), "{}: {error}", test.name);
    }
}
