//! The nouns: what is stored or crosses a room. No I/O, no HTTP, no SQL.

pub mod client;
pub mod decision;
pub mod event;
pub mod key;
pub mod token;

pub use client::{AuthMethod, Client, ClientKind, GrantType};
pub use decision::{Decision, DenyReason, PrincipalRef};
pub use event::{Event, EventClass, Outcome};
pub use key::{Algorithm, KeyState, SigningKey};
pub use token::{AccessToken, TokenDigest};
