-- Tables of usage.  No foreign keys and no triggers here: recording functions check, and every byte and lock is paid a million times.

CREATE TABLE billing.usage_load (
    load_id     int  GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    recorded_at timestamptz NOT NULL,
    recorded_by text NOT NULL DEFAULT session_user,
    source      text
);
COMMENT ON TABLE billing.usage_load IS 'Who recorded usage: one row a recording transaction or batch.';

CREATE TABLE billing.usage (
    account_id  bigint      NOT NULL,
    ends_at     timestamptz NOT NULL,
    consumed    billing.usage_interval NOT NULL,
    recorded_at timestamptz NOT NULL,
    key         uuid        NOT NULL,
    meter_id    int         NOT NULL,
    load_id     int         NOT NULL,
    revision    smallint    NOT NULL DEFAULT 0,
    resource_id bigint,
    dimensions  jsonb
) PARTITION BY RANGE (ends_at);
CREATE INDEX usage_place ON billing.usage (account_id, meter_id, ends_at);
CREATE INDEX usage_recorded ON billing.usage USING brin (recorded_at) WITH (pages_per_range = 16);
CREATE TABLE billing.usage_default PARTITION OF billing.usage DEFAULT;
COMMENT ON TABLE billing.usage IS 'Usage as recorded; append-only. Partitioned by the month (UTC) in which usage ends, inside by hash of the account.';
COMMENT ON COLUMN billing.usage.ends_at IS 'End of the interval, as the partition key; equals ends_at(consumed).';
COMMENT ON COLUMN billing.usage.consumed IS 'When and how much.';
COMMENT ON COLUMN billing.usage.key IS 'Identity within the account: the id if it is a UUID, otherwise the first 128 bits of a hash of source and id.';
COMMENT ON COLUMN billing.usage.revision IS '0 as first recorded; a correction is a new row with the next revision, the former one is named in usage_change.';
COMMENT ON TABLE billing.usage_default IS 'Usage of months that have no partition yet; maintain_partitions() moves it.';

CREATE TABLE billing.usage_key (
    account_id  bigint NOT NULL,
    key         uuid   NOT NULL,
    payload     bigint NOT NULL,
    PRIMARY KEY (account_id, key)
) PARTITION BY HASH (account_id);
COMMENT ON TABLE billing.usage_key IS 'Every key ever recorded, until its period is sealed and the usage counts in no later one; what makes recording idempotent.';
COMMENT ON COLUMN billing.usage_key.payload IS 'Hash of the payload: the same key with another hash is a conflict; and the month (UTC) in which the usage ends, to find the row without reading every partition: see usage_payload().';

CREATE TABLE billing.usage_change (
    account_id  bigint   NOT NULL,
    key         uuid     NOT NULL,
    revision    smallint NOT NULL,
    meter_id    int      NOT NULL,
    starts_at   timestamptz NOT NULL,
    ends_at     timestamptz NOT NULL,
    kind        text     NOT NULL CHECK (kind IN ('void', 'correct', 'move')),
    successor_account_id bigint,
    reason      text,
    recorded_at timestamptz NOT NULL,
    recorded_by text     NOT NULL DEFAULT session_user,
    PRIMARY KEY (account_id, key, revision)
);
CREATE INDEX usage_change_recorded ON billing.usage_change (recorded_at);
COMMENT ON TABLE billing.usage_change IS 'Usage that no longer counts: the place it had, and why. One row a superseded revision.';
COMMENT ON COLUMN billing.usage_change.successor_account_id IS 'Account that holds the next revision, under the same key; null after void.';

CREATE TABLE billing.usage_rejected (
    rejected_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    payload     jsonb  NOT NULL,
    reason      text   NOT NULL,
    detail      text   NOT NULL,
    load_id     int,
    recorded_at timestamptz NOT NULL,
    recorded_by text   NOT NULL DEFAULT session_user
);
COMMENT ON TABLE billing.usage_rejected IS 'Input that could not be taken, word for word, with the reason.';

CREATE TABLE billing.usage_conflict (
    conflict_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    account_id  bigint NOT NULL,
    key         uuid   NOT NULL,
    payload     jsonb  NOT NULL,
    load_id     int,
    recorded_at timestamptz NOT NULL,
    recorded_by text   NOT NULL DEFAULT session_user
);
CREATE INDEX usage_conflict_key ON billing.usage_conflict (account_id, key);
COMMENT ON TABLE billing.usage_conflict IS 'Input whose key was recorded before with another payload; it counts nowhere until somebody decides.';

CREATE TABLE billing.usage_month (
    month date PRIMARY KEY
);
COMMENT ON TABLE billing.usage_month IS 'Months for which there must be a partition of usage: a run raises when one has left in another way than by drop_sealed_usage(). One that is made again for usage that was kept is missed again.';

CREATE TABLE billing.usage_dropped (
    month      date PRIMARY KEY,
    row_count  bigint NOT NULL,
    dropped_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    dropped_by text NOT NULL DEFAULT session_user
);
COMMENT ON TABLE billing.usage_dropped IS 'Partitions of usage that drop_sealed_usage() has dropped.';
