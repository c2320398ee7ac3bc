-- The billing run: scope, rating, drafts.

CREATE FUNCTION billing.fill_words(template text, words jsonb) RETURNS text
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    word record;
BEGIN
    FOR word IN SELECT w.key, w.value FROM jsonb_each_text(words) AS w LOOP
        template := replace(template, '{' || word.key || '}', word.value);
    END LOOP;
    RETURN template;
END $$;
COMMENT ON FUNCTION billing.fill_words(text, jsonb) IS 'Replaces words in braces in the text of a query by the SQL that the object words gives for each. Immutable.';

CREATE FUNCTION billing.fill_in(template text, known_at timestamptz, own_at timestamptz) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT pg_catalog.replace(pg_catalog.replace($1, '{known_at}', pg_catalog.format('%L::timestamptz', $2)), '{own_at}',
                              CASE WHEN $3 IS NULL THEN 'NULL::timestamptz' ELSE pg_catalog.format('%L::timestamptz', $3) END)
$$;
COMMENT ON FUNCTION billing.fill_in(text, timestamptz, timestamptz) IS 'Replaces {known_at} and {own_at} in the text of a rating step by literals. Immutable.';

-- Starting and ending runs, in transactions of their own.

-- Operators call the steps through the procedures, which commit in between and so cannot have the owner's rights themselves; a step
-- out of its place would move the watermark over facts that nobody has looked at.
CREATE FUNCTION billing.check_run(run bigint, step text) RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, billing, pg_temp
AS $$
DECLARE
    this billing.run := (SELECT r FROM billing.run AS r WHERE r.run_id = check_run.run);
BEGIN
    IF this.state IS DISTINCT FROM 'running' OR this.backend_pid <> pg_backend_pid() OR this.step IS DISTINCT FROM check_run.step OR NOT billing.holds_run_lock() THEN
        RAISE object_not_in_prerequisite_state USING MESSAGE = format('run %s of this session is not at the step "%s"', coalesce(run::text, 'null'), coalesce(step, 'start')),
            HINT = 'The steps belong to the procedures run_invoicing() and seal_period(); call those.';
    END IF;
END $$;
COMMENT ON FUNCTION billing.check_run(bigint, text) IS 'Raises 55000 unless the run is this session''s, stands at the given step, and the session holds the lock of runs. Volatile.';
REVOKE ALL ON FUNCTION billing.check_run(bigint, text) FROM PUBLIC;

CREATE FUNCTION billing.holds_run_lock() RETURNS boolean
    LANGUAGE sql VOLATILE PARALLEL RESTRICTED SET search_path = pg_catalog, pg_temp
    AS $$ SELECT EXISTS (SELECT FROM pg_locks AS l WHERE l.locktype = 'object' AND l.classid = 1651076210 AND l.objid = 0 AND l.objsubid = 2
                          AND l.pid = pg_backend_pid() AND l.mode = 'ExclusiveLock' AND l.granted) $$;
COMMENT ON FUNCTION billing.holds_run_lock() IS 'Whether this session holds the lock of runs, see run_lock.c. Volatile.';
REVOKE ALL ON FUNCTION billing.holds_run_lock() FROM PUBLIC;

CREATE FUNCTION billing.start_run(procedure_name text, through date) RETURNS bigint
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, billing, pg_temp
AS $$
DECLARE
    new_id bigint;
BEGIN
    PERFORM billing.check_ledger();
    IF NOT billing.holds_run_lock() OR procedure_name NOT IN ('run_invoicing', 'seal_period') THEN
        RAISE object_not_in_prerequisite_state USING MESSAGE = format('no run of %s can begin here', coalesce(procedure_name, 'null')), HINT = 'Call run_invoicing() or seal_period().';
    END IF;
    UPDATE run AS r SET state = 'abandoned', finished_at = clock_timestamp(), failure = 'its session ended or failed before the run did'
     WHERE r.state = 'running' AND r.procedure = procedure_name;
    INSERT INTO run (procedure, through) VALUES (procedure_name, through) RETURNING run_id INTO new_id;
    RETURN new_id;
END $$;
COMMENT ON FUNCTION billing.start_run(text, date) IS 'Notes that a procedure has begun, and that earlier ones that never ended were abandoned (the caller holds the run lock). Returns the run''s number.';

CREATE FUNCTION billing.note_progress(run bigint, step text, counts jsonb DEFAULT '{}') RETURNS void
    LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, billing, pg_temp
    AS $$ UPDATE billing.run AS r SET step = $2, counts = r.counts || $3 WHERE r.run_id = $1 $$;
COMMENT ON FUNCTION billing.note_progress(bigint, text, jsonb) IS 'Writes what a run is doing and what it has counted so far.';

CREATE FUNCTION billing.finish_run(run bigint) RETURNS void
    LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, billing, pg_temp
AS $$
    UPDATE billing.run AS r
       SET errors = (SELECT count(*) FROM billing.run_error AS e WHERE e.run_id = $1), step = NULL, finished_at = clock_timestamp(),
           state = CASE WHEN EXISTS (SELECT FROM billing.run_error AS e WHERE e.run_id = $1) THEN 'done_with_errors' ELSE 'done' END
     WHERE r.run_id = $1
$$;
COMMENT ON FUNCTION billing.finish_run(bigint) IS 'Notes that a run has ended, with or without errors.';

CREATE FUNCTION billing.set_watermark(run bigint) RETURNS timestamptz
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, billing, pg_temp
AS $$
DECLARE
    mark timestamptz;
    held jsonb;
BEGIN
    SELECT w.known_at, w.held_by INTO mark, held FROM billing.read_watermark() AS w;
    PERFORM billing.check_run(run, NULL);
    UPDATE run AS r SET known_at = mark, watermark_held_by = held, step = CASE r.procedure WHEN 'seal_period' THEN 'sealing' ELSE 'storing periods' END WHERE r.run_id = run;
    RETURN mark;
END $$;
COMMENT ON FUNCTION billing.set_watermark(bigint) IS 'Reads the watermark for a run, one statement before the facts, and notes who held it back. Returns it.';

-- Which stored periods the facts of [since, until) touch.

CREATE FUNCTION billing.reaches_on(meter_id int) RETURNS boolean
    LANGUAGE sql STABLE PARALLEL SAFE SECURITY DEFINER SET search_path = pg_catalog, billing, pg_temp
    AS $$ SELECT coalesce((SELECT m.aggregation IN ('time_weighted', 'increase') OR m.carried_over FROM billing.meter_definition AS m WHERE m.item_id = $1 AND upper_inf(m.known)), false) $$;
COMMENT ON FUNCTION billing.reaches_on(int) IS 'Whether usage of a meter can change what later periods owe: levels, readings, and quantities that are carried over. Stable.';

CREATE FUNCTION billing.touched_periods(since timestamptz, until timestamptz)
    RETURNS TABLE (account_id bigint, period_no int)
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, billing, pg_temp SET jit = off
AS $$
#variable_conflict use_column
DECLARE
    -- how far usage was looked at: not at all while only fees in advance were billed
    looked_to timestamptz := (SELECT max(p.ends_at) FROM charge_period AS p WHERE p.looked_known_at IS NOT NULL OR p.interim_to IS NOT NULL);
    longest   interval := (SELECT s.longest_usage FROM ledger_state AS s);
BEGIN
    IF looked_to IS NULL AND NOT EXISTS (SELECT FROM charge_period AS p WHERE p.advance_known_at IS NOT NULL) THEN
        RETURN;
    END IF;
    -- Fresh usage alone, without any join: the planner takes the BRIN index on recorded_at, in the partitions that periods reach.
    PERFORM billing.make_relation('pg_temp', 'fresh_usage', format('
                    SELECT u.account_id, u.meter_id, min(billing.starts_at(u.consumed)) AS starts_at, max(u.ends_at) AS ends_at
                      FROM billing.usage AS u
                     WHERE u.recorded_at >= %L AND u.recorded_at < %L AND u.ends_at < %L
                     GROUP BY u.account_id, u.meter_id, date_trunc(''month'', u.ends_at)', since, until, looked_to + longest));
    INSERT INTO pg_temp.fresh_usage
    SELECT c.account_id, c.meter_id, c.starts_at, c.ends_at FROM usage_change AS c WHERE c.recorded_at >= since AND c.recorded_at < until;
    ANALYZE pg_temp.fresh_usage;
    -- Large tables have an index on greatest(lower(known), upper(known)), when a row last changed.
    RETURN QUERY
        -- usage, and usage that no longer counts: the places of both
        SELECT p.account_id, p.period_no
          FROM pg_temp.fresh_usage AS f
          JOIN agreement_term AS t ON t.consumer_id = f.account_id
          JOIN agreement AS a ON a.agreement_id = t.agreement_id
          JOIN charge_period AS p ON p.account_id = a.buyer_id AND p.ends_at >= f.starts_at
           AND (p.starts_at <= f.ends_at OR billing.reaches_on(f.meter_id))
        UNION
        SELECT p.account_id, p.period_no
          FROM pg_temp.fresh_usage AS f
         CROSS JOIN (SELECT DISTINCT t.agreement_id, t.consumer_id FROM agreement_term AS t WHERE t.with_descendants) AS t
          JOIN agreement AS a ON a.agreement_id = t.agreement_id
          JOIN charge_period AS p ON p.account_id = a.buyer_id AND p.ends_at >= f.starts_at AND (p.starts_at <= f.ends_at OR billing.reaches_on(f.meter_id))
         WHERE f.account_id IN (SELECT d FROM descendants(t.consumer_id, 'infinity', NULL) AS d)
        UNION
        -- prices, and advances of pins
        SELECT p.account_id, p.period_no
          FROM (SELECT x.list_id, x.account_id, x.valid FROM price AS x
                 WHERE greatest(lower(x.known), upper(x.known)) >= since AND ((lower(x.known) >= since AND lower(x.known) < until) OR (upper(x.known) >= since AND upper(x.known) < until))
                 UNION
                SELECT x.list_id, x.account_id, x.valid FROM pin_advance AS x WHERE x.list_id IS NOT NULL AND x.recorded_at >= since AND x.recorded_at < until) AS x
          JOIN agreement_term AS t ON t.list_id = x.list_id
          JOIN agreement AS a ON a.agreement_id = t.agreement_id AND x.account_id IN (0, a.buyer_id)
          JOIN charge_period AS p ON p.account_id = a.buyer_id AND tsrange(p.date_from, p.date_to) && x.valid
        UNION
        SELECT p.account_id, p.period_no
          FROM pin_advance AS x
          JOIN charge_period AS p ON p.account_id = x.account_id AND tsrange(p.date_from, p.date_to) && x.valid
         WHERE x.list_id IS NULL AND x.recorded_at >= since AND x.recorded_at < until
        UNION
        SELECT p.account_id, p.period_no
          FROM agreement_term AS x
          JOIN agreement AS a ON a.agreement_id = x.agreement_id
          JOIN charge_period AS p ON p.account_id = a.buyer_id AND daterange(p.date_from, p.date_to) && x.valid
         WHERE greatest(lower(x.known), upper(x.known)) >= since AND ((lower(x.known) >= since AND lower(x.known) < until) OR (upper(x.known) >= since AND upper(x.known) < until))
        UNION
        SELECT p.account_id, p.period_no
          FROM subscription_term AS x
          JOIN subscription AS b ON b.subscription_id = x.subscription_id
          JOIN agreement AS a ON a.agreement_id = b.agreement_id
          JOIN charge_period AS p ON p.account_id = a.buyer_id AND daterange(p.date_from, p.date_to) && x.dates
         WHERE greatest(lower(x.known), upper(x.known)) >= since AND ((lower(x.known) >= since AND lower(x.known) < until) OR (upper(x.known) >= since AND upper(x.known) < until))
        UNION
        SELECT p.account_id, p.period_no
          FROM (SELECT x.item_id, x.known FROM meter_definition AS x UNION ALL SELECT x.item_id, x.known FROM fee_definition AS x) AS x
          JOIN price AS r ON r.item_id = x.item_id
          JOIN agreement_term AS t ON t.list_id = r.list_id
          JOIN agreement AS a ON a.agreement_id = t.agreement_id
          JOIN charge_period AS p ON p.account_id = a.buyer_id
         WHERE (lower(x.known) >= since AND lower(x.known) < until) OR (upper(x.known) >= since AND upper(x.known) < until)
        UNION
        SELECT p.account_id, p.period_no
          FROM account_setting AS x
          JOIN charge_period AS p ON p.account_id = x.account_id AND p.date_to > x.from_date
         WHERE x.recorded_at >= since AND x.recorded_at < until
        UNION
        -- an account that moved in the tree, for those who are charged for a whole tree
        SELECT p.account_id, p.period_no
          FROM agreement_term AS t
          JOIN agreement AS a ON a.agreement_id = t.agreement_id
          JOIN charge_period AS p ON p.account_id = a.buyer_id
         WHERE t.with_descendants
           AND EXISTS (SELECT FROM account_setting AS x
                        WHERE x.recorded_at >= since AND x.recorded_at < until
                          AND x.parent_id IS DISTINCT FROM (SELECT y.parent_id FROM account_setting AS y WHERE y.account_id = x.account_id AND y.setting_no = x.setting_no - 1))
        UNION
        -- a policy that changed, where something is held
        SELECT k.account_id, k.period_no
          FROM correction_policy AS x
          JOIN held AS h ON x.account_id IS NULL OR h.account_id = x.account_id
          JOIN charge_key AS k ON k.account_id = h.account_id AND k.key_id = h.key_id
          JOIN agreement AS a ON a.agreement_id = k.agreement_id AND (x.seller_id IS NULL OR a.seller_id = x.seller_id)
         WHERE (lower(x.known) >= since AND lower(x.known) < until) OR (upper(x.known) >= since AND upper(x.known) < until)
        UNION
        -- decisions, and invoices taken back
        SELECT k.account_id, k.period_no
          FROM decision AS d JOIN charge_key AS k USING (account_id, key_id)
         WHERE d.recorded_at >= since AND d.recorded_at < until
        UNION
        SELECT k.account_id, k.period_no
          FROM invoice_event AS e JOIN line AS l USING (invoice_id) JOIN charge_key AS k USING (account_id, key_id)
         WHERE e.event IN ('voided', 'cancelled') AND e.recorded_at >= since AND e.recorded_at < until
        UNION
        SELECT q.account_id, q.period_no FROM pending AS q;
END $$;
COMMENT ON FUNCTION billing.touched_periods(timestamptz, timestamptz) IS
'The stored charge periods whose charges may have changed by facts recorded in [since, until), and those that wait because a charge could not be rated.';

-- What a run looks at: periods that fall due, running periods billed progressively, and periods that new facts touch.

CREATE FUNCTION billing.scope_text(through date, known_at timestamptz, own_at timestamptz, which text) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $function$
    SELECT billing.fill_in(replace(replace($text$
        SELECT p.account_id, p.period_no, p.date_from, p.date_to, p.full_from, p.starts_at, p.ends_at, p.time_zone,
               x.due AS rate_arrears, x.due OR x.interim AS rate_usage, p.date_from <= {through} OR p.advance_known_at IS NOT NULL AS rate_advance,
               x.interim, greatest(p.interim_to, least({through}, p.date_to)) AS interim_to,
               CASE WHEN x.interim AND greatest(p.interim_to, {through}) < p.date_to THEN greatest(p.interim_to, {through})::timestamp AT TIME ZONE p.time_zone ELSE p.ends_at END AS rated_to,
               p.closed_known_at, p.closed_own_at, p.looked_known_at, p.looked_own_at, p.rating_version, p.sealed_at IS NOT NULL AS sealed,
               p.advance_known_at, p.advance_pinned_at, p.advance_pinned_own,
               -- the one pass over usage knows one watermark, and no stamps of periods of their own
               CASE WHEN p.looked_known_at IS NULL AND p.looked_own_at IS NULL THEN 'due' ELSE 'touched' END AS batch
          FROM billing.charge_period AS p
         CROSS JOIN LATERAL (SELECT p.looked_known_at IS NOT NULL OR (p.date_to <= {through} AND p.due_at <= {through}::timestamp AT TIME ZONE p.time_zone) AS due) AS d
         CROSS JOIN LATERAL (SELECT d.due, NOT d.due AND (p.interim_to IS NOT NULL OR p.date_from < {through})
                                    AND EXISTS (SELECT FROM billing.agreement AS a JOIN billing.agreement_term AS t USING (agreement_id)
                                                 WHERE a.buyer_id = p.account_id AND num_nonnulls(t.progressive_threshold, t.progressive_thresholds, t.progressive_every) > 0 AND billing.known(t.known, {known_at}, {own_at})) AS interim) AS x
         WHERE (x.due OR x.interim OR p.date_from <= {through} OR p.advance_known_at IS NOT NULL) AND ({which})
    $text$, '{through}', format('%L::date', $1)), '{which}', $4), $2, $3)
$function$;
COMMENT ON FUNCTION billing.scope_text(date, timestamptz, timestamptz, text) IS 'SQL text of the relation rated_period for the stored periods that the condition names. Immutable.';

CREATE FUNCTION billing.make_relation(place text, relation text, query text) RETURNS bigint
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, billing, pg_temp SET default_statistics_target = 10
AS $$
DECLARE
    made    bigint;
    started timestamptz := clock_timestamp();
BEGIN
    -- The tables of the last run are still in schema billing; the steps of this one must not read them.
    IF place = 'pg_temp' THEN
        PERFORM set_config('search_path', 'pg_catalog, pg_temp, billing', true);
    END IF;
    IF to_regclass(format('%I.%I', place, relation)) IS NOT NULL THEN
        EXECUTE format('DROP TABLE %I.%I', place, relation);
    END IF;
    EXECUTE format('CREATE %s TABLE %I.%I %s AS %s', CASE place WHEN 'pg_temp' THEN 'TEMPORARY' ELSE 'UNLOGGED' END, place, relation,
                   CASE place WHEN 'pg_temp' THEN 'ON COMMIT DROP' ELSE '' END, query);
    GET DIAGNOSTICS made = ROW_COUNT;
    IF place <> 'pg_temp' THEN
        EXECUTE format('COMMENT ON TABLE billing.%I IS %L', relation, 'Work table of the billing run; made anew by each.');
    END IF;
    EXECUTE format('ANALYZE %I.%I', place, relation);
    RAISE DEBUG '%: % rows in %', relation, made, clock_timestamp() - started;
    RETURN made;
END $$;
COMMENT ON FUNCTION billing.make_relation(text, text, text) IS 'Makes one work table of a run: unlogged in schema billing, or temporary. Returns its number of rows.';
REVOKE ALL ON FUNCTION billing.make_relation(text, text, text) FROM PUBLIC;

-- A query over the parent would compare every row with the bounds; whole partitions will do where each row is clipped anyhow.
CREATE FUNCTION billing.usage_partitions(usage_from timestamptz, usage_to timestamptz) RETURNS text
    LANGUAGE sql STABLE PARALLEL SAFE SET search_path = pg_catalog, billing, pg_temp
AS $$
    SELECT '(' || string_agg(format('SELECT p.account_id, p.meter_id, p.consumed, p.recorded_at FROM billing.%I AS p', c.relname), ' UNION ALL ' ORDER BY c.relname) || ')'
      FROM pg_inherits AS i
      JOIN pg_class AS c ON c.oid = i.inhrelid
      LEFT JOIN usage_month AS m ON c.relname = 'usage_' || to_char(m.month, 'YYYY_MM')
     WHERE i.inhparent = 'billing.usage'::regclass
       AND (m.month IS NULL OR (m.month::timestamp AT TIME ZONE 'UTC' <= $2 AND (m.month + interval '1 month') AT TIME ZONE 'UTC' > $1))
$$;
COMMENT ON FUNCTION billing.usage_partitions(timestamptz, timestamptz) IS
'SQL text of a relation of all usage that ends between two instants, and of other usage in the same partitions: account_id, meter_id, consumed, recorded_at. Stable.';
REVOKE ALL ON FUNCTION billing.usage_partitions(timestamptz, timestamptz) FROM PUBLIC;

CREATE FUNCTION billing.levels_text() RETURNS text
    LANGUAGE sql STABLE PARALLEL SAFE SECURITY DEFINER SET search_path = pg_catalog, billing, pg_temp
    AS $$ SELECT CASE WHEN EXISTS (SELECT FROM billing.meter_definition AS m WHERE m.aggregation IN ('time_weighted', 'weighted_sum', 'increase') OR m.carried_over OR m.prorated IS NOT NULL) THEN 'OR s.looks_back' ELSE '' END $$;
COMMENT ON FUNCTION billing.levels_text() IS 'What stands for {levels} in the text of a rating step: nothing while no meter looks back, so that old partitions of usage are not even looked at. Stable.';

CREATE FUNCTION billing.fill_usage(template text, known_at timestamptz, own_at timestamptz, usage_from timestamptz, usage_to timestamptz, batch text) RETURNS text
    LANGUAGE sql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT pg_catalog.replace(pg_catalog.replace(pg_catalog.replace(pg_catalog.replace(pg_catalog.replace(pg_catalog.replace(billing.fill_in($1, $2, $3),
               '{usage_from}', pg_catalog.format('%L::timestamptz', $4)), '{usage_to}', pg_catalog.format('%L::timestamptz', $5)),
               '{usage_partitions}', billing.usage_partitions($4, $5)), '{batch}', pg_catalog.quote_literal($6)), '{usage_accounts}', ''), '{levels}', billing.levels_text())
$$;
COMMENT ON FUNCTION billing.fill_usage(text, timestamptz, timestamptz, timestamptz, timestamptz, text) IS 'fill_in(), and the bounds of the usage that a step reads. Stable.';

CREATE FUNCTION billing.one_pass_above() RETURNS bigint
    LANGUAGE sql STABLE PARALLEL SAFE
    AS $$ SELECT COALESCE(CASE WHEN pg_catalog.current_setting('billing.one_pass_above', true) OPERATOR(pg_catalog.<>) ''
                       THEN pg_catalog.current_setting('billing.one_pass_above', true)::bigint END, 2000) $$;
COMMENT ON FUNCTION billing.one_pass_above() IS 'Above how many accounts a run reads usage in one parallel pass instead of by index: the setting billing.one_pass_above, 2000 unless set. Both give the same quantities.';

-- Fills in the steps of the pipeline up to what is owed.  rated_period must be there.
CREATE FUNCTION billing.rate_scope(place text, known_at timestamptz, own_at timestamptz) RETURNS void
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, billing, pg_temp SET jit = off
AS $$
DECLARE
    longest interval := (SELECT s.longest_usage FROM ledger_state AS s);
    bounds  record;
    step    text;
    relation text := 'rated_quantity';   -- where the next step goes; the first makes it
    one_pass boolean;
    large    boolean;
BEGIN
    IF place = 'pg_temp' THEN
        PERFORM set_config('search_path', 'pg_catalog, pg_temp, billing', true);
    END IF;
    EXECUTE 'SELECT count(*) > billing.one_pass_above() FROM rated_period' INTO large;
    -- Nothing is known of expressions over work tables; with thousands of periods a nested loop by mistake would not end.
    PERFORM set_config('enable_nestloop', CASE WHEN large THEN 'off' ELSE 'on' END, true);
    FOREACH step IN ARRAY billing.pricing_steps() LOOP
        PERFORM billing.make_relation(place, step, billing.fill_in(billing.rating_step(step), known_at, own_at));
    END LOOP;
    FOR bounds IN
        EXECUTE 'SELECT c.batch, min(c.from_at) AS usage_from, max(c.to_at) + $1 AS usage_to, count(*) AS contracts, sum(s.plain) AS pieces
                   FROM rated_contract AS c
                   JOIN (SELECT x.spec_no, count(*) FILTER (WHERE x.plain AND x.enabled) AS plain FROM rated_segment AS x GROUP BY x.spec_no) AS s USING (spec_no)
                  WHERE c.rate_usage GROUP BY c.batch' USING longest
    LOOP
        -- Thousands of accounts are read in one pass; the planner would prefer as many index probes.
        one_pass := bounds.contracts > billing.one_pass_above();
        FOR step IN EXECUTE 'SELECT DISTINCT CASE WHEN s.by_rows THEN ''rated_quantity_rows'' WHEN s.looks_back THEN ''rated_quantity_level'' WHEN NOT s.plain THEN ''rated_quantity_general'' WHEN $1 THEN ''rated_quantity_pass'' ELSE ''rated_quantity_plain'' END
                               FROM rated_segment AS s WHERE s.item_kind = ''meter'' AND s.enabled'
                       USING one_pass AND bounds.batch = 'due' AND place <> 'pg_temp' AND bounds.pieces < 16000000   -- what pass_usage() holds
        LOOP
            PERFORM set_config('enable_nestloop', CASE WHEN one_pass AND step <> 'rated_quantity_pass' THEN 'off' ELSE 'on' END, true);
            PERFORM billing.make_relation(place, relation, billing.fill_usage(billing.rating_step(step), known_at, own_at, bounds.usage_from, bounds.usage_to, bounds.batch));
            IF relation = 'rated_quantity_part' THEN
                EXECUTE 'INSERT INTO rated_quantity SELECT * FROM rated_quantity_part';
                EXECUTE 'ANALYZE rated_quantity';
            END IF;
            relation := 'rated_quantity_part';
        END LOOP;
    END LOOP;
    IF relation = 'rated_quantity' THEN   -- no usage is to be read
        PERFORM billing.make_relation(place, relation, billing.fill_usage(billing.rating_step('rated_quantity_plain'), known_at, own_at, 'infinity', 'infinity', 'none'));
    END IF;
    PERFORM set_config('enable_nestloop', CASE WHEN large THEN 'off' ELSE 'on' END, true);
    FOREACH step IN ARRAY ARRAY['rated_amount', 'rated_owed'] LOOP
        PERFORM billing.make_relation(place, step, billing.fill_in(billing.rating_step(step), known_at, own_at));
    END LOOP;
    PERFORM set_config('enable_nestloop', 'on', true);
END $$;
COMMENT ON FUNCTION billing.rate_scope(text, timestamptz, timestamptz) IS 'Rates the periods of the relation rated_period, leaving what is owed in rated_owed.';
REVOKE ALL ON FUNCTION billing.rate_scope(text, timestamptz, timestamptz) FROM PUBLIC;

-- Writes what a run found: keys, decisions, drafts, held differences, periods looked at.  All of it in one transaction.
CREATE FUNCTION billing.apply_differences(place text, run bigint, known_at timestamptz, own_at timestamptz) RETURNS jsonb
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, billing, pg_temp SET jit = off
AS $$
DECLARE
    new_keys bigint; drafted bigint; dropped bigint; held_rows bigint; failed_rows bigint; unmatched jsonb;
BEGIN
    IF place = 'pg_temp' THEN
        PERFORM set_config('search_path', 'pg_catalog, pg_temp, billing', true);
    END IF;
    EXECUTE 'INSERT INTO billing.charge_key (account_id, period_no, agreement_id, item_id, subscription_id, consumer_id, charge_group, component, looked_owed)
             SELECT o.account_id, o.period_no, o.agreement_id, o.item_id, o.subscription_id, o.consumer_id, o.charge_group, o.component,
                    CASE WHEN p.closed_known_at IS NULL THEN o.owed END   -- a closed period may be under another rating version: nothing was looked at then
               FROM rated_owed AS o JOIN rated_period AS p USING (account_id, period_no) WHERE NOT o.failed OR NOT o.failed_now
              ORDER BY o.account_id, o.period_no, o.agreement_id, o.item_id
                 ON CONFLICT DO NOTHING';
    GET DIAGNOSTICS new_keys = ROW_COUNT;
    PERFORM billing.analyze_grown('billing.charge_key', new_keys, '(account_id, key_id, period_no)');
    PERFORM billing.make_relation(place, 'rated_difference', billing.fill_in(billing.rating_step('rated_difference'), known_at, own_at));
    PERFORM billing.make_relation(place, 'rated_progress', billing.fill_in(billing.rating_step('rated_progress'), known_at, own_at));

    -- What is ignored becomes a decision, once.
    EXECUTE 'INSERT INTO billing.decision (account_id, key_id, kind, cause, amount, reason)
             SELECT d.account_id, d.key_id, ''ignored'', e.key, billing.monetary(e.value::text::numeric, billing.currency(d.nothing)), ''correction policy: ignore''
               FROM rated_difference AS d CROSS JOIN jsonb_each(d.ignored_now) AS e
              WHERE d.ignored_now IS NOT NULL AND NOT d.failed AND d.frozen_at IS NULL AND NOT d.interim';

    -- What the policy bills moves the pin of the period, so that no later policy takes it back.
    EXECUTE 'INSERT INTO billing.pin_advance (cause, list_id, item_id, account_id, valid, advance_to, reason)
             SELECT DISTINCT e.key, CASE e.key WHEN ''price'' THEN t.list_id END, CASE e.key WHEN ''price'' THEN d.item_id END, d.account_id,
                    tsrange(p.date_from, p.date_to), $1, ''correction policy: bill''
               FROM rated_difference AS d CROSS JOIN jsonb_each(d.billed_by_policy) AS e
               JOIN rated_period AS p ON p.account_id = d.account_id AND p.period_no = d.period_no
               -- the list that the charge is billed by, not one that a plan which is held would bring
               LEFT JOIN rated_contract AS t ON t.variant = CASE WHEN d.fees_apart THEN 10 ELSE 0 END AND t.account_id = d.account_id AND t.period_no = d.period_no AND t.agreement_id = d.agreement_id
              WHERE d.billed_by_policy IS NOT NULL AND (NOT d.failed OR d.failed_at_pin) AND d.frozen_at IS NULL AND e.value::text::numeric <> 0
                AND (e.key <> ''price'' OR t.list_id IS NOT NULL)' USING known_at;   -- without an agreement at the pin there are no prices to move

    EXECUTE 'DELETE FROM billing.draft_line AS l USING rated_difference AS d
              WHERE l.account_id = d.account_id AND l.key_id = d.key_id AND NOT d.failed AND d.frozen_at IS NULL';
    GET DIAGNOSTICS dropped = ROW_COUNT;
    EXECUTE 'INSERT INTO billing.draft_line (account_id, key_id, agreement_id, interim, correction, amount, booked_before, chain_no, owed, decided, causes,
                                             quantity, unit_price, price_ids, tax_code, rounding, proration, known_at, own_at, interim_to, rating_version, run_id)
             SELECT d.account_id, d.key_id, d.agreement_id, d.interim, d.chain_no > 0, x.amount, d.booked, d.chain_no + 1, d.target, x.decided,
                    CASE WHEN d.chain_no = 0 OR (d.component = ''usage'' AND NOT d.closed) THEN ''{}'' ELSE d.causes || (
                        SELECT CASE WHEN r.rest = 0 THEN ''{}'' ELSE jsonb_build_object(CASE WHEN d.taken_back THEN ''billed_again'' WHEN d.component = ''fee'' THEN ''subscription'' ELSE ''usage'' END, r.rest) END
                          FROM (SELECT amount(x.amount) - coalesce(sum(e.value::text::numeric), 0) AS rest FROM jsonb_each(d.causes) AS e) AS r) END,
                    trim_scale(d.quantity), d.unit_price, d.price_ids, d.tax_code, d.rounding, d.proration, $1, coalesce($2, p.looked_own_at), CASE WHEN d.interim THEN p.interim_to END, billing.rating_version(), $3
               FROM rated_difference AS d
               JOIN rated_period AS p ON p.account_id = d.account_id AND p.period_no = d.period_no
               LEFT JOIN rated_progress AS g ON g.account_id = d.account_id AND g.agreement_id = d.agreement_id
              CROSS JOIN LATERAL (SELECT CASE WHEN d.ignored_now IS NULL THEN d.decided ELSE d.decided + (
                                             SELECT coalesce(sum(billing.monetary(e.value::text::numeric, billing.currency(d.nothing))), d.nothing) FROM jsonb_each(d.ignored_now) AS e) END AS decided) AS y
              CROSS JOIN LATERAL (SELECT d.target + y.decided - d.booked AS amount, y.decided) AS x
              WHERE NOT d.failed AND d.frozen_at IS NULL
                AND CASE WHEN d.interim THEN x.amount > d.nothing AND (x.amount >= d.progressive_threshold OR g.reached)
                         ELSE x.amount <> d.nothing OR (d.chain_no = 0 AND d.is_owed AND d.quantity <> 0) END
              ORDER BY d.account_id, d.key_id'
      USING known_at, own_at, run;
    GET DIAGNOSTICS drafted = ROW_COUNT;
    PERFORM billing.analyze_grown('billing.draft_line', drafted);

    EXECUTE 'DELETE FROM billing.held AS h USING rated_difference AS d
              WHERE h.account_id = d.account_id AND h.key_id = d.key_id AND (NOT d.failed OR d.failed_at_pin)';
    EXECUTE 'INSERT INTO billing.held (account_id, key_id, cause, amount, run_id)
             SELECT d.account_id, d.key_id, e.key, billing.monetary(e.value::text::numeric, billing.currency(d.nothing)), $1
               FROM rated_difference AS d CROSS JOIN jsonb_each(d.held) AS e
              WHERE d.held IS NOT NULL AND (NOT d.failed OR d.failed_at_pin) AND d.key_id IS NOT NULL AND e.value::text::numeric <> 0' USING run;
    GET DIAGNOSTICS held_rows = ROW_COUNT;

    EXECUTE 'UPDATE billing.charge_key AS k SET looked_owed = d.base FROM rated_difference AS d
              WHERE k.account_id = d.account_id AND k.key_id = d.key_id AND NOT d.failed AND NOT d.sealed AND k.looked_owed IS DISTINCT FROM d.base';

    EXECUTE 'DELETE FROM billing.pending AS q USING rated_period AS p WHERE q.account_id = p.account_id AND q.period_no = p.period_no';
    EXECUTE 'INSERT INTO billing.pending (account_id, period_no, reason, detail, run_id)
             SELECT d.account_id, d.period_no, ''rating_error'', min(substr(d.problem, 7)), $1
               FROM rated_difference AS d WHERE d.failed GROUP BY d.account_id, d.period_no' USING run;
    EXECUTE 'INSERT INTO billing.run_error (run_id, account_id, period_no, agreement_id, item_id, charge_group, reason, sqlstate, detail)
             SELECT $1, d.account_id, d.period_no, d.agreement_id, d.item_id, d.charge_group, ''rating_error'', left(d.problem, 5), substr(d.problem, 7)
               FROM rated_difference AS d WHERE d.failed' USING run;
    GET DIAGNOSTICS failed_rows = ROW_COUNT;
    -- Usage for which a price has no cell is no error: the rest of its charge is billed.
    EXECUTE 'SELECT coalesce(jsonb_object_agg(''unmatched_cells'', x.cells), ''{}'')
               FROM (SELECT count(*) AS cells FROM rated_amount AS a JOIN rated_contract AS c USING (contract_no) WHERE a.sqlstate = ''BL001'' AND c.variant = 0) AS x WHERE x.cells > 0' INTO unmatched;

    EXECUTE 'UPDATE billing.charge_period AS p
                SET looked_known_at = CASE WHEN r.rate_arrears THEN $1 ELSE p.looked_known_at END,
                    looked_own_at = coalesce($2, CASE WHEN p.looked_own_at >= $1 THEN p.looked_own_at END),
                    advance_known_at = CASE WHEN r.rate_advance THEN $1 ELSE p.advance_known_at END,
                    interim_to = CASE WHEN r.interim THEN r.interim_to ELSE p.interim_to END,
                    rating_version = CASE WHEN p.closed_known_at IS NOT NULL THEN billing.rating_version() ELSE p.rating_version END
               FROM rated_period AS r
              WHERE p.account_id = r.account_id AND p.period_no = r.period_no' USING known_at, own_at;
    RETURN jsonb_build_object('drafts', drafted, 'drafts_replaced', dropped, 'held', held_rows, 'failed', failed_rows) || unmatched;
END $$;
COMMENT ON FUNCTION billing.apply_differences(text, bigint, timestamptz, timestamptz) IS 'Writes the drafts, held differences and decisions that follow from rated_owed. Returns counts.';
REVOKE ALL ON FUNCTION billing.apply_differences(text, bigint, timestamptz, timestamptz) FROM PUBLIC;

-- The steps of run_invoicing(), each a transaction of its own.

CREATE FUNCTION billing.run_store_periods(run bigint) RETURNS void
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, billing, pg_temp
AS $$
DECLARE
    this run := (SELECT r FROM run AS r WHERE r.run_id = run);
BEGIN
    PERFORM billing.check_run(run, 'storing periods');
    PERFORM billing.note_progress(run, 'rating', jsonb_build_object('periods_stored', billing.store_periods(this.through, this.known_at, NULL)));
END $$;
COMMENT ON FUNCTION billing.run_store_periods(bigint) IS 'Step of run_invoicing(): stores missing charge periods.';

CREATE FUNCTION billing.run_rate(run bigint) RETURNS void
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, billing, pg_temp SET jit = off
AS $$
DECLARE
    this  run := (SELECT r FROM run AS r WHERE r.run_id = run);
    since timestamptz := (SELECT s.last_known_at FROM ledger_state AS s);
    scope bigint;
BEGIN
    PERFORM billing.check_run(run, 'rating');
    PERFORM billing.note_usage_months();
    PERFORM billing.check_usage_partitions();
    PERFORM billing.make_relation('billing', 'rated_touched', format('SELECT * FROM billing.touched_periods(%L, %L)', since, this.known_at));
    scope := billing.make_relation('billing', 'rated_period',
        billing.scope_text(this.through, this.known_at, NULL, format('p.looked_known_at IS NULL AND p.date_from <= %L AND (x.due OR x.interim OR p.advance_known_at IS NULL)', this.through))
        || ' UNION ' ||
        billing.scope_text(this.through, this.known_at, NULL, '(p.account_id, p.period_no) IN (SELECT t.account_id, t.period_no FROM billing.rated_touched AS t)'));
    IF scope > 0 THEN
        PERFORM billing.rate_scope('billing', this.known_at, NULL);
    END IF;
    PERFORM billing.note_progress(run, 'drafting', jsonb_build_object('periods_looked_at', scope));
END $$;
COMMENT ON FUNCTION billing.run_rate(bigint) IS 'Step of run_invoicing(): finds what is due or touched, and rates it into work tables.';

CREATE FUNCTION billing.run_apply(run bigint) RETURNS void
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, billing, pg_temp
AS $$
DECLARE
    this   run := (SELECT r FROM run AS r WHERE r.run_id = run);
    counts jsonb := '{}';
BEGIN
    PERFORM billing.check_run(run, 'drafting');
    IF (this.counts ->> 'periods_looked_at')::bigint > 0 THEN
        counts := billing.apply_differences('billing', run, this.known_at, NULL);
    END IF;
    UPDATE ledger_state AS s SET last_known_at = this.known_at, last_watermark = greatest(s.last_watermark, this.known_at) WHERE s.last_known_at < this.known_at;
    PERFORM billing.note_progress(run, 'finishing', counts);
END $$;
COMMENT ON FUNCTION billing.run_apply(bigint) IS 'Step of run_invoicing(): writes drafts and held differences and moves the watermark, in one transaction.';

CREATE FUNCTION billing.run_finish(run bigint) RETURNS void
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, billing, pg_temp
AS $$
BEGIN
    PERFORM billing.check_run(run, 'finishing');
    IF EXISTS (SELECT FROM draft_line AS d WHERE d.interim AND d.run_id = run) THEN
        PERFORM billing.finalize_interim(run);
    END IF;
    PERFORM billing.finish_run(run);
END $$;
COMMENT ON FUNCTION billing.run_finish(bigint) IS 'Step of run_invoicing(): makes progressive invoices final and closes the run.';

CREATE FUNCTION billing.fail_run(run bigint, reason text) RETURNS void
    LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, billing, pg_temp
AS $$
    UPDATE billing.run AS r SET state = 'failed', finished_at = clock_timestamp(), failure = $2
     WHERE r.run_id = $1 AND r.state = 'running' AND r.backend_pid = pg_backend_pid() AND billing.holds_run_lock()
$$;
COMMENT ON FUNCTION billing.fail_run(bigint, text) IS 'Notes the error that ended a run of this session. Volatile.';

-- What ends a run stands in its row before the caller hears of it.
CREATE PROCEDURE billing.stop_run(run bigint, state text, message text, detail text, hint text)
    LANGUAGE plpgsql
AS $$
BEGIN
    PERFORM billing.fail_run(run, pg_catalog.format('%s: %s', state, message));
    PERFORM billing.release_run_lock();
    COMMIT;
    RAISE USING ERRCODE = state, MESSAGE = message, DETAIL = detail, HINT = hint;
END $$;
COMMENT ON PROCEDURE billing.stop_run(bigint, text, text, text, text) IS 'Ends a run of this session with an error: writes it into the run''s row, commits that, releases the run lock and raises it.';

-- Each step commits.  An error undoes its step only, so that the run's row can say what it was before the caller hears of it.
CREATE PROCEDURE billing.run_steps(run bigint, VARIADIC steps text[])
    LANGUAGE plpgsql
AS $$
DECLARE
    step    text;
    state   text;
    message text;
    detail  text;
    hint    text;
BEGIN
    FOREACH step IN ARRAY steps LOOP
        BEGIN
            EXECUTE pg_catalog.format('SELECT billing.%I($1)', step) USING run;
        EXCEPTION WHEN OTHERS THEN
            GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
        END;
        IF state IS NOT NULL THEN
            CALL billing.stop_run(run, state, message,
                pg_catalog.concat_ws(' ', CASE WHEN detail OPERATOR(pg_catalog.<>) '' THEN detail END, pg_catalog.format('The run stopped at the step %s, of which nothing is left.', step)),
                COALESCE(CASE WHEN hint OPERATOR(pg_catalog.<>) '' THEN hint END, 'Mend it and call the procedure again.'));
        END IF;
        COMMIT;
    END LOOP;
    PERFORM billing.release_run_lock();
END $$;
COMMENT ON PROCEDURE billing.run_steps(bigint, text[]) IS
'Calls the steps of a run, functions that take its number, each in a transaction of its own, and releases the run lock. Raises what a step raises, after it was written into the run''s row.';

CREATE PROCEDURE billing.run_invoicing(through date, INOUT run_id bigint DEFAULT NULL)
    LANGUAGE plpgsql
AS $$
BEGIN
    PERFORM billing.check_through(through);
    PERFORM billing.acquire_run_lock();
    run_id := billing.start_run('run_invoicing', through);
    COMMIT;
    CALL billing.run_steps(run_id, 'set_watermark', 'run_store_periods', 'run_rate', 'run_apply', 'run_finish');
END $$;
COMMENT ON PROCEDURE billing.run_invoicing(date, bigint) IS
'Bills all accounts: rates what falls due by the day through (in each account''s calendar) and everything that facts recorded since the last run have touched, and writes draft lines of the differences. Commits step by step and can be run again at any time; a run that was killed leaves nothing that the next does not mend. Waits while another run is going on. run_id returns the row of billing.runs with counts and errors. Errors: 25001 unless READ COMMITTED, 22004 for a null date, 22023 for one that is infinite or more than 400 days ahead.';
