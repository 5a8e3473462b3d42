//! A fresh, migrated store of each kind that can run here.

use stockade::store::Store;

/// A store, and what must live as long as it.
pub(crate) struct TestStore {
    pub(crate) name: &'static str,
    pub(crate) store: Store,
    _dir: Option<tempfile::TempDir>,
}

/// SQLite always, PostgreSQL where it is installed.
pub(crate) async fn stores() -> Vec<TestStore> {
    let mut stores = vec![sqlite().await];
    if let Some(url) = super::postgres::postgres() {
        let store = Store::open(&url).await.expect("PostgreSQL opens");
        store.migrate().await.expect("PostgreSQL migrates");
        stores.push(TestStore { name: "PostgreSQL", store, _dir: None });
    }
    stores
}

/// An embedded store in a directory of its own.
pub(crate) async fn sqlite() -> TestStore {
    let dir = tempfile::tempdir().expect("a directory");
    let url = format!("sqlite:{}", dir.path().join("stockade.db").display());
    let store = Store::open(&url).await.expect("SQLite opens");
    store.migrate().await.expect("SQLite migrates");
    TestStore { name: "SQLite", store, _dir: Some(dir) }
}

/// The store at a URL, migrated. What it needs must outlive it.
pub(crate) async fn at(name: &'static str, url: &str) -> TestStore {
    let store = Store::open(url).await.expect("the store opens");
    store.migrate().await.expect("it migrates");
    TestStore { name, store, _dir: None }
}
