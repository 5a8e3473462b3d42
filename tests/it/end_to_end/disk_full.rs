//! A full disk: nothing is acknowledged that is not recorded, nothing is half-written, and space brings it back.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;

use super::load::{Load, Seen};
use super::postgres_stage::PostgresStage;
use super::stage::{Stage, until};
use super::wire::missing;
use crate::support::postgres::{Durability, Server};
use crate::support::skip;

/// A small file system of its own.
struct SmallDisk {
    _dir: tempfile::TempDir,
    path: PathBuf,
}

impl SmallDisk {
    fn mount(megabytes: u32) -> Option<Self> {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("disk");
        std::fs::create_dir(&path).expect("a directory");
        let size = format!("size={megabytes}m");
        let output = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(&path).output().ok()?;
        output.status.success().then_some(Self { _dir: dir, path })
    }

    fn filler(&self) -> PathBuf {
        self.path.join("filler")
    }

    /// Writes a file until nothing more fits.
    fn fill(&self) {
        let mut filler = std::fs::File::create(self.filler()).expect("a file");
        for block in [1 << 16, 1 << 12, 1] {
            while filler.write_all(&vec![0; block]).is_ok() {}
        }
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        Command::new("umount").arg("-l").arg(&self.path).status().ok();
    }
}

/// What keeps the server from writing.
enum Disk {
    /// A file system without room, where one can be mounted.
    Small(SmallDisk),
    /// A limit on the size of its files, which needs no privilege.
    Limit(tempfile::TempDir),
}

impl Disk {
    async fn server(&self) -> Stage {
        match self {
            Self::Small(disk) => Stage::dev_in(&disk.path.join("data"), &[]).await,
            Self::Limit(dir) => Stage::dev_limited(&dir.path().join("data")).await,
        }
    }

    fn fill(&self, stage: &Stage) {
        match self {
            Self::Small(disk) => disk.fill(),
            Self::Limit(_) => stage.process.limit_files(Some(0)),
        }
    }

    fn free(&self, stage: &Stage) {
        match self {
            Self::Small(disk) => std::fs::remove_file(disk.filler()).expect("space again"),
            Self::Limit(_) => stage.process.limit_files(None),
        }
    }
}

/// Everything a client was given is an event.
fn acknowledged_is_recorded(export: &str, seen: &[&Seen]) {
    for seen in seen {
        assert_eq!(missing(&seen.issued.lock(), export), Default::default());
    }
}

async fn issued(load: &Load) {
    until("tokens are issued", || async { (load.seen.count() >= 20).then_some(()) }).await;
}

/// Nothing can be written: every answer is 503, and the process lives.
async fn refused(stage: &Stage, load: Load) -> Arc<Seen> {
    until("tokens are refused with 503", || async { load.seen.refused.lock().contains_key(&503).then_some(()) }).await;
    let seen = load.stop().await;
    let other: Vec<u16> = seen.refused.lock().keys().copied().filter(|status| *status != 503).collect();
    assert!(other.is_empty(), "other answers than 503: {other:?}\n{}", stage.process.printed());
    assert!(stage.process.status().is_none(), "it ended: {}", stage.process.printed());
    seen
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_refuses_what_it_cannot_record_and_recovers() {
    let limit = Disk::Limit(tempfile::tempdir().expect("a directory"));
    for disk in [Some(limit), SmallDisk::mount(48).map(Disk::Small)].into_iter().flatten() {
        let stage = disk.server().await;
        let load = Load::start(&stage, 4);
        issued(&load).await;
        disk.fill(&stage);
        let seen = refused(&stage, load).await;

        disk.free(&stage);
        let load = Load::start(&stage, 4);
        issued(&load).await;
        let again = load.stop().await;
        acknowledged_is_recorded(&stage.cli_ok(&["audit", "export"]), &[&seen, &again]);
        stage.cli_ok(&["audit", "verify"]);
        stage.process.kill();
        stage.cli_ok(&["audit", "verify"]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_postgresql_without_room_refuses_what_it_cannot_record_and_recovers() {
    let Some(database) = Server::start(Durability::None) else {
        return skip("PostgreSQL is not installed");
    };
    let url = database.fresh_database();
    let place = PostgresStage::new(url.clone());
    let (id, secret) = place.client("full-test");
    let stage = place.serve().await;
    let load = Load::as_client(&stage, &id, &secret, 4);
    issued(&load).await;
    // What is rolled back leaves its pages behind: both tables stand at the limit, and need new pages to go on.
    const FILLER: &str = "begin;
        insert into event_intake (entry)
            select convert_to(repeat('x', 1800), 'UTF8') from generate_series(1, 12000);
        insert into log_blocks (first_seq, count, leaves, entries)
            select 1000000000 + i, 1, '', convert_to(repeat('x', 1800), 'UTF8') from generate_series(1, 12000) i;
        rollback";
    database.sql(&url, FILLER);
    database.limit_files(Some(16 << 20));
    let seen = refused(&stage, load).await;

    database.limit_files(None);
    let load = Load::as_client(&stage, &id, &secret, 4);
    issued(&load).await;
    let again = load.stop().await;
    acknowledged_is_recorded(&stage.verified(), &[&seen, &again]);
}
