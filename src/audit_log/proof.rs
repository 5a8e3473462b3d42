//! Proofs of RFC 9162: which subtrees make one, and what one shows. Pure; where the hashes are read is [`super::tiles`].

use std::ops::Range;

use super::merkle::{Hash, node};

/// How long a path can be: no tree has more levels.
const LONGEST: usize = 128;

/// Where a tree of `leaves` > 1 leaves is split: the largest power of two below.
const fn split(leaves: u64) -> u64 {
    1 << (63 - (leaves - 1).leading_zeros())
}

/// The subtrees, nearest first, that lead from leaf `index` to the root over `size` leaves (2.1.3.1). `None` when the tree
/// has no such leaf.
pub fn inclusion(index: u64, size: u64) -> Option<Vec<Range<u64>>> {
    if index >= size {
        return None;
    }
    let (mut path, mut tree) = (Vec::new(), 0..size);
    while tree.end - tree.start > 1 {
        let middle = tree.start + split(tree.end - tree.start);
        let (here, other) = if index < middle {
            (tree.start..middle, middle..tree.end)
        } else {
            (middle..tree.end, tree.start..middle)
        };
        path.push(other);
        tree = here;
    }
    path.reverse();
    Some(path)
}

/// The subtrees that show that the tree over `to` leaves begins with the one over `from` (2.1.4.1). `None` when it is smaller.
pub fn consistency(from: u64, to: u64) -> Option<Vec<Range<u64>>> {
    if from > to {
        return None;
    }
    if from == 0 || from == to {
        return Some(Vec::new());
    }
    let (mut path, mut tree, mut whole) = (Vec::new(), 0..to, true);
    while tree.end > from {
        let middle = tree.start + split(tree.end - tree.start);
        if from <= middle {
            path.push(middle..tree.end);
            tree.end = middle;
        } else {
            path.push(tree.start..middle);
            tree.start = middle;
            whole = false;
        }
    }
    if !whole {
        path.push(tree);
    }
    path.reverse();
    Some(path)
}

/// The full subtrees of a run of leaves that begins where subtrees begin, in order: level and index of each.
pub fn full(run: Range<u64>) -> Vec<(u32, u64)> {
    let (mut at, mut nodes) = (run.start, Vec::new());
    while at < run.end {
        let level = at.trailing_zeros().min(63 - (run.end - at).leading_zeros());
        nodes.push((level, at >> level));
        at += 1 << level;
    }
    nodes
}

/// The root over `size` leaves that follows from leaf `index` and its path (2.1.3.2). `None` when the path does not have the
/// length that belongs to them.
pub fn root_of_inclusion(leaf: Hash, index: u64, size: u64, path: &[Hash]) -> Option<Hash> {
    let subtrees = inclusion(index, size)?;
    if subtrees.len() != path.len() || path.len() > LONGEST {
        return None;
    }
    let up = |below, (other, hash): (&Range<u64>, &Hash)| {
        if other.start > index { node(&below, hash) } else { node(hash, &below) }
    };
    Some(subtrees.iter().zip(path).fold(leaf, up))
}

/// The root over `to` leaves that follows when the tree over the first `from` has the root `first` (2.1.4.2). `None` when the
/// path does not fit, or leads from another root.
pub fn root_of_consistency(first: Hash, from: u64, to: u64, path: &[Hash]) -> Option<Hash> {
    let subtrees = consistency(from, to)?;
    if subtrees.len() != path.len() || path.len() > LONGEST || (from == 0 && to > 0) {
        return None;
    }
    // Where `from` ends with a full subtree, its root is not in the path: it is `first` itself.
    let begins = subtrees.first().is_some_and(|subtree| subtree.end == from);
    let mut steps = subtrees.iter().zip(path);
    let seed = if begins { *steps.next()?.1 } else { first };
    let (mut old, mut new) = (seed, seed);
    for (subtree, hash) in steps {
        if subtree.start < from {
            (old, new) = (node(hash, &old), node(hash, &new));
        } else {
            new = node(&new, hash);
        }
    }
    (old == first).then_some(new)
}

#[cfg(test)]
mod tests {
    use super::super::merkle::Frontier;
    use super::*;
    use crate::crypto::sha256;

    fn leaves(count: u64) -> Vec<Hash> {
        (0..count).map(|n| sha256(&n.to_be_bytes())).collect()
    }

    fn root(leaves: &[Hash]) -> Hash {
        let mut frontier = Frontier::default();
        leaves.iter().for_each(|leaf| frontier.push(*leaf));
        frontier.root()
    }

    fn at(leaves: &[Hash], subtrees: &[Range<u64>]) -> Vec<Hash> {
        let index = |n| usize::try_from(n).unwrap();
        subtrees.iter().map(|run| root(&leaves[index(run.start)..index(run.end)])).collect()
    }

    #[test]
    fn every_leaf_of_every_tree_leads_to_its_root_and_to_no_other() {
        let all = leaves(70);
        for size in 1..=70_u64 {
            let tree = &all[..usize::try_from(size).unwrap()];
            for (index, leaf) in (0_u64..).zip(tree) {
                let path = at(tree, &inclusion(index, size).unwrap());
                assert_eq!(root_of_inclusion(*leaf, index, size, &path), Some(root(tree)), "{index} of {size}");
                assert_ne!(root_of_inclusion([9; 32], index, size, &path), Some(root(tree)));
                if let Some(shorter) = path.get(1..) {
                    assert_eq!(root_of_inclusion(*leaf, index, size, shorter), None);
                }
            }
            assert_eq!(inclusion(size, size), None);
        }
    }

    #[test]
    fn every_tree_is_shown_to_begin_with_every_smaller_one_and_with_no_other() {
        let all = leaves(70);
        for to in 1..=70_u64 {
            let tree = &all[..usize::try_from(to).unwrap()];
            for from in 1..=to {
                let first = root(&tree[..usize::try_from(from).unwrap()]);
                let path = at(tree, &consistency(from, to).unwrap());
                assert_eq!(root_of_consistency(first, from, to, &path), Some(root(tree)), "{from} to {to}");
                assert_ne!(root_of_consistency([9; 32], from, to, &path), Some(root(tree)), "{from} to {to}");
            }
            assert_eq!(consistency(to + 1, to), None);
        }
        assert_eq!(root_of_consistency(root(&[]), 0, 3, &[]), None, "an empty tree shows nothing");
    }

    #[test]
    fn a_run_is_made_of_full_subtrees() {
        assert_eq!(full(0..7), [(2, 0), (1, 2), (0, 6)]);
        assert_eq!(full(8..12), [(2, 2)]);
        assert_eq!(full(5..5), []);
        assert_eq!(full(0..u64::MAX).len(), 64);
    }

    /// RFC 9162 2.1.5: a to g are the leaves, h to m the nodes above them.
    #[test]
    fn the_paths_are_those_of_the_rfc_s_figure() {
        assert_eq!(inclusion(0, 7).unwrap(), [1..2, 2..4, 4..7]);
        assert_eq!(inclusion(3, 7).unwrap(), [2..3, 0..2, 4..7]);
        assert_eq!(inclusion(4, 7).unwrap(), [5..6, 6..7, 0..4]);
        assert_eq!(inclusion(6, 7).unwrap(), [4..6, 0..4]);
        assert_eq!(consistency(3, 7).unwrap(), [2..3, 3..4, 0..2, 4..7]);
        assert_eq!(consistency(4, 7).unwrap().first(), Some(&(4..7)));
        assert_eq!(consistency(6, 7).unwrap(), [4..6, 6..7, 0..4]);
    }
}
