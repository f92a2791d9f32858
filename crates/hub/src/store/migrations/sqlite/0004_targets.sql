-- looked_at: when the target was last written to, queued for or looked at.
ALTER TABLE merge_targets ADD COLUMN looked_at INTEGER NOT NULL DEFAULT 0;
