//! The authorization server: metadata, token, introspection, revocation.
