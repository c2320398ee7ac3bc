-- Cost comes in.  The caller's rights read the staging table (it may be a view or a temporary table) and copy its rows into
-- cost_staged; the owner's rights do the rest, in the same transaction: check, find the windows, and change each window from what it
-- was to what was delivered, as a whole.

CREATE FUNCTION billing.staging_columns(staging regclass) RETURNS text
    LANGUAGE sql STABLE PARALLEL SAFE SET search_path = pg_catalog, billing, pg_temp
    AS $$ SELECT string_agg(format('%s AS %I', CASE WHEN a.atttypid IN ('text'::regtype, 'varchar'::regtype) THEN format('NULLIF(s.%I, '''')', a.attname)
                                                    ELSE format('s.%I', a.attname) END, coalesce(f.name, a.attname)), ', ' ORDER BY a.attnum)
            FROM pg_attribute AS a
            LEFT JOIN billing.focus_columns() AS f ON lower(f.name) = lower(replace(a.attname, '_', ''))
           WHERE a.attrelid = staging AND a.attnum > 0 AND NOT a.attisdropped $$;
COMMENT ON FUNCTION billing.staging_columns(regclass) IS 'Select list that reads a staging table under FOCUS names; billingaccountid and billing_account_id are BillingAccountId. Stable.';

CREATE FUNCTION billing.record_cost_findings(load_id bigint, source_id int, period daterange) RETURNS bigint
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, billing, pg_temp
AS $$
DECLARE
    -- A row is read once into columns; asking jsonb for each of them anew costs ten times as much.
    broken_rules text := (SELECT string_agg(format('CASE WHEN %s THEN %L END', regexp_replace(regexp_replace(f.condition,
                              'r ->> ''(\w+)''', 'x."\1"', 'g'), 'r \? ''(\w+)''', '(x."\1" IS NOT NULL)', 'g'), f.rule), ', ') FROM focus_rules() AS f);
    columns      text := (SELECT string_agg(format('%I text', f.name), ', ') FROM focus_columns() AS f);
    fatal        bigint;
BEGIN
    EXECUTE format($q$
        INSERT INTO cost_finding (load_id, finding_no, severity, rule, focus_column, row_no, value, message, affected)
        SELECT $1, row_number() OVER (ORDER BY f.severity <> 'fatal', f.rule, b.row_no), f.severity, f.rule, f.focus_column, b.row_no, left(b.r ->> f.focus_column, 200), f.message, b.affected
          FROM (SELECT broken.rule, s.row_no, s.r, row_number() OVER (PARTITION BY broken.rule ORDER BY s.row_no) AS place, count(*) OVER (PARTITION BY broken.rule) AS affected
                  FROM cost_staged AS s CROSS JOIN LATERAL jsonb_to_record(s.r) AS x (%s) CROSS JOIN LATERAL unnest(array_remove(ARRAY[%s], NULL)) AS broken (rule)
                 WHERE s.source_id = $2 AND s.period = $3) AS b
          JOIN focus_rules() AS f ON f.rule = b.rule
         WHERE b.place <= 100 $q$, columns, broken_rules)
        USING record_cost_findings.load_id, record_cost_findings.source_id, record_cost_findings.period;
    SELECT count(*) FILTER (WHERE f.severity = 'fatal') INTO fatal FROM cost_finding AS f WHERE f.load_id = record_cost_findings.load_id;
    RETURN fatal;
END $$;
COMMENT ON FUNCTION billing.record_cost_findings(bigint, int, daterange) IS 'Records where the staged rows of a delivery break the rules of FOCUS; returns how many findings are fatal. Used by import_focus(). Volatile.';

CREATE FUNCTION billing.check_cost_windows(source_id int, period daterange) RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, billing, pg_temp SET timezone = 'UTC'
AS $$
DECLARE
    problem record;
BEGIN
    FOR problem IN
        SELECT s.r ->> 'BillingAccountId' AS account, s.r ->> 'BillingPeriodStart' AS starts, s.r ->> 'BillingPeriodEnd' AS ends, count(*) AS rows
          FROM cost_staged AS s WHERE s.source_id = check_cost_windows.source_id AND s.period = check_cost_windows.period GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
    LOOP
        IF problem.ends::timestamptz::date <= problem.starts::timestamptz::date
           OR NOT check_cost_windows.period @> daterange(problem.starts::timestamptz::date, problem.ends::timestamptz::date) THEN
            RAISE invalid_parameter_value USING
                MESSAGE = format('%s rows of billing account "%s" are of the billing period %s to %s, which is not within %s', problem.rows, problem.account, problem.starts, problem.ends, check_cost_windows.period),
                HINT = 'Name a billing_period that holds all periods of the delivery, or import a view of those rows that belong to it.';
        ELSIF NOT EXISTS (SELECT FROM billing_account AS b WHERE b.source_id = check_cost_windows.source_id AND b.billing_account = problem.account) THEN
            RAISE undefined_object USING
                MESSAGE = format('billing account "%s" has no project or other cost center, so its cost cannot be taken in', problem.account),
                HINT = format('Say who answers for it: billing.set_billing_account(source, ''%s'', kind => ''project'', cost_center => …).', problem.account);
        END IF;
        INSERT INTO cost_window (source_id, billing_account, period)
            VALUES (check_cost_windows.source_id, problem.account, daterange(problem.starts::timestamptz::date, problem.ends::timestamptz::date)) ON CONFLICT DO NOTHING;
    END LOOP;
END $$;
COMMENT ON FUNCTION billing.check_cost_windows(int, daterange) IS
'Finds and makes the windows of the staged rows of a delivery. Errors: 22023 a billing period outside of what was named, 42704 a billing account without cost center. Used by import_focus(). Volatile.';

CREATE FUNCTION billing.store_tag_sets(source_id int, period daterange) RETURNS void
    LANGUAGE sql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, billing, pg_temp
    AS $$ INSERT INTO billing.tag_set (delivered, tags)
          SELECT t.delivered, billing.normal_tags(t.delivered)
            FROM (SELECT DISTINCT billing.try_object(d.raw) AS delivered
                    FROM (SELECT DISTINCT s.r -> 'Tags' AS raw FROM billing.cost_staged AS s
                           WHERE s.source_id = store_tag_sets.source_id AND s.period = store_tag_sets.period AND s.r ? 'Tags') AS d) AS t
           WHERE t.delivered IS NOT NULL AND t.delivered <> '{}'
           ORDER BY 1 ON CONFLICT DO NOTHING $$;
COMMENT ON FUNCTION billing.store_tag_sets(int, daterange) IS 'Stores the sets of tags that the staged rows of a delivery bring for the first time. Used by import_focus(). Volatile.';

CREATE FUNCTION billing.change_cost_windows(load bigint, of_source int, of_period daterange, stamp timestamptz) RETURNS void
    -- The planner cannot guess how many rows a delivery has; loops over a million of them would never end.
    LANGUAGE sql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, billing, pg_temp SET timezone = 'UTC' SET enable_nestloop = off SET jit = off
AS $$
    WITH keyed AS (
        SELECT w.window_id, s.row_no, s.r,
               encode(substring(sha256(convert_to((s.r || jsonb_strip_nulls(jsonb_build_object(
                   'BilledCost', trim_scale((s.r ->> 'BilledCost')::numeric), 'EffectiveCost', trim_scale((s.r ->> 'EffectiveCost')::numeric),
                   'ListCost', trim_scale((s.r ->> 'ListCost')::numeric), 'ContractedCost', trim_scale((s.r ->> 'ContractedCost')::numeric))))::text, 'UTF8')) FOR 16), 'hex')::uuid AS row_key
          FROM billing.cost_staged AS s
          JOIN billing.cost_window AS w ON w.source_id = s.source_id AND w.billing_account = s.r ->> 'BillingAccountId'
           AND w.period = daterange((s.r ->> 'BillingPeriodStart')::timestamptz::date, (s.r ->> 'BillingPeriodEnd')::timestamptz::date)
         WHERE s.source_id = of_source AND s.period = of_period),
    parsed AS MATERIALIZED (SELECT k.*, (row_number() OVER (PARTITION BY k.window_id, k.row_key ORDER BY k.row_no))::int AS ordinal FROM keyed AS k),
    delivered AS (SELECT p.window_id, count(*) AS rows FROM parsed AS p GROUP BY p.window_id),
    gone AS (
        UPDATE billing.cost AS c SET known = tstzrange(lower(c.known), stamp)
          FROM delivered AS d
         WHERE c.window_id = d.window_id AND upper_inf(c.known)
           AND NOT EXISTS (SELECT FROM parsed AS p WHERE p.window_id = c.window_id AND p.row_key = c.row_key AND p.ordinal = c.ordinal)
        RETURNING c.window_id),
    fresh AS (
        INSERT INTO billing.cost (window_id, row_key, ordinal, load_id, known, charge_start, charge_end, category, service, provider, sub_account, resource,
                                  currency, billed, effective, list, contracted, tag_set_id, attributes)
        SELECT p.window_id, p.row_key, p.ordinal, load, tstzrange(stamp, NULL), (p.r ->> 'ChargePeriodStart')::timestamptz, (p.r ->> 'ChargePeriodEnd')::timestamptz,
               p.r ->> 'ChargeCategory', p.r ->> 'ServiceName', p.r ->> 'ProviderName', p.r ->> 'SubAccountId', p.r ->> 'ResourceId', p.r ->> 'BillingCurrency',
               (p.r ->> 'BilledCost')::numeric, (p.r ->> 'EffectiveCost')::numeric, (p.r ->> 'ListCost')::numeric, (p.r ->> 'ContractedCost')::numeric, t.tag_set_id,
               p.r - '{BillingAccountId,BillingPeriodStart,BillingPeriodEnd,ChargePeriodStart,ChargePeriodEnd,ChargeCategory,ServiceName,ProviderName,SubAccountId,ResourceId,BillingCurrency,BilledCost,EffectiveCost,ListCost,ContractedCost}'::text[]
                   - CASE WHEN t.tag_set_id IS NOT NULL THEN 'Tags' ELSE '' END
          FROM parsed AS p
          LEFT JOIN billing.tag_set AS t ON p.r ? 'Tags' AND md5(t.delivered::text) = md5(billing.try_object(p.r -> 'Tags')::text)
         WHERE NOT EXISTS (SELECT FROM billing.cost AS c WHERE c.window_id = p.window_id AND c.row_key = p.row_key AND c.ordinal = p.ordinal AND upper_inf(c.known))
        RETURNING window_id)
    INSERT INTO billing.cost_window_load (window_id, load_id, delivered, added, removed)
    SELECT d.window_id, load, d.rows, coalesce(f.added, 0), coalesce(g.removed, 0)
      FROM delivered AS d
      LEFT JOIN (SELECT window_id, count(*) AS added FROM fresh GROUP BY window_id) AS f USING (window_id)
      LEFT JOIN (SELECT window_id, count(*) AS removed FROM gone GROUP BY window_id) AS g USING (window_id)
$$;
COMMENT ON FUNCTION billing.change_cost_windows(bigint, int, daterange, timestamptz) IS
'Makes the windows of a delivery hold what was delivered: rows that are gone stop being known at the stamp, rows that are new begin to be, the others stay. Used by import_focus(). Volatile.';

CREATE FUNCTION billing.take_staged_cost(source_id int, period daterange, complete boolean) RETURNS bigint
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, billing, pg_temp
AS $$
DECLARE
    new_load  bigint;
    staged_rows bigint := (SELECT count(*) FROM cost_staged AS s WHERE s.source_id = take_staged_cost.source_id AND s.period = take_staged_cost.period);
    stamp     timestamptz := stamp_after((SELECT max(l.recorded_at) FROM cost_load AS l WHERE l.source_id = take_staged_cost.source_id));
    verdict   text := 'collected';
    changes   record;
BEGIN
    PERFORM check_ledger();
    new_load := nextval(pg_get_serial_sequence('billing.cost_load', 'load_id'));
    INSERT INTO cost_load (load_id, source_id, period, complete, outcome, delivered, recorded_at) OVERRIDING SYSTEM VALUE
        VALUES (new_load, take_staged_cost.source_id, take_staged_cost.period, take_staged_cost.complete, 'collected', staged_rows, stamp);
    IF complete THEN
        IF record_cost_findings(new_load, take_staged_cost.source_id, take_staged_cost.period) > 0 THEN
            verdict := 'refused';
        ELSE
            PERFORM check_cost_windows(take_staged_cost.source_id, take_staged_cost.period);
            PERFORM store_tag_sets(take_staged_cost.source_id, take_staged_cost.period);
            PERFORM change_cost_windows(new_load, take_staged_cost.source_id, take_staged_cost.period, stamp);
        END IF;
        DELETE FROM cost_staged AS s WHERE s.source_id = take_staged_cost.source_id AND s.period = take_staged_cost.period;
        SELECT coalesce(sum(w.added), 0) AS added, coalesce(sum(w.removed), 0) AS removed INTO changes FROM cost_window_load AS w WHERE w.load_id = new_load;
        UPDATE cost_load AS l SET added = changes.added, removed = changes.removed,
               outcome = CASE WHEN verdict = 'refused' THEN verdict WHEN changes.added + changes.removed > 0 THEN 'changed' ELSE 'unchanged' END
         WHERE l.load_id = new_load;
    END IF;
    RETURN new_load;
END $$;
COMMENT ON FUNCTION billing.take_staged_cost(int, daterange, boolean) IS 'Takes the staged rows of a delivery in, or keeps them until the rest has come, and returns the number of the load. Used by import_focus(). Volatile.';

CREATE FUNCTION billing.import_focus(staging regclass, source text, billing_period daterange, complete boolean DEFAULT true)
    RETURNS TABLE (load bigint, outcome text, delivered bigint, added bigint, removed bigint, findings bigint)
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, billing, pg_temp
AS $$
DECLARE
    of_source int := billing.find_cost_source(import_focus.source);
BEGIN
    IF isempty(billing_period) OR lower_inf(billing_period) OR upper_inf(billing_period) OR billing_period IS NULL OR import_focus.complete IS NULL THEN
        RAISE invalid_parameter_value USING MESSAGE = format('billing_period must be a span of days and complete true or false, not %s and %s', coalesce(billing_period::text, 'null'), coalesce(import_focus.complete::text, 'null')),
            HINT = 'A month is written ''[2026-10-01,2026-11-01)''.';
    END IF;
    PERFORM pg_advisory_xact_lock(1651076211, of_source);    -- one delivery of a source at a time
    EXECUTE format('INSERT INTO billing.cost_staged (source_id, period, row_no, r) SELECT $1, $2, row_number() OVER (), jsonb_strip_nulls(to_jsonb(x)) FROM (SELECT %s FROM %s AS s) AS x',
                   billing.staging_columns(staging), staging) USING of_source, billing_period;
    load := billing.take_staged_cost(of_source, billing_period, import_focus.complete);
    RETURN QUERY SELECT l.load, l.outcome, l.delivered, l.added, l.removed, l.findings FROM billing.cost_loads AS l WHERE l.load = import_focus.load;
END $$;
COMMENT ON FUNCTION billing.import_focus(regclass, text, daterange, boolean) IS
'Takes FOCUS 1.0 to 1.2 rows from a table or view that the caller may read: staging; source: key of the cost source; billing_period: days that hold every billing period of the delivery; complete: false sets the rows aside as a part, true takes in this and all parts set aside for the same source and period. Each window (source, billing account, billing period) then holds exactly what was delivered; one without a row in the delivery stays as it is. Empty texts are null; column names may be written in any case and with underscores. Returns the number of the load; outcome: changed, unchanged, collected or refused (a fatal finding, nothing changed); rows delivered, added and removed; and how many rules were broken (see cost_findings). Errors: 22023 a billing period outside of billing_period, 42704 unknown source or billing account without cost center. Volatile.';

CREATE FUNCTION billing.discard_staged_cost(source text, billing_period daterange) RETURNS bigint
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, billing, pg_temp
AS $$
DECLARE
    of_source int := find_cost_source(discard_staged_cost.source);
    discarded bigint;
BEGIN
    PERFORM pg_advisory_xact_lock(1651076211, of_source);
    DELETE FROM cost_staged AS s WHERE s.source_id = of_source AND s.period = discard_staged_cost.billing_period;
    GET DIAGNOSTICS discarded = ROW_COUNT;
    RETURN discarded;
END $$;
COMMENT ON FUNCTION billing.discard_staged_cost(text, daterange) IS
'Throws away the parts of a delivery that import_focus() with complete => false has set aside, and returns how many rows they had. Errors: 42704 unknown source. Volatile.';
