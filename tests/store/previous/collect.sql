WITH moved AS (DELETE FROM outbox_pending WHERE seq IN (SELECT seq FROM outbox_pending ORDER BY seq
LIMIT $1) RETURNING *) INSERT INTO outbox (at, kind, graph_id, task_id, epoch, agent, merge_id,
percent, text) SELECT at, kind, graph_id, task_id, epoch, agent, merge_id, percent, text FROM moved
ORDER BY seq
