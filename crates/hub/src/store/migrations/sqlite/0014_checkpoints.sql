-- The latest checkpoint of each run's audit log. records: how many it is about. token: who submitted
-- the first one, and may submit others. checkpoint: its text, with the hub's signature.
CREATE TABLE checkpoints (
    run TEXT PRIMARY KEY,
    records BIGINT NOT NULL,
    token TEXT NOT NULL,
    checkpoint TEXT NOT NULL,
    updated_at BIGINT NOT NULL
);
CREATE INDEX checkpoints_age ON checkpoints (updated_at);
