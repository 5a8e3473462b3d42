//! Randomness is passed in. Secrets, identifiers and salts come from the operating system; tests seed their own.

use std::fmt;

use aws_lc_rs::rand::SecureRandom as _;
use parking_lot::Mutex;

/// Where random bytes come from.
pub trait Rng: Send + Sync + fmt::Debug {
    /// Fills `out` whole.
    fn fill(&self, out: &mut [u8]);
}

/// `N` random bytes.
pub fn bytes<const N: usize>(rng: &dyn Rng) -> [u8; N] {
    let mut out = [0; N];
    rng.fill(&mut out);
    out
}

/// The operating system's generator, through aws-lc-rs.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemRng;

impl Rng for SystemRng {
    fn fill(&self, out: &mut [u8]) {
        // A machine that has no randomness must not issue anything: stopping is the only safe answer.
        #[expect(clippy::panic, reason = "no randomness: nothing that follows would be safe")]
        if aws_lc_rs::rand::SystemRandom::new().fill(out).is_err() {
            panic!("the operating system gave no random bytes");
        }
    }
}

/// A repeatable generator for tests (splitmix64). Never for secrets that anyone else sees.
#[derive(Debug)]
pub struct SeededRng(Mutex<u64>);

impl SeededRng {
    /// The same seed gives the same bytes.
    pub fn new(seed: u64) -> Self {
        Self(Mutex::new(seed))
    }
}

impl Rng for SeededRng {
    fn fill(&self, out: &mut [u8]) {
        let mut state = self.0.lock();
        for chunk in out.chunks_mut(8) {
            *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut z = *state;
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            z ^= z >> 31;
            for (to, from) in chunk.iter_mut().zip(z.to_le_bytes()) {
                *to = from;
            }
        }
    }
}
