-- Definitions, secrets, and what happened.
--
-- A definition is one row: its id, what must be unique of it, and the whole of it as JSON. History
-- has columns for what it is found and pruned by, and a JSON body for the rest. Times are
-- microseconds since 1970-01-01 UTC.

-- One row about the catalog itself. The key check is a known text under the secret key.
CREATE TABLE catalog_state (
    singleton INTEGER PRIMARY KEY CHECK (singleton = 1),
    gateway_id TEXT NOT NULL,
    version INTEGER NOT NULL,
    id_next INTEGER NOT NULL,
    key_check_nonce BLOB NOT NULL,
    key_check BLOB NOT NULL
) STRICT;

CREATE TABLE secrets (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    owned_by_source INTEGER,
    body TEXT NOT NULL
) STRICT;
-- A secret that a source's literal option made has a name that is not a user's choice.
CREATE UNIQUE INDEX secrets_name ON secrets (name) WHERE owned_by_source IS NULL;

-- `version` is the secret's version when the value was given; it is authenticated with the value.
CREATE TABLE secret_values (
    secret_id INTEGER PRIMARY KEY,
    version INTEGER NOT NULL,
    nonce BLOB NOT NULL,
    ciphertext BLOB NOT NULL
) STRICT;

CREATE TABLE sources (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    body TEXT NOT NULL
) STRICT;
CREATE UNIQUE INDEX sources_name ON sources (name);

CREATE TABLE sink_tables (
    id INTEGER PRIMARY KEY,
    source_name TEXT NOT NULL,
    schema_name TEXT NOT NULL,
    table_name TEXT NOT NULL,
    body TEXT NOT NULL
) STRICT;
CREATE UNIQUE INDEX sink_tables_path ON sink_tables (source_name, schema_name, table_name);

CREATE TABLE jobs (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    body TEXT NOT NULL
) STRICT;
CREATE UNIQUE INDEX jobs_name ON jobs (name);

CREATE TABLE mappings (
    id INTEGER PRIMARY KEY,
    job_id INTEGER NOT NULL,
    body TEXT NOT NULL
) STRICT;
CREATE INDEX mappings_job ON mappings (job_id);

-- finished_at is NULL as long as the run is in no final state.
CREATE TABLE runs (
    id INTEGER PRIMARY KEY,
    job_id INTEGER NOT NULL,
    finished_at INTEGER,
    body TEXT NOT NULL
) STRICT;
CREATE INDEX runs_job ON runs (job_id, id);
CREATE INDEX runs_finished ON runs (finished_at);

CREATE TABLE steps (
    run_id INTEGER NOT NULL,
    step_no INTEGER NOT NULL,
    body TEXT NOT NULL,
    PRIMARY KEY (run_id, step_no)
) STRICT, WITHOUT ROWID;

-- fingerprint is the hash of what makes two errors the same error.
CREATE TABLE errors (
    id INTEGER PRIMARY KEY,
    fingerprint BLOB NOT NULL,
    last_seen_at INTEGER NOT NULL,
    repeat_count INTEGER NOT NULL,
    body TEXT NOT NULL
) STRICT;
CREATE UNIQUE INDEX errors_fingerprint ON errors (fingerprint);
CREATE INDEX errors_last_seen ON errors (last_seen_at, id);

CREATE TABLE events (
    id INTEGER PRIMARY KEY,
    occurred_at INTEGER NOT NULL,
    body TEXT NOT NULL
) STRICT;
CREATE INDEX events_occurred ON events (occurred_at);

CREATE TABLE source_checks (
    id INTEGER PRIMARY KEY,
    source_name TEXT NOT NULL,
    body TEXT NOT NULL
) STRICT;
CREATE INDEX source_checks_source ON source_checks (source_name);

CREATE TABLE source_health (
    source_id INTEGER PRIMARY KEY,
    health TEXT NOT NULL,
    last_checked_at INTEGER,
    last_error TEXT
) STRICT;

CREATE TABLE mapping_statistics (
    mapping_id INTEGER PRIMARY KEY,
    job_id INTEGER NOT NULL,
    rows_read INTEGER NOT NULL,
    rows_written INTEGER NOT NULL,
    rows_skipped INTEGER NOT NULL,
    bytes_read INTEGER NOT NULL,
    bytes_written INTEGER NOT NULL,
    error_count INTEGER NOT NULL,
    last_row_at INTEGER,
    last_commit_at INTEGER,
    stats_reset_at INTEGER NOT NULL
) STRICT;
CREATE INDEX mapping_statistics_job ON mapping_statistics (job_id);

-- day is the number of days since 1970-01-01 UTC.
CREATE TABLE day_statistics (
    day INTEGER NOT NULL,
    source_name TEXT NOT NULL,
    schema_name TEXT NOT NULL,
    table_name TEXT NOT NULL,
    is_import INTEGER NOT NULL,
    runs INTEGER NOT NULL,
    rows INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    seconds_total REAL NOT NULL,
    PRIMARY KEY (day, source_name, schema_name, table_name, is_import)
) STRICT, WITHOUT ROWID;

-- What a run may leave behind at a sink when it is killed.
CREATE TABLE sink_traces (
    run_id INTEGER NOT NULL,
    mapping_id INTEGER NOT NULL,
    job_id INTEGER NOT NULL,
    source_name TEXT NOT NULL,
    body TEXT NOT NULL,
    recorded_at INTEGER NOT NULL,
    PRIMARY KEY (run_id, mapping_id)
) STRICT, WITHOUT ROWID;
