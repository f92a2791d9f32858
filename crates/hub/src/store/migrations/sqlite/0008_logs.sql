-- Output of attempts and of gates. source: `attempt`, or `gate 1` and so on. bytes: how many there
-- were, also those that are not kept.
CREATE TABLE logs (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    task_id BIGINT NOT NULL REFERENCES tasks (id) ON DELETE CASCADE,
    epoch BIGINT NOT NULL,
    source TEXT NOT NULL,
    bytes BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    UNIQUE (task_id, epoch, source)
);

-- Pieces of a log, deflated, by the place of their first byte in the whole.
CREATE TABLE log_chunks (
    log_id BIGINT NOT NULL REFERENCES logs (id) ON DELETE CASCADE,
    place BIGINT NOT NULL,
    length BIGINT NOT NULL,
    data BLOB NOT NULL,
    PRIMARY KEY (log_id, place)
);
