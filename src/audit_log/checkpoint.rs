//! Signed tree heads, written as C2SP signed notes: origin, size and root, then an Ed25519 signature.

use std::cmp::Ordering;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::heads::{self, HeadsError};
use super::merkle::{Frontier, Hash};
use crate::base::Timestamp;
use crate::crypto::log_key::{self, LogKey};
use crate::crypto::sha256;
use crate::store::heads::Head;
use crate::store::{self, Store, StoreError, Tx};

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

/// Why a head was not signed.
#[derive(Debug, thiserror::Error)]
pub enum SignError {
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// On top of what is missing nothing is signed.
    #[error(transparent)]
    Heads(#[from] HeadsError),
    /// The log does not continue what was signed last.
    #[error("the log of {0} entries is not the one whose head was signed: run `stockade audit verify`")]
    Other(u64),
}

/// Signs the head of the log as the store has it, and keeps it; gives the note.
///
/// # Errors
/// [`SignError`]: nothing was signed.
pub async fn sign_now(store: &Store, origin: &str, key: &LogKey, now: Timestamp) -> Result<String, SignError> {
    let tx = store.begin_log().await?;
    sign_in(tx, origin, key, None, now).await
}

/// Signs the head of a tree that the caller has followed leaf by leaf, and keeps it; gives the note.
///
/// # Errors
/// As [`sign_now`].
pub(super) async fn sign(
    store: &Store,
    origin: &str,
    key: &LogKey,
    frontier: &Frontier,
    now: Timestamp,
) -> Result<String, SignError> {
    let tx = store.begin_log().await?;
    sign_in(tx, origin, key, Some(frontier), now).await
}

async fn sign_in(
    mut tx: Tx,
    origin: &str,
    key: &LogKey,
    followed: Option<&Frontier>,
    now: Timestamp,
) -> Result<String, SignError> {
    let standing = store::heads::standing(&mut tx).await?;
    let stored;
    let frontier = match followed {
        Some(frontier) => frontier,
        None => {
            stored = frontier(&store::log::state(&mut tx).await?)?;
            &stored
        }
    };
    let head = Checkpoint::of(origin, frontier);
    if let Some(last) = heads::newest(&standing, head.size, &key.public())? {
        let other = match last.size.cmp(&head.size) {
            Ordering::Less => false,
            Ordering::Equal => last.root != head.root,
            // Whoever followed the tree may be a little behind one who signed meanwhile.
            Ordering::Greater => followed.is_none(),
        };
        if other {
            return Err(SignError::Other(head.size));
        }
    }
    let kept = keep(&head, key);
    store::heads::keep(&mut tx, &kept.0, &kept.1, now).await?;
    tx.commit().await?;
    told(&head);
    Ok(kept.0.note)
}

/// Signs the log's present head whatever was signed before, and keeps it: its note, and those of the heads that it
/// replaces, which cover as much and more or do not hold. Verification goes on from here.
///
/// # Errors
/// When the database fails.
pub async fn sign_anew(
    store: &Store,
    origin: &str,
    key: &LogKey,
    now: Timestamp,
) -> Result<(String, Vec<String>), StoreError> {
    let mut tx = store.begin_log().await?;
    let head = Checkpoint::of(origin, &frontier(&store::log::state(&mut tx).await?)?);
    let (kept, proof) = keep(&head, key);
    let (mut replaced, mut after) = (Vec::new(), -1);
    loop {
        let page = store::heads::after(&mut tx, after, 1000).await?;
        let Some(last) = page.last() else { break };
        after = last.size;
        for old in page.into_iter().filter(|old| old.size >= kept.size || heads::open(old, &key.public()).is_err()) {
            store::heads::delete(&mut tx, old.size).await?;
            if old != kept {
                replaced.push(old.note);
            }
        }
    }
    store::heads::keep_anew(&mut tx, &kept, &proof, now).await?;
    tx.commit().await?;
    told(&head);
    Ok((kept.note, replaced))
}

/// The row of a head, and the record that it was signed.
fn keep(head: &Checkpoint, key: &LogKey) -> (Head, [u8; 64]) {
    let size = i64::try_from(head.size).unwrap_or(i64::MAX);
    (Head { size, note: head.sign(key) }, heads::proof(key, size))
}

/// One log line, the anchor that is always there.
fn told(head: &Checkpoint) {
    let (size, root) = (head.size, STANDARD.encode(head.root));
    tracing::info!(target: "stockade::checkpoint", size, root, "signed the head of the audit log");
}

/// The frontier of a stored state: the written-down part and the leaves since.
pub(crate) fn frontier(state: &store::log::State) -> Result<Frontier, StoreError> {
    let corrupt = |table, problem: &str| StoreError::Corrupt { table, problem: problem.to_owned() };
    let mut frontier = u64::try_from(state.size)
        .ok()
        .and_then(|size| Frontier::from_bytes(size, &state.frontier))
        .ok_or_else(|| corrupt("log_state", "the frontier does not fit the size"))?;
    for leaf in &state.tail {
        frontier.push(*leaf);
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
