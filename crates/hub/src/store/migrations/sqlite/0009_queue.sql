-- What can be claimed, in a narrow table of its own, so that a claim need not pass over tasks that
-- rest, or that want other roles or labels. Triggers keep it.

-- Tasks of a graph that the same agents may do. role_key: `*` for anybody, otherwise `=` and the
-- role. assigned: the only agent that may have them, or empty. label_key: `*` when no label is
-- needed, otherwise `=` and one of the labels, the one that the fewest others are found by: an agent
-- looks at those that are found by one of its own.
CREATE TABLE task_kinds (
    id INTEGER PRIMARY KEY,
    graph_id INTEGER NOT NULL REFERENCES graphs (id) ON DELETE CASCADE,
    role_key TEXT NOT NULL,
    assigned TEXT NOT NULL,
    labels TEXT NOT NULL,
    label_key TEXT NOT NULL,
    UNIQUE (graph_id, role_key, assigned, labels)
);
CREATE INDEX task_kinds_fitting ON task_kinds (graph_id, label_key, role_key, assigned);

-- not_before: 0 once a task need not rest. tried: 1 when not everybody may have it, because it had
-- an attempt, or by a person's decision.
CREATE TABLE task_queue (
    task_id INTEGER PRIMARY KEY,
    kind_id INTEGER NOT NULL,
    graph_id INTEGER NOT NULL,
    priority INTEGER NOT NULL,
    rank REAL NOT NULL,
    not_before INTEGER NOT NULL,
    tried INTEGER NOT NULL
);
CREATE INDEX task_queue_claim ON task_queue (kind_id, priority, rank DESC, task_id)
    WHERE not_before = 0;
CREATE INDEX task_queue_resting ON task_queue (kind_id, not_before) WHERE not_before > 0;
CREATE INDEX task_queue_rested ON task_queue (not_before) WHERE not_before > 0;
CREATE INDEX task_queue_order ON task_queue (priority, rank DESC, task_id);

CREATE TRIGGER tasks_ready_inserted AFTER INSERT ON tasks WHEN NEW.state = 'ready'
BEGIN
    INSERT INTO task_kinds (graph_id, role_key, assigned, labels, label_key)
    SELECT NEW.graph_id, COALESCE('=' || NEW.role, '*'), COALESCE(NEW.assigned, ''), NEW.labels,
        COALESCE((SELECT '=' || l.value FROM json_each(NEW.labels) l
            ORDER BY (SELECT COUNT(*) FROM (SELECT 1 FROM task_kinds o
                WHERE o.graph_id = NEW.graph_id AND o.label_key = '=' || l.value LIMIT 100)),
                l.value DESC LIMIT 1), '*')
    WHERE NOT EXISTS (SELECT 1 FROM task_kinds k WHERE k.graph_id = NEW.graph_id
        AND k.role_key = COALESCE('=' || NEW.role, '*')
        AND k.assigned = COALESCE(NEW.assigned, '') AND k.labels = NEW.labels);
    DELETE FROM task_queue WHERE task_id = NEW.id;
    INSERT INTO task_queue (task_id, kind_id, graph_id, priority, rank, not_before, tried)
    SELECT NEW.id, k.id, NEW.graph_id, NEW.priority, NEW.rank, NEW.not_before,
        CASE WHEN NEW.epoch > 0 OR NEW.assigned IS NOT NULL OR NEW.excluded <> '[]' THEN 1 ELSE 0 END
    FROM task_kinds k WHERE k.graph_id = NEW.graph_id
        AND k.role_key = COALESCE('=' || NEW.role, '*')
        AND k.assigned = COALESCE(NEW.assigned, '') AND k.labels = NEW.labels;
END;

CREATE TRIGGER tasks_ready_updated AFTER UPDATE OF state, role, labels, priority, rank, not_before, epoch, assigned,
    excluded ON tasks WHEN NEW.state = 'ready'
BEGIN
    INSERT INTO task_kinds (graph_id, role_key, assigned, labels, label_key)
    SELECT NEW.graph_id, COALESCE('=' || NEW.role, '*'), COALESCE(NEW.assigned, ''), NEW.labels,
        COALESCE((SELECT '=' || l.value FROM json_each(NEW.labels) l
            ORDER BY (SELECT COUNT(*) FROM (SELECT 1 FROM task_kinds o
                WHERE o.graph_id = NEW.graph_id AND o.label_key = '=' || l.value LIMIT 100)),
                l.value DESC LIMIT 1), '*')
    WHERE NOT EXISTS (SELECT 1 FROM task_kinds k WHERE k.graph_id = NEW.graph_id
        AND k.role_key = COALESCE('=' || NEW.role, '*')
        AND k.assigned = COALESCE(NEW.assigned, '') AND k.labels = NEW.labels);
    DELETE FROM task_queue WHERE task_id = NEW.id;
    INSERT INTO task_queue (task_id, kind_id, graph_id, priority, rank, not_before, tried)
    SELECT NEW.id, k.id, NEW.graph_id, NEW.priority, NEW.rank, NEW.not_before,
        CASE WHEN NEW.epoch > 0 OR NEW.assigned IS NOT NULL OR NEW.excluded <> '[]' THEN 1 ELSE 0 END
    FROM task_kinds k WHERE k.graph_id = NEW.graph_id
        AND k.role_key = COALESCE('=' || NEW.role, '*')
        AND k.assigned = COALESCE(NEW.assigned, '') AND k.labels = NEW.labels;
END;

CREATE TRIGGER tasks_ready_left AFTER UPDATE OF state ON tasks
WHEN NEW.state <> 'ready' AND OLD.state = 'ready'
BEGIN
    DELETE FROM task_queue WHERE task_id = NEW.id;
END;

CREATE TRIGGER tasks_ready_deleted AFTER DELETE ON tasks WHEN OLD.state = 'ready'
BEGIN
    DELETE FROM task_queue WHERE task_id = OLD.id;
END;

-- Those that are ready now.
UPDATE tasks SET state = state WHERE state = 'ready';

DROP INDEX tasks_claim;
DROP INDEX tasks_not_before;
CREATE INDEX graphs_running ON graphs (id) WHERE state = 'running';
