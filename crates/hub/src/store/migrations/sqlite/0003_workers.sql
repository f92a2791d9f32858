-- Agents: quarantine is why one claims nothing until its self-check passes, quarantined_at since
-- when; left_at: it stopped by itself.
ALTER TABLE agents ADD COLUMN quarantine TEXT;
ALTER TABLE agents ADD COLUMN quarantined_at INTEGER;
ALTER TABLE agents ADD COLUMN left_at INTEGER;

-- returns: how often the task was given back without counting, since a person last asked for it.
ALTER TABLE tasks ADD COLUMN returns INTEGER NOT NULL DEFAULT 0;

-- purged: kept for long enough; its rows are being deleted, and nobody sees it any more.
ALTER TABLE graphs ADD COLUMN purged INTEGER NOT NULL DEFAULT 0;
CREATE INDEX graphs_ended ON graphs (ended_at) WHERE ended_at IS NOT NULL;

-- branch_gone: the attempt's branch was deleted, or is not the hub's to delete; branch_until: a
-- hub is about to delete it, and has until then.
ALTER TABLE attempts ADD COLUMN branch_gone INTEGER NOT NULL DEFAULT 0;
ALTER TABLE attempts ADD COLUMN branch_until INTEGER NOT NULL DEFAULT 0;
CREATE INDEX attempts_branches ON attempts (ended_at)
    WHERE commit_sha IS NOT NULL AND branch_gone = 0;

-- What deleting a graph looks up.
CREATE INDEX merge_queue_graph ON merge_queue (graph_id);
CREATE INDEX conditions_of_epic ON conditions (epic_id);
CREATE INDEX merge_queue_staged ON merge_queue (staged) WHERE staged IS NOT NULL;
CREATE INDEX gate_records_age ON gate_records (created_at);

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
