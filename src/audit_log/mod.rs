//! The append side of the audit log: the queue, group commit, the Merkle tree.
