//! How often: token buckets (GCRA) of our own for everything that has a key, governor for everything that has none.
//!
//! A keyed bucket is one integer, its *theoretical arrival time* (TAT): the nanosecond at which it is full again. Nothing
//! else is remembered, and the rate is passed in with every check, so a changed tier or a reloaded file keeps the state.
//! [`Buckets`] holds them in a bounded table that frees only buckets that are full again, which loses nothing: a throttled
//! key cannot be pushed out by a flood of others, and a flood costs a fixed amount of memory.
//!
//! Called by `enforce` and `oauth`; reads no clock, no header and no configuration.

pub mod address;
pub mod buckets;
pub mod ceiling;
pub mod fields;
pub mod key;
pub mod rate;
mod siphash;
mod table;

pub use buckets::{Buckets, Claim, MAX_CLAIMS, Settings, Standing, Stats, Verdict};
pub use ceiling::Ceiling;
pub use key::{Key, Keys, Space};
pub use rate::{Limit, LimitError};
