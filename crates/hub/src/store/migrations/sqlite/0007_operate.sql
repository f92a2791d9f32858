-- What people do with tasks, graphs, workers and merge queues.

-- paused_at: a person paused the graph: its tasks wait (tasks.held).
ALTER TABLE graphs ADD COLUMN paused_at BIGINT;

-- held: 1 while the graph is paused; counts in unmet. assigned: the only agent that may claim it;
-- excluded: those that may not, as a JSON array.
ALTER TABLE tasks ADD COLUMN held BIGINT NOT NULL DEFAULT 0;
ALTER TABLE tasks ADD COLUMN assigned TEXT;
ALTER TABLE tasks ADD COLUMN excluded TEXT NOT NULL DEFAULT '[]';

-- barred: why a person put it in quarantine, which no self-check ends. drain: a person wants it
-- to stop.
ALTER TABLE agents ADD COLUMN barred TEXT;
ALTER TABLE agents ADD COLUMN drain BIGINT NOT NULL DEFAULT 0;

-- paused_at: a person paused the queue: nobody writes to the target.
ALTER TABLE merge_targets ADD COLUMN paused_at BIGINT;

-- One row for each thing that a person did. was, became: what it changed, as JSON objects.
CREATE TABLE operator_actions (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    at BIGINT NOT NULL,
    token TEXT NOT NULL,
    operator TEXT NOT NULL,
    name TEXT NOT NULL,
    reason TEXT NOT NULL,
    graph_id BIGINT,
    task_id BIGINT,
    agent TEXT,
    merge_id BIGINT,
    target TEXT,
    was TEXT NOT NULL,
    became TEXT NOT NULL
);
CREATE INDEX operator_actions_graph ON operator_actions (graph_id, id) WHERE graph_id IS NOT NULL;
CREATE INDEX operator_actions_task ON operator_actions (task_id, id) WHERE task_id IS NOT NULL;
CREATE INDEX operator_actions_age ON operator_actions (at);

DROP VIEW agent_status;
CREATE VIEW agent_status AS
SELECT a.*,
    w.task_id,
    w.percent,
    CASE
        WHEN a.active = 0 THEN 'inactive'
        WHEN a.left_at IS NOT NULL THEN 'left'
        WHEN a.down = 1 OR a.heartbeat_at < CAST(unixepoch('subsec') * 1000000 AS INTEGER) - 3 * a.beat_us THEN 'down'
        WHEN a.heartbeat_at < CAST(unixepoch('subsec') * 1000000 AS INTEGER) - 3 * a.beat_us / 2 THEN 'stale'
        WHEN a.quarantined_at IS NOT NULL THEN 'quarantined'
        WHEN a.draining = 1 THEN 'draining'
        WHEN w.task_id IS NOT NULL THEN 'working'
        ELSE 'idle'
    END AS state,
    a.worked_us + (SELECT CAST(COALESCE(SUM(CAST(unixepoch('subsec') * 1000000 AS INTEGER) - b.started_at), 0) AS INTEGER)
        FROM attempts b WHERE b.agent = a.name AND b.state = 'running') AS busy_us
FROM agents a
LEFT JOIN attempts w ON w.agent = a.name AND w.state = 'running'
    AND NOT EXISTS (
        SELECT 1 FROM attempts x WHERE x.agent = a.name AND x.state = 'running'
            AND x.id > w.id
    );
