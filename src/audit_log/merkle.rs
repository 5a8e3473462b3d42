//! The append-only tree of RFC 9162: only its frontier is kept, at most 64 hashes, from which the root follows.

use crate::crypto::sha256;

/// A node: 32 bytes.
pub type Hash = [u8; 32];

/// The hash of an inner node (RFC 9162 2.1.1: SHA-256 of `0x01`, left, right).
pub fn node(left: &Hash, right: &Hash) -> Hash {
    let mut data = [1; 65];
    for (to, from) in data.iter_mut().skip(1).zip(left.iter().chain(right)) {
        *to = *from;
    }
    sha256(&data)
}

/// The roots of the full subtrees of a tree, largest first; a bit of `size` each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Frontier {
    size: u64,
    peaks: Vec<Hash>,
}

impl Frontier {
    /// From its stored form. `None` when the number of hashes does not fit the size.
    pub fn from_bytes(size: u64, bytes: &[u8]) -> Option<Self> {
        let (peaks, rest) = bytes.as_chunks::<32>();
        let fits = rest.is_empty() && peaks.len() == usize::try_from(size.count_ones()).ok()?;
        fits.then(|| Self { size, peaks: peaks.to_vec() })
    }

    /// The stored form.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.peaks.concat()
    }

    /// How many leaves the tree has.
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// Adds the next leaf.
    pub fn push(&mut self, leaf: Hash) {
        let mut hash = leaf;
        let mut carry = self.size;
        while carry & 1 == 1 {
            if let Some(left) = self.peaks.pop() {
                hash = node(&left, &hash);
            }
            carry >>= 1;
        }
        self.peaks.push(hash);
        self.size += 1;
    }

    /// The root (RFC 9162 2.1.1); of an empty tree SHA-256 of nothing.
    pub fn root(&self) -> Hash {
        let mut peaks = self.peaks.iter().rev();
        let Some(last) = peaks.next() else { return sha256(b"") };
        peaks.fold(*last, |right, left| node(left, &right))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The definition of RFC 9162 2.1.1, recursive and slow.
    fn by_definition(leaves: &[Hash]) -> Hash {
        match leaves {
            [] => sha256(b""),
            [one] => *one,
            many => {
                let split = many.len().next_power_of_two() / 2;
                let split = if split == many.len() { split / 2 } else { split };
                node(&by_definition(&many[..split]), &by_definition(&many[split..]))
            }
        }
    }

    #[test]
    fn the_frontier_gives_the_root_of_the_definition_at_every_size() {
        let mut frontier = Frontier::default();
        let mut leaves = Vec::new();
        for i in 0..130_u64 {
            assert_eq!(frontier.root(), by_definition(&leaves), "{i} leaves");
            let reread = Frontier::from_bytes(frontier.size(), &frontier.to_bytes());
            assert_eq!(reread.as_ref(), Some(&frontier));
            let leaf = sha256(&i.to_be_bytes());
            leaves.push(leaf);
            frontier.push(leaf);
        }
    }

    #[test]
    fn a_frontier_that_does_not_fit_its_size_is_refused() {
        assert_eq!(Frontier::from_bytes(3, &[0; 32]), None);
        assert_eq!(Frontier::from_bytes(1, &[0; 33]), None);
    }

    /// Known answers for leaf data of d(i) = one byte i, computed with Python's hashlib.
    #[test]
    fn the_root_of_one_and_two_leaves_is_as_computed_elsewhere() {
        let leaf = |byte: u8| sha256(&[0, byte]);
        let mut frontier = Frontier::default();
        frontier.push(leaf(0));
        let hex = |hash: Hash| hash.iter().map(|b| format!("{b:02x}")).collect::<String>();
        assert_eq!(hex(frontier.root()), "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7");
        frontier.push(leaf(1));
        assert_eq!(hex(frontier.root()), "a20bf9a7cc2dc8a08f5f415a71b19f6ac427bab54d24eec868b5d3103449953a");
    }
}
