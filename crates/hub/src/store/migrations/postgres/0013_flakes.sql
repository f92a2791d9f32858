-- Tests that were seen to pass and to fail on one tree. repository: what all clones of it have in
-- common. seen_at: when the test was last reported; two weeks later it is forgotten.
CREATE TABLE flakes (
    repository TEXT NOT NULL,
    test TEXT NOT NULL,
    seen_at BIGINT NOT NULL,
    PRIMARY KEY (repository, test)
);
CREATE INDEX flakes_latest ON flakes (repository, seen_at DESC, test);
CREATE INDEX flakes_age ON flakes (seen_at);
