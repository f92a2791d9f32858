//! Who else releases there: another configuration under the environment's name, another environment
//! with the same objects. Both are refused before anything is written.

use std::collections::BTreeSet;

use super::KubernetesTarget;
use crate::cluster::Cluster;
use crate::dry_run::PlannedObject;
use crate::error::{KubernetesError, KubernetesErrorKind};
use crate::manifest::Manifest;
use crate::manifest::labels::RELEASE;
use crate::record::{CONFIGURATION, ENVIRONMENT};
use crate::store::History;
use greenloop_model::ReleaseState;

impl KubernetesTarget {
    /// Refuses a configuration that releases other workloads under the environment's name than the
    /// one that did so last, which is still there: each would take the other's release for its own
    /// last one. A configuration that was moved, and one of several for the same workloads, are
    /// none of that.
    ///
    /// # Errors
    /// [`KubernetesErrorKind::Setup`].
    pub(super) fn refuse_other_configuration(
        &self,
        history: &History,
        objects: &[Manifest],
    ) -> Result<(), KubernetesError> {
        let last =
            history.records.iter().find(|record| record.release.state != ReleaseState::Failed);
        let Some(last) = last else { return Ok(()) };
        let (Some(own), Some(other)) =
            (&self.repository.configuration, &last.repository.configuration)
        else {
            return Ok(());
        };
        let names = |objects: &[Manifest]| -> BTreeSet<String> {
            objects.iter().filter_map(|object| self.workload_name(object)).collect()
        };
        let (mine, theirs) = (names(objects), names(&last.objects()));
        let is_other = own != other
            && !mine.is_empty()
            && !theirs.is_empty()
            && mine.is_disjoint(&theirs)
            && self.work_tree.join(other).is_file();
        if !is_other {
            return Ok(());
        }
        let (name, namespace) = (self.environment_name(), &self.plan.namespace);
        let listed = |names: BTreeSet<String>| names.into_iter().collect::<Vec<_>>().join(", ");
        let message = format!(
            "the environment {name} in namespace {namespace} is released with {other} ({}); {own} \
             has other workloads ({}), and each of the two would remove and restore the other's: \
             give one of them a namespace or an environment name of its own, or, where {own} takes \
             the place of {other}, `kubectl annotate secret --namespace {namespace} --selector \
             {ENVIRONMENT}={} {CONFIGURATION}-`",
            listed(theirs),
            listed(mine),
            self.store().slug
        );
        Err(KubernetesError::new(KubernetesErrorKind::Setup, message))
    }

    /// The same for what the manifests name; those that cannot be rendered are a rollout's business.
    ///
    /// # Errors
    /// [`KubernetesErrorKind::Setup`].
    pub(super) async fn refuse_history_of_others(
        &self,
        cluster: &Cluster,
        history: &History,
    ) -> Result<(), KubernetesError> {
        let own = self.repository.configuration.as_ref();
        let mut written_by = history.records.iter().map(|it| it.repository.configuration.as_ref());
        if written_by.all(|other| other.is_none() || other == own) {
            return Ok(());
        }
        match self.render_names(cluster.cancel()).await {
            Ok(objects) => self.refuse_other_configuration(history, &objects),
            Err(_unreadable) => Ok(()),
        }
    }

    /// Refuses workloads that are part of another environment's release in the namespace: two that
    /// write one workload undo each other.
    ///
    /// # Errors
    /// [`KubernetesErrorKind::Setup`], and when the records cannot be read.
    pub(super) async fn refuse_workloads_of_others(
        &self,
        cluster: &Cluster,
        steps: &[PlannedObject],
    ) -> Result<(), KubernetesError> {
        let written = steps.iter().filter_map(|step| {
            self.workload_name(&step.object)?;
            let annotations = step.live.as_ref()?.metadata.annotations.as_ref()?;
            Some((step.object.id(), annotations.get(RELEASE)?))
        });
        let written: Vec<_> = written.collect();
        if written.is_empty() {
            return Ok(());
        }
        let others = self.store().load_others(cluster).await?;
        let kept =
            others.records.iter().filter(|record| record.release.state != ReleaseState::Failed);
        for record in kept {
            let Some((id, _)) = written.iter().find(|(_, of)| **of == record.id().to_string())
            else {
                continue;
            };
            let other = others.environments.get(&record.id()).map_or("another", String::as_str);
            let (name, namespace) = (self.environment_name(), &self.plan.namespace);
            let message = format!(
                "{id} in namespace {namespace} is part of release {} of environment {other}, and \
                 environment {name} writes it too: give one of them a namespace of its own, or put \
                 `{{{{ environment }}}}` into the object's name; where {name} takes the place of \
                 {other}, `kubectl delete secret --namespace {namespace} --selector \
                 {ENVIRONMENT}={other}` makes Greenloop forget {other}",
                record.id().short()
            );
            return Err(KubernetesError::new(KubernetesErrorKind::Setup, message));
        }
        Ok(())
    }

    /// `deployment/web`, with its namespace where that is not the environment's; `None` for what is
    /// no workload.
    fn workload_name(&self, object: &Manifest) -> Option<String> {
        if !matches!(object.group(), "apps" | "batch") {
            return None;
        }
        let elsewhere = object.namespace().filter(|own| *own != self.plan.namespace);
        Some(match elsewhere {
            Some(namespace) => format!("{} in {namespace}", object.id()),
            None => object.id().to_string(),
        })
    }
}
