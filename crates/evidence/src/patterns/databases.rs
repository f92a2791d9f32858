//! Migrations, SQL clients, dbt and linters of SQL.

use super::super::rule::{Body, Classification, Rule};
use greenloop_model::FailureClass::Code;

pub(super) const RULES: &[Rule] = &[
    // The code says which of its errors it is; what happened stands below.
    Rule {
        kind: "prisma",
        needs: &["error: p", "error code: p1"],
        start: r"^Error: P\d{4}\b|^Error code: P\d{4}$",
        body: Body::Until(
            r"^DbError |^npm |^error Command|ELIFECYCLE|^##\[|Validation Error Count",
        ),
        key: r"^ERROR: |^error: |^Can't reach |^Authentication failed|^\s+--> \S",
        introduces: true,
        score: 84,
        share: 8,
        class: Classification::ToolText(Code),
        examples: &["Error: P3018", "Error code: P1012"],
        ..Rule::COMPILER
    },
    Rule {
        kind: "alembic",
        needs: &["error [alembic.", "failed: "],
        start: r"^ERROR \[alembic\.[\w.]+\] |^\s*FAILED: (?:Can't|Multiple head|Target database|No such revision|Requested revision|Revision|New upgrade operations)",
        body: Body::While(r"^\s*FAILED: ", 0),
        score: 80,
        share: 3,
        class: Classification::ToolText(Code),
        examples: &[
            "ERROR [alembic.util.messaging] Can't locate revision identified by 'abc123'",
            "FAILED: Target database is not up to date.",
        ],
        ..Rule::TOOL
    },
    Rule {
        kind: "flyway",
        needs: &["migration", "validate failed:", ".sql failed"],
        start: r"^(?:ERROR: )?(?:Migration \S+ failed|Script \S+\.sql failed|Migration of schema .* failed)|^ERROR: Validate failed: ",
        body: Body::While(
            r"^-{3,}$|^ERROR: Script |^(?:SQL State|Error Code|Message|Location|Line|Statement)\s*: |^\s+\S|^Migration checksum|^-> ",
            0,
        ),
        key: r"^Message\s*: |^-> ",
        introduces: true,
        score: 84,
        share: 9,
        class: Classification::ToolText(Code),
        examples: &[
            "ERROR: Migration of schema \"public\" to version \"7 - add carts\" failed! Changes successfully rolled back.",
            "Migration V7__add_carts.sql failed",
        ],
        ..Rule::TOOL
    },
    Rule {
        kind: "liquibase",
        needs: &["migration failed for changeset", "migration failed for change set"],
        start: r"Migration failed for change ?set ",
        body: Body::While(r"^\s+Reason: |^\s+\S", 0),
        key: r"^\s+Reason: ",
        introduces: true,
        score: 84,
        share: 4,
        class: Classification::ToolText(Code),
        examples: &[
            "Unexpected error running Liquibase: Migration failed for changeset db/changelog.xml::2::shop:",
        ],
        ..Rule::TOOL
    },
    Rule {
        kind: "migration",
        needs: &["error: migration failed", "migration failed with error: ", "migrations canceled"],
        start: r"^error: migration failed|^migration failed with error: |^StandardError: An error has occurred, (?:this and )?all later migrations canceled",
        body: Body::While(r"^[A-Z]\w*::\w+: |^/\S+:\d+:in |^LINE \d+: |^\s+\S", 1),
        key: r"^[A-Z]\w*::\w+: ",
        introduces: true,
        score: 84,
        share: 4,
        class: Classification::ToolText(Code),
        examples: &[
            "StandardError: An error has occurred, this and all later migrations canceled: (StandardError)",
            "error: migration failed: column \"amout\" does not exist (column 8) in line 1: ALTER TABLE carts",
        ],
        ..Rule::TOOL
    },
    Rule {
        kind: "sql",
        needs: &["error: ", "fatal: ", "^error "],
        start: r"^psql:(?:\S+:\d+: |\s*)(?:ERROR|FATAL|error): |^ERROR:  \S|^ERROR \d{4} \(\w{5}\)",
        body: Body::While(r"^LINE \d+: |^\s+\^|^(?:DETAIL|HINT|CONTEXT|QUERY): ", 0),
        score: 86,
        share: 5,
        class: Classification::ToolText(Code),
        examples: &[
            "psql:db/seed.sql:12: ERROR:  column \"amout\" of relation \"carts\" does not exist",
            "ERROR 1146 (42S02) at line 3: Table 'shop.carts' doesn't exist",
        ],
        ..Rule::COMPILER
    },
    Rule {
        kind: "dbt",
        needs: &["~failure in test ", "^failure in test "],
        start: r"^\s*Failure in test (?P<name>\S+) \(.*\)$",
        body: Body::While(r"^\s*Got \d+ results?", 0),
        key: r"^\s*Got \d+ results?",
        share: 3,
        examples: &["Failure in test not_null_carts_id (models/schema.yml)"],
        ..Rule::TEST
    },
    Rule {
        kind: "dbt",
        needs: &[
            "database error",
            "compilation error",
            "runtime error",
            "parsing error",
            "dependency error",
            "validation error",
        ],
        start: r"^\s*(?:Database|Compilation|Runtime|Parsing|Dependency|Validation) Error(?: in \w+ \S+ \(.*\))?$",
        body: Body::While(r"^\s+\S", 0),
        key: r"^\s+[^\s^]",
        introduces: true,
        score: 86,
        share: 5,
        class: Classification::ToolText(Code),
        examples: &["Database Error in model b (models/b.sql)", "Compilation Error"],
        ..Rule::COMPILER
    },
    Rule {
        kind: "sqlfluff",
        needs: &[" | p: "],
        start: r"^L:\s+\d+ \| P:\s+\d+ \|\s*\w+ \|",
        header: r"^== \[\S+\] FAIL",
        body: Body::While(r"^\s+\| ", 0),
        score: 76,
        share: 3,
        of_source: true,
        examples: &["L:   3 | P:   8 | CP01 | Keywords must be consistently upper case."],
        ..Rule::COMPILER
    },
];
