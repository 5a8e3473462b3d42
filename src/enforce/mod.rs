//! The pipeline that every enforcement point shares, the tower layer that users embed, and the answers that proxies ask
//! for.
//!
//! ```text
//! address bucket -> path in normal form -> token -> route -> audience -> decision -> tier bucket -> event
//! ```
//!
//! The address's bucket comes before any cryptography, the tier's after the decision, because the decision's snapshot
//! chooses the tier. Whatever happens, one event says so; what a stranger can cause is folded.
//!
//! ```no_run
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let jwks = serde_json::json!({});
//! use stockade::enforce::Fence;
//!
//! let fence = Fence::builder("https://auth.example.com").jwks(jwks).policies("policies").build()?;
//! let layer = fence.layer(); // `axum::Router::layer`, or any `tower` service
//! # let _ = layer; Ok(())
//! # }
//! ```

mod fence;
mod layer;
pub mod path;
mod pipeline;
mod recorder;
mod refused;
mod tokens;

#[cfg(feature = "server")]
pub mod assertion;
#[cfg(feature = "server")]
pub mod demo;
#[cfg(feature = "server")]
pub mod nginx;

pub use fence::{Fence, FenceBuilder, FenceError};
pub use layer::{FenceLayer, Fenced};
pub use pipeline::Admitted;
pub use recorder::{NotRecorded, Recorded, Recorder, Traced};
pub use tokens::{Jwks, Tokens, Verified};
