//! Where passwords are hashed: a few threads of their own, half of the cores, below everything else in priority, behind a
//! short queue. A flood of logins finds the queue full and is told so at once; it never slows a token down by more than
//! these threads can.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_channel::{Receiver, Sender, TrySendError};
use tokio::sync::oneshot;

use super::CryptoError;
use super::password::{self, Password, Verified};
use crate::base::Rng;

/// How much at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Hashes at once.
    pub threads: usize,
    /// Hashes that wait.
    pub queue: usize,
}

impl Settings {
    /// Half of this machine's cores, at least one, and 16 waiting for each.
    pub fn of_this_machine() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let threads = (cores / 2).max(1);
        Self { threads, queue: threads * 16 }
    }
}

/// Why nothing was hashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HasherError {
    /// As many wait as may.
    #[error("too many passwords are being checked: try again in a few seconds")]
    Busy,
    /// There was no memory for it, or the process is stopping.
    #[error("the password could not be hashed")]
    Failed,
}

enum Job {
    Hash(Password, oneshot::Sender<Result<String, CryptoError>>),
    Verify(Password, Arc<str>, oneshot::Sender<Verified>),
}

#[derive(Debug)]
struct Shared {
    rng: Arc<dyn Rng>,
    hashed: AtomicU64,
}

/// The threads that hash. Share it in an `Arc`; they end when it is dropped.
pub struct Hasher {
    jobs: Sender<Job>,
    /// Keeps the queue open while there are no threads.
    _waiting: Receiver<Job>,
    shared: Arc<Shared>,
    decoy: Arc<str>,
}

impl std::fmt::Debug for Hasher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Hasher").field("waiting", &self.jobs.len()).finish_non_exhaustive()
    }
}

impl Hasher {
    /// Starts the threads.
    ///
    /// # Errors
    /// When the operating system gives no thread.
    pub fn start(settings: Settings, rng: Arc<dyn Rng>) -> Result<Self, CryptoError> {
        let (jobs, waiting) = async_channel::bounded(settings.queue.max(1));
        let decoy = password::decoy(&*rng)?.into();
        let shared = Arc::new(Shared { rng, hashed: AtomicU64::new(0) });
        for _ in 0..settings.threads {
            let (waiting, shared) = (waiting.clone(), Arc::clone(&shared));
            let thread = std::thread::Builder::new().name("hasher".to_owned());
            thread.spawn(move || work(&waiting, &shared)).map_err(|_| CryptoError::Refused)?;
        }
        Ok(Self { jobs, _waiting: waiting, shared, decoy })
    }

    /// A PHC string of `password` under a fresh salt.
    ///
    /// # Errors
    /// [`HasherError`].
    pub async fn hash(&self, password: Password) -> Result<String, HasherError> {
        let (answer, answered) = oneshot::channel();
        self.enqueue(Job::Hash(password, answer))?;
        answered.await.map_err(|_| HasherError::Failed)?.map_err(|_| HasherError::Failed)
    }

    /// Whether `password` fits what is stored of its user; the same work is done, and `No` the answer, when nothing is stored.
    ///
    /// # Errors
    /// [`HasherError`].
    pub async fn verify(&self, password: Password, stored: Option<&str>) -> Result<Verified, HasherError> {
        let (answer, answered) = oneshot::channel();
        let stored = stored.map_or_else(|| Arc::clone(&self.decoy), Arc::from);
        self.enqueue(Job::Verify(password, stored, answer))?;
        answered.await.map_err(|_| HasherError::Failed)
    }

    fn enqueue(&self, job: Job) -> Result<(), HasherError> {
        self.jobs.try_send(job).map_err(|error| match error {
            TrySendError::Full(_) => HasherError::Busy,
            TrySendError::Closed(_) => HasherError::Failed,
        })
    }

    /// How many hashes were computed since the start.
    pub fn hashed(&self) -> u64 {
        self.shared.hashed.load(Ordering::SeqCst)
    }
}

impl Drop for Hasher {
    fn drop(&mut self) {
        self.jobs.close();
    }
}

fn work(jobs: &Receiver<Job>, shared: &Shared) {
    yield_to_others();
    while let Ok(job) = jobs.recv_blocking() {
        // Who asked may be gone by the time that it is their turn.
        let gone = match &job {
            Job::Hash(_, answer) => answer.is_closed(),
            Job::Verify(_, _, answer) => answer.is_closed(),
        };
        if gone {
            continue;
        }
        shared.hashed.fetch_add(1, Ordering::SeqCst);
        let done = catch_unwind(AssertUnwindSafe(|| match job {
            Job::Hash(password, answer) => answer.send(password::hash(&password, &*shared.rng)).is_ok(),
            Job::Verify(password, stored, answer) => answer.send(password::verify(&password, &stored)).is_ok(),
        }));
        if done.is_err() {
            tracing::error!("hashing a password panicked");
        }
    }
}

/// Lowers the priority of this thread, where a thread has one of its own.
fn yield_to_others() {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::nice(10) {
        tracing::debug!(%error, "hashing runs at normal priority");
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;
    use futures_util::future::join_all;

    use super::*;
    use crate::base::SeededRng;

    fn hasher(threads: usize, queue: usize) -> Hasher {
        Hasher::start(Settings { threads, queue }, Arc::new(SeededRng::new(1))).unwrap()
    }

    fn password(text: &str) -> Password {
        Password::new(text).unwrap()
    }

    #[tokio::test]
    async fn what_was_hashed_verifies() {
        let hasher = hasher(1, 1);
        let stored = hasher.hash(password("one")).await.unwrap();
        assert_eq!(hasher.verify(password("one"), Some(&stored)).await, Ok(Verified::Fits));
        assert_eq!(hasher.verify(password("two"), Some(&stored)).await, Ok(Verified::No));
        assert_eq!(hasher.hashed(), 3);
    }

    #[tokio::test]
    async fn e3_a_user_who_is_not_there_costs_one_hash_like_one_who_is() {
        let hasher = hasher(1, 1);
        for stored in [None, Some(password::hash(&password("one"), &SeededRng::new(2)).unwrap())] {
            let before = hasher.hashed();
            assert_eq!(hasher.verify(password("two"), stored.as_deref()).await, Ok(Verified::No));
            assert_eq!(hasher.hashed() - before, 1);
        }
    }

    #[tokio::test]
    async fn e6_past_the_queue_nobody_waits() {
        let hasher = hasher(0, 2);
        let mut waiting: Vec<_> = (0..2).map(|_| Box::pin(hasher.verify(password("x"), None))).collect();
        for job in &mut waiting {
            assert!(job.now_or_never().is_none());
        }
        assert_eq!(hasher.verify(password("x"), None).await, Err(HasherError::Busy));
        assert_eq!(hasher.hash(password("x")).await, Err(HasherError::Busy));
        assert_eq!(hasher.hashed(), 0);
    }

    #[tokio::test]
    async fn whoever_left_the_queue_is_not_hashed_for() {
        let hasher = hasher(0, 3);
        for _ in 0..2 {
            let mut left = Box::pin(hasher.verify(password("x"), None));
            assert!((&mut left).now_or_never().is_none());
        }
        let mut stays = Box::pin(hasher.hash(password("x")));
        assert!((&mut stays).now_or_never().is_none());
        let (jobs, shared) = (hasher._waiting.clone(), Arc::clone(&hasher.shared));
        hasher.jobs.close();
        std::thread::spawn(move || work(&jobs, &shared)).join().unwrap();
        assert!(stays.await.is_ok());
        assert_eq!(hasher.hashed(), 1);
    }

    #[tokio::test]
    async fn several_threads_do_all_of_it() {
        let hasher = hasher(2, 8);
        let done = join_all((0..8).map(|_| hasher.verify(password("x"), None))).await;
        assert!(done.iter().all(|one| *one == Ok(Verified::No)), "{done:?}");
        assert_eq!(hasher.hashed(), 8);
    }
}
