//! The nouns: what is stored or crosses a room. No I/O, no HTTP, no SQL.

pub mod client;
pub mod decision;
pub mod event;
#[cfg(feature = "server")]
pub mod filter;
pub mod finding;
pub mod grant;
pub mod key;
pub mod session;
pub mod token;
pub mod triage;
pub mod user;

pub use client::{AuthMethod, Client, ClientKind, GrantType};
pub use decision::{Decision, DenyReason, PrincipalRef};
pub use event::{Event, EventClass, Outcome};
pub use finding::{Came, Entity, EntityKind, Finding, FindingState, Format, Service, Severity, Standing};
pub use grant::{
    AuthorizationCode, Consent, DeviceCode, DeviceState, Grant, LogoutDelivery, PushedRequest, RefreshState,
    RefreshToken, UpstreamLink,
};
pub use key::{Algorithm, KeyState, SigningKey};
pub use session::{Acr, Session};
pub use token::{AccessToken, Actor, TokenDigest};
pub use triage::{Handling, Matching, Note, Resolution, Suppression, Triage};
pub use user::{Credential, CredentialKind, User};
