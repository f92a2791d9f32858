//! The followed object itself, whatever its kind: what the four kinds have in common.

use k8s_openapi::api::apps::v1::{DaemonSet, Deployment, StatefulSet};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::PodTemplateSpec;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};

use super::{Workload, WorkloadKind};

/// The field manager that Greenloop writes as.
const MANAGER: &str = "greenloop";

/// A workload as the API server has it.
#[derive(Debug, Clone)]
pub(super) enum Object {
    Deployment(Box<Deployment>),
    StatefulSet(Box<StatefulSet>),
    DaemonSet(Box<DaemonSet>),
    Job(Box<Job>),
}

impl Object {
    pub(super) fn kind(&self) -> WorkloadKind {
        match self {
            Self::Deployment(_) => WorkloadKind::Deployment,
            Self::StatefulSet(_) => WorkloadKind::StatefulSet,
            Self::DaemonSet(_) => WorkloadKind::DaemonSet,
            Self::Job(_) => WorkloadKind::Job,
        }
    }

    pub(super) fn meta(&self) -> &ObjectMeta {
        match self {
            Self::Deployment(object) => &object.metadata,
            Self::StatefulSet(object) => &object.metadata,
            Self::DaemonSet(object) => &object.metadata,
            Self::Job(object) => &object.metadata,
        }
    }

    pub(super) fn uid(&self) -> &str {
        self.meta().uid.as_deref().unwrap_or_default()
    }

    pub(super) fn generation(&self) -> i64 {
        self.meta().generation.unwrap_or_default()
    }

    /// The pods' template.
    pub(super) fn template(&self) -> Option<&PodTemplateSpec> {
        match self {
            Self::Deployment(object) => object.spec.as_ref().map(|spec| &spec.template),
            Self::StatefulSet(object) => object.spec.as_ref().map(|spec| &spec.template),
            Self::DaemonSet(object) => object.spec.as_ref().map(|spec| &spec.template),
            Self::Job(object) => object.spec.as_ref().map(|spec| &spec.template),
        }
    }

    /// What its pods are found by.
    pub(super) fn selector(&self) -> Option<&LabelSelector> {
        match self {
            Self::Deployment(object) => object.spec.as_ref().map(|spec| &spec.selector),
            Self::StatefulSet(object) => object.spec.as_ref().map(|spec| &spec.selector),
            Self::DaemonSet(object) => object.spec.as_ref().map(|spec| &spec.selector),
            Self::Job(object) => object.spec.as_ref().and_then(|spec| spec.selector.as_ref()),
        }
    }

    fn observed(&self) -> Option<i64> {
        match self {
            Self::Deployment(object) => object.status.as_ref()?.observed_generation,
            Self::StatefulSet(object) => object.status.as_ref()?.observed_generation,
            Self::DaemonSet(object) => object.status.as_ref()?.observed_generation,
            // A Job's template never changes, and its status names no generation.
            Self::Job(object) => Some(object.metadata.generation.unwrap_or_default()),
        }
    }

    /// Whether its controller has seen what stands in its spec.
    pub(super) fn is_observed(&self) -> bool {
        self.observed().is_some_and(|observed| observed >= self.generation())
    }

    /// `spec.minReadySeconds`
    pub(super) fn min_ready_seconds(&self) -> i32 {
        match self {
            Self::Deployment(object) => {
                object.spec.as_ref().and_then(|spec| spec.min_ready_seconds).unwrap_or(0)
            }
            Self::StatefulSet(object) => {
                object.spec.as_ref().and_then(|spec| spec.min_ready_seconds).unwrap_or(0)
            }
            Self::DaemonSet(object) => {
                object.spec.as_ref().and_then(|spec| spec.min_ready_seconds).unwrap_or(0)
            }
            Self::Job(_) => 0,
        }
    }

    /// Whether the last write to the pods' template was ours: what moves the generation besides
    /// is a scaler's business.
    fn template_is_ours(&self) -> bool {
        let entries = self.meta().managed_fields.iter().flatten();
        let writers: Vec<_> = entries
            .filter(|entry| entry.subresource.as_deref().unwrap_or_default().is_empty())
            .filter(|entry| {
                let fields = entry.fields_v1.as_ref().map(|fields| &fields.0);
                fields.and_then(|fields| fields.get("f:spec")?.get("f:template")).is_some()
            })
            .map(|entry| (entry.time.as_ref().map(|time| time.0), entry.manager.as_deref()))
            .collect();
        let last = writers.iter().map(|(time, _)| *time).max();
        writers.iter().any(|(time, manager)| Some(*time) == last && *manager == Some(MANAGER))
    }
}

/// One workload and what has become of it.
#[derive(Debug, Clone)]
pub(super) struct Followed {
    pub(super) workload: Workload,
    pub(super) object: Option<Object>,
    /// The template that this run wrote, as soon as it has been seen.
    template: Option<serde_json::Value>,
    /// Why it is no longer this run's.
    pub(super) superseded: Option<String>,
}

impl Followed {
    pub(super) fn new(workload: Workload) -> Self {
        Self { workload, object: None, template: None, superseded: None }
    }

    /// `deployment/web`
    pub(super) fn title(&self) -> String {
        format!("{}/{}", self.workload.kind.word(), self.workload.name)
    }

    /// The object changed, or was listed.
    pub(super) fn see(&mut self, object: Object) {
        if object.meta().name.as_deref() != Some(self.workload.name.as_str())
            || object.kind() != self.workload.kind
        {
            return;
        }
        // A write older than ours, from a cache that is behind.
        if object.uid() == self.workload.uid && object.generation() < self.workload.generation {
            return;
        }
        self.superseded = self.superseded.take().or_else(|| self.taken_over(&object));
        self.object = Some(object);
    }

    /// The object is no longer there.
    pub(super) fn lose(&mut self) {
        let finished = match &self.object {
            // `ttlSecondsAfterFinished` removes a Job that is done.
            Some(Object::Job(job)) => job_is_complete(job),
            Some(Object::Deployment(_) | Object::StatefulSet(_) | Object::DaemonSet(_)) | None => {
                false
            }
        };
        if !finished {
            self.superseded = Some(format!("{} was deleted", self.title()));
        }
    }

    fn taken_over(&mut self, object: &Object) -> Option<String> {
        let title = self.title();
        if !self.workload.uid.is_empty() && object.uid() != self.workload.uid {
            return Some(format!("{title} was deleted and recreated by another client"));
        }
        let template = serde_json::to_value(object.template()).ok();
        let generation = object.generation();
        let same = match &self.template {
            Some(ours) => template.as_ref() == Some(ours),
            None => generation == self.workload.generation || object.template_is_ours(),
        };
        if !same {
            return Some(format!(
                "another client wrote a newer revision of {title} (generation {generation}, this \
                 run's was {})",
                self.workload.generation
            ));
        }
        if self.template.is_none() {
            self.template = template;
        }
        None
    }
}

/// Whether the Job has reached its end, and a good one.
pub(super) fn job_is_complete(object: &Job) -> bool {
    let conditions = object.status.as_ref().and_then(|status| status.conditions.as_ref());
    conditions.into_iter().flatten().any(|condition| {
        matches!(condition.type_.as_str(), "Complete" | "SuccessCriteriaMet")
            && condition.status == "True"
    })
}
