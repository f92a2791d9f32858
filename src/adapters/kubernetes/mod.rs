//! Releases as workloads in a Kubernetes cluster.
