//! What every HTTP room shares: errors, request id, headers, trusted proxies, who-may extractors, cursors.

pub mod serve;
mod tls;

pub use tls::{Tls, TlsError};
