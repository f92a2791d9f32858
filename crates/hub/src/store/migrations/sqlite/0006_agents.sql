-- Agents: unreachable are the repositories that it cannot reach now, as a JSON array; succeeded,
-- failed and worked_us are the figures of its attempts that ended.
ALTER TABLE agents ADD COLUMN unreachable TEXT NOT NULL DEFAULT '[]';
ALTER TABLE agents ADD COLUMN succeeded BIGINT NOT NULL DEFAULT 0;
ALTER TABLE agents ADD COLUMN failed BIGINT NOT NULL DEFAULT 0;
ALTER TABLE agents ADD COLUMN worked_us BIGINT NOT NULL DEFAULT 0;
UPDATE agents SET
    succeeded = (SELECT COUNT(*) FROM attempts s WHERE s.agent = agents.name
        AND s.state = 'succeeded'),
    failed = (SELECT COUNT(*) FROM attempts f WHERE f.agent = agents.name
        AND f.state IN ('failed', 'lost')),
    worked_us = (SELECT CAST(COALESCE(SUM(b.ended_at - b.started_at), 0) AS INTEGER)
        FROM attempts b WHERE b.agent = agents.name AND b.ended_at IS NOT NULL);

-- branch: where the attempt's commit was pushed; NULL for `task/<task>/e<epoch>`.
ALTER TABLE attempts ADD COLUMN branch TEXT;

-- waits_for: why the queue rests although nothing is wrong.
ALTER TABLE merge_targets ADD COLUMN waits_for TEXT;

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
