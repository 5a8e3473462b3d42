//! Leaf types: time, randomness, identifiers, secrets. Everyone may import them; they import nothing of ours.

pub mod clock;
pub mod id;
pub mod rng;
pub mod secret;

pub use clock::{Clock, ManualClock, SystemClock, Timestamp};
pub use rng::{Rng, SeededRng, SystemRng};
pub use secret::Secret;
