//! Hashes, JWS, the key ring, sealing, constant-time compare.
