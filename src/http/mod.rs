//! What every HTTP room shares: errors, request id, headers, trusted proxies, who-may extractors, cursors.
//!
//! [`edge::Edge`] stands around both listeners' routers; a handler finds the request's [`Info`] in its arguments and answers
//! with a [`Problem`] when it cannot do what it was asked; what changes something reads [`sent::Sent`] and commits a [`change::Change`]. Bearer tokens are read by [`bearer`], bodies by [`body`], query
//! strings by [`query`]. [`serve`] is the listener itself. What answers people with pages stands on [`browser`],
//! [`session`] and [`flow`].
//!
//! Without the feature `server` only what needs no HTTP server is here: the tower layer uses it.

pub mod bearer;
pub mod client_address;
pub mod coarse;
pub mod dpop;
pub mod info;
pub mod problem;
pub mod request_id;
pub mod trace;

#[cfg(feature = "server")]
pub mod asked;
#[cfg(feature = "server")]
pub mod body;
#[cfg(feature = "server")]
pub mod browser;
#[cfg(feature = "server")]
pub mod change;
#[cfg(feature = "server")]
pub mod cursor;
#[cfg(feature = "server")]
pub mod edge;
#[cfg(feature = "server")]
pub mod fetch;
#[cfg(feature = "server")]
pub mod fetched;
#[cfg(feature = "server")]
pub mod flow;
#[cfg(feature = "server")]
pub mod foreign_keys;
#[cfg(feature = "server")]
pub mod health;
#[cfg(feature = "server")]
pub mod networks;
#[cfg(feature = "server")]
pub mod pipe;
#[cfg(feature = "server")]
pub mod query;
#[cfg(feature = "server")]
pub mod record;
#[cfg(feature = "server")]
pub mod routes;
#[cfg(feature = "server")]
mod rows;
#[cfg(feature = "server")]
pub mod sent;
#[cfg(feature = "server")]
pub mod serve;
#[cfg(feature = "server")]
pub mod session;
#[cfg(feature = "server")]
mod tls;
#[cfg(feature = "server")]
mod unparsed;
#[cfg(feature = "server")]
mod unread;
#[cfg(feature = "server")]
pub mod who_may;

pub use client_address::TrustedProxies;
pub use coarse::Coarse;
pub use info::{Info, RequestInfo};
pub use problem::{Kind, Problem};

#[cfg(feature = "server")]
pub use cursor::Cursors;
#[cfg(feature = "server")]
pub use edge::Edge;
#[cfg(feature = "server")]
pub use flow::{Flow, Flows};
#[cfg(feature = "server")]
pub use record::Record;
#[cfg(feature = "server")]
pub use session::Sessions;
#[cfg(feature = "server")]
pub use tls::{Tls, TlsError};
#[cfg(feature = "server")]
pub use who_may::{Caller, Callers, Guard, May, Permission};
