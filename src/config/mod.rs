//! Configuration: [`raw`] is what the file says, [`plan`] what it means.
//!
//! Lives here: reading `config.yaml`, telling every mistake with line, column and the nearest
//! known key, filling defaults, expanding `{{ env.… }}`. Must not be here: doing anything.

pub mod plan;
