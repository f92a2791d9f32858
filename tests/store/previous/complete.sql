WITH held AS MATERIALIZED (SELECT id, graph_id FROM tasks WHERE id = $1 AND epoch = $2 AND state =
'running' AND dependants = 0 AND epic_id IS NULL FOR UPDATE), other AS MATERIALIZED (SELECT o.id
FROM tasks o WHERE o.graph_id = (SELECT graph_id FROM held) AND o.id <> $1 AND o.state IN ('ready',
'running', 'merging', 'blocked') ORDER BY o.id DESC LIMIT 1 FOR KEY SHARE SKIP LOCKED), ended AS
(UPDATE tasks t SET state = 'done', reason = NULL, updated_at = CAST(EXTRACT(EPOCH FROM
statement_timestamp()) * 1000000 AS BIGINT), ended_at = CAST(EXTRACT(EPOCH FROM
statement_timestamp()) * 1000000 AS BIGINT) FROM held WHERE t.id = held.id AND t.epoch = $2 AND
t.state = 'running' AND EXISTS (SELECT 1 FROM other) RETURNING t.id, t.graph_id), attempt AS (UPDATE
attempts a SET state = 'succeeded', percent = 100, message = $3, end_key = $4, outcome = 'done',
ended_at = CAST(EXTRACT(EPOCH FROM statement_timestamp()) * 1000000 AS BIGINT) FROM ended WHERE
a.task_id = ended.id AND a.epoch = $2 AND a.state = 'running' RETURNING a.agent, CAST(EXTRACT(EPOCH
FROM statement_timestamp()) * 1000000 AS BIGINT) - a.started_at AS worked), counted AS (UPDATE
agents g SET succeeded = g.succeeded + 1, worked_us = g.worked_us + attempt.worked FROM attempt
WHERE g.name = attempt.agent), emitted AS (INSERT INTO outbox_pending (at, kind, graph_id, task_id,
epoch, agent, text) SELECT CAST(EXTRACT(EPOCH FROM statement_timestamp()) * 1000000 AS BIGINT),
'task.done', ended.graph_id, ended.id, $2, attempt.agent, $3 FROM ended, attempt) SELECT id FROM
ended
