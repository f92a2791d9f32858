-- Merges that a person approves. In tables of their own: hubs of the previous version read whole rows
-- of the others while they work beside this one.

-- Whose merges want an approval: those of a task, or, with task_id 0, all into the graph's target.
CREATE TABLE merge_approval_rules (
    graph_id BIGINT NOT NULL,
    task_id BIGINT NOT NULL,
    PRIMARY KEY (graph_id, task_id)
);

-- Entries of graphs with such rules. approval: `none` is wanted, `wanted`, `given`. token: the id of
-- the one that the commit was handed in with, or empty.
CREATE TABLE merge_consents (
    merge_id BIGINT PRIMARY KEY,
    project_id BIGINT NOT NULL,
    target TEXT NOT NULL,
    approval TEXT NOT NULL,
    token TEXT NOT NULL
);
CREATE INDEX merge_consents_wanted ON merge_consents (project_id, target, merge_id)
    WHERE approval = 'wanted';

CREATE INDEX approvals_merge ON approvals (merge_id) WHERE merge_id > 0;
CREATE INDEX approvals_graph ON approvals (graph_id) WHERE state = 'pending' AND graph_id > 0;

-- The history of one environment.
CREATE INDEX runs_environment ON runs (environment, updated_at, id);
