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
    DELETE FROM usage_key AS k
     USING (SELECT DISTINCT t.consumer_id AS account_id FROM agreement_term AS t) AS c
     WHERE k.account_id = c.account_id AND k.month < date_trunc('month', this.through)::date - 31
       AND NOT EXISTS (SELECT FROM agreement_term AS t JOIN agreement AS a USING (agreement_id) JOIN charge_period AS p ON p.account_id = a.buyer_id
                        WHERE t.consumer_id = k.account_id AND p.sealed_at IS NULL AND p.date_from <= k.month + 31);
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
            RAISE object_in_use USING MESSAGE = 'a session that is recording has not ended',
                HINT = 'See billing.recording_sessions; end it and try again, or allow a longer wait with SET billing.seal_wait.';
        END IF;
        PERFORM pg_catalog.pg_sleep(0.05);
        COMMIT;
    END LOOP;
    PERFORM billing.set_watermark(run_id);
    COMMIT;
    PERFORM billing.seal_periods_of_run(run_id);
    PERFORM billing.release_run_lock();
    COMMIT;
END $$;
COMMENT ON PROCEDURE billing.seal_period(date, bigint) IS
'Closes for good the periods of all accounts that end by a day: what each charge owes is stored, later facts of these periods are listed as unbilled with the reason sealed, and their usage may leave (drop_sealed_usage()). Refuses with 55000 while anything of them is not final: drafts, held corrections, charges that cannot be rated, facts no run has seen. Waits for sessions that are recording, at most billing.seal_wait (10 seconds), then 55006.';

CREATE FUNCTION billing.drop_sealed_usage() RETURNS TABLE (partition text, dropped_rows bigint)
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, billing, pg_temp
AS $$
DECLARE
    part   record;
    rows   bigint;
    latest timestamptz := (SELECT min(p.starts_at) FROM charge_period AS p WHERE p.sealed_at IS NULL);
BEGIN
    PERFORM billing.check_ledger();
    PERFORM pg_advisory_xact_lock(1651076210, 0);   -- the lock of run_invoicing()
    latest := least(latest, (SELECT min(c.ends_at) FROM account_calendar AS c));
    FOR part IN
        SELECT c.oid::regclass AS name, substring(c.relname FROM '^usage_(\d{4}_\d{2})$') AS month
          FROM pg_inherits AS h JOIN pg_class AS c ON c.oid = h.inhrelid
         WHERE h.inhparent = 'billing.usage'::regclass AND c.relname ~ '^usage_\d{4}_\d{2}$'
         ORDER BY 2
    LOOP
        CONTINUE WHEN (to_date(part.month, 'YYYY_MM') + interval '1 month')::date::timestamp AT TIME ZONE 'UTC' > latest - interval '1 day';
        EXECUTE format('SELECT count(*) FROM %s', part.name) INTO rows;
        INSERT INTO usage_dropped (month, row_count) VALUES (to_date(part.month, 'YYYY_MM'), rows);
        EXECUTE format('DROP TABLE %s', part.name);
        partition := part.name::text;
        dropped_rows := rows;
        RETURN NEXT;
    END LOOP;
END $$;
COMMENT ON FUNCTION billing.drop_sealed_usage() IS
'Drops the monthly partitions of usage that lie wholly in sealed periods of every account, and says so in usage_dropped. A partition that leaves in any other way makes the next run raise. Returns the partitions dropped.';

CREATE FUNCTION billing.check_usage_partitions() RETURNS void
    LANGUAGE plpgsql STABLE PARALLEL RESTRICTED SECURITY DEFINER SET search_path = pg_catalog, billing, pg_temp
AS $$
DECLARE
    missing date;
BEGIN
    SELECT m.month INTO missing FROM usage_month AS m
     WHERE to_regclass('billing.usage_' || to_char(m.month, 'YYYY_MM')) IS NULL
       AND NOT EXISTS (SELECT FROM usage_dropped AS d WHERE d.month = m.month)
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
