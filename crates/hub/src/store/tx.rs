//! A connection with a transaction on it (or none, for reads), and the events that it leaves.

use super::dialect::Dialect;
use super::driver::Connection;
use super::error::{DatabaseError, StoreError, sort};
use super::record::Record;
use super::value::{Column, Value, columns};
use greenloop_model::task::{EventId, GraphId, Lease, MergeId, TaskEventKind, TaskId};

/// Something that happened, on its way into the outbox.
#[derive(Debug, Clone)]
pub(super) struct NewEvent {
    kind: TaskEventKind,
    graph: Option<GraphId>,
    task: Option<TaskId>,
    epoch: Option<i64>,
    agent: Option<String>,
    merge: Option<MergeId>,
    percent: Option<i64>,
    text: Option<String>,
}

impl NewEvent {
    pub(super) fn new(kind: TaskEventKind) -> Self {
        Self {
            kind,
            graph: None,
            task: None,
            epoch: None,
            agent: None,
            merge: None,
            percent: None,
            text: None,
        }
    }

    pub(super) fn graph(mut self, graph: GraphId) -> Self {
        self.graph = Some(graph);
        self
    }

    pub(super) fn task(mut self, task: TaskId) -> Self {
        self.task = Some(task);
        self
    }

    pub(super) fn lease(mut self, lease: Lease) -> Self {
        self.task = Some(lease.task);
        self.epoch = Some(lease.epoch);
        self
    }

    pub(super) fn agent(mut self, agent: impl Into<String>) -> Self {
        self.agent = Some(agent.into());
        self
    }

    pub(super) fn merge(mut self, merge: MergeId) -> Self {
        self.merge = Some(merge);
        self
    }

    pub(super) fn percent(mut self, percent: i64) -> Self {
        self.percent = Some(percent);
        self
    }

    pub(super) fn text(mut self, text: impl Into<String>) -> Self {
        self.text = Some(text.into());
        self
    }
}

/// Who waits for what a transaction did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Woken {
    /// Something may be claimed now.
    pub(super) work: bool,
    /// Something happened.
    pub(super) events: bool,
}

impl Woken {
    pub(super) fn add(&mut self, other: Self) {
        self.work |= other.work;
        self.events |= other.events;
    }

    pub(super) fn any(self) -> bool {
        self.work || self.events
    }
}

/// Why an operation ended without an answer.
pub(super) enum Stop {
    /// Run it again from the start, or give up with this.
    Again(StoreError),
    /// Tell the caller.
    Final(StoreError),
}

impl From<StoreError> for Stop {
    fn from(error: StoreError) -> Self {
        Self::Final(error)
    }
}

impl From<Stop> for StoreError {
    fn from(stop: Stop) -> Self {
        match stop {
            Stop::Again(error) | Stop::Final(error) => error,
        }
    }
}

/// What an operation on a transaction answers.
pub(super) type Done<T> = Result<T, Stop>;

/// Statements on one connection.
pub(super) struct Tx<'c> {
    connection: Connection<'c>,
    dialect: Dialect,
    events: Vec<NewEvent>,
    woken: Woken,
}

impl<'c> Tx<'c> {
    pub(super) fn new(connection: impl Into<Connection<'c>>) -> Self {
        let connection = connection.into();
        let dialect = connection.dialect();
        Self { connection, dialect, events: Vec::new(), woken: Woken::default() }
    }

    pub(super) const fn dialect(&self) -> Dialect {
        self.dialect
    }

    fn database_error(&self, error: sqlx::Error) -> Stop {
        match sort(self.dialect, error) {
            DatabaseError::Again(error) => Stop::Again(error),
            DatabaseError::Final(error) => Stop::Final(error),
        }
    }

    /// Runs a statement; the number of rows it changed.
    pub(super) async fn run(&mut self, sql: &'static str, values: Vec<Value>) -> Done<u64> {
        let sql = self.dialect.write(sql);
        self.connection.execute(sql, values).await.map_err(|error| self.database_error(error))
    }

    /// Runs several statements without parameters.
    pub(super) async fn script(&mut self, sql: &'static str) -> Done<()> {
        self.connection.script(sql).await.map_err(|error| self.database_error(error))
    }

    /// All rows of a statement.
    pub(super) async fn all(&mut self, sql: &'static str, values: Vec<Value>) -> Done<Vec<Record>> {
        let sql = self.dialect.write(sql);
        let found = self.connection.fetch(sql, values, true).await;
        let rows = found.map_err(|error| self.database_error(error))?;
        Ok(rows.into_iter().map(Record).collect())
    }

    /// The first row of a statement.
    pub(super) async fn maybe(
        &mut self,
        sql: &'static str,
        values: Vec<Value>,
    ) -> Done<Option<Record>> {
        Ok(self.all(sql, values).await?.into_iter().next())
    }

    /// The only row of a statement that always has one.
    pub(super) async fn one(&mut self, sql: &'static str, values: Vec<Value>) -> Done<Record> {
        self.maybe(sql, values)
            .await?
            .ok_or_else(|| StoreError::corrupt("a statement that always answers did not").into())
    }

    /// Inserts rows that all have the same columns, and beside them the `fixed` ones, whose values
    /// are expressions; `tail` may be `RETURNING …`.
    pub(super) async fn insert(
        &mut self,
        table: &'static str,
        fixed: &[(&'static str, &'static str)],
        rows: Vec<Vec<Column>>,
        tail: &'static str,
    ) -> Done<Vec<Record>> {
        // PostgreSQL takes 65,535 parameters in a statement. SQLite takes 32,766, but looks each
        // one up in a list of all: a thousand at a time are quickest.
        let parameters = match self.dialect {
            Dialect::Postgres => 16_000,
            Dialect::Sqlite => 1_000,
        };
        let Some(first) = rows.first() else { return Ok(Vec::new()) };
        let width = first.len().max(1);
        let names = fixed.iter().map(|(name, _)| *name);
        let names: Vec<&str> = names.chain(first.iter().map(|(name, _)| *name)).collect();
        let expressions: Vec<_> = fixed.iter().map(|(_, sql)| self.dialect.write(sql)).collect();
        let head = format!("INSERT INTO {table} ({})", names.join(", "));
        let mut answers = Vec::new();
        let mut rows = rows.into_iter().peekable();
        while rows.peek().is_some() {
            let mut values = Vec::new();
            let tuples: Vec<String> = rows
                .by_ref()
                .take((parameters / width).max(1))
                .map(|row| {
                    let from = values.len() + 1;
                    values.extend(row.into_iter().map(|(_, value)| value));
                    let marks = (from..=values.len()).map(|nth| format!("${nth}"));
                    let all = expressions.iter().map(ToString::to_string).chain(marks);
                    format!("({})", all.collect::<Vec<_>>().join(", "))
                })
                .collect();
            let sql = format!("{head} VALUES {} {tail}", tuples.join(", "));
            // A statement of a length of its own is not kept among the prepared ones.
            let keep = values.len() <= 4 * width;
            let found = self.connection.fetch(sql.into(), values, keep).await;
            answers
                .extend(found.map_err(|error| self.database_error(error))?.into_iter().map(Record));
        }
        Ok(answers)
    }

    /// Leaves an event; it is written with the others when the operation is over.
    pub(super) fn emit(&mut self, event: NewEvent) {
        self.note(event.kind);
        self.events.push(event);
    }

    /// An event was written by a statement: who waits for it is still to be woken.
    pub(super) fn note(&mut self, kind: TaskEventKind) {
        self.woken.add(Woken { work: opens_work(kind), events: true });
    }

    /// Ends an operation: writes its events.
    pub(super) async fn flush(&mut self) -> Done<()> {
        let events = std::mem::take(&mut self.events);
        if events.is_empty() {
            return Ok(());
        }
        let outbox = match self.dialect {
            Dialect::Sqlite => "outbox",
            Dialect::Postgres => "outbox_pending",
        };
        let rows = events.into_iter().map(|event| {
            columns! {
                kind: event.kind.name(),
                graph_id: event.graph.map(|it| it.0),
                task_id: event.task.map(|it| it.0),
                epoch: event.epoch,
                agent: event.agent,
                merge_id: event.merge.map(|it| it.0),
                percent: event.percent,
                text: event.text,
            }
        });
        self.insert(outbox, &[("at", "{now}")], rows.collect(), "").await?;
        Ok(())
    }

    /// Who is to be woken once this is committed.
    pub(super) fn woken(&mut self) -> Woken {
        std::mem::take(&mut self.woken)
    }

    /// Forgets what an operation that failed was about to say.
    pub(super) fn forget(&mut self) {
        self.events.clear();
        self.woken = Woken::default();
    }
}

/// Whether an idle agent may find something to do after this.
const fn opens_work(kind: TaskEventKind) -> bool {
    use TaskEventKind as Kind;
    match kind {
        Kind::GraphSubmitted
        | Kind::TaskReady
        | Kind::TaskRetry
        | Kind::TaskLost
        | Kind::AgentDown
        | Kind::AgentDeactivated
        | Kind::AgentQuarantined
        | Kind::AgentLeft
        | Kind::AgentRemoved
        | Kind::MergeConflict
        | Kind::MergeEjected
        | Kind::OperatorAction => true,
        Kind::GraphDone
        | Kind::GraphFailed
        | Kind::GraphCancelled
        | Kind::TaskClaimed
        | Kind::TaskProgress
        | Kind::TaskMerging
        | Kind::TaskDone
        | Kind::TaskFailed
        | Kind::TaskBlocked
        | Kind::TaskCancelled
        | Kind::TaskStuck
        | Kind::EvidenceAdded
        | Kind::AgentUp
        | Kind::MergeTesting
        | Kind::Merged
        | Kind::MergePaused
        | Kind::MergeResumed
        | Kind::TaskReopened
        | Kind::Snapshot
        | Kind::RunReported
        | Kind::ApprovalWanted
        | Kind::ApprovalEnded => false,
    }
}

/// An id of the outbox.
pub(super) fn event_id(row: &Record) -> Result<EventId, StoreError> {
    row.int("id").map(EventId)
}
