//! The log's tree over HTTP: what a mirror reads gives the signed root, and none of it says what happened.

use http::{StatusCode, header};
use serde_json::Value;
use stockade::audit_log::merkle::{Frontier, Hash};
use stockade::audit_log::verify;
use stockade::crypto::sha256;

use super::stage::{ISSUER, Stage, stages};

const TLOG: &str = "/api/v1/audit/tlog";

async fn got(stage: &Stage, path: &str, token: &str) -> Vec<u8> {
    let (status, _, body) = stage.bytes(path, token).await;
    assert_eq!(status, StatusCode::OK, "{path}: {}", String::from_utf8_lossy(&body));
    body
}

/// The newest signed note that covers `least` entries.
async fn note(stage: &Stage, token: &str, least: u64) -> (u64, String) {
    let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(30);
    loop {
        let (status, _, body) = stage.bytes(&format!("{TLOG}/checkpoint"), token).await;
        let text = String::from_utf8(body).unwrap();
        let size = text.lines().nth(1).and_then(|line| line.parse().ok()).unwrap_or(0);
        if status == StatusCode::OK && size >= least {
            return (size, text);
        }
        assert!(tokio::time::Instant::now() < deadline, "{status}: {text}");
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_mirror_of_the_tiles_has_the_signed_root_and_not_what_happened() {
    for stage in stages().await {
        let token = stage.auditor().await;
        stage.record(300).await;
        let (size, note) = note(&stage, &token, 300).await;
        let mut leaves: Vec<Hash> = Vec::new();
        let mut of_data: Vec<Hash> = Vec::new();
        let partial = format!("001.p/{}", size - 256);
        for path in ["000", &*partial] {
            let tile = got(&stage, &format!("{TLOG}/tile/0/{path}"), &token).await;
            leaves.extend_from_slice(tile.as_chunks().0);
            let bundle = got(&stage, &format!("{TLOG}/tile/entries/{path}"), &token).await;
            assert!(!String::from_utf8_lossy(&bundle).contains("client"));
            for entry in bundle.chunks(66) {
                assert_eq!(entry[..2], [0, 64]);
                of_data.push(sha256(&[&[0], &entry[2..]].concat()));
            }
        }
        assert_eq!(leaves.len(), usize::try_from(size).unwrap());
        assert_eq!(of_data, leaves, "{}", stage.test.name);
        let mut frontier = Frontier::default();
        leaves.iter().for_each(|leaf| frontier.push(*leaf));
        let line = note.lines().nth(2).unwrap();
        use base64::Engine as _;
        assert_eq!(base64::engine::general_purpose::STANDARD.encode(frontier.root()), line, "{}", stage.test.name);
        // One hash stands above 256 leaves.
        let above = got(&stage, &format!("{TLOG}/tile/1/000.p/1"), &token).await;
        let mut first = Frontier::default();
        leaves[..256].iter().for_each(|leaf| first.push(*leaf));
        assert_eq!(above, first.root());
        for path in
            ["0/002", "0/001", "1/000.p/2", "2/000.p/1", "0/1", "8/000.p/1", "entries/009", "other/000", "00/000"]
        {
            let (status, body) = stage.get(&format!("{TLOG}/tile/{path}"), &token).await;
            assert_eq!(status, StatusCode::NOT_FOUND, "{path}: {body}");
        }
        stage.until_kind("audit.read", 6).await;
        stage.end().await;
    }
}

#[tokio::test]
async fn proofs_over_http_verify_offline_and_show_no_more_than_may_be_exported() {
    for stage in stages().await {
        let (auditor, admin) = (stage.auditor().await, stage.token("other", ISSUER, "admin").await);
        stage.record(20).await;
        let (size, _) = note(&stage, &auditor, 20).await;
        let (status, headers, body) = stage.bytes("/api/v1/audit/proofs?entries=3,17&begins_with=5", &admin).await;
        let text = String::from_utf8(body).unwrap();
        assert_eq!(status, StatusCode::OK, "{}: {text}", stage.test.name);
        assert_eq!(headers[header::CONTENT_TYPE], "application/x-ndjson");
        let report = verify::export(text.as_bytes(), None).unwrap();
        assert_eq!((report.entries, report.proofs.unwrap().begins_with), (2, vec![5]));
        let line: Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
        assert!(line["seq"] == 3 && line["rest"]["data"]["n"].is_number(), "{line}");

        // An auditor is shown that the log goes on from what was kept, and no entry with its salts.
        let (status, _, _) = stage.bytes("/api/v1/audit/proofs?entries=3", &auditor).await;
        assert_eq!(status, StatusCode::FORBIDDEN);
        let text = got(&stage, &format!("/api/v1/audit/consistency?from=7,{size}"), &auditor).await;
        let report = verify::export(&text[..], None).unwrap();
        assert_eq!((report.entries, report.proofs.unwrap().begins_with), (0, vec![7, size]));

        for (path, status) in [
            ("proofs", 400),
            ("proofs?entries=", 400),
            ("proofs?entries=a", 400),
            ("proofs?entries=99999", 404),
            ("consistency", 400),
            ("consistency?from=-1", 400),
            ("consistency?from=0", 404),
            ("consistency?from=99999", 404),
        ] {
            let (got, body) = stage.get(&format!("/api/v1/audit/{path}"), &admin).await;
            assert_eq!(got.as_u16(), status, "{path}: {body}");
        }
        stage.end().await;
    }
}
