//! Cedar: load a snapshot, index it, decide, explain. Pure; no HTTP.
