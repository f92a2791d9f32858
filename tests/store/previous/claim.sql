WITH pick AS (SELECT t.id FROM tasks t WHERE t.state = 'ready' AND t.not_before <=
CAST(EXTRACT(EPOCH FROM statement_timestamp()) * 1000000 AS BIGINT) AND (t.role IS NULL OR t.role IN
(SELECT jsonb_array_elements_text(CAST($2 AS jsonb)))) AND (t.assigned IS NULL OR t.assigned = $1)
AND (t.excluded = '[]' OR $1 NOT IN (SELECT jsonb_array_elements_text(CAST(t.excluded AS jsonb))))
AND (t.labels = '[]' OR CAST(t.labels AS jsonb) <@ CAST($3 AS jsonb)) AND ($4 = '[]' OR NOT EXISTS
(SELECT 1 FROM graphs r WHERE r.id = t.graph_id AND r.repository IN (SELECT
jsonb_array_elements_text(CAST($4 AS jsonb))))) AND (t.epoch = 0 OR t.assigned = $1 OR NOT EXISTS
(SELECT 1 FROM attempts f WHERE f.task_id = t.id AND f.agent = $1 AND f.state IN ('failed', 'lost',
'returned')) OR NOT EXISTS (SELECT 1 FROM agents o WHERE o.name <> $1 AND o.active = 1 AND
o.draining = 0 AND o.quarantined_at IS NULL AND o.left_at IS NULL AND o.heartbeat_at >
CAST(EXTRACT(EPOCH FROM statement_timestamp()) * 1000000 AS BIGINT) - 3 * o.beat_us AND (t.role IS
NULL OR t.role IN (SELECT jsonb_array_elements_text(CAST(o.roles AS jsonb)))) AND (t.excluded = '[]'
OR o.name NOT IN (SELECT jsonb_array_elements_text(CAST(t.excluded AS jsonb)))) AND (t.labels = '[]'
OR CAST(t.labels AS jsonb) <@ CAST(o.labels AS jsonb)) AND (o.unreachable = '[]' OR NOT EXISTS
(SELECT 1 FROM graphs u WHERE u.id = t.graph_id AND u.repository IN (SELECT
jsonb_array_elements_text(CAST(o.unreachable AS jsonb))))) AND NOT EXISTS (SELECT 1 FROM attempts x
WHERE x.task_id = t.id AND x.agent = o.name AND x.state IN ('failed', 'lost', 'returned')))) AND NOT
EXISTS (SELECT 1 FROM agents me WHERE me.name = $1 AND (me.active = 0 OR me.draining = 1 OR
me.quarantined_at IS NOT NULL)) AND ($5 IS NULL OR NOT EXISTS (SELECT 1 FROM attempts k WHERE
k.claim_key = $5)) ORDER BY t.priority, t.rank DESC, t.id LIMIT 1 FOR NO KEY UPDATE SKIP LOCKED),
taken AS (UPDATE tasks t SET state = 'running', epoch = t.epoch + 1, attempts = t.attempts + 1,
updated_at = CAST(EXTRACT(EPOCH FROM statement_timestamp()) * 1000000 AS BIGINT) FROM pick WHERE
t.id = pick.id RETURNING t.*), begun AS (INSERT INTO attempts (task_id, epoch, agent, instance,
state, percent, lease_us, expires_at, progress_at, stuck, claim_key, started_at) SELECT id, epoch,
$1, $6, 'running', 0, $7, CAST(EXTRACT(EPOCH FROM statement_timestamp()) * 1000000 AS BIGINT) + $7,
CAST(EXTRACT(EPOCH FROM statement_timestamp()) * 1000000 AS BIGINT), 0, $5, CAST(EXTRACT(EPOCH FROM
statement_timestamp()) * 1000000 AS BIGINT) FROM taken RETURNING task_id, agent, percent, epoch,
lease_us), emitted AS (INSERT INTO outbox_pending (at, kind, graph_id, task_id, epoch, agent) SELECT
CAST(EXTRACT(EPOCH FROM statement_timestamp()) * 1000000 AS BIGINT), 'task.claimed', graph_id, id,
epoch, $1 FROM taken) SELECT t.*, e.key AS epic_key, e.branch AS epic_branch, a.agent AS agent,
a.percent AS percent, a.epoch AS claim_epoch, a.lease_us, g.repository AS repository, g.target AS
target, g.gates AS gates FROM taken t JOIN begun a ON a.task_id = t.id JOIN graphs g ON g.id =
t.graph_id LEFT JOIN epics e ON e.id = t.epic_id
