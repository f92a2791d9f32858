-- Decisions that people are asked for. What is absent is '' or 0.
-- scope: the same for requests about the same run, subject, trees and policy. token: the id of the
-- token that asks. lease_until: when who asks counts as gone, unless it is heard of; 0: it waits for
-- ever. lost: 1 when it was withdrawn for that reason, and may be taken up again.
CREATE TABLE approvals (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    scope TEXT NOT NULL,
    subject TEXT NOT NULL,
    state TEXT NOT NULL,
    token TEXT NOT NULL,
    run TEXT NOT NULL,
    environment TEXT NOT NULL,
    iteration BIGINT NOT NULL,
    graph_id BIGINT NOT NULL,
    task_id BIGINT NOT NULL,
    merge_id BIGINT NOT NULL,
    commit_sha TEXT NOT NULL,
    base_tree TEXT NOT NULL,
    new_tree TEXT NOT NULL,
    policy TEXT NOT NULL,
    request TEXT NOT NULL,
    diff TEXT NOT NULL,
    evidence TEXT NOT NULL,
    review TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    lease_until BIGINT NOT NULL,
    lease_us BIGINT NOT NULL,
    lost BIGINT NOT NULL,
    ended_at BIGINT NOT NULL,
    decided_by TEXT NOT NULL,
    decided_token TEXT NOT NULL,
    reason TEXT NOT NULL
);
CREATE UNIQUE INDEX approvals_pending ON approvals (scope) WHERE state = 'pending';
CREATE INDEX approvals_state ON approvals (state, id);
CREATE INDEX approvals_scope ON approvals (scope, id);
CREATE INDEX approvals_task ON approvals (task_id) WHERE task_id > 0;
CREATE INDEX approvals_age ON approvals (ended_at) WHERE ended_at > 0;
