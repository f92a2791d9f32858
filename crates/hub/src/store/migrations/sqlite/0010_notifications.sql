-- How far events were looked at for notifications; one row.
CREATE TABLE notification_cursor (
    id BIGINT PRIMARY KEY,
    after BIGINT NOT NULL
);

-- Deliveries that have not arrived. notification: the same for all sinks and tries; facts: a JSON
-- array of pairs; not_before: somebody tries it, or it rests, until then.
CREATE TABLE notification_deliveries (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    sink TEXT NOT NULL,
    notification TEXT NOT NULL,
    kind TEXT NOT NULL,
    at BIGINT NOT NULL,
    title TEXT NOT NULL,
    text TEXT NOT NULL,
    link TEXT,
    facts TEXT NOT NULL,
    tries BIGINT NOT NULL,
    not_before BIGINT NOT NULL,
    UNIQUE (sink, notification)
);
CREATE INDEX notification_deliveries_due ON notification_deliveries (not_before);
