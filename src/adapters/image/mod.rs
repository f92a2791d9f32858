//! Images: the build context, the build on a Docker Engine, the push, and finding an image that
//! is there already.

pub mod context;
