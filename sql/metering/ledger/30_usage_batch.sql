-- Recording usage in batches: COPY into a table of text, then one load over all rows.
--
-- The table is temporary, so that it costs no WAL, and belongs to the owner of the ledger, since whatever stood there under another
-- owner (a view, a trigger) would run with the owner's rights.  Its columns are text: what cannot be read becomes a rejected row and
-- not a failed COPY.

CREATE FUNCTION billing.check_usage_batch() RETURNS boolean
    LANGUAGE plpgsql STABLE PARALLEL RESTRICTED SET search_path = pg_catalog, billing, pg_temp
AS $$
DECLARE
    stranger text;
    tables   bigint;
BEGIN
    SELECT count(*), min(c.relname::text) FILTER (WHERE c.relkind <> 'r' OR c.relpersistence <> 't' OR c.relowner <> current_user::regrole OR c.relhasrules OR c.relhastriggers OR c.relispartition OR c.relhassubclass)
      INTO tables, stranger
      FROM pg_class AS c WHERE c.relnamespace = pg_my_temp_schema() AND c.relname IN ('usage_batch', 'usage_batch_rest');
    IF stranger IS NOT NULL OR tables = 1 THEN
        RAISE object_not_in_prerequisite_state USING
            MESSAGE = format('the temporary relation "%s" of this session was not made by billing.open_usage_batch()', coalesce(stranger, 'usage_batch')),
            HINT = 'Drop it, or use DISCARD TEMP, and call billing.open_usage_batch() again.';
    END IF;
    RETURN tables = 2;
END $$;
COMMENT ON FUNCTION billing.check_usage_batch() IS
'Whether this session has its tables for batches; raises 55000 when something else stands in their place. Nothing of a batch is touched before this check. Stable.';
REVOKE ALL ON FUNCTION billing.check_usage_batch() FROM PUBLIC;

CREATE FUNCTION billing.open_usage_batch() RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, billing, pg_temp
AS $$
BEGIN
    PERFORM billing.check_ledger();
    IF NOT billing.check_usage_batch() THEN
        CREATE TEMPORARY TABLE usage_batch (source text, id text, account text, meter text, starts_at text, ends_at text, quantity text, resource text, dimensions text) ON COMMIT DELETE ROWS;
        CREATE TEMPORARY TABLE usage_batch_rest (place tid NOT NULL) ON COMMIT DELETE ROWS;
    END IF;
    EXECUTE format('GRANT INSERT ON TABLE pg_temp.usage_batch TO %I', session_user);
    IF current_setting('role') <> 'none' THEN
        EXECUTE format('GRANT INSERT ON TABLE pg_temp.usage_batch TO %I', current_setting('role'));
    END IF;
END $$;
COMMENT ON FUNCTION billing.open_usage_batch() IS
'Makes the temporary table usage_batch (source, id, account, meter, starts_at, ends_at, quantity, resource, dimensions; all text) of this session, once; INSERT and COPY into it, then load_usage_batch() in the same transaction. ends_at alone is a point in time. Errors: 55000 when another relation of that name is in the way, 42501 when the ledger''s owner may not make temporary tables. Volatile.';

CREATE FUNCTION billing.create_batch_resources(stamp timestamptz) RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, billing, pg_temp
AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_temp.usage_batch AS b WHERE b.resource <> '') THEN
        RETURN;
    END IF;
    INSERT INTO resource (account_id, key, recorded_at)
    SELECT DISTINCT a.account_id, b.resource, stamp
      FROM pg_temp.usage_batch AS b
      JOIN account AS a ON a.key = b.account
      JOIN item AS i ON i.kind = 'meter' AND i.key = b.meter
     WHERE b.resource <> '' AND octet_length(b.resource) <= 1000
       AND NOT EXISTS (SELECT FROM resource AS r WHERE r.account_id = a.account_id AND r.key = b.resource)
       AND billing.try_usage_interval(b.starts_at, b.ends_at, b.quantity) IS NOT NULL
     ORDER BY 1, 2
        ON CONFLICT DO NOTHING;
END $$;
COMMENT ON FUNCTION billing.create_batch_resources(timestamptz) IS 'Makes the resources that the batch names and that are not there yet. Used by load_usage_batch(). Volatile.';
REVOKE ALL ON FUNCTION billing.create_batch_resources(timestamptz) FROM PUBLIC;

-- One statement for the usual case, in which every row is new.  A row that is not, or that breaks a rule, only leaves its place in
-- usage_batch_rest; when there is none, the branches for them are skipped before they read anything (their WHERE is a constant of
-- the statement).  Rows come out of "prepared" in the order in which they were sorted: keys are inserted in one order everywhere.
--
-- Keys that are taken for new are simply inserted; one that is not raises, and its statement is undone.  ON CONFLICT looks into the
-- index and writes the row and its log twice, which is half of the time of all keys.
CREATE FUNCTION billing.load_new_usage(stamp timestamptz, load int, taken_for_new boolean, OUT total bigint, OUT accepted bigint, OUT longest interval)
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, billing, pg_temp SET work_mem = '64MB' SET jit = off SET enable_nestloop = off SET enable_mergejoin = off
AS $$
DECLARE
    closed bigint[] := ARRAY(SELECT DISTINCT s.account_id FROM account_setting AS s WHERE s.status = 'closed');
    levels int[]    := ARRAY(SELECT m.item_id FROM meter_definition AS m WHERE upper_inf(m.known) AND NOT billing.meter_takes(m.item_id, 'interval'));
BEGIN
    WITH prepared AS MATERIALIZED (
        SELECT y.*,
               y.account_id IS NOT NULL AND y.key IS NOT NULL AND y.meter_id IS NOT NULL AND y.consumed IS NOT NULL
               AND (y.resource IS NULL OR y.resource_id IS NOT NULL) AND (NOT y.with_dimensions OR y.dimensions IS NOT NULL)
               AND (closed = '{}' OR y.account_id <> ALL (closed) OR NOT billing.account_is_closed(y.account_id, billing.starts_at(y.consumed)))
               AND (levels = '{}' OR y.meter_id <> ALL (levels) OR billing.starts_at(y.consumed) = billing.ends_at(y.consumed)) AS sound
          FROM (SELECT b.ctid AS place, a.account_id, billing.usage_key_of(b.id, b.source) AS key, i.item_id AS meter_id,
                       billing.try_usage_interval(b.starts_at, b.ends_at, b.quantity) AS consumed, nullif(b.resource, '') AS resource, r.resource_id,
                       billing.try_dimensions(b.dimensions) AS dimensions, b.dimensions IS NOT NULL AS with_dimensions
                  FROM pg_temp.usage_batch AS b
                  LEFT JOIN account AS a ON a.key = b.account
                  LEFT JOIN item AS i ON i.kind = 'meter' AND i.key = b.meter
                  LEFT JOIN resource AS r ON r.account_id = a.account_id AND r.key = b.resource
                 ORDER BY 2, 3, 1) AS y
    ), taken AS (
        INSERT INTO usage_key (account_id, key, payload)
        SELECT p.account_id, p.key, billing.usage_payload(p.meter_id, p.consumed, p.resource, p.dimensions)
          FROM prepared AS p
         WHERE taken_for_new AND p.sound
    ), found_new AS (
        INSERT INTO usage_key (account_id, key, payload)
        SELECT p.account_id, p.key, billing.usage_payload(p.meter_id, p.consumed, p.resource, p.dimensions)
          FROM prepared AS p
         WHERE NOT taken_for_new AND p.sound
            ON CONFLICT (account_id, key) DO NOTHING
        RETURNING usage_key.account_id, usage_key.key
    ), counted AS MATERIALIZED (
        SELECT CASE WHEN taken_for_new THEN count(*) FILTER (WHERE p.sound) ELSE (SELECT count(*) FROM found_new) END AS claimed, count(*) AS total,
               max(least(billing.ends_at(p.consumed) - billing.starts_at(p.consumed), '31 days 1 us')) FILTER (WHERE billing.ends_at(p.consumed) > billing.starts_at(p.consumed)) AS longest
          FROM prepared AS p
    ), accepted AS MATERIALIZED (
        SELECT p.* FROM prepared AS p
         WHERE taken_for_new AND p.sound AND (SELECT n.claimed < n.total OR n.longest > '31 days' FROM counted AS n)
        UNION ALL
        SELECT first.* FROM (
            SELECT DISTINCT ON (p.account_id, p.key) p.* FROM prepared AS p JOIN found_new AS c ON c.account_id = p.account_id AND c.key = p.key
             WHERE NOT taken_for_new AND p.sound AND (SELECT n.claimed < n.total OR n.longest > '31 days' FROM counted AS n)
             ORDER BY p.account_id, p.key, p.place) AS first
    ), stored AS (
        INSERT INTO usage (account_id, ends_at, consumed, recorded_at, key, meter_id, load_id, resource_id, dimensions)
        SELECT p.account_id, billing.ends_at(p.consumed), p.consumed, stamp, p.key, p.meter_id, load, p.resource_id, nullif(p.dimensions, '{}')
          FROM prepared AS p
         WHERE (SELECT n.claimed = n.total AND n.longest > '31 days' IS NOT TRUE FROM counted AS n)
        UNION ALL
        SELECT a.account_id, billing.ends_at(p.part), p.part, stamp, a.key, a.meter_id, load, a.resource_id, nullif(a.dimensions, '{}')
          FROM accepted AS a
         CROSS JOIN LATERAL (SELECT a.consumed AS part WHERE billing.ends_at(a.consumed) - billing.starts_at(a.consumed) <= '31 days'
                              UNION ALL
                             SELECT billing.split(a.consumed, 'month', 'UTC') WHERE billing.ends_at(a.consumed) - billing.starts_at(a.consumed) > '31 days') AS p
    ), rest AS (
        INSERT INTO pg_temp.usage_batch_rest (place)
        SELECT p.place FROM prepared AS p
         WHERE (SELECT n.claimed < n.total FROM counted AS n)
           AND NOT EXISTS (SELECT FROM accepted AS a WHERE a.place = p.place)
    )
    SELECT n.total, n.claimed, least(coalesce(n.longest, '0'), '31 days') INTO total, accepted, longest FROM counted AS n;
END $$;
COMMENT ON FUNCTION billing.load_new_usage(timestamptz, int, boolean) IS
'Step of load_usage_batch(): records the rows of the batch that are new and notes the places of the others. Told to take all keys for new, it is faster, and raises 23505 when one is not. Volatile.';
REVOKE ALL ON FUNCTION billing.load_new_usage(timestamptz, int, boolean) FROM PUBLIC;

-- A statement of its own, since only its snapshot sees the keys that others have committed meanwhile.
CREATE FUNCTION billing.settle_batch_rest(stamp timestamptz, load int, OUT duplicate bigint, OUT conflict bigint, OUT rejected bigint)
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, billing, pg_temp
AS $$
DECLARE
    lost bigint;
BEGIN
    WITH rest AS MATERIALIZED (
        SELECT b.ctid AS place, b AS batch_row, a.account_id, y.key, f.reason AS fault, f.detail AS fault_detail, i.item_id AS meter_id, t.refused,
               CASE WHEN f.reason IS NULL AND a.account_id IS NOT NULL AND i.item_id IS NOT NULL THEN
                   CASE WHEN EXISTS (SELECT FROM account_setting AS s WHERE s.account_id = a.account_id AND s.status = 'closed')
                             AND billing.account_is_closed(a.account_id, billing.starts_at(y.consumed)) THEN 'rejected'
                        WHEN t.refused THEN 'rejected'
                        WHEN k.payload IS NULL THEN 'lost'
                        WHEN billing.usage_payload_same(k.payload, billing.usage_payload(i.item_id, y.consumed, nullif(b.resource, ''), billing.try_dimensions(b.dimensions))) THEN 'duplicate'
                        ELSE 'conflict' END
                    ELSE 'rejected' END AS standing
          FROM pg_temp.usage_batch_rest AS x
          JOIN pg_temp.usage_batch AS b ON b.ctid = x.place
         CROSS JOIN LATERAL billing.usage_fault(b.source, b.id, b.account, b.meter, b.starts_at, b.ends_at, b.quantity, b.resource, b.dimensions) AS f
         CROSS JOIN LATERAL (SELECT billing.usage_key_of(b.id, b.source) AS key, billing.try_usage_interval(b.starts_at, b.ends_at, b.quantity) AS consumed) AS y
          LEFT JOIN account AS a ON a.key = b.account
          LEFT JOIN item AS i ON i.kind = 'meter' AND i.key = b.meter
          LEFT JOIN LATERAL (SELECT k.payload FROM usage_key AS k WHERE k.account_id = a.account_id AND k.key = y.key LIMIT 1) AS k ON true
         CROSS JOIN LATERAL (SELECT billing.starts_at(y.consumed) < billing.ends_at(y.consumed) AND NOT billing.meter_takes(i.item_id, 'interval') AS refused) AS t
    ), conflicts AS (
        INSERT INTO usage_conflict (account_id, key, payload, load_id, recorded_at)
        SELECT r.account_id, r.key, jsonb_strip_nulls(to_jsonb(r.batch_row)), load, stamp
          FROM rest AS r
         WHERE r.standing = 'conflict'
           AND NOT EXISTS (SELECT FROM usage_conflict AS c WHERE c.account_id = r.account_id AND c.key = r.key AND c.payload = jsonb_strip_nulls(to_jsonb(r.batch_row)))
         ORDER BY r.place
    ), rejections AS (
        INSERT INTO usage_rejected (payload, reason, detail, load_id, recorded_at)
        SELECT jsonb_strip_nulls(to_jsonb(r.batch_row)),
               coalesce(r.fault, CASE WHEN r.account_id IS NULL THEN 'unknown_account' WHEN r.meter_id IS NULL THEN 'unknown_meter' WHEN r.refused THEN 'wrong_sample_type' ELSE 'account_closed' END),
               coalesce(r.fault_detail, CASE WHEN r.account_id IS NULL THEN format('account %s does not exist', to_json(left((r.batch_row).account, 64)))
                                             WHEN r.meter_id IS NULL THEN format('meter %s does not exist', to_json(left((r.batch_row).meter, 64)))
                                             WHEN r.refused THEN billing.no_interval((r.batch_row).meter)
                                             ELSE format('account "%s" is closed', (r.batch_row).account) END),
               load, stamp
          FROM rest AS r
         WHERE r.standing = 'rejected'
         ORDER BY r.place
    )
    SELECT count(*) FILTER (WHERE r.standing = 'duplicate'), count(*) FILTER (WHERE r.standing = 'conflict'), count(*) FILTER (WHERE r.standing = 'rejected'), count(*) FILTER (WHERE r.standing = 'lost')
      INTO duplicate, conflict, rejected, lost
      FROM rest AS r;
    IF lost > 0 THEN
        RAISE serialization_failure USING MESSAGE = format('the keys of %s usage rows were removed while they were recorded', lost), HINT = 'Record them again.';
    END IF;
END $$;
COMMENT ON FUNCTION billing.settle_batch_rest(timestamptz, int) IS
'Step of load_usage_batch(): tells duplicates, conflicts and rejected rows apart among those that were not new, and keeps the latter two aside. Volatile.';
REVOKE ALL ON FUNCTION billing.settle_batch_rest(timestamptz, int) FROM PUBLIC;

CREATE FUNCTION billing.load_usage_batch(OUT accepted bigint, OUT duplicate bigint, OUT conflict bigint, OUT rejected bigint)
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, billing, pg_temp
AS $$
DECLARE
    stamp timestamptz;
    load  int;
    loaded record;
BEGIN
    PERFORM billing.check_ledger();
    IF NOT billing.check_usage_batch() THEN
        RAISE object_not_in_prerequisite_state USING MESSAGE = 'this session has no open batch',
            HINT = 'Call billing.open_usage_batch(), COPY into usage_batch, and load in the same transaction.';
    END IF;
    stamp := billing.recorded_at();
    INSERT INTO usage_load (recorded_at, source) VALUES (stamp, 'load_usage_batch') RETURNING load_id INTO load;
    PERFORM billing.create_batch_resources(stamp);
    BEGIN
        loaded := billing.load_new_usage(stamp, load, true);
    EXCEPTION WHEN unique_violation THEN
        loaded := billing.load_new_usage(stamp, load, false);
    END;
    accepted := loaded.accepted;
    duplicate := 0;
    conflict := 0;
    rejected := 0;
    IF loaded.longest > '0' THEN
        PERFORM billing.note_longest_usage(loaded.longest);
    END IF;
    IF loaded.accepted < loaded.total THEN
        SELECT r.duplicate, r.conflict, r.rejected INTO duplicate, conflict, rejected FROM billing.settle_batch_rest(stamp, load) AS r;
    END IF;
    TRUNCATE pg_temp.usage_batch, pg_temp.usage_batch_rest;
END $$;
COMMENT ON FUNCTION billing.load_usage_batch() IS
'Records what stands in usage_batch and empties it; the counts say how many rows were accepted, duplicate (recorded before with the same content), conflict (with other content; kept in usage_conflict) and rejected (kept in usage_rejected with the reason). The first of several rows of one id counts. Takes part in the caller''s transaction. Errors: 55000 without open_usage_batch(). Volatile.';
