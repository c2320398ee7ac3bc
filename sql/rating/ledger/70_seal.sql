-- Sealing: a sealed period is never rated again, and only then may its usage leave.

CREATE FUNCTION billing.seal_periods_of_run(run bigint) RETURNS bigint
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, billing, pg_temp
AS $$
DECLARE
    this   run := (SELECT r FROM run AS r WHERE r.run_id = run);
    sealed bigint;
    reason text;
    stop   record;
BEGIN
    PERFORM billing.check_run(run, 'sealing');
    PERFORM billing.make_relation('pg_temp', 'sealing', format(
        'SELECT p.account_id, p.period_no, p.date_from, p.date_to, p.looked_known_at, p.closed_known_at FROM billing.charge_period AS p WHERE p.date_to <= %L AND p.sealed_at IS NULL', this.through));
    FOR stop IN EXECUTE format($text$
        SELECT a.key, s.date_from, s.date_to, r.reason
          FROM pg_temp.sealing AS s
          JOIN billing.account AS a USING (account_id)
         CROSS JOIN LATERAL (
            SELECT 'it was never billed' AS reason WHERE s.looked_known_at IS NULL OR s.closed_known_at IS NULL
            UNION ALL SELECT 'drafts wait to be made final' WHERE EXISTS (SELECT FROM billing.draft_line AS d JOIN billing.charge_key AS k USING (account_id, key_id) WHERE k.account_id = s.account_id AND k.period_no = s.period_no)
            UNION ALL SELECT 'held corrections wait for approval' WHERE EXISTS (SELECT FROM billing.held AS d JOIN billing.charge_key AS k USING (account_id, key_id) WHERE k.account_id = s.account_id AND k.period_no = s.period_no)
            UNION ALL SELECT 'a charge could not be rated' WHERE EXISTS (SELECT FROM billing.pending AS d WHERE d.account_id = s.account_id AND d.period_no = s.period_no)
            UNION ALL SELECT 'facts were recorded since the last run' WHERE EXISTS (SELECT FROM billing.touched_periods(%L, 'infinity') AS d WHERE d.account_id = s.account_id AND d.period_no = s.period_no)) AS r
         ORDER BY s.date_from, a.key LIMIT 1 $text$, (SELECT l.last_known_at FROM ledger_state AS l))
    LOOP
        RAISE object_not_in_prerequisite_state USING
            MESSAGE = format('the period of account "%s" from %s to %s cannot be sealed: %s', stop.key, stop.date_from, stop.date_to, stop.reason),
            HINT = 'Run billing.run_invoicing() and billing.finalize_invoices(), approve or reject what is held, and try again.';
    END LOOP;
    EXECUTE 'INSERT INTO billing.sealed_owed (account_id, key_id, owed)
             SELECT k.account_id, k.key_id, x.owed
               FROM pg_temp.sealing AS s
               JOIN billing.charge_key AS k USING (account_id, period_no)
              CROSS JOIN LATERAL (SELECT (SELECT l.booked_after FROM billing.line AS l WHERE l.account_id = k.account_id AND l.key_id = k.key_id ORDER BY l.chain_no DESC LIMIT 1) AS booked,
                                         (SELECT sum(d.amount) FROM billing.decision AS d WHERE d.account_id = k.account_id AND d.key_id = k.key_id) AS decided) AS y
              CROSS JOIN LATERAL (SELECT CASE WHEN y.decided IS NULL THEN y.booked ELSE coalesce(y.booked, y.decided - y.decided) - y.decided END AS owed) AS x
              WHERE x.owed IS NOT NULL';
    EXECUTE 'UPDATE billing.charge_period AS p SET sealed_at = $1 FROM pg_temp.sealing AS s WHERE p.account_id = s.account_id AND p.period_no = s.period_no' USING this.known_at;
    GET DIAGNOSTICS sealed = ROW_COUNT;
    PERFORM billing.forget_keys(this.through);
    PERFORM billing.note_progress(run, 'finishing', jsonb_build_object('periods_sealed', sealed));
    PERFORM billing.finish_run(run);
    RETURN sealed;
END $$;
COMMENT ON FUNCTION billing.seal_periods_of_run(bigint) IS 'Step of seal_period(): seals what ends by the run''s day, or raises 55000 naming the first obstacle.';
REVOKE ALL ON FUNCTION billing.seal_periods_of_run(bigint) FROM PUBLIC;

CREATE FUNCTION billing.seal_wait() RETURNS interval
    LANGUAGE sql STABLE PARALLEL SAFE
    AS $$ SELECT COALESCE(CASE WHEN pg_catalog.current_setting('billing.seal_wait', true) OPERATOR(pg_catalog.<>) ''
                       THEN pg_catalog.current_setting('billing.seal_wait', true)::pg_catalog.interval END, '10 seconds') $$;
COMMENT ON FUNCTION billing.seal_wait() IS 'How long seal_period() waits for sessions that are recording: the setting billing.seal_wait, 10 seconds unless set. Stable.';

CREATE FUNCTION billing.recorded_before(instant timestamptz) RETURNS boolean
    LANGUAGE sql VOLATILE PARALLEL RESTRICTED SECURITY DEFINER SET search_path = pg_catalog, billing, pg_temp
    AS $$ SELECT EXISTS (SELECT FROM billing.recorders() AS r WHERE r.recording_since <= $1 AND r.backend_pid IS DISTINCT FROM pg_catalog.pg_backend_pid()) $$;
COMMENT ON FUNCTION billing.recorded_before(timestamptz) IS 'Whether another session that began to record at or before an instant is still open. Volatile.';

CREATE PROCEDURE billing.seal_period(through date, INOUT run_id bigint DEFAULT NULL)
    LANGUAGE plpgsql
AS $$
DECLARE
    began timestamptz := pg_catalog.clock_timestamp();
BEGIN
    PERFORM billing.check_through(through);
    PERFORM billing.acquire_run_lock();
    run_id := billing.start_run('seal_period', through);
    COMMIT;
    -- Facts of transactions that are still open must be seen, or they would be sealed away.
    LOOP
        EXIT WHEN NOT billing.recorded_before(began);
        IF pg_catalog.clock_timestamp() OPERATOR(pg_catalog.>) (began OPERATOR(pg_catalog.+) billing.seal_wait()) THEN
            CALL billing.stop_run(run_id, '55006', 'a session that is recording has not ended', pg_catalog.format('It was waited for %s.', billing.seal_wait()),
                'See billing.recording_sessions; end it and try again, or allow a longer wait with SET billing.seal_wait.');
        END IF;
        PERFORM pg_catalog.pg_sleep(0.05);
        COMMIT;
    END LOOP;
    CALL billing.run_steps(run_id, 'set_watermark', 'seal_periods_of_run');
END $$;
COMMENT ON PROCEDURE billing.seal_period(date, bigint) IS
'Closes for good the periods of all accounts that end by a day: what each charge owes is stored, later facts of these periods are listed as unbilled with the reason sealed, and their usage may leave (drop_sealed_usage()). Ids of older usage are forgotten, but for usage that goes on counting. Refuses with 55000 while anything of them is not final: drafts, held corrections, charges that cannot be rated, facts no run has seen. Waits for sessions that are recording, at most billing.seal_wait (10 seconds), then 55006.';

-- A time-weighted meter reports a level that holds until the next report, however old it is; the growth of a cumulative reading
-- is counted from the one before; and what is carried over counts in every later period.  Of one instant all rows stay: which of
-- them is the last is for rating alone to say.
CREATE FUNCTION billing.lasting_usage(before timestamptz, by_month boolean) RETURNS SETOF billing.usage
    LANGUAGE plpgsql STABLE PARALLEL SAFE SECURITY DEFINER SET search_path = pg_catalog, billing, pg_temp SET jit = off
AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM meter_definition AS m WHERE m.carried_over OR m.aggregation IN ('time_weighted', 'increase')) THEN
        RETURN;   -- without a look at usage
    END IF;
    RETURN QUERY
        WITH definition AS MATERIALIZED (   -- that hold now, or at the pin of a period that is rated yet
            SELECT m.item_id, m.aggregation, m.carried_over, m.filter
              FROM meter_definition AS m
             WHERE upper_inf(m.known) OR upper(m.known) > (SELECT min(p.closed_known_at) FROM charge_period AS p WHERE p.sealed_at IS NULL)
        ), level AS MATERIALIZED (   -- also without the filter, which may be taken away
            SELECT d.item_id, f.filter
              FROM definition AS d CROSS JOIN LATERAL (VALUES (d.filter), ('{}')) AS f(filter)
             WHERE d.aggregation IN ('time_weighted', 'increase')
             GROUP BY d.item_id, f.filter
        ), last AS (
            SELECT u.account_id, u.meter_id, u.resource_id, u.dimensions, max(u.ends_at) AS ends_at
              FROM usage AS u JOIN level AS l ON l.item_id = u.meter_id
             WHERE u.ends_at < before
               AND (l.filter = '{}' OR billing.meter_accepts(l.filter, u.dimensions, billing.quantity(u.consumed)))
               AND NOT EXISTS (SELECT FROM usage_change AS x WHERE x.account_id = u.account_id AND x.key = u.key AND x.revision = u.revision)
             GROUP BY u.account_id, u.meter_id, u.resource_id, u.dimensions, l.filter, CASE WHEN by_month THEN billing.utc_month(u.ends_at) END
        )
        SELECT u.*
          FROM usage AS u
         WHERE u.ends_at < before
           AND u.meter_id IN (SELECT d.item_id FROM definition AS d WHERE d.carried_over)
           AND NOT EXISTS (SELECT FROM usage_change AS x WHERE x.account_id = u.account_id AND x.key = u.key AND x.revision = u.revision)
        UNION ALL
        SELECT u.*
          FROM usage AS u
         WHERE u.ends_at < before
           AND u.meter_id NOT IN (SELECT d.item_id FROM definition AS d WHERE d.carried_over)
           AND EXISTS (SELECT FROM last AS l
                        WHERE l.account_id = u.account_id AND l.meter_id = u.meter_id AND l.ends_at = u.ends_at
                          AND (l.resource_id, l.dimensions) IS NOT DISTINCT FROM (u.resource_id, u.dimensions))
           AND NOT EXISTS (SELECT FROM usage_change AS x WHERE x.account_id = u.account_id AND x.key = u.key AND x.revision = u.revision);
END $$;
COMMENT ON FUNCTION billing.lasting_usage(timestamptz, boolean) IS
'Usage before an instant that later periods still need: of time-weighted meters the last level and of cumulative ones the last reading, by account, resource and dimensions, with all that was reported for the same instant, and the last that passes the meter''s filter; of meters that carry over everything. by_month: the last ones of each month (UTC). Stable.';
REVOKE ALL ON FUNCTION billing.lasting_usage(timestamptz, boolean) FROM PUBLIC;

-- An account is charged by whoever has an agreement for it, or for an account that was ever above it in the tree.
CREATE FUNCTION billing.forget_keys(through date) RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, billing, pg_temp SET jit = off
AS $$
#variable_conflict use_column
DECLARE
    until date := date_trunc('month', forget_keys.through)::date - 31;
BEGIN
    -- A fact that goes on counting would count twice if its sender could repeat it.
    PERFORM billing.make_relation('pg_temp', 'lasting', format('SELECT DISTINCT u.account_id, u.key FROM billing.lasting_usage(%L, true) AS u',
                                                               date_trunc('month', forget_keys.through) AT TIME ZONE 'UTC'));
    EXECUTE $text$
        WITH RECURSIVE charged AS (
            SELECT a.buyer_id, t.consumer_id, t.with_descendants FROM billing.agreement_term AS t JOIN billing.agreement AS a USING (agreement_id)
            UNION
            SELECT c.buyer_id, s.account_id, true FROM charged AS c JOIN billing.account_setting AS s ON s.parent_id = c.consumer_id WHERE c.with_descendants
        ), settled AS (
            SELECT c.consumer_id AS account_id, min(p.date_from) AS open_from
              FROM charged AS c LEFT JOIN billing.charge_period AS p ON p.account_id = c.buyer_id AND p.sealed_at IS NULL
             GROUP BY c.consumer_id
        )
        DELETE FROM billing.usage_key AS k
         USING settled AS s
         WHERE k.account_id = s.account_id AND billing.usage_payload_month(k.payload) < $1
           AND billing.usage_payload_month(k.payload) + 31 < coalesce(s.open_from, 'infinity')
           AND NOT EXISTS (SELECT FROM pg_temp.lasting AS l WHERE l.account_id = k.account_id AND l.key = k.key)
    $text$ USING until;
END $$;
COMMENT ON FUNCTION billing.forget_keys(date) IS
'Takes the keys of usage that nobody can be charged for any more: of months that ended a month or more before a day, all of whose periods are sealed, but for usage that goes on counting. Volatile.';
REVOKE ALL ON FUNCTION billing.forget_keys(date) FROM PUBLIC;

CREATE FUNCTION billing.drop_sealed_usage() RETURNS TABLE (partition text, dropped_rows bigint)
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, billing, pg_temp
AS $$
DECLARE
    part   record;
    kept   bigint;
    rows   bigint;
    opens  timestamptz;
    waits  boolean;
BEGIN
    PERFORM billing.check_ledger();
    PERFORM billing.lock_until_commit(1651076210, 0);   -- the lock of run_invoicing()
    opens := least((SELECT min(p.starts_at) FROM charge_period AS p WHERE p.sealed_at IS NULL), (SELECT min(c.ends_at) FROM account_calendar AS c));
    PERFORM billing.make_relation('pg_temp', 'lasting', format('SELECT u.* FROM billing.lasting_usage(%L, false) AS u', opens));
    FOR part IN
        SELECT c.oid::regclass AS relation, c.oid::regclass::text AS name, to_date(substring(c.relname FROM '^usage_(\d{4}_\d{2})$'), 'YYYY_MM') AS month
          FROM pg_inherits AS h JOIN pg_class AS c ON c.oid = h.inhrelid
         WHERE h.inhparent = 'billing.usage'::regclass AND c.relname ~ '^usage_\d{4}_\d{2}$'
         ORDER BY c.relname
    LOOP
        CONTINUE WHEN (part.month + interval '1 month') AT TIME ZONE 'UTC' > opens - interval '1 day';
        -- usage of accounts that no run has seen yet
        EXECUTE format('SELECT EXISTS (SELECT FROM %s AS u WHERE u.account_id NOT IN (SELECT c.account_id FROM billing.account_calendar AS c))', part.name) INTO waits;
        CONTINUE WHEN waits;
        EXECUTE 'SELECT count(*) FROM pg_temp.lasting AS l WHERE billing.utc_month(l.ends_at) = $1' INTO kept USING part.month;
        EXECUTE format('SELECT count(*) FROM %s', part.name) INTO rows;
        CONTINUE WHEN rows > 0 AND rows = kept;
        INSERT INTO usage_dropped AS d (month, row_count) VALUES (part.month, rows - kept)
            ON CONFLICT (month) DO UPDATE SET row_count = d.row_count + excluded.row_count;
        DELETE FROM usage_month AS m WHERE m.month = part.month;
        EXECUTE format('DROP TABLE %s', part.name);
        EXECUTE 'INSERT INTO billing.usage SELECT l.* FROM pg_temp.lasting AS l WHERE billing.utc_month(l.ends_at) = $1' USING part.month;
        partition := part.name;
        dropped_rows := rows - kept;
        RETURN NEXT;
    END LOOP;
END $$;
COMMENT ON FUNCTION billing.drop_sealed_usage() IS
'Drops the monthly partitions of usage that lie wholly in sealed periods of every account, and says so in usage_dropped. Rows that later periods need (levels, readings, what is carried over) stay (in usage_default, until maintain_partitions() gives them a partition again). A partition that leaves in any other way makes the next run raise. Returns the partitions dropped, with the number of rows that left.';

CREATE FUNCTION billing.check_usage_partitions() RETURNS void
    LANGUAGE plpgsql STABLE PARALLEL RESTRICTED SECURITY DEFINER SET search_path = pg_catalog, billing, pg_temp
AS $$
DECLARE
    missing date;
BEGIN
    SELECT m.month INTO missing FROM usage_month AS m
     WHERE to_regclass('billing.usage_' || to_char(m.month, 'YYYY_MM')) IS NULL
     ORDER BY 1 LIMIT 1;
    IF missing IS NOT NULL THEN
        RAISE object_not_in_prerequisite_state USING
            MESSAGE = format('the usage of %s is missing', to_char(missing, 'YYYY-MM')),
            HINT = 'Its partition left without seal_period() and drop_sealed_usage(); billing now would refund it. Attach it again.';
    END IF;
END $$;
COMMENT ON FUNCTION billing.check_usage_partitions() IS 'Raises 55000 when a partition of usage has left in another way than drop_sealed_usage(); every run calls it.';

CREATE FUNCTION billing.note_usage_months() RETURNS void
    LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, billing, pg_temp
AS $$
    INSERT INTO billing.usage_month (month)
    SELECT to_date(substring(c.relname FROM '^usage_(\d{4}_\d{2})$'), 'YYYY_MM')
      FROM pg_inherits AS h JOIN pg_class AS c ON c.oid = h.inhrelid
     WHERE h.inhparent = 'billing.usage'::regclass AND c.relname ~ '^usage_\d{4}_\d{2}$'
        ON CONFLICT DO NOTHING
$$;
COMMENT ON FUNCTION billing.note_usage_months() IS 'Notes which monthly partitions of usage there are, so that a run notices when one is missing.';
