//! From manifests in the repository to the objects of a release. No cluster is asked here.
//!
//! Files or a tool's output ([`source`]) → rendered text ([`render`]) → objects with the place
//! they stand at ([`parse`]) → images pinned ([`pin`]) → namespace, marks and checksums
//! ([`labels`], [`checksum`]) → the order they are applied in ([`order`]), and what is awaited before
//! what ([`waves`]).

pub(super) mod checksum;
pub(super) mod labels;
pub(super) mod object;
pub(super) mod order;
pub(super) mod parse;
pub(super) mod pin;
pub(super) mod render;
pub(super) mod source;
pub(super) mod waves;

pub(super) use object::{Manifest, ObjectId, Origin};
