-- A permanent table to COPY into, for those who cannot keep a temporary one: connection poolers, prepared transactions.

CREATE TABLE billing.usage_inbox (
    inbox_id   bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    source     text,
    id         text,
    account    text,
    meter      text,
    starts_at  text,
    ends_at    text,
    quantity   text,
    resource   text,
    dimensions text
);
COMMENT ON TABLE billing.usage_inbox IS 'Usage that waits to be loaded: COPY into it from any connection, commit, and have load_usage_inbox() run now and then.';
COMMENT ON COLUMN billing.usage_inbox.inbox_id IS 'Order of arrival.';
COMMENT ON COLUMN billing.usage_inbox.source IS 'System the id is unique in; null = none.';
COMMENT ON COLUMN billing.usage_inbox.id IS 'Identity of the fact.';
COMMENT ON COLUMN billing.usage_inbox.account IS 'Key of the account.';
COMMENT ON COLUMN billing.usage_inbox.meter IS 'Key of the meter.';
COMMENT ON COLUMN billing.usage_inbox.starts_at IS 'Start of the interval with an offset from UTC; null = a point in time.';
COMMENT ON COLUMN billing.usage_inbox.ends_at IS 'End of the interval, or the point in time.';
COMMENT ON COLUMN billing.usage_inbox.quantity IS 'How much, a decimal number.';
COMMENT ON COLUMN billing.usage_inbox.resource IS 'Key of the resource; null = none.';
COMMENT ON COLUMN billing.usage_inbox.dimensions IS 'JSON object; null = none.';

CREATE FUNCTION billing.load_usage_inbox(rows int DEFAULT 100000, OUT accepted bigint, OUT duplicate bigint, OUT conflict bigint, OUT rejected bigint)
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, billing, pg_temp
AS $$
BEGIN
    PERFORM billing.check_ledger();
    IF rows IS NULL OR rows < 1 THEN
        RAISE invalid_parameter_value USING MESSAGE = format('rows must be at least 1, not %s', coalesce(rows::text, 'null'));
    END IF;
    PERFORM billing.open_usage_batch();
    -- Rows another session is loading are left to it; what fails comes back with the rollback.
    WITH taken AS (
        DELETE FROM usage_inbox AS i
         WHERE i.inbox_id IN (SELECT x.inbox_id FROM usage_inbox AS x ORDER BY x.inbox_id LIMIT load_usage_inbox.rows FOR UPDATE SKIP LOCKED)
        RETURNING i.*
    )
    INSERT INTO pg_temp.usage_batch (source, id, account, meter, starts_at, ends_at, quantity, resource, dimensions)
    SELECT t.source, t.id, t.account, t.meter, t.starts_at, t.ends_at, t.quantity, t.resource, t.dimensions FROM taken AS t ORDER BY t.inbox_id;
    SELECT l.accepted, l.duplicate, l.conflict, l.rejected INTO accepted, duplicate, conflict, rejected FROM billing.load_usage_batch() AS l;
END $$;
COMMENT ON FUNCTION billing.load_usage_inbox(int) IS
'Loads up to so many of the oldest rows of usage_inbox, exactly once each, in the caller''s transaction; several sessions may load at the same time. Counts as load_usage_batch(). Errors: 22023. Volatile.';
