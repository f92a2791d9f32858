//! The Merkle tree hash and consistency proofs of RFC 6962, section 2.1, over a log's lines.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use sha2::{Digest, Sha256};

/// A SHA-256 hash.
pub(super) type Hash = [u8; 32];

/// Hashes which show that a log begins with the records of an earlier checkpoint of it (RFC 6962,
/// section 2.1.2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsistencyProof(pub(super) Vec<Hash>);

impl ConsistencyProof {
    /// Each hash in base64.
    pub fn to_lines(&self) -> Vec<String> {
        self.0.iter().map(|hash| BASE64_STANDARD.encode(hash)).collect()
    }

    /// What [`ConsistencyProof::to_lines`] gives.
    ///
    /// # Errors
    /// The index of a line that is not a hash in base64.
    pub fn from_lines(lines: &[String]) -> Result<Self, usize> {
        let hash = |line: &String| BASE64_STANDARD.decode(line).ok()?.try_into().ok();
        let hashes = lines.iter().enumerate().map(|(at, line)| hash(line).ok_or(at));
        Ok(Self(hashes.collect::<Result<_, _>>()?))
    }
}

/// The hash of one entry.
pub(super) fn leaf(entry: &[u8]) -> Hash {
    Sha256::new().chain_update([0]).chain_update(entry).finalize().into()
}

/// The tree's hash over these leaves.
pub(super) fn root(leaves: &[Hash]) -> Hash {
    match leaves {
        [] => Sha256::digest([]).into(),
        [leaf] => *leaf,
        leaves => {
            let (left, right) = halves(leaves);
            node(&root(left), &root(right))
        }
    }
}

fn node(left: &Hash, right: &Hash) -> Hash {
    Sha256::new().chain_update([1]).chain_update(left).chain_update(right).finalize().into()
}

/// Two or more leaves; to the left the largest power of two below their number.
fn halves(leaves: &[Hash]) -> (&[Hash], &[Hash]) {
    leaves.split_at(1 << (leaves.len() - 1).ilog2())
}

/// Proves that the tree over these leaves begins with the one over the first `size` of them
/// (section 2.1.2). Empty for none of them and for all.
pub(super) fn consistency(leaves: &[Hash], size: usize) -> Vec<Hash> {
    let mut proof = Vec::new();
    if size > 0 {
        prove(leaves, size, true, &mut proof);
    }
    proof
}

/// `SUBPROOF` of section 2.1.2.
fn prove(leaves: &[Hash], size: usize, known: bool, proof: &mut Vec<Hash>) {
    if size >= leaves.len() {
        if !known {
            proof.push(root(leaves));
        }
        return;
    }
    let (left, right) = halves(leaves);
    if size <= left.len() {
        prove(left, size, known, proof);
        proof.push(root(right));
    } else {
        prove(right, size - left.len(), false, proof);
        proof.push(root(left));
    }
}

/// Whether the proof shows that the second tree, by its size and root, begins with the first
/// (RFC 9162, section 2.1.4.2).
pub(super) fn is_consistent(first: (u64, &Hash), second: (u64, &Hash), proof: &[Hash]) -> bool {
    let ((size, root), (new_size, new_root)) = (first, second);
    if size == 0 || size == new_size {
        return proof.is_empty() && (size == 0 || root == new_root);
    }
    if size > new_size {
        return false;
    }
    let mut path = proof.iter();
    let (mut at, mut last) = (size - 1, new_size - 1);
    let complete = at.trailing_ones();
    (at, last) = (at >> complete, last >> complete);
    // A whole first tree is no part of its proof.
    let start = if size.is_power_of_two() { Some(root) } else { path.next() };
    let Some(start) = start else { return false };
    let (mut old, mut new) = (*start, *start);
    for sibling in path {
        if last == 0 {
            return false;
        }
        if at & 1 == 1 || at == last {
            (old, new) = (node(sibling, &old), node(sibling, &new));
            let whole = if at == 0 { 0 } else { at.trailing_zeros() };
            (at, last) = (at >> whole, last >> whole);
        } else {
            new = node(&new, sibling);
        }
        (at, last) = (at >> 1, last >> 1);
    }
    last == 0 && old == *root && new == *new_root
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hex::hex;

    /// The entries of the test vectors of Certificate Transparency
    /// (google/certificate-transparency, `merkletree/merkle_tree_test.cc`).
    const ENTRIES: [&[u8]; 8] = [
        b"",
        b"\x00",
        b"\x10",
        b"\x20\x21",
        b"\x30\x31",
        b"\x40\x41\x42\x43",
        b"\x50\x51\x52\x53\x54\x55\x56\x57",
        b"\x60\x61\x62\x63\x64\x65\x66\x67\x68\x69\x6a\x6b\x6c\x6d\x6e\x6f",
    ];

    /// Their roots and one of their proofs.
    #[test]
    fn the_published_vectors_hold() {
        let roots = [
            "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
            "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
            "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
            "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
            "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
            "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
            "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
        ];
        let leaves: Vec<Hash> = ENTRIES.iter().map(|entry| leaf(entry)).collect();
        for (count, expected) in (1..).zip(roots) {
            assert_eq!(hex(&root(&leaves[..count])), expected, "{count} leaves");
        }
        let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(hex(&root(&[])), empty);
        let proof: Vec<String> = consistency(&leaves, 6).iter().map(|it| hex(it)).collect();
        assert_eq!(
            proof,
            [
                "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
                "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
                "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
            ]
        );
    }

    #[test]
    fn a_tree_is_consistent_with_its_beginnings_and_with_no_other() {
        let leaves: Vec<Hash> = (0u8..21).map(|entry| leaf(&[entry])).collect();
        for size in 0..=leaves.len() {
            let new = root(&leaves[..size]);
            for known in 0..=size {
                let old = root(&leaves[..known]);
                let proof = consistency(&leaves[..size], known);
                let holds = |old: &Hash, new: &Hash, proof: &[Hash]| {
                    is_consistent((known as u64, old), (size as u64, new), proof)
                };
                assert!(holds(&old, &new, &proof), "{known} of {size}");
                if known == 0 {
                    continue;
                }
                assert!(!holds(&[9; 32], &new, &proof) && !holds(&old, &[9; 32], &proof));
                assert!(!holds(&old, &new, &[proof.as_slice(), &[new]].concat()));
                for changed in 0..proof.len() {
                    let mut other = proof.clone();
                    other[changed][0] ^= 1;
                    assert!(!holds(&old, &new, &other), "{known} of {size}, hash {changed}");
                    other.remove(changed);
                    assert!(!holds(&old, &new, &other), "{known} of {size}, without {changed}");
                }
            }
        }
    }
}
