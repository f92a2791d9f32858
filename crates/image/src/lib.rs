//! Images: the build context, the build on a Docker Engine, the push, and finding an image that
//! is there already.
//!
//! Expected flow: the context is scanned, base images are looked up, and both with the
//! Dockerfile and the settings make the content key. An image of that key in the registry is
//! tagged and returned. Otherwise the context is streamed to the engine, the image pushed once,
//! under a tag that names its content, and when the registry has answered for the digest, the
//! tags that people look for are put on it there.
//!
//! Guarantees:
//!
//! - What is returned is in the registry, and pinned by its digest.
//! - The commit's tag, the pipeline's and the configured ones are put on last, on a manifest that
//!   is there: whatever moment a run dies in, none of them names half an image.
//! - Nothing is built or pushed twice because an answer was lost.
//! - Labels that differ from run to run have no part in the content key.
//!
//! Caveat: like `docker build`'s own cache, the key knows nothing of what a `RUN` downloads.

mod base;
mod build;
mod buildkit;
mod classic;
pub mod context;
mod digest_cache;
mod dockerfile;
pub mod engine;
mod error;
mod failure;
mod key;
mod pace;
mod pipeline;
mod push;
mod reference;
pub mod registry;
mod secrets;
#[cfg(test)]
mod tests;
mod watch;

pub use pipeline::ImagePipeline;
