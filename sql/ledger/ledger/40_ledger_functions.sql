-- Version check, watermark and first set-up of the ledger.

CREATE FUNCTION billing.ledger_version() RETURNS text
    LANGUAGE sql STABLE PARALLEL SAFE SECURITY DEFINER SET search_path = pg_catalog, billing, pg_temp
    AS $$ SELECT s.ledger_version FROM billing.ledger_state AS s $$;
COMMENT ON FUNCTION billing.ledger_version() IS 'Version of the objects of this ledger; extension_version() is that of the extension.';

CREATE FUNCTION billing.check_ledger() RETURNS void
    LANGUAGE plpgsql STABLE PARALLEL SAFE SECURITY DEFINER SET search_path = pg_catalog, billing, pg_temp
AS $$
DECLARE
    present   text := (SELECT s.ledger_version FROM ledger_state AS s);
    ledger    int[];
    extension int[];
BEGIN
    IF present = billing.extension_version() THEN
        RETURN;
    END IF;
    ledger := string_to_array(present, '.');
    extension := string_to_array(billing.extension_version(), '.');
    IF ledger[1] <> extension[1] OR ledger[2] NOT BETWEEN extension[2] - 1 AND extension[2] THEN
        RAISE object_not_in_prerequisite_state USING
            MESSAGE = format('the ledger is of version %s, the extension of version %s', present, billing.extension_version()),
            HINT = 'Use ALTER EXTENSION billing UPDATE, then CALL billing.upgrade_ledger().';
    END IF;
END $$;
COMMENT ON FUNCTION billing.check_ledger() IS 'Raises 55000 unless the ledger is of the extension''s minor version or the one before. Each entry point calls it.';

CREATE FUNCTION billing.watermark() RETURNS timestamptz
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, billing, pg_temp
AS $$
BEGIN
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        RAISE active_sql_transaction USING
            MESSAGE = format('billing runs need the isolation level READ COMMITTED, not %s', upper(current_setting('transaction_isolation'))),
            HINT = 'In a higher level facts committed after the snapshot would be missed for ever.';
    END IF;
    RETURN greatest(billing.recording_floor(), (SELECT s.last_watermark FROM ledger_state AS s));
END $$;
COMMENT ON FUNCTION billing.watermark() IS 'The instant up to which every recorded fact is committed and visible: a run counts facts recorded before it. Read it one statement before the facts. Raises 25001 unless READ COMMITTED.';

CREATE FUNCTION billing.read_watermark(OUT known_at timestamptz, OUT held_by jsonb)
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, billing, pg_temp
AS $$
DECLARE
    sessions jsonb := recording_now();   -- read first: who ends in between is seen
BEGIN
    known_at := watermark();
    held_by := (SELECT jsonb_agg(s.one ORDER BY s.place) FROM jsonb_array_elements(sessions) WITH ORDINALITY AS s(one, place)
                 WHERE (s.one ->> 'recording_since')::timestamptz >= known_at);
END $$;
COMMENT ON FUNCTION billing.read_watermark() IS
'watermark() for a run, and in the form of recording_now() the sessions whose facts lie behind it, so that the run does not count them: the oldest of them holds it back. Errors: those of watermark(). Volatile.';

CREATE FUNCTION billing.check_through(through date) RETURNS void
    LANGUAGE plpgsql STABLE PARALLEL SAFE SET search_path = pg_catalog, billing, pg_temp
AS $$
BEGIN
    IF through IS NULL THEN
        RAISE null_value_not_allowed USING MESSAGE = 'through must be a date', HINT = 'It is the day up to which charges fall due, such as the first day of a month.';
    ELSIF NOT isfinite(through) OR through > current_date + 400 THEN
        RAISE invalid_parameter_value USING MESSAGE = format('through must be a day at most 400 days ahead, not %s', through),
            HINT = 'It is the day up to which charges fall due; a charge period is stored for every month up to it, and a new cycle day or time zone begins after those.';
    END IF;
END $$;
COMMENT ON FUNCTION billing.check_through(date) IS 'Raises 22004 unless the day up to which charges fall due is given, 22023 unless it is finite and at most 400 days ahead. Stable.';

CREATE PROCEDURE billing.prepare_new_ledger(usage_parts int)
    LANGUAGE plpgsql SET search_path = pg_catalog, billing, pg_temp
AS $$
BEGIN
    INSERT INTO ledger_state (ledger_version, usage_parts) VALUES (billing.extension_version(), prepare_new_ledger.usage_parts);
    FOR part IN 0 .. usage_parts - 1 LOOP
        EXECUTE format('CREATE TABLE billing.usage_key_%s PARTITION OF billing.usage_key FOR VALUES WITH (MODULUS %s, REMAINDER %s)', part, usage_parts, part);
        EXECUTE format('COMMENT ON TABLE billing.usage_key_%s IS %L', part, 'Part of usage_key.');
    END LOOP;
    CALL billing.maintain_partitions();
END $$;
COMMENT ON PROCEDURE billing.prepare_new_ledger(int) IS 'Fills a ledger that was just made: its state row and its first partitions. Used by create_ledger().';
