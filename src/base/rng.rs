//! Randomness is passed in. Secrets, identifiers and salts come from the operating system; tests seed their own.

use std::cell::RefCell;
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

/// Requests up to this size are identifiers, nonces and salts; keys and tokens are longer and never pooled.
const POOLED: usize = 16;
const POOL: usize = 512;

/// Random bytes of this thread that nobody has seen yet: a call of the generator costs as much as hundreds of bytes from
/// it, and a request needs half a dozen identifiers.
struct Pool {
    bytes: [u8; POOL],
    used: usize,
}

thread_local! {
    static UNSEEN: RefCell<Pool> = const { RefCell::new(Pool { bytes: [0; POOL], used: POOL }) };
}

fn from_the_system(out: &mut [u8]) {
    // A machine that has no randomness must not issue anything: stopping is the only safe answer.
    #[expect(clippy::panic, reason = "no randomness: nothing that follows would be safe")]
    if aws_lc_rs::rand::SystemRandom::new().fill(out).is_err() {
        panic!("the operating system gave no random bytes");
    }
}

impl Rng for SystemRng {
    fn fill(&self, out: &mut [u8]) {
        if out.len() > POOLED {
            return from_the_system(out);
        }
        UNSEEN.with_borrow_mut(|pool| {
            if pool.used + out.len() > POOL {
                from_the_system(&mut pool.bytes);
                pool.used = 0;
            }
            for (to, from) in out.iter_mut().zip(pool.bytes.iter_mut().skip(pool.used)) {
                *to = std::mem::take(from);
            }
            pool.used += out.len();
        });
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

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn no_byte_is_handed_out_twice() {
        let mut seen = HashSet::new();
        let take = |seen: &mut HashSet<Vec<u8>>, len: usize| {
            let mut out = vec![0; len];
            SystemRng.fill(&mut out);
            assert!(seen.insert(out), "the same {len} bytes twice");
        };
        for _ in 0..2000 {
            for len in [10, 8, 16, 12, 32] {
                take(&mut seen, len);
            }
        }
        let threads: Vec<_> = (0..4)
            .map(|_| std::thread::spawn(|| (0..500).map(|_| bytes::<10>(&SystemRng).to_vec()).collect::<Vec<_>>()))
            .collect();
        for bytes in threads.into_iter().flat_map(|t| t.join().unwrap()) {
            assert!(seen.insert(bytes), "two threads gave the same bytes");
        }
    }

    #[test]
    fn every_bit_of_short_answers_is_set_about_half_of_the_time() {
        let rounds = 4000;
        let mut ones = [0_u32; 80];
        for _ in 0..rounds {
            let bytes = bytes::<10>(&SystemRng);
            for (i, count) in ones.iter_mut().enumerate() {
                *count += u32::from(bytes[i / 8] >> (i % 8) & 1);
            }
        }
        // Six and a half standard deviations: one run in ten billion fails by chance.
        assert!(ones.iter().all(|n| n.abs_diff(rounds / 2) < 206), "{ones:?}");
    }
}
