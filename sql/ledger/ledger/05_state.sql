-- The state of the ledger and the stamp of its facts; first, because the tables' defaults use it.

CREATE TABLE billing.ledger_state (
    only_row        boolean     PRIMARY KEY DEFAULT true CHECK (only_row),
    ledger_version  text        NOT NULL,
    last_known_at   timestamptz NOT NULL DEFAULT '-infinity',
    last_watermark  timestamptz NOT NULL DEFAULT '-infinity' CHECK (last_watermark >= last_known_at),
    longest_usage   interval    NOT NULL DEFAULT '0',
    usage_parts     int         NOT NULL DEFAULT 4 CHECK (usage_parts BETWEEN 1 AND 8),
    created_at      timestamptz NOT NULL DEFAULT pg_catalog.now()
);
COMMENT ON TABLE billing.ledger_state IS 'One row: version of the ledger, the last watermark a run has used, and what the usage partitions look like.';
COMMENT ON COLUMN billing.ledger_state.only_row IS 'Always true; keeps the table at one row.';
COMMENT ON COLUMN billing.ledger_state.ledger_version IS 'Version of the objects of this ledger; compared with the library at each entry point.';
COMMENT ON COLUMN billing.ledger_state.last_known_at IS 'Watermark of the last finished run of all accounts: the next one looks at the facts recorded since.';
COMMENT ON COLUMN billing.ledger_state.last_watermark IS 'Greatest watermark that anything has used, bill_account() of a single account too; the next one is never below it, and new facts are stamped after it.';
COMMENT ON COLUMN billing.ledger_state.longest_usage IS 'Longest usage interval recorded so far; bounds how far after a period usage that reaches into it can end.';
COMMENT ON COLUMN billing.ledger_state.usage_parts IS 'Hash partitions of usage inside each month.';
COMMENT ON COLUMN billing.ledger_state.created_at IS 'When create_ledger() made this ledger.';

CREATE FUNCTION billing.recorded_at() RETURNS timestamptz
    LANGUAGE sql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, billing, pg_temp
    AS $$ SELECT billing.recording_stamp(NULLIF(s.last_watermark, '-infinity')) FROM billing.ledger_state AS s $$;
COMMENT ON FUNCTION billing.recorded_at() IS 'Stamp of the facts this transaction records: recording_stamp(), and never before a watermark that a run has used, even when the server''s clock was set back.';

