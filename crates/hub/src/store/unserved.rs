//! Tasks that no living agent may claim: nobody has their role, or all of their labels, or reaches
//! their repository.

use super::address::without_login;
use super::columns::time;
use super::connect::TaskStore;
use super::error::StoreError;
use super::value::args;
use greenloop_hub_api::types::Timestamp;
use greenloop_model::task::{GraphId, TaskId};

/// Groups that are reported at most.
const GROUPS: i64 = 100;
/// Tasks that are named for each group.
const NAMED: i64 = 20;

/// Tasks that wait, now or later, for an agent that is not there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unserved {
    /// The role that they all want; `None` when anybody with the labels will do.
    pub role: Option<String>,
    /// The labels that they all want.
    pub labels: Vec<String>,
    /// The repository that no agent with the role and the labels reaches; `None` when there is no
    /// such agent.
    pub repository: Option<String>,
    /// How many there are.
    pub count: u64,
    /// The first of them, in the order of their ids.
    pub tasks: Vec<UnservedTask>,
    /// When the oldest came in.
    pub since: Timestamp,
}

/// One of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnservedTask {
    pub id: TaskId,
    pub graph: GraphId,
    /// Unique in the graph.
    pub key: String,
}

/// Agents that take work and have a group's role and labels.
macro_rules! fit {
    ($group:literal) => {
        concat!(
            "SELECT 1 FROM agents o WHERE o.active = 1 AND o.draining = 0 AND o.down = 0 \
             AND o.left_at IS NULL AND o.quarantined_at IS NULL \
             AND o.heartbeat_at >= {now} - 3 * o.beat_us AND (",
            $group,
            ".role IS NULL OR ",
            $group,
            ".role IN {in o.roles}) AND (",
            $group,
            ".labels = '[]' OR {subset ",
            $group,
            ".labels o.labels})"
        )
    };
}

/// Groups first, agents then: few roles stand against few agents, however many tasks there are.
pub(super) const GROUPS_OF: &str = concat!(
    "SELECT w.role, w.labels, w.repository, CAST(SUM(w.tasks) AS BIGINT) AS tasks, \
     MIN(w.since) AS since FROM (SELECT v.role, v.labels, CASE WHEN EXISTS (",
    fit!("v"),
    ") THEN v.repository ELSE NULL END AS repository, v.tasks, v.since \
     FROM (SELECT t.role AS role, t.labels AS labels, g.repository AS repository, \
        COUNT(*) AS tasks, MIN(t.created_at) AS since FROM tasks t \
        JOIN graphs g ON g.id = t.graph_id AND g.state = 'running' \
        WHERE ($1 IS NULL OR t.graph_id = $1) AND t.state IN ('waiting', 'ready') \
        GROUP BY t.role, t.labels, g.repository) v \
     WHERE NOT EXISTS (",
    fit!("v"),
    " AND (v.repository IS NULL OR o.unreachable = '[]' \
        OR v.repository NOT IN {in o.unreachable}))) w \
     GROUP BY w.role, w.labels, w.repository ORDER BY w.role, w.labels, w.repository LIMIT $2"
);

const TASKS_OF: &str = "SELECT t.id, t.graph_id, t.key FROM tasks t \
    JOIN graphs g ON g.id = t.graph_id AND g.state = 'running' \
    WHERE ($1 IS NULL OR t.graph_id = $1) AND t.state IN ('waiting', 'ready') \
    AND (t.role = $2 OR $2 IS NULL AND t.role IS NULL) AND t.labels = $3 \
    AND ($4 IS NULL OR g.repository = $4) ORDER BY t.id LIMIT $5";

impl TaskStore {
    /// Tasks of running graphs, or of one graph, that are ready or will be, and that no agent may
    /// claim that is alive, fit and not draining; by role, labels and, where only that is missing,
    /// the repository.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn unserved(&self, graph: Option<GraphId>) -> Result<Vec<Unserved>, StoreError> {
        let graph = graph.map(|it| it.0);
        let mut reader = self.reader().await?;
        let tx = &mut reader.tx();
        let mut found = Vec::new();
        for group in tx.all(GROUPS_OF, args![graph, GROUPS]).await? {
            let (role, labels) = (group.opt_text("role")?, group.text("labels")?);
            let repository = group.opt_text("repository")?;
            let rows = tx.all(TASKS_OF, args![graph, &role, &labels, &repository, NAMED]).await?;
            let tasks = rows.iter().map(|row| {
                Ok(UnservedTask {
                    id: TaskId(row.int("id")?),
                    graph: GraphId(row.int("graph_id")?),
                    key: row.text("key")?,
                })
            });
            found.push(Unserved {
                role,
                labels: group.list("labels")?,
                repository: repository.as_deref().map(without_login),
                count: group.count("tasks")?,
                tasks: tasks.collect::<Result<_, StoreError>>()?,
                since: time(&group, "since")?,
            });
        }
        Ok(found)
    }
}
