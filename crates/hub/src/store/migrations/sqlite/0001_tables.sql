-- The tables of the hub. Times are microseconds since the epoch, by the database's clock;
-- booleans are 0 or 1; lists are JSON arrays of strings.

CREATE TABLE projects (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL UNIQUE,
    repository TEXT,
    created_at INTEGER NOT NULL
);

CREATE TABLE graphs (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    project_id INTEGER NOT NULL REFERENCES projects (id),
    name TEXT NOT NULL,
    repository TEXT,
    target TEXT NOT NULL,
    gates TEXT NOT NULL,
    run TEXT,
    state TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    ended_at INTEGER
);
CREATE INDEX graphs_project ON graphs (project_id);

-- The counters are those of the tasks that are done: a condition is met by them.
CREATE TABLE epics (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    graph_id INTEGER NOT NULL REFERENCES graphs (id) ON DELETE CASCADE,
    position INTEGER NOT NULL,
    key TEXT NOT NULL,
    title TEXT NOT NULL,
    branch TEXT,
    tasks INTEGER NOT NULL,
    tasks_done INTEGER NOT NULL,
    hours REAL NOT NULL,
    hours_done REAL NOT NULL,
    UNIQUE (graph_id, position)
);

-- unmet: needs and conditions that are not there yet; ready when it reaches 0.
-- links: all needs and conditions; dependants: tasks that need this one.
-- attempts: claims that count against max_attempts; deaths: leases that expired, ever.
CREATE TABLE tasks (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    graph_id INTEGER NOT NULL REFERENCES graphs (id) ON DELETE CASCADE,
    epic_id INTEGER REFERENCES epics (id) ON DELETE CASCADE,
    position INTEGER NOT NULL,
    key TEXT NOT NULL,
    title TEXT NOT NULL,
    description TEXT NOT NULL,
    role TEXT,
    labels TEXT NOT NULL,
    priority INTEGER NOT NULL,
    rank REAL NOT NULL,
    hours REAL NOT NULL,
    branch TEXT,
    files TEXT NOT NULL,
    command TEXT,
    timeout_us INTEGER,
    max_attempts INTEGER NOT NULL,
    links INTEGER NOT NULL,
    dependants INTEGER NOT NULL,
    unmet INTEGER NOT NULL,
    state TEXT NOT NULL,
    reason TEXT,
    epoch INTEGER NOT NULL,
    attempts INTEGER NOT NULL,
    deaths INTEGER NOT NULL,
    not_before INTEGER NOT NULL,
    commit_sha TEXT,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    ended_at INTEGER,
    UNIQUE (graph_id, position)
);
CREATE INDEX tasks_claim ON tasks (priority, rank DESC, id) WHERE state = 'ready';
CREATE INDEX tasks_alive ON tasks (graph_id, id)
    WHERE state IN ('ready', 'running', 'merging', 'blocked');
CREATE INDEX tasks_not_before ON tasks (not_before) WHERE state = 'ready' AND not_before > 0;
CREATE INDEX tasks_epic ON tasks (epic_id);
CREATE INDEX tasks_ended ON tasks (ended_at) WHERE state = 'done';

CREATE TABLE dependencies (
    task_id INTEGER NOT NULL REFERENCES tasks (id) ON DELETE CASCADE,
    needs_id INTEGER NOT NULL REFERENCES tasks (id) ON DELETE CASCADE,
    PRIMARY KEY (task_id, needs_id)
);
CREATE INDEX dependencies_needs ON dependencies (needs_id, task_id);

CREATE TABLE conditions (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    task_id INTEGER NOT NULL REFERENCES tasks (id) ON DELETE CASCADE,
    epic_id INTEGER NOT NULL REFERENCES epics (id) ON DELETE CASCADE,
    at_least INTEGER NOT NULL,
    met INTEGER NOT NULL
);
CREATE INDEX conditions_task ON conditions (task_id);
CREATE INDEX conditions_epic ON conditions (epic_id, at_least) WHERE met = 0;

-- beat_us: how often it promised to be heard of.
CREATE TABLE agents (
    name TEXT PRIMARY KEY,
    instance TEXT NOT NULL,
    roles TEXT NOT NULL,
    labels TEXT NOT NULL,
    host TEXT NOT NULL,
    version TEXT NOT NULL,
    cpu_percent REAL,
    memory_bytes INTEGER,
    draining INTEGER NOT NULL,
    active INTEGER NOT NULL,
    down INTEGER NOT NULL,
    beat_us INTEGER NOT NULL,
    first_seen_at INTEGER NOT NULL,
    heartbeat_at INTEGER NOT NULL
);

-- The assignments: one row for each time a task was given to an agent. outcome: the state that
-- its end put the task into.
CREATE TABLE attempts (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    task_id INTEGER NOT NULL REFERENCES tasks (id) ON DELETE CASCADE,
    epoch INTEGER NOT NULL,
    agent TEXT NOT NULL,
    instance TEXT NOT NULL,
    state TEXT NOT NULL,
    percent INTEGER NOT NULL,
    message TEXT,
    commit_sha TEXT,
    class TEXT,
    fingerprint TEXT,
    lease_us INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    progress_at INTEGER NOT NULL,
    stuck INTEGER NOT NULL,
    claim_key TEXT,
    end_key TEXT,
    outcome TEXT,
    started_at INTEGER NOT NULL,
    ended_at INTEGER,
    UNIQUE (task_id, epoch)
);
CREATE UNIQUE INDEX attempts_claim_key ON attempts (claim_key) WHERE claim_key IS NOT NULL;
CREATE INDEX attempts_expires ON attempts (expires_at) WHERE state = 'running';
CREATE INDEX attempts_still ON attempts (progress_at) WHERE state = 'running' AND stuck = 0;
CREATE INDEX attempts_agent ON attempts (agent, state, id);

CREATE TABLE evidence (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    task_id INTEGER NOT NULL REFERENCES tasks (id) ON DELETE CASCADE,
    epoch INTEGER NOT NULL,
    agent TEXT NOT NULL,
    kind TEXT NOT NULL,
    title TEXT NOT NULL,
    body TEXT NOT NULL,
    url TEXT,
    request_key TEXT,
    created_at INTEGER NOT NULL
);
CREATE INDEX evidence_task ON evidence (task_id, id);
CREATE UNIQUE INDEX evidence_request ON evidence (task_id, epoch, request_key)
    WHERE request_key IS NOT NULL;

-- One writer for each target branch: its lease is a fencing token, as that of a task.
CREATE TABLE merge_targets (
    project_id INTEGER NOT NULL REFERENCES projects (id),
    target TEXT NOT NULL,
    holder TEXT,
    epoch INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    not_before INTEGER NOT NULL,
    reason TEXT,
    head TEXT,
    PRIMARY KEY (project_id, target)
);

-- landing: the commit that is about to be pushed; nobody takes the entry back from then on.
CREATE TABLE merge_queue (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    project_id INTEGER NOT NULL,
    target TEXT NOT NULL,
    graph_id INTEGER NOT NULL REFERENCES graphs (id) ON DELETE CASCADE,
    task_id INTEGER NOT NULL REFERENCES tasks (id) ON DELETE CASCADE,
    epoch INTEGER NOT NULL,
    branch TEXT NOT NULL,
    commit_sha TEXT NOT NULL,
    state TEXT NOT NULL,
    staged TEXT,
    landing TEXT,
    merged TEXT,
    reason TEXT,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    ended_at INTEGER,
    UNIQUE (task_id, epoch),
    FOREIGN KEY (project_id, target) REFERENCES merge_targets (project_id, target)
);
CREATE INDEX merge_queue_open ON merge_queue (project_id, target, id)
    WHERE state IN ('queued', 'testing');

CREATE TABLE gate_records (
    project_id INTEGER NOT NULL REFERENCES projects (id),
    target TEXT NOT NULL,
    sha TEXT NOT NULL,
    passed INTEGER NOT NULL,
    detail TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (project_id, target, sha)
);

CREATE TABLE progress_snapshots (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    graph_id INTEGER NOT NULL REFERENCES graphs (id) ON DELETE CASCADE,
    tasks INTEGER NOT NULL,
    tasks_done INTEGER NOT NULL,
    hours REAL NOT NULL,
    hours_done REAL NOT NULL,
    created_at INTEGER NOT NULL
);
CREATE INDEX progress_snapshots_graph ON progress_snapshots (graph_id, id);

-- Only a hash of the secret is kept.
CREATE TABLE tokens (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    agent TEXT,
    scopes TEXT NOT NULL,
    secret_hash TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER,
    revoked_at INTEGER
);

-- Idempotency keys and what was answered.
CREATE TABLE requests (
    key TEXT PRIMARY KEY,
    fingerprint TEXT NOT NULL,
    answer TEXT NOT NULL,
    created_at INTEGER NOT NULL
);
CREATE INDEX requests_age ON requests (created_at);

CREATE TABLE runs (
    id TEXT PRIMARY KEY,
    environment TEXT NOT NULL,
    state TEXT NOT NULL,
    commit_sha TEXT,
    iterations INTEGER NOT NULL,
    summary TEXT NOT NULL,
    report TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
);
CREATE INDEX runs_recent ON runs (updated_at, id);

CREATE TABLE outbox (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    at INTEGER NOT NULL,
    kind TEXT NOT NULL,
    graph_id INTEGER,
    task_id INTEGER,
    epoch INTEGER,
    agent TEXT,
    merge_id INTEGER,
    percent INTEGER,
    text TEXT
);
CREATE INDEX outbox_age ON outbox (at);

CREATE VIEW agent_status AS
SELECT a.*,
    w.task_id,
    w.percent,
    CASE
        WHEN a.active = 0 THEN 'inactive'
        WHEN a.down = 1 OR a.heartbeat_at < CAST(unixepoch('subsec') * 1000000 AS INTEGER) - 3 * a.beat_us THEN 'down'
        WHEN a.heartbeat_at < CAST(unixepoch('subsec') * 1000000 AS INTEGER) - 3 * a.beat_us / 2 THEN 'stale'
        WHEN a.draining = 1 THEN 'draining'
        WHEN w.task_id IS NOT NULL THEN 'working'
        ELSE 'idle'
    END AS state,
    (SELECT COUNT(*) FROM attempts s WHERE s.agent = a.name AND s.state = 'succeeded')
        AS succeeded,
    (SELECT COUNT(*) FROM attempts f WHERE f.agent = a.name AND f.state IN ('failed', 'lost'))
        AS failed,
    (SELECT CAST(COALESCE(SUM(COALESCE(b.ended_at, CAST(unixepoch('subsec') * 1000000 AS INTEGER)) - b.started_at), 0) AS INTEGER)
        FROM attempts b WHERE b.agent = a.name) AS busy_us
FROM agents a
LEFT JOIN attempts w ON w.agent = a.name AND w.state = 'running'
    AND NOT EXISTS (
        SELECT 1 FROM attempts x WHERE x.agent = a.name AND x.state = 'running'
            AND x.id > w.id
    );

CREATE VIEW epic_progress AS
SELECT e.*,
    CASE
        WHEN e.hours > 0 THEN 100.0 * e.hours_done / e.hours
        WHEN e.tasks > 0 THEN 100.0 * e.tasks_done / e.tasks
        ELSE 100.0
    END AS percent
FROM epics e;

CREATE VIEW task_dependencies AS
SELECT d.task_id, d.needs_id, n.graph_id, n.key AS needs_key, n.state AS needs_state,
    CASE WHEN n.state = 'done' THEN 1 ELSE 0 END AS met
FROM dependencies d
JOIN tasks n ON n.id = d.needs_id;
