-- Target branches that wait for a person or for the target to move; merges that a person took
-- back from a target; bare tips whose gates passed; tasks whose branches conflict.

-- Where the target was seen last; a tip that does not contain it was moved other than forward.
ALTER TABLE merge_targets ADD COLUMN tip TEXT;

-- One row while the queue of a target is on hold. reason: `target_broken` (its tip does not pass
-- the gates) or `target_rewound` (it was moved other than forward). tip: NULL when the branch was
-- deleted. expected: broken: the last commit that is known to pass; rewound: where the target was
-- left. commit_sha, author: since when a target is broken. lost: the merges that a rewind took
-- away, a line each. decision: what a person wants, `follow` or `restore`. tested_at: when the
-- gates ran on the tip.
CREATE TABLE merge_holds (
    project_id BIGINT NOT NULL,
    target TEXT NOT NULL,
    reason TEXT NOT NULL,
    tip TEXT,
    expected TEXT,
    commit_sha TEXT,
    author TEXT,
    text TEXT NOT NULL,
    lost TEXT NOT NULL,
    decision TEXT,
    created_at BIGINT NOT NULL,
    tested_at BIGINT NOT NULL,
    PRIMARY KEY (project_id, target),
    FOREIGN KEY (project_id, target) REFERENCES merge_targets (project_id, target)
);

-- Commits that were taken back from a target: a branch that stands on one of them would bring it
-- back.
CREATE TABLE merge_rewinds (
    project_id BIGINT NOT NULL,
    target TEXT NOT NULL,
    sha TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (project_id, target, sha)
);

-- gates: the commands, as a JSON array.
CREATE TABLE tip_passes (
    project_id BIGINT NOT NULL,
    target TEXT NOT NULL,
    sha TEXT NOT NULL,
    gates TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (project_id, target, sha, gates)
);

-- A task from its first conflict until it is merged or over. place: the entry whose place in the
-- queue its later ones take. conflicts: how often so far. files: what conflicted last. waiting:
-- 1 while an earlier task with some of these files is to be merged first; counts in tasks.unmet.
-- brief: what the next attempt is told.
CREATE TABLE merge_conflicts (
    task_id BIGINT NOT NULL PRIMARY KEY REFERENCES tasks (id) ON DELETE CASCADE,
    project_id BIGINT NOT NULL,
    target TEXT NOT NULL,
    place BIGINT NOT NULL,
    conflicts BIGINT NOT NULL,
    files TEXT NOT NULL,
    waiting BIGINT NOT NULL,
    brief TEXT NOT NULL,
    created_at BIGINT NOT NULL
);
CREATE INDEX merge_conflicts_target ON merge_conflicts (project_id, target, place);
