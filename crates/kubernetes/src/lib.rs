//! The Kubernetes target: a release is a set of objects in a cluster.
//!
//! # Expected flow
//!
//! 1. [`claim`](greenloop_ports::Target::claim) takes the environment's `Lease`; a task renews it.
//! 2. [`roll_out`](greenloop_ports::Target::roll_out) renders the manifests, pins the image to its
//!    digest, and has the API server try everything (server-side dry run). The difference to
//!    what is there is shown. Until here nothing was written.
//! 3. A record of the release, a `Secret`, is written as a candidate; then the objects are applied
//!    server-side in waves, what others need awaited before them, and the workloads followed by
//!    watches ([`track`]).
//! 4. [`mark_verified`](greenloop_ports::Target::mark_verified) makes the record one that can be
//!    restored; [`restore`](greenloop_ports::Target::restore) lays the last verified one down again
//!    as a whole, and follows it like a rollout.
//!
//! # Guarantees
//!
//! - Writes are made only while the lease is held; a run that lost it writes no more, and says
//!   that it was superseded.
//! - A release is restored as its record has it, Secrets and ConfigMaps included, whatever has
//!   been changed by hand since; what a failed release brought is removed, except for what may
//!   hold data (namespaces, claims, definitions).
//! - A run that changes nothing restarts nothing: marks stand on objects, never on pods'
//!   templates. A change of a ConfigMap or Secret of the release rolls the workloads that read
//!   it, by a checksum on their templates.
//! - Nothing is a success before it was seen to be healthy, an unchanged workload included.
//! - What is lost on the way is asked again, for up to two minutes: an API server that is away
//!   is no failure of a release.
//! - No secret is in a diff, an event or an error: what the release's Secrets hold is known to the
//!   redactor before anything is tried, written or shown (see `secrets`).
//!
//! # Assumptions
//!
//! - The manifests are the truth about their objects: fields that people changed with their own
//!   tools are taken over, with a notice; fields of controllers are not (see `ownership`).
//! - `spec.replicas` of a workload that a HorizontalPodAutoscaler looks after is the autoscaler's.
//! - Jobs are acts: a finished one is made again when a release changes it, and none is run again
//!   by a restore.
//!
//! # Caveats
//!
//! - Objects that a verified release no longer names stay in the cluster unless
//!   `deploy.kubernetes.prune` is set; what may hold data or serve others stays even then (see
//!   `prune`).
//! - Records of another repository are refused (see `origin`). Two configurations of one repository
//!   are not told apart: they need namespaces or names of environments of their own.
//! - A namespace that does not exist is made, if it is the environment's own.
//! - A restore of the very first release brings back what was there before, as far as Greenloop
//!   changed it.
//! - A record must fit into one Secret: about one MiB, compressed.

mod admission_error;
mod apply;
mod cluster;
mod connection;
mod diff;
mod dry_run;
mod error;
mod lease;
mod manifest;
mod origin;
mod ownership;
mod permissions;
mod port_forward;
mod prune;
mod record;
mod scaler;
mod secrets;
mod store;
mod stuck_pods;
mod target;
pub mod track;
mod transient_refusal;
mod undo;

pub use connection::{Connection, Environment};
pub use error::{KubernetesError, KubernetesErrorKind, TokenRefused};
pub use origin::Repository;
pub use permissions::Permission;
pub use target::KubernetesTarget;
