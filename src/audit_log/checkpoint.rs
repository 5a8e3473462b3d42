//! Signed tree heads, written as C2SP signed notes: origin, size and root, then an Ed25519 signature.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::merkle::{Frontier, Hash};
use crate::base::Timestamp;
use crate::crypto::log_key::{self, LogKey};
use crate::crypto::sha256;
use crate::store::{self, Store, StoreError};

/// What a signed tree head says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// Which log: `HOST/audit`.
    pub origin: String,
    /// How many leaves it covers.
    pub size: u64,
    /// The root over them.
    pub root: Hash,
}

/// Why a note is not accepted.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum NoteError {
    /// It does not have the form of a checkpoint.
    #[error("the note is not a checkpoint")]
    Malformed,
    /// No signature by the expected key.
    #[error("the note bears no signature of the key {0}")]
    WrongKey(String),
    /// The signature does not fit.
    #[error("the signature does not fit the note")]
    BadSignature,
}

/// The key id of a C2SP signature: the first four bytes of SHA-256 of name, newline, 0x01 and the key.
fn key_id(origin: &str, public: &[u8; 32]) -> [u8; 4] {
    let mut input = origin.as_bytes().to_vec();
    input.extend_from_slice(b"\n\x01");
    input.extend_from_slice(public);
    let [a, b, c, d, ..] = sha256(&input);
    [a, b, c, d]
}

/// The origin of the log of a deployment: the issuer's host and path, and `/audit`.
pub fn origin(issuer: &str) -> String {
    let host = issuer.split_once("://").map_or(issuer, |(_, rest)| rest);
    format!("{}/audit", host.trim_end_matches('/'))
}

impl Checkpoint {
    /// The head of the tree with this frontier.
    pub fn of(origin: &str, frontier: &Frontier) -> Self {
        Self { origin: origin.to_owned(), size: frontier.size(), root: frontier.root() }
    }

    fn body(&self) -> String {
        format!("{}\n{}\n{}\n", self.origin, self.size, STANDARD.encode(self.root))
    }

    /// The signed note.
    pub fn sign(&self, key: &LogKey) -> String {
        let body = self.body();
        let mut signature = key_id(&self.origin, &key.public()).to_vec();
        signature.extend_from_slice(&key.sign(body.as_bytes()));
        format!("{body}\n\u{2014} {} {}\n", self.origin, STANDARD.encode(signature))
    }

    /// Reads a note and checks its signature against `public`.
    ///
    /// # Errors
    /// [`NoteError`] says which part does not hold.
    pub fn open(note: &str, public: &[u8; 32]) -> Result<Self, NoteError> {
        let (body, signatures) = note.split_once("\n\n").ok_or(NoteError::Malformed)?;
        let body = format!("{body}\n");
        let mut lines = body.lines();
        let (origin, size, root) = match (lines.next(), lines.next(), lines.next(), lines.next()) {
            (Some(origin), Some(size), Some(root), None) if !origin.is_empty() => (origin, size, root),
            _ => return Err(NoteError::Malformed),
        };
        let size: u64 = size.parse().map_err(|_| NoteError::Malformed)?;
        let root = STANDARD.decode(root).ok().and_then(|r| Hash::try_from(r).ok()).ok_or(NoteError::Malformed)?;
        let id = key_id(origin, public);
        let ours = signatures.lines().find_map(|line| {
            let (name, signature) = line.strip_prefix("\u{2014} ")?.rsplit_once(' ')?;
            let signature = STANDARD.decode(signature).ok()?;
            let (head, tail) = signature.split_first_chunk::<4>()?;
            (name == origin && *head == id).then(|| tail.to_vec())
        });
        let Some(signature) = ours else { return Err(NoteError::WrongKey(STANDARD.encode(public))) };
        if !log_key::verify(public, body.as_bytes(), &signature) {
            return Err(NoteError::BadSignature);
        }
        Ok(Self { origin: origin.to_owned(), size, root })
    }
}

/// Signs the log's present head and keeps it; gives the note. Says so on one log line, the anchor that is always there.
///
/// # Errors
/// When the database fails.
pub async fn sign_now(store: &Store, origin: &str, key: &LogKey, now: Timestamp) -> Result<String, StoreError> {
    let mut tx = store.begin_log().await?;
    let state = store::log::state(&mut tx).await?;
    let frontier = frontier(&state)?;
    let note = Checkpoint::of(origin, &frontier).sign(key);
    let size = i64::try_from(frontier.size()).unwrap_or(i64::MAX);
    store::log::insert_checkpoint(&mut tx, size, &note, now).await?;
    tx.commit().await?;
    tracing::info!(target: "stockade::checkpoint", size, root = STANDARD.encode(frontier.root()), "signed the head of the audit log");
    Ok(note)
}

/// The frontier of a stored state: the written-down part and the leaves since.
pub(crate) fn frontier(state: &store::log::State) -> Result<Frontier, StoreError> {
    let corrupt = |table, problem: &str| StoreError::Corrupt { table, problem: problem.to_owned() };
    let mut frontier = u64::try_from(state.size)
        .ok()
        .and_then(|size| Frontier::from_bytes(size, &state.frontier))
        .ok_or_else(|| corrupt("log_state", "the frontier does not fit the size"))?;
    for leaf in &state.tail {
        frontier.push(leaf.as_slice().try_into().map_err(|_| corrupt("events", "a leaf is not 32 bytes"))?);
    }
    Ok(frontier)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{Secret, SeededRng, SystemRng};
    use crate::crypto::seal::Sealer;

    fn key() -> LogKey {
        let sealer = Sealer::new(&[Secret::new("a sealing key of thirty-two chars".to_owned())]).unwrap();
        LogKey::open(&sealer, &LogKey::generate(&sealer, &SystemRng).unwrap()).unwrap()
    }

    fn head() -> Checkpoint {
        let mut frontier = Frontier::default();
        frontier.push([7; 32]);
        Checkpoint::of("localhost:8080/audit", &frontier)
    }

    #[test]
    fn a_signed_head_reads_back() {
        let key = key();
        assert_eq!(Checkpoint::open(&head().sign(&key), &key.public()), Ok(head()));
    }

    #[test]
    fn a_changed_size_breaks_the_signature() {
        let key = key();
        let note = head().sign(&key).replacen("\n1\n", "\n2\n", 1);
        assert_eq!(Checkpoint::open(&note, &key.public()), Err(NoteError::BadSignature));
    }

    #[test]
    fn another_key_is_named() {
        let other = key();
        assert!(matches!(Checkpoint::open(&head().sign(&key()), &other.public()), Err(NoteError::WrongKey(_))));
    }

    #[test]
    fn hostile_notes_are_malformed_not_panics() {
        let random = SeededRng::new(3);
        for text in ["", "\n\n", "a\n1\n!\n\n", "a\n-1\nAAAA\n\n", "a\n1\nAAAA\nmore\n\n\u{2014} a AAAA\n"] {
            assert!(Checkpoint::open(text, &crate::base::rng::bytes::<32>(&random)).is_err(), "{text:?}");
        }
    }
}
