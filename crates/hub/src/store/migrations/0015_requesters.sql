-- Who asked for a decision before `approvals.token` did, or changed what it is about: none of them
-- approves it.
CREATE TABLE approval_requesters (
    approval_id BIGINT NOT NULL REFERENCES approvals (id) ON DELETE CASCADE,
    token TEXT NOT NULL,
    PRIMARY KEY (approval_id, token)
);
