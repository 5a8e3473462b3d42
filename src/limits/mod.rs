//! Token buckets: keys, tiers, the local state.
