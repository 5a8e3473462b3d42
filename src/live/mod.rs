//! What every process holds in memory and keeps fresh: clients, the key ring, the denylist, opaque tokens seen.
