//! Graphs of tasks and the hub that has them done.

use std::path::Path;
use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::hub_connection::connect;
use super::{AppError, Environment, logging};
use greenloop_config::plan::TasksPlan;
use greenloop_engine::driver::Tasks;
use greenloop_evidence::Redactor;
use greenloop_hub_api::client::{HubClient, HubErrorKind, HubTasks, LoadGraph};
use greenloop_hub_api::graph;
use greenloop_hub_api::types::{Agent, Alert, Branch, Graph, GraphSubmission, Task};
use greenloop_model::task::GraphId;
use greenloop_workspace::Workspace;

/// A hub, and who one is there.
pub struct HubAccess {
    pub hub: String,
    /// The variable that holds its token.
    pub token_env: String,
    /// Environment variables.
    pub env: Environment,
}

impl HubAccess {
    /// A client of the hub, whose warnings a person sees.
    ///
    /// # Errors
    /// When the address is none.
    pub fn client(&self) -> Result<HubClient, AppError> {
        logging::warnings_to_stderr();
        Ok(connect(&self.hub, &self.token_env, &self.env)?.0)
    }
}

/// What a run's tasks stage needs.
///
/// # Errors
/// When the hub's address is none.
pub(super) fn of_run(
    plan: &TasksPlan,
    env: &Environment,
    redactor: &Redactor,
) -> Result<Tasks, AppError> {
    let (client, _) = connect(&plan.hub, &plan.token_env, env)?;
    let file = plan.file.clone();
    let load: LoadGraph = Arc::new(move |work_tree: &Path| {
        let graph = graph::load(&work_tree.join(&file))?;
        let mut submission = GraphSubmission::from(&graph);
        if submission.repository.is_none() {
            submission.repository = Workspace::open(work_tree)?.remote_url("origin");
        }
        Ok(submission)
    });
    let runner = Arc::new(HubTasks::new(client, load, redactor.clone()));
    Ok(Tasks { runner, timeout: plan.timeout })
}

/// Hands the graph in `file` in; the same file gives the same graph, unless `again`.
///
/// # Errors
/// Every mistake of the file, or what the hub says.
pub async fn import(access: &HubAccess, file: &Path, again: bool) -> Result<Graph, AppError> {
    let submission = GraphSubmission::from(&graph::load(file)?);
    let text = serde_json::to_string(&submission).unwrap_or_default();
    let digest = Sha256::digest(text.as_bytes());
    let content: String = digest.iter().take(12).map(|b| format!("{b:02x}")).collect();
    let key = if again {
        format!("import-{content}-{}", uuid::Uuid::now_v7())
    } else {
        format!("import-{content}")
    };
    Ok(access.client()?.submit(&submission, &key).await?)
}

/// All graphs.
///
/// # Errors
/// What the hub says.
pub async fn graphs(access: &HubAccess) -> Result<Vec<Graph>, AppError> {
    Ok(access.client()?.graphs().await?)
}

/// The merge queues of a hub.
///
/// # Errors
/// What the hub says.
pub async fn merge_queues(
    access: &HubAccess,
    project: Option<&str>,
    target: Option<&str>,
) -> Result<Vec<Branch>, AppError> {
    let asked = |it: &Branch| {
        it.kind == "target"
            && target.is_none_or(|target| target == it.name)
            && project.is_none_or(|project| Some(project) == it.project.as_deref())
    };
    Ok(access.client()?.branches().await?.into_iter().filter(asked).collect())
}

/// How a graph is.
pub struct GraphStatus {
    pub graph: Graph,
    /// Its tasks.
    pub tasks: Vec<Task>,
    /// What a person should know of workers: those that are missing for its tasks, those that
    /// are unfit.
    pub alerts: Vec<Alert>,
    /// The merge queues of its project.
    pub queues: Vec<Branch>,
}

/// All workers, by name.
///
/// # Errors
/// What the hub says.
pub async fn agents(access: &HubAccess) -> Result<Vec<Agent>, AppError> {
    Ok(access.client()?.agents().await?)
}

/// Removes a worker that left or is down.
///
/// # Errors
/// What the hub says.
pub async fn remove_agent(access: &HubAccess, name: &str) -> Result<(), AppError> {
    Ok(access.client()?.remove_agent(name).await?)
}

/// What a person should know of the workers for a graph; nothing from a hub that does not say.
///
/// # Errors
/// What the hub says.
pub async fn alerts(access: &HubAccess, graph: GraphId) -> Result<Vec<Alert>, AppError> {
    match access.client()?.alerts(Some(graph)).await {
        Ok(alerts) => Ok(alerts),
        Err(error) if error.kind == HubErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error.into()),
    }
}

/// A graph, the newest one for `None`.
///
/// # Errors
/// What the hub says, or that it has none.
async fn graph_or_newest(client: &HubClient, id: Option<i64>) -> Result<Graph, AppError> {
    let newest = match id {
        Some(id) => return Ok(client.graph(GraphId(id)).await?),
        None => client.graphs().await?.into_iter().max_by_key(|graph| graph.id),
    };
    newest.ok_or_else(|| AppError::Unsupported {
        what: "the hub has no graph".to_owned(),
        hint: "submit one with `greenloop tasks import FILE`".to_owned(),
    })
}

/// The completion report of a graph, the newest one for `None`, as the hub writes it.
///
/// # Errors
/// What the hub says, or that it has no graph.
pub async fn graph_report(
    access: &HubAccess,
    id: Option<i64>,
    format: &str,
) -> Result<String, AppError> {
    let client = access.client()?;
    let graph = match id {
        Some(id) => GraphId(id),
        None => graph_or_newest(&client, None).await?.id,
    };
    Ok(client.report(graph, format).await?)
}

/// A graph, the newest one for `None`, with all that is known of it.
///
/// # Errors
/// What the hub says, or that it has none.
pub async fn graph_status(access: &HubAccess, id: Option<i64>) -> Result<GraphStatus, AppError> {
    let client = access.client()?;
    let graph = graph_or_newest(&client, id).await?;
    let tasks = client.tasks(graph.id).await?;
    let mut queues = client.branches().await?;
    queues.retain(|it| it.kind == "target" && it.project.as_ref() == Some(&graph.project));
    let alerts = alerts(access, graph.id).await?;
    Ok(GraphStatus { graph, tasks, alerts, queues })
}
