//! The Kubernetes target as the rest of the program sees it.

use std::path::PathBuf;

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;

use super::connection::Connection;
use super::error::{KubernetesError, KubernetesErrorKind};
use crate::config::plan::{EnvironmentPlan, KubernetesPlan, Rollback};
use crate::evidence::Redactor;
use crate::model::{EventSink, ReleaseId, RunId, TargetKind};
use crate::ports::{
    Deployed, Earlier, Restored, RolloutRequest, Target, TargetError, TargetStatus,
};

/// Releases as workloads in a cluster. See the module's documentation.
pub struct KubernetesTarget {
    plan: KubernetesPlan,
    environment: EnvironmentPlan,
    rollback: Rollback,
    work_tree: PathBuf,
    connection: Connection,
    redactor: Redactor,
}

impl KubernetesTarget {
    /// The target of one environment; nobody is called yet. `rollback` is what the commit at
    /// hand says of its own release.
    pub fn new(
        plan: &KubernetesPlan,
        environment: &EnvironmentPlan,
        rollback: Rollback,
        work_tree: PathBuf,
        connection: Connection,
        redactor: Redactor,
    ) -> Self {
        Self {
            plan: plan.clone(),
            environment: environment.clone(),
            rollback,
            work_tree,
            connection,
            redactor,
        }
    }

    async fn unwritten(&self) -> TargetError {
        let _parts =
            (&self.plan, &self.environment, &self.rollback, &self.work_tree, &self.redactor);
        match self.connection.client().await {
            Ok(_) => KubernetesError::new(KubernetesErrorKind::Setup, "not written yet").into(),
            Err(error) => error.into(),
        }
    }
}

#[async_trait]
impl Target for KubernetesTarget {
    fn kind(&self) -> TargetKind {
        TargetKind::Kubernetes
    }

    async fn roll_out(
        &self,
        _request: &RolloutRequest,
        _events: &EventSink,
        _cancel: &CancellationToken,
    ) -> Result<Deployed, TargetError> {
        Err(self.unwritten().await)
    }

    async fn mark_verified(&self, _release: ReleaseId) -> Result<(), TargetError> {
        Err(self.unwritten().await)
    }

    async fn service_log(&self, _release: ReleaseId) -> Result<String, TargetError> {
        Err(self.unwritten().await)
    }

    async fn restore(&self, _failed: ReleaseId) -> Result<Restored, TargetError> {
        Err(self.unwritten().await)
    }

    async fn roll_back(
        &self,
        _earlier: Earlier,
        _events: &EventSink,
        _cancel: &CancellationToken,
    ) -> Result<Deployed, TargetError> {
        Err(self.unwritten().await)
    }

    async fn status(&self) -> Result<TargetStatus, TargetError> {
        Err(self.unwritten().await)
    }

    async fn clean_up(&self, _run: RunId) -> Result<Vec<String>, TargetError> {
        Err(self.unwritten().await)
    }
}
