//! A full disk: nothing is acknowledged that is not recorded, nothing is half-written, and space brings it back.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::load::Load;
use super::stage::{Stage, until};
use super::wire::missing;

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

    /// Writes a file until nothing more fits.
    fn fill(&self) -> PathBuf {
        let file = self.path.join("filler");
        let mut filler = std::fs::File::create(&file).expect("a file");
        for block in [1 << 16, 1 << 12, 1] {
            while filler.write_all(&vec![0; block]).is_ok() {}
        }
        file
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        Command::new("umount").arg("-l").arg(&self.path).status().ok();
    }
}

fn acknowledged_is_recorded(stage: &Stage, issued: &[String], into: &Path) {
    // The export goes elsewhere: the disk is full.
    let export = stage.cli_ok(&["audit", "export"]);
    std::fs::write(into, &export).expect("the export is written");
    assert_eq!(missing(issued, &export), Default::default());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_refuses_what_it_cannot_record_and_recovers() {
    let Some(disk) = SmallDisk::mount(48) else {
        return super::cannot("no small file system can be mounted here: the full disk is not tested");
    };
    let elsewhere = tempfile::tempdir().expect("a directory");
    let stage = Stage::dev_in(&disk.path.join("data"), &[]).await;
    let load = Load::start(&stage, 4);
    until("tokens are issued", || async { (load.seen.count() >= 20).then_some(()) }).await;
    let filler = disk.fill();
    until("tokens are refused with 503", || async { load.seen.refused.lock().contains_key(&503).then_some(()) }).await;
    let seen = load.stop().await;
    let other: Vec<u16> = seen.refused.lock().keys().copied().filter(|status| *status != 503).collect();
    assert!(other.is_empty(), "other answers than 503: {other:?}\n{}", stage.process.printed());
    assert!(stage.process.status().is_none(), "it ended: {}", stage.process.printed());

    std::fs::remove_file(filler).expect("space again");
    let load = Load::start(&stage, 4);
    until("tokens are issued again", || async { (load.seen.count() >= 20).then_some(()) }).await;
    let again = load.stop().await;
    for issued in [&seen.issued, &again.issued] {
        acknowledged_is_recorded(&stage, &issued.lock(), &elsewhere.path().join("export.ndjson"));
    }
    stage.cli_ok(&["audit", "verify"]);
    stage.process.kill();
    stage.cli_ok(&["audit", "verify"]);
}
