-- tried: the entries whose merges with the broken tip did not pass either, as a JSON array of ids.
ALTER TABLE merge_holds ADD COLUMN tried TEXT NOT NULL DEFAULT '[]';
