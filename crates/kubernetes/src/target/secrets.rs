//! What the redactor learns of a release's Secrets.

use std::collections::BTreeSet;
use std::sync::PoisonError;

use futures::StreamExt as _;
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use serde_json::Value;

use super::KubernetesTarget;
use crate::cluster::Cluster;
use crate::error::{KubernetesError, KubernetesErrorKind};
use crate::manifest::Manifest;
use crate::secrets::{AT_ONCE, MOST, Name, containers, is_secret, kept, references, written};
use greenloop_model::{Notice, RunEvent};

impl KubernetesTarget {
    /// Learns the values in Secrets among `objects`.
    pub(super) fn learn_written(&self, objects: &[Manifest]) {
        let values: Vec<&Value> = objects.iter().map(Manifest::value).collect();
        self.learn_values(&values);
    }

    /// The same of a record's objects and others that are no manifests.
    pub(super) fn learn_values(&self, objects: &[&Value]) {
        let parts: Vec<String> = objects.iter().flat_map(|object| written(object)).collect();
        if parts.is_empty() {
            return;
        }
        let public = self.public_names(objects);
        self.redactor().learn(parts.into_iter().filter(|part| !public.contains(part.as_str())));
    }

    /// Learns what `objects` hold, and what the Secrets hold that they name in the cluster.
    ///
    /// # Errors
    /// When the API server does not answer.
    pub(super) async fn learn(
        &self,
        cluster: &Cluster,
        objects: &[Manifest],
    ) -> Result<(), KubernetesError> {
        self.learn_written(objects);
        let mut wanted: BTreeSet<Name> = BTreeSet::new();
        for object in objects {
            let namespace = object.namespace().unwrap_or(&self.plan.namespace);
            if is_secret(object.value()) {
                // What it held before: pods of the last release have read that.
                wanted.insert((namespace.to_owned(), object.name().to_owned()));
            } else {
                references(object.value(), namespace, &mut wanted);
            }
        }
        {
            let read = self.known_secrets().read.lock().unwrap_or_else(PoisonError::into_inner);
            wanted.retain(|name| !read.contains(name));
        }
        let mut answers = futures::stream::iter(wanted.into_iter().take(MOST))
            .map(|name| async move {
                let api: Api<Secret> = Api::namespaced(cluster.client().clone(), &name.0);
                let answer = cluster.ask(|| api.get_opt(&name.1)).await;
                (name, answer)
            })
            .buffer_unordered(AT_ONCE);
        let values: Vec<&Value> = objects.iter().map(Manifest::value).collect();
        let public = self.public_names(&values);
        let mut parts = Vec::new();
        while let Some((name, answer)) = answers.next().await {
            match answer {
                Ok(Some(secret)) => {
                    parts.extend(kept(&secret));
                    let known = self.known_secrets();
                    known.read.lock().unwrap_or_else(PoisonError::into_inner).insert(name);
                }
                // It may come later: `of_pod` asks again before a log is read.
                Ok(None) => {}
                Err(error) => {
                    let what = format!("read secret/{} in {}", name.1, name.0);
                    let error = KubernetesError::of(&what, error);
                    match error.kind {
                        KubernetesErrorKind::Refused => self.refused(cluster, name),
                        KubernetesErrorKind::Unreachable => return Err(error),
                        _ => {}
                    }
                }
            }
        }
        self.redactor().learn(parts.into_iter().filter(|part| !public.contains(part.as_str())));
        Ok(())
    }

    /// Says once that Secrets may not be read.
    fn refused(&self, cluster: &Cluster, name: Name) {
        let known = self.known_secrets();
        let first = {
            let mut refused = known.refused.lock().unwrap_or_else(PoisonError::into_inner);
            let first = refused.is_empty();
            refused.insert(name);
            first
        };
        if first && let Some(note) = known.note() {
            cluster.events().send(RunEvent::Notice(Notice::Warning(note)));
        }
    }

    /// What stands in every line about a release, whether a Secret repeats it or not.
    fn public_names<'a>(&'a self, objects: &[&'a Value]) -> BTreeSet<&'a str> {
        let mut names = BTreeSet::from([self.plan.namespace.as_str(), self.environment_name()]);
        for object in objects {
            for pointer in ["/metadata/name", "/metadata/namespace", "/kind"] {
                names.extend(object.pointer(pointer).and_then(Value::as_str));
            }
            containers(object, &mut names);
        }
        names
    }
}
