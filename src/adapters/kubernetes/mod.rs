//! Releases as workloads in a Kubernetes cluster.

pub mod track;
