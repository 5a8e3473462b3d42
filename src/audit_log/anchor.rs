//! Anchors: copies of signed heads outside the host. The log alone cannot tell that its tail was cut off together with the
//! heads over it, or that an older copy of the whole database stands in its place; a head that was kept elsewhere does.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

use tokio::sync::oneshot;

use super::checkpoint::Checkpoint;
use super::heads;
use super::merkle::{Frontier, Hash};
use super::verify::VerifyError;
use crate::store::heads::Head;
use crate::store::{self, Store, StoreError};

/// How long an anchor may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// What stands between two notes. A note has one blank line in it.
const BETWEEN: &str = "\n\n";
/// What a signature's line begins with.
const SIGNATURE: &str = "\u{2014} ";

/// Where heads are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Anchor {
    /// A file, best on another volume: one note after the other, only appended to.
    File(PathBuf),
}

impl std::fmt::Display for Anchor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::File(path) => write!(f, "{}", path.display()),
        }
    }
}

impl Anchor {
    /// Keeps a note; when this returns `Ok`, it is on the disk. Blocks.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn keep(&self, note: &str) -> io::Result<()> {
        let Self::File(path) = self;
        let mut options = OpenOptions::new();
        options.create(true).append(true).read(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(path)?;
        // A write that broke off must not swallow the next note.
        let length = file.seek(SeekFrom::End(0))?;
        let mut end = [0; 2];
        if length >= 2 {
            file.seek(SeekFrom::End(-2))?;
            file.read_exact(&mut end)?;
        }
        let torn = length > 0 && end != BETWEEN.as_bytes();
        let text = format!("{}{note}\n", if torn { BETWEEN } else { "" });
        file.write_all(text.as_bytes())?;
        file.sync_all()
    }
}

/// The notes in the text of an anchor: also a single note as `audit checkpoint` prints it. What broke off is none.
pub fn notes(text: &str) -> Vec<Head> {
    let parts: Vec<&str> =
        text.split(BETWEEN).map(|part| part.trim_matches('\n')).filter(|part| !part.is_empty()).collect();
    let pairs = parts.windows(2).filter_map(|pair| match pair {
        [body, signature] if signature.starts_with(SIGNATURE) && !body.starts_with(SIGNATURE) => {
            Some((body, signature))
        }
        _ => None,
    });
    let head = |(body, signature): (&&str, &&str)| {
        let size = body.lines().nth(1)?.parse().ok()?;
        Some(Head { size, note: format!("{body}{BETWEEN}{signature}\n") })
    };
    pairs.filter_map(head).collect()
}

/// Holds a log against heads that were kept elsewhere. Whose they are is asked at the end.
#[derive(Debug, Default)]
pub(super) struct Kept<'a> {
    /// By size, with the root that the log has there.
    heads: BTreeMap<u64, (Vec<&'a Head>, Option<Hash>)>,
}

impl<'a> Kept<'a> {
    pub(super) fn new(heads: &'a [Head]) -> Self {
        let mut kept = Self::default();
        for head in heads {
            if let Ok(size) = u64::try_from(head.size) {
                kept.heads.entry(size).or_default().0.push(head);
            }
        }
        kept
    }

    /// The log has grown to this.
    pub(super) fn at(&mut self, frontier: &Frontier) {
        if let Some((_, root)) = self.heads.get_mut(&frontier.size()) {
            *root = Some(frontier.root());
        }
    }

    /// The log is shown to begin with a tree of this root.
    pub(super) fn begins_with(&mut self, size: u64, root: Hash) {
        if let Some((_, there)) = self.heads.get_mut(&size) {
            *there = Some(root);
        }
    }

    /// Those that bear the log's signature, smallest first, and what the log has there.
    fn signed(&self, public: &[u8; 32]) -> Result<Vec<(Checkpoint, Option<Hash>)>, VerifyError> {
        let all = self.heads.values().flat_map(|(heads, root)| heads.iter().map(move |head| (head, *root)));
        // A note that broke off, or of another log, says nothing of this one.
        let signed: Vec<_> = all.filter_map(|(head, root)| Some((heads::open(head, public).ok()?, root))).collect();
        if signed.is_empty() && !self.heads.is_empty() { Err(VerifyError::NoAnchor) } else { Ok(signed) }
    }

    /// Whether a log of `size` entries is the one they were signed over; the size of the largest.
    pub(super) fn check(&self, size: u64, public: &[u8; 32]) -> Result<Option<u64>, VerifyError> {
        let signed = self.signed(public)?;
        if let Some((head, _)) = signed.iter().find(|(head, root)| root.is_some_and(|root| root != head.root)) {
            return Err(VerifyError::Rewritten(head.size));
        }
        match signed.last() {
            Some((head, _)) if head.size > size => Err(VerifyError::Truncated { first: size, last: head.size - 1 }),
            newest => Ok(newest.map(|(head, _)| head.size)),
        }
    }

    /// The same of proofs: of the heads that they say something of, which must be the largest at least.
    pub(super) fn check_proofs(&self, size: u64, public: &[u8; 32]) -> Result<Option<u64>, VerifyError> {
        let newest = self.check(size, public)?;
        match self.signed(public)?.last() {
            Some((head, None)) if head.size > 0 => Err(VerifyError::Uncovered(head.size)),
            _ => Ok(newest),
        }
    }
}

/// Why a head was not kept elsewhere.
#[derive(Debug, thiserror::Error)]
pub enum AnchorError {
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The anchor cannot be written.
    #[error("the head of the audit log was not kept in {0}")]
    Write(Anchor, #[source] io::Error),
    /// It does not answer.
    #[error("{0} does not answer: the head of the audit log was not kept there")]
    Hangs(Anchor),
}

/// Keeps each new head in every configured place.
#[derive(Debug)]
pub struct Anchors {
    places: Vec<Place>,
}

#[derive(Debug)]
struct Place {
    anchor: Anchor,
    /// The size of the largest head that is there.
    kept: AtomicI64,
    /// Somebody is still at it.
    busy: Arc<AtomicBool>,
}

impl Anchors {
    /// In these places.
    pub fn new(places: impl IntoIterator<Item = Anchor>) -> Self {
        let place = |anchor| Place { anchor, kept: AtomicI64::new(0), busy: Arc::default() };
        Self { places: places.into_iter().map(place).collect() }
    }

    /// Whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// Keeps the newest head of the log wherever it is not yet; its size, when every place has it and there is one.
    ///
    /// # Errors
    /// The first place that failed; the others were tried all the same.
    pub async fn keep(&self, store: &Store) -> Result<Option<i64>, AnchorError> {
        let newest = store::heads::standing(&mut store.read_log().await?).await?.newest;
        let Some(head) = newest.filter(|head| head.size > 0) else { return Ok(None) };
        let mut failed = None;
        for place in self.places.iter().filter(|place| place.kept.load(Ordering::Relaxed) < head.size) {
            match place.keep(head.note.clone()).await {
                Ok(()) => place.kept.store(head.size, Ordering::Relaxed),
                Err(error) => failed = failed.or(Some(error)),
            }
        }
        failed.map_or(Ok(Some(head.size)), Err)
    }
}

impl Place {
    /// On a thread of its own: a volume that hangs holds up nothing, not even the end of the process.
    async fn keep(&self, note: String) -> Result<(), AnchorError> {
        if self.busy.swap(true, Ordering::AcqRel) {
            return Err(AnchorError::Hangs(self.anchor.clone()));
        }
        let (anchor, busy, (done, is_done)) = (self.anchor.clone(), Arc::clone(&self.busy), oneshot::channel());
        let work = move || {
            let result = anchor.keep(&note);
            busy.store(false, Ordering::Release);
            done.send(result).ok();
        };
        let write = |error| AnchorError::Write(self.anchor.clone(), error);
        std::thread::Builder::new().name("anchor".to_owned()).spawn(work).map_err(|error| {
            self.busy.store(false, Ordering::Release);
            write(error)
        })?;
        match tokio::time::timeout(PATIENCE, is_done).await {
            Ok(Ok(result)) => result.map_err(write),
            Ok(Err(_)) | Err(_) => Err(AnchorError::Hangs(self.anchor.clone())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn note(size: i64) -> String {
        format!("host/audit\n{size}\nAAAA\n\n\u{2014} host/audit BBBB\n")
    }

    #[test]
    fn what_is_kept_is_read_back_and_what_broke_off_spoils_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let anchor = Anchor::File(dir.path().join("heads"));
        let read = || std::fs::read_to_string(dir.path().join("heads")).unwrap();
        anchor.keep(&note(1)).unwrap();
        anchor.keep(&note(2)).unwrap();
        for (cut, left) in [(note(3).len() + 1, vec![1, 2, 3]), (3, vec![1, 2]), (14, vec![1, 2])] {
            let whole = read();
            let part = format!("{}\n", note(3));
            std::fs::write(dir.path().join("heads"), format!("{whole}{}", part.get(..cut).unwrap())).unwrap();
            anchor.keep(&note(9)).unwrap();
            let sizes: Vec<i64> = notes(&read()).iter().map(|head| head.size).collect();
            assert_eq!(sizes, [left, vec![9]].concat(), "cut at {cut}");
            assert_eq!(notes(&read()).last().unwrap().note, note(9));
            std::fs::write(dir.path().join("heads"), whole).unwrap();
        }
        assert_eq!(notes(&note(7)), [Head { size: 7, note: note(7) }]);
        assert!(notes("").is_empty() && notes("\n\n\n\n").is_empty() && notes("a\n\nb\n\nc").is_empty());
    }
}
