-- Cost comes in.  The caller's rights read the staging table (it may be a view or a temporary table) and copy its rows into
-- cost_staged; the owner's rights do the rest, in the same transaction: check, find the windows, and change each window from what it
-- was to what was delivered, as a whole.

CREATE FUNCTION billing.staging_sql(staging regclass) RETURNS text
    LANGUAGE sql STABLE PARALLEL SAFE SET search_path = pg_catalog, billing, pg_temp
    AS $$ WITH delivered AS (
              SELECT a.attnum, a.attname, f.name,
                     CASE WHEN a.atttypid IN ('text'::regtype, 'varchar'::regtype) THEN format('NULLIF(s.%I, '''')', a.attname)
                          WHEN f.name IS NULL THEN format('s.%I', a.attname)
                          WHEN a.atttypid = 'timestamptz'::regtype THEN format('to_char(s.%I AT TIME ZONE ''UTC'', ''YYYY-MM-DD"T"HH24:MI:SS.US"Z"'')', a.attname)
                          ELSE format('s.%I::text', a.attname) END AS value
                FROM pg_attribute AS a LEFT JOIN billing.focus_columns() AS f ON lower(f.name) = lower(replace(a.attname, '_', ''))
               WHERE a.attrelid = staging AND a.attnum > 0 AND NOT a.attisdropped)
          SELECT format('INSERT INTO billing.cost_staged (source_id, period, part, row_no%s, more) SELECT $1, $2, $3, row_number() OVER ()%s, %s FROM %s AS s',
                        string_agg(format(', %I', d.name), '' ORDER BY d.attnum) FILTER (WHERE d.name IS NOT NULL), string_agg(', ' || d.value, '' ORDER BY d.attnum) FILTER (WHERE d.name IS NOT NULL),
                        coalesce(format('(SELECT jsonb_strip_nulls(to_jsonb(m)) FROM (SELECT %s) AS m)', string_agg(format('%s AS %I', d.value, d.attname), ', ' ORDER BY d.attnum) FILTER (WHERE d.name IS NULL)), 'NULL'), staging)
            FROM delivered AS d $$;
COMMENT ON FUNCTION billing.staging_sql(regclass) IS
'SQL with parameters $1 (source), $2 (billing period) and $3 (part) that copies a staging table into cost_staged: FOCUS columns as text under their names (billingaccountid and billing_account_id are BillingAccountId), the others as one object; empty texts are null. Used by import_focus(). Stable.';

CREATE FUNCTION billing.check_staging(staging regclass) RETURNS void
    LANGUAGE plpgsql STABLE PARALLEL SAFE SET search_path = pg_catalog, billing, pg_temp
AS $$
DECLARE
    twice record;
BEGIN
    SELECT f.name, string_agg(quote_ident(a.attname), ' and ' ORDER BY a.attnum) AS columns INTO twice
      FROM pg_attribute AS a JOIN billing.focus_columns() AS f ON lower(f.name) = lower(replace(a.attname, '_', ''))
     WHERE a.attrelid = staging AND a.attnum > 0 AND NOT a.attisdropped GROUP BY f.name HAVING count(*) > 1 ORDER BY 1 LIMIT 1;
    IF FOUND THEN
        RAISE duplicate_column USING MESSAGE = format('columns %s of %s are both %s', twice.columns, staging, twice.name), HINT = 'Import a view that has one of them.';
    END IF;
END $$;
COMMENT ON FUNCTION billing.check_staging(regclass) IS 'Errors: 42701 a staging table has the same column of FOCUS under two names. Used by import_focus(). Stable.';

CREATE FUNCTION billing.staged_not_objects(source_id int, period daterange) RETURNS text[]
    LANGUAGE sql STABLE PARALLEL SAFE SET search_path = pg_catalog, billing, pg_temp
    AS $$ SELECT coalesce(array_agg(v.value), '{}')
            FROM (SELECT s."Tags" AS value FROM billing.cost_staged AS s WHERE s.source_id = staged_not_objects.source_id AND s.period = staged_not_objects.period GROUP BY 1
                  UNION
                  SELECT s."SkuPriceDetails" FROM billing.cost_staged AS s WHERE s.source_id = staged_not_objects.source_id AND s.period = staged_not_objects.period GROUP BY 1) AS v
           WHERE v.value IS NOT NULL AND billing.try_object(v.value) IS NULL $$;
COMMENT ON FUNCTION billing.staged_not_objects(int, daterange) IS 'Values of Tags and SkuPriceDetails among the staged rows of a delivery that are no JSON objects. Used by import_focus(). Stable.';

CREATE FUNCTION billing.record_cost_findings(load_id bigint, source_id int, period daterange, first_part int DEFAULT 1) RETURNS bigint
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, billing, pg_temp SET jit = off SET work_mem = '64MB'
AS $$
DECLARE
    numbers   text := (SELECT string_agg(format('CASE WHEN s.%I ~ %L THEN s.%I::numeric END AS %I', f.name, decimal_pattern(), f.name, f.name || ' number'), ', ')
                         FROM focus_columns() AS f WHERE f.kind = 'decimal');
    counts    text := (SELECT string_agg(format('CASE WHEN count(s.%I) > 0 THEN %L END', f.focus_column, f.focus_column), ', ') FROM focus_rules() AS f WHERE f.if_delivered);
    delivered text[];
    rules     text[];
    broken    text;
    fatal     bigint;
BEGIN
    EXECUTE format('SELECT ARRAY[%s] FROM cost_staged AS s WHERE s.source_id = $1 AND s.period = $2 AND s.part >= $3', counts) INTO delivered USING record_cost_findings.source_id, record_cost_findings.period, first_part;
    SELECT array_agg(f.rule ORDER BY f.place), string_agg(format('CASE WHEN %s THEN %s END', f.condition, f.place), ', ' ORDER BY f.place) INTO rules, broken
      FROM (SELECT f.*, row_number() OVER () AS place FROM focus_rules() AS f WHERE NOT f.if_delivered OR f.focus_column = ANY (delivered)) AS f;
    -- A row is read once, and each of its numbers too.
    EXECUTE format($q$
        INSERT INTO cost_finding (load_id, finding_no, severity, rule, focus_column, row_no, value, message, affected)
        SELECT $1, row_number() OVER (ORDER BY f.severity <> 'fatal', f.rule, b.row_no, b.row_id), f.severity, f.rule, f.focus_column, b.row_no, left(to_jsonb(s) ->> f.focus_column, 200), f.message, b.affected
          FROM (SELECT broken.rule_no, x.row_id, x.row_no, row_number() OVER (PARTITION BY broken.rule_no ORDER BY x.row_no, x.row_id) AS place, count(*) OVER (PARTITION BY broken.rule_no) AS affected
                  FROM (SELECT s.ctid AS row_id, s.*, $4 AS not_objects, %s FROM cost_staged AS s WHERE s.source_id = $2 AND s.period = $3 AND s.part >= $6 OFFSET 0) AS x
                 CROSS JOIN LATERAL unnest(array_remove(ARRAY[%s], NULL)) AS broken (rule_no)) AS b
          JOIN focus_rules() AS f ON f.rule = $5[b.rule_no]
          JOIN cost_staged AS s ON s.ctid = b.row_id
         WHERE b.place <= 100 $q$, numbers, replace(broken, '(not_objects)', '($4)'))
        USING record_cost_findings.load_id, record_cost_findings.source_id, record_cost_findings.period, staged_not_objects(record_cost_findings.source_id, record_cost_findings.period), rules, first_part;
    SELECT count(*) FILTER (WHERE f.severity = 'fatal') INTO fatal FROM cost_finding AS f WHERE f.load_id = record_cost_findings.load_id;
    RETURN fatal;
END $$;
COMMENT ON FUNCTION billing.record_cost_findings(bigint, int, daterange, int) IS 'Records where the staged rows of a delivery, from one of its parts on, break the rules of FOCUS; returns how many findings are fatal. Used by import_focus(). Volatile.';

CREATE FUNCTION billing.broken_group_rules(source_id int, period daterange) RETURNS text[]
    LANGUAGE plpgsql STABLE PARALLEL SAFE SET search_path = pg_catalog, billing, pg_temp SET jit = off SET work_mem = '64MB' SET enable_sort = off
AS $$
DECLARE
    columns  text;
    verdicts text;
    broken   text[];
BEGIN
    -- Resources are as many as rows; all else is first reduced to what differs, in one pass, and looked at there.
    SELECT string_agg(DISTINCT format('s.%I', c.name), ', ') INTO columns FROM focus_group_rules() AS f, unnest(ARRAY[f.focus_column, f.owner, f.within]) AS c (name) WHERE f.owner <> 'ResourceId';
    SELECT string_agg(format('ARRAY(SELECT DISTINCT v FROM (SELECT unnest(ARRAY[%s]) AS v FROM (SELECT %s FROM %s GROUP BY s.%I, s.%I) AS g) AS d WHERE v IS NOT NULL)', o.verdicts, o.borders,
                             CASE WHEN o.owner = 'ResourceId' THEN format('cost_staged AS s WHERE s.source_id = $1 AND s.period = $2 AND s.%I IS NOT NULL', o.owner) ELSE format('seen AS s WHERE s.%I IS NOT NULL', o.owner) END, o.owner, o.within), ' || ')
      INTO verdicts
      FROM (SELECT string_agg(format('CASE WHEN g.low%s <> g.high%s THEN %L END', f.place, f.place, f.rule), ', ' ORDER BY f.place) AS verdicts,
                   string_agg(format('min(s.%I COLLATE "C") AS low%s, max(s.%I COLLATE "C") AS high%s', f.focus_column, f.place, f.focus_column, f.place), ', ' ORDER BY f.place) AS borders, f.owner, f.within
              FROM (SELECT f.*, row_number() OVER (ORDER BY f.rule) AS place FROM focus_group_rules() AS f) AS f GROUP BY f.owner, f.within) AS o;
    EXECUTE format('WITH seen AS MATERIALIZED (SELECT %s FROM cost_staged AS s WHERE s.source_id = $1 AND s.period = $2 GROUP BY %s) SELECT %s', columns, columns, verdicts)
       INTO broken USING broken_group_rules.source_id, broken_group_rules.period;
    RETURN broken;
END $$;
COMMENT ON FUNCTION billing.broken_group_rules(int, daterange) IS 'Which of the rules in focus_group_rules() the staged rows of a delivery break. Used by import_focus(). Stable.';

CREATE FUNCTION billing.record_group_findings(load_id bigint, source_id int, period daterange) RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, billing, pg_temp SET jit = off SET work_mem = '64MB'
AS $$
DECLARE
    broken text[] := broken_group_rules(record_group_findings.source_id, record_group_findings.period);
    rule   record;
BEGIN
    FOR rule IN SELECT f.* FROM focus_group_rules() AS f WHERE f.rule = ANY (broken) ORDER BY f.rule LOOP
        -- Of a group that disagrees, its first row counts as right.
        EXECUTE format($q$
            WITH row AS (SELECT s.ctid AS row_id, s.row_no, s.%1$I AS value, s.%2$I AS owner, coalesce(s.%3$I, '') AS within FROM cost_staged AS s WHERE s.source_id = $2 AND s.period = $3 AND s.%2$I IS NOT NULL AND s.%1$I IS NOT NULL),
                 torn AS (SELECT r.owner, r.within FROM row AS r GROUP BY r.owner, r.within HAVING min(r.value COLLATE "C") <> max(r.value COLLATE "C")),
                 told AS (SELECT r.*, first_value(r.value) OVER (PARTITION BY r.owner, r.within ORDER BY r.row_no, r.row_id) AS first FROM row AS r JOIN torn USING (owner, within)),
                 found AS (SELECT t.row_no, t.value, row_number() OVER (ORDER BY t.row_no, t.row_id) AS place, count(*) OVER () AS affected FROM told AS t WHERE t.value <> t.first)
            INSERT INTO cost_finding (load_id, finding_no, severity, rule, focus_column, row_no, value, message, affected)
            SELECT $1, (SELECT coalesce(max(f.finding_no), 0) FROM cost_finding AS f WHERE f.load_id = $1) + x.place, $4, $5, %1$L, x.row_no, left(x.value, 200), $6, x.affected FROM found AS x WHERE x.place <= 100 $q$,
            rule.focus_column, rule.owner, rule.within)
            USING record_group_findings.load_id, record_group_findings.source_id, record_group_findings.period, rule.severity, rule.rule, rule.message;
    END LOOP;
END $$;
COMMENT ON FUNCTION billing.record_group_findings(bigint, int, daterange) IS
'Records where the staged rows of a delivery break the rules in focus_group_rules(): of the rows of a group those whose value differs from that of the first. Used by import_focus(). Volatile.';

CREATE FUNCTION billing.check_cost_windows(source_id int, period daterange) RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, billing, pg_temp
AS $$
DECLARE
    problem record;
BEGIN
    FOR problem IN
        SELECT s."BillingAccountId" AS account, s."BillingPeriodStart" AS starts, s."BillingPeriodEnd" AS ends, count(*) AS rows
          FROM cost_staged AS s WHERE s.source_id = check_cost_windows.source_id AND s.period = check_cost_windows.period GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
    LOOP
        IF problem.ends::timestamptz::date <= problem.starts::timestamptz::date
           OR NOT check_cost_windows.period @> daterange(problem.starts::timestamptz::date, problem.ends::timestamptz::date) THEN
            RAISE invalid_parameter_value USING
                MESSAGE = format('%s rows of billing account "%s" are of the billing period %s to %s, which is not within %s', problem.rows, problem.account, problem.starts, problem.ends, check_cost_windows.period),
                HINT = 'Name a billing_period that holds all periods of the delivery, or import a view of those rows that belong to it.';
        ELSIF NOT EXISTS (SELECT FROM billing_account_center AS b WHERE b.source_id = check_cost_windows.source_id AND b.billing_account = problem.account
                           AND b.valid @> problem.starts::timestamptz::date AND upper_inf(b.known)) THEN
            RAISE undefined_object USING
                MESSAGE = format('billing account "%s" has no project or other cost center for billing periods that begin on %s, so its cost cannot be taken in', problem.account, to_char(problem.starts::timestamptz, 'YYYY-MM-DD')),
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
                    FROM (SELECT s."Tags" AS raw FROM billing.cost_staged AS s WHERE s.source_id = store_tag_sets.source_id AND s.period = store_tag_sets.period GROUP BY 1) AS d) AS t
           WHERE t.delivered IS NOT NULL AND t.delivered <> '{}'
           ORDER BY 1 ON CONFLICT DO NOTHING $$;
COMMENT ON FUNCTION billing.store_tag_sets(int, daterange) IS 'Stores the sets of tags that the staged rows of a delivery bring for the first time. Used by import_focus(). Volatile.';

CREATE FUNCTION billing.change_cost_windows(load bigint, of_source int, of_period daterange, stamp timestamptz) RETURNS void
    -- The planner cannot guess how many rows a delivery has; loops over a million of them would never end.
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, billing, pg_temp SET enable_nestloop = off SET jit = off SET work_mem = '256MB'
AS $$
DECLARE
    identity   text := (SELECT string_agg(CASE WHEN f.name = ANY ('{BilledCost,EffectiveCost,ListCost,ContractedCost}') THEN format('trim_scale(s.%I::numeric)', f.name)
                                            WHEN f.name ~ '^(Billing|Charge)Period(Start|End)$' THEN format('s.%I::timestamptz', f.name) ELSE format('s.%I', f.name) END, ', ' ORDER BY f.position)
                          FROM focus_columns() AS f);
    attributes record;
BEGIN
    SELECT array_agg(f.name ORDER BY f.position) AS names, string_agg(format('s.%I', f.name), ', ' ORDER BY f.position) AS columns INTO attributes FROM focus_columns() AS f
     WHERE f.name <> ALL ('{BillingAccountId,BillingPeriodStart,BillingPeriodEnd,ChargePeriodStart,ChargePeriodEnd,ChargeCategory,ServiceName,ProviderName,SubAccountId,ResourceId,BillingCurrency,
                            BilledCost,EffectiveCost,ListCost,ContractedCost,Tags}'::text[]);
    EXECUTE format($q$
    WITH staged_window AS (
        SELECT x.account, x.starts, x.ends, w.window_id
          FROM (SELECT DISTINCT s."BillingAccountId" AS account, s."BillingPeriodStart" AS starts, s."BillingPeriodEnd" AS ends FROM billing.cost_staged AS s WHERE s.source_id = $2 AND s.period = $3) AS x
          JOIN billing.cost_window AS w ON w.source_id = $2 AND w.billing_account = x.account AND w.period = daterange(x.starts::timestamptz::date, x.ends::timestamptz::date)),
    tags AS (
        SELECT x.raw, t.tag_set_id
          FROM (SELECT x.raw, try_object(x.raw) AS delivered FROM (SELECT s."Tags" AS raw FROM billing.cost_staged AS s WHERE s.source_id = $2 AND s.period = $3 GROUP BY 1) AS x) AS x
          JOIN billing.tag_set AS t ON md5(t.delivered::text) = md5(x.delivered::text)),
    -- Identities stand apart from the rows: what is sorted and looked up is small.
    keyed AS MATERIALIZED (
        SELECT k.row_id, k.window_id, k.row_key, (row_number() OVER (PARTITION BY k.window_id, k.row_key ORDER BY k.row_no, k.row_id))::int AS ordinal
          FROM (SELECT s.ctid AS row_id, s.row_no, w.window_id, encode(substring(sha256(convert_to(ROW(%s, s.more)::text, 'UTF8')) FOR 16), 'hex')::uuid AS row_key
                  FROM billing.cost_staged AS s JOIN staged_window AS w ON w.account = s."BillingAccountId" AND w.starts = s."BillingPeriodStart" AND w.ends = s."BillingPeriodEnd"
                 WHERE s.source_id = $2 AND s.period = $3) AS k),
    delivered AS (SELECT k.window_id, count(*) AS rows FROM keyed AS k GROUP BY k.window_id),
    gone AS (
        UPDATE billing.cost AS c SET known = tstzrange(lower(c.known), $4)
          FROM delivered AS d
         WHERE c.window_id = d.window_id AND upper_inf(c.known)
           AND NOT EXISTS (SELECT FROM keyed AS k WHERE k.window_id = c.window_id AND k.row_key = c.row_key AND k.ordinal = c.ordinal)
        RETURNING c.window_id),
    new_key AS (
        SELECT k.* FROM keyed AS k
         WHERE NOT EXISTS (SELECT FROM billing.cost AS c WHERE c.window_id = k.window_id AND c.row_key = k.row_key AND c.ordinal = k.ordinal AND upper_inf(c.known))),
    fresh AS (
        INSERT INTO billing.cost (window_id, row_key, ordinal, load_id, known, charge_start, charge_end, category, service, provider, sub_account, resource,
                                  currency, billed, effective, list, contracted, tag_set_id, attributes)
        SELECT k.window_id, k.row_key, k.ordinal, $1, tstzrange($4, NULL), s."ChargePeriodStart"::timestamptz, s."ChargePeriodEnd"::timestamptz,
               s."ChargeCategory", s."ServiceName", s."ProviderName", s."SubAccountId", s."ResourceId", s."BillingCurrency",
               s."BilledCost"::numeric, s."EffectiveCost"::numeric, s."ListCost"::numeric, s."ContractedCost"::numeric, t.tag_set_id,
               CASE WHEN s."Tags" IS NULL OR t.tag_set_id IS NOT NULL THEN a.attributes ELSE a.attributes || jsonb_build_object('Tags', s."Tags") END
          FROM billing.cost_staged AS s
          JOIN new_key AS k ON k.row_id = s.ctid
          LEFT JOIN tags AS t ON t.raw = s."Tags"
         CROSS JOIN LATERAL (SELECT CASE WHEN s.more IS NULL THEN f.focus ELSE f.focus || s.more END AS attributes FROM (SELECT jsonb_strip_nulls(jsonb_object(%L, ARRAY[%s])) AS focus) AS f) AS a
        RETURNING window_id)
    INSERT INTO billing.cost_window_load (window_id, load_id, delivered, added, removed)
    SELECT d.window_id, $1, d.rows, coalesce(f.added, 0), coalesce(g.removed, 0)
      FROM delivered AS d
      LEFT JOIN (SELECT window_id, count(*) AS added FROM fresh GROUP BY window_id) AS f USING (window_id)
      LEFT JOIN (SELECT window_id, count(*) AS removed FROM gone GROUP BY window_id) AS g USING (window_id) $q$, identity, attributes.names, attributes.columns)
    USING load, of_source, of_period, stamp;
END $$;
COMMENT ON FUNCTION billing.change_cost_windows(bigint, int, daterange, timestamptz) IS
'Makes the windows of a delivery hold what was delivered: rows that are gone stop being known at the stamp, rows that are new begin to be, the others stay. Used by import_focus(). Volatile.';

CREATE FUNCTION billing.open_cost_part(source_id int, period daterange) RETURNS int
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, billing, pg_temp
AS $$
DECLARE
    waiting daterange := (SELECT p.period FROM cost_part AS p WHERE p.source_id = open_cost_part.source_id AND p.period && open_cost_part.period AND p.period <> open_cost_part.period ORDER BY 1 LIMIT 1);
    opened  int;
BEGIN
    IF waiting IS NOT NULL THEN
        RAISE object_not_in_prerequisite_state USING MESSAGE = format('parts of a delivery of %s wait for the rest of it, so none of %s can be taken in', days_text(waiting), days_text(open_cost_part.period)),
            HINT = 'Complete that delivery with the same billing_period, or forget its parts with billing.discard_staged_cost().';
    END IF;
    INSERT INTO cost_part AS p (source_id, period, part)
    SELECT open_cost_part.source_id, open_cost_part.period, coalesce(max(c.part), 0) + 1 FROM cost_part AS c WHERE c.source_id = open_cost_part.source_id AND c.period = open_cost_part.period
    RETURNING p.part INTO opened;
    RETURN opened;
END $$;
COMMENT ON FUNCTION billing.open_cost_part(int, daterange) IS 'Number of the next part of a delivery. Errors: 55000 parts of a delivery of other days that overlap wait for the rest of it. Used by import_focus(). Volatile.';

CREATE FUNCTION billing.close_cost_part(load_id bigint, source_id int, period daterange, part int) RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, billing, pg_temp
AS $$
DECLARE
    columns text := (SELECT string_agg(format('s.%I', f.name), ', ' ORDER BY f.position) FROM focus_columns() AS f);
    this    cost_part;
BEGIN
    EXECUTE format('UPDATE cost_part AS p SET (rows, digest) = (SELECT count(*), sum(hashtextextended(ROW(%s, s.more)::text, 0)) FROM cost_staged AS s WHERE s.source_id = $1 AND s.period = $2 AND s.part = $3)
                     WHERE p.source_id = $1 AND p.period = $2 AND p.part = $3 RETURNING p.*', columns) INTO this USING close_cost_part.source_id, close_cost_part.period, close_cost_part.part;
    INSERT INTO cost_finding (load_id, finding_no, severity, rule, message, affected)
    SELECT close_cost_part.load_id, 1 + coalesce((SELECT max(f.finding_no) FROM cost_finding AS f WHERE f.load_id = close_cost_part.load_id), 0), 'warning', 'part-repeated',
           format('part %s has the same rows as part %s: if it was sent twice, discard_staged_cost() and deliver again', this.part, p.part), this.rows
      FROM cost_part AS p WHERE p.source_id = this.source_id AND p.period = this.period AND p.part < this.part AND p.rows = this.rows AND p.digest = this.digest ORDER BY p.part LIMIT 1;
END $$;
COMMENT ON FUNCTION billing.close_cost_part(bigint, int, daterange, int) IS 'Counts a part that is set aside, and records a finding where its rows are those of an earlier part. Used by import_focus(). Volatile.';

CREATE FUNCTION billing.record_window_findings(load_id bigint) RETURNS void
    LANGUAGE sql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, billing, pg_temp
    AS $$ INSERT INTO billing.cost_finding (load_id, finding_no, severity, rule, focus_column, value, message, affected)
          SELECT record_window_findings.load_id, row_number() OVER (ORDER BY f.message) + coalesce((SELECT max(x.finding_no) FROM billing.cost_finding AS x WHERE x.load_id = record_window_findings.load_id), 0),
                 f.severity, f.rule, f.focus_column, f.value, f.message, f.rows
            FROM (SELECT CASE WHEN o.source_id = w.source_id THEN 'warning' ELSE 'error' END AS severity, CASE WHEN o.source_id = w.source_id THEN 'window-overlap' ELSE 'window-elsewhere' END AS rule,
                         CASE WHEN o.source_id = w.source_id THEN 'BillingPeriodStart' ELSE 'BillingAccountId' END AS focus_column, w.billing_account AS value, n.rows,
                         CASE WHEN o.source_id = w.source_id THEN format('billing account "%s" has cost of the billing periods %s and %s, which overlap: both count', w.billing_account, billing.days_text(w.period), billing.days_text(o.period))
                              ELSE format('billing account "%s" has cost of %s from source "%s" too: both count', w.billing_account, billing.days_text(o.period), s.key) END AS message
                    FROM billing.cost_window_load AS l
                    JOIN billing.cost_window AS w USING (window_id)
                    JOIN billing.cost_window AS o ON o.billing_account = w.billing_account AND o.period && w.period AND o.window_id <> w.window_id
                    JOIN billing.cost_source AS s ON s.source_id = o.source_id
                   CROSS JOIN LATERAL (SELECT count(*) AS rows FROM billing.cost AS c WHERE c.window_id = o.window_id AND upper_inf(c.known)
                                          AND (o.source_id = w.source_id OR c.provider IS NOT DISTINCT FROM (SELECT x.provider FROM billing.cost AS x WHERE x.window_id = w.window_id AND upper_inf(x.known) LIMIT 1))) AS n
                   WHERE l.load_id = record_window_findings.load_id AND l.delivered > 0 AND n.rows > 0) AS f $$;
COMMENT ON FUNCTION billing.record_window_findings(bigint) IS
'Records a finding for each window of a load that overlaps another of the same billing account which holds cost, of the same source or, of the same provider, of another. Used by import_focus(). Volatile.';

CREATE FUNCTION billing.take_staged_cost(source_id int, period daterange, part int, complete boolean) RETURNS bigint
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, billing, pg_temp
AS $$
DECLARE
    new_load    bigint;
    staged_rows bigint := (SELECT count(*) FROM cost_staged AS s WHERE s.source_id = take_staged_cost.source_id AND s.period = take_staged_cost.period);
    stamp       timestamptz := stamp_after((SELECT max(l.recorded_at) FROM cost_load AS l WHERE l.source_id = take_staged_cost.source_id));
    refused     boolean;
    changes     record;
BEGIN
    PERFORM check_ledger();
    new_load := nextval(pg_get_serial_sequence('billing.cost_load', 'load_id'));
    INSERT INTO cost_load (load_id, source_id, period, complete, outcome, delivered, recorded_at) OVERRIDING SYSTEM VALUE
        VALUES (new_load, take_staged_cost.source_id, take_staged_cost.period, take_staged_cost.complete, 'collected', staged_rows, stamp);
    -- Parts that were set aside before are known to be without fatal findings.
    refused := record_cost_findings(new_load, take_staged_cost.source_id, take_staged_cost.period, CASE WHEN complete THEN 1 ELSE take_staged_cost.part END) > 0;
    IF NOT refused AND (NOT complete OR take_staged_cost.part > 1) THEN
        PERFORM close_cost_part(new_load, take_staged_cost.source_id, take_staged_cost.period, take_staged_cost.part);
    END IF;
    IF NOT refused AND complete THEN
        PERFORM record_group_findings(new_load, take_staged_cost.source_id, take_staged_cost.period);
        PERFORM check_cost_windows(take_staged_cost.source_id, take_staged_cost.period);
        PERFORM store_tag_sets(take_staged_cost.source_id, take_staged_cost.period);
        PERFORM change_cost_windows(new_load, take_staged_cost.source_id, take_staged_cost.period, stamp);
        PERFORM record_window_findings(new_load);
    END IF;
    IF refused OR complete THEN    -- what was refused goes, and what was set aside before waits for it to come again
        DELETE FROM cost_staged AS s WHERE s.source_id = take_staged_cost.source_id AND s.period = take_staged_cost.period AND (NOT refused OR s.part = take_staged_cost.part);
        DELETE FROM cost_part AS p WHERE p.source_id = take_staged_cost.source_id AND p.period = take_staged_cost.period AND (NOT refused OR p.part = take_staged_cost.part);
        SELECT coalesce(sum(w.added), 0) AS added, coalesce(sum(w.removed), 0) AS removed INTO changes FROM cost_window_load AS w WHERE w.load_id = new_load;
        UPDATE cost_load AS l SET added = changes.added, removed = changes.removed,
               outcome = CASE WHEN refused THEN 'refused' WHEN changes.added + changes.removed > 0 THEN 'changed' ELSE 'unchanged' END
         WHERE l.load_id = new_load;
    END IF;
    RETURN new_load;
END $$;
COMMENT ON FUNCTION billing.take_staged_cost(int, daterange, int, boolean) IS 'Takes the staged rows of a delivery in, or keeps the newest part until the rest has come, and returns the number of the load. Used by import_focus(). Volatile.';

CREATE FUNCTION billing.import_focus(staging regclass, source text, billing_period daterange, complete boolean DEFAULT true)
    RETURNS TABLE (load bigint, outcome text, delivered bigint, added bigint, removed bigint, findings bigint)
    -- What columns of other types than text become must not depend on the session; for dates and times see fix_session_settings().
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, billing, pg_temp SET bytea_output = 'hex' SET extra_float_digits = 1
AS $$
DECLARE
    of_source int := billing.find_cost_source(import_focus.source);
    part      int;
BEGIN
    IF isempty(billing_period) OR lower_inf(billing_period) OR upper_inf(billing_period) OR billing_period IS NULL OR import_focus.complete IS NULL THEN
        RAISE invalid_parameter_value USING MESSAGE = format('billing_period must be a span of days and complete true or false, not %s and %s', coalesce(billing_period::text, 'null'), coalesce(import_focus.complete::text, 'null')),
            HINT = 'A month is written ''[2026-10-01,2026-11-01)''.';
    END IF;
    PERFORM billing.check_staging(staging);
    PERFORM billing.lock_until_commit(1651076211, of_source);    -- one delivery of a source at a time
    part := billing.open_cost_part(of_source, billing_period);
    EXECUTE billing.staging_sql(staging) USING of_source, billing_period, part;
    load := billing.take_staged_cost(of_source, billing_period, part, import_focus.complete);
    RETURN QUERY SELECT l.load, l.outcome, l.delivered, l.added, l.removed, l.findings FROM billing.cost_loads AS l WHERE l.load = import_focus.load;
END $$;
COMMENT ON FUNCTION billing.import_focus(regclass, text, daterange, boolean) IS
'Takes FOCUS 1.0 to 1.2 rows from a table or view that the caller may read: staging; source: key of the cost source; billing_period: days that hold every billing period of the delivery; complete: false sets the rows aside as a part, true takes in this and all parts set aside for the same source and period. Each window (source, billing account, billing period) then holds exactly what was delivered; one without a row in the delivery stays as it is (see withdraw_cost()). Empty texts are null; column names may be written in any case and with underscores. Returns the number of the load; outcome: changed, unchanged, collected or refused (a fatal finding: nothing changed, the rows of this call are gone, and parts set aside before wait for them to come again); rows delivered, added and removed; and how many rules were broken (see cost_findings). Errors: 22023 a billing period outside of billing_period, 42701 a column of FOCUS under two names, 42704 unknown source or billing account without cost center, 55000 parts that were set aside under another billing_period overlap. Volatile.';

CREATE FUNCTION billing.discard_staged_cost(source text, billing_period daterange) RETURNS bigint
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, billing, pg_temp
AS $$
DECLARE
    of_source int := find_cost_source(discard_staged_cost.source);
    discarded bigint;
BEGIN
    PERFORM billing.lock_until_commit(1651076211, of_source);
    DELETE FROM cost_staged AS s WHERE s.source_id = of_source AND s.period = discard_staged_cost.billing_period;
    GET DIAGNOSTICS discarded = ROW_COUNT;
    DELETE FROM cost_part AS p WHERE p.source_id = of_source AND p.period = discard_staged_cost.billing_period;
    RETURN discarded;
END $$;
COMMENT ON FUNCTION billing.discard_staged_cost(text, daterange) IS
'Throws away the parts of a delivery that import_focus() with complete => false has set aside, and returns how many rows they had. Errors: 42704 unknown source. Volatile.';

CREATE FUNCTION billing.withdraw_cost(source text, billing_account text, billing_period daterange) RETURNS bigint
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, billing, pg_temp
AS $$
DECLARE
    of_source int := find_cost_source(withdraw_cost.source);
    of_window int;
    stamp     timestamptz;
    new_load  bigint;
    withdrawn bigint;
BEGIN
    PERFORM check_ledger();
    PERFORM check_period(withdraw_cost.billing_period);
    IF NOT EXISTS (SELECT FROM billing_account AS b WHERE b.source_id = of_source AND b.billing_account = withdraw_cost.billing_account) THEN
        RAISE undefined_object USING MESSAGE = format('source "%s" has no billing account %s', withdraw_cost.source, coalesce('"' || withdraw_cost.billing_account || '"', 'null')), HINT = 'See the view billing.cost_windows.';
    ELSIF (SELECT count(*) > 0 AND count(*) FILTER (WHERE w.period = withdraw_cost.billing_period) = 0 FROM cost_window AS w
            WHERE w.source_id = of_source AND w.billing_account = withdraw_cost.billing_account AND w.period && withdraw_cost.billing_period) THEN
        RAISE undefined_object USING MESSAGE = format('billing account "%s" has billing periods that overlap %s, but not this one', withdraw_cost.billing_account, days_text(withdraw_cost.billing_period)), HINT = 'See the view billing.cost_windows.';
    END IF;
    PERFORM billing.lock_until_commit(1651076211, of_source);
    stamp := stamp_after((SELECT max(l.recorded_at) FROM cost_load AS l WHERE l.source_id = of_source));
    INSERT INTO cost_window (source_id, billing_account, period) VALUES (of_source, withdraw_cost.billing_account, withdraw_cost.billing_period) ON CONFLICT DO NOTHING;
    SELECT w.window_id INTO of_window FROM cost_window AS w WHERE w.source_id = of_source AND w.billing_account = withdraw_cost.billing_account AND w.period = withdraw_cost.billing_period;
    UPDATE cost AS c SET known = tstzrange(lower(c.known), stamp) WHERE c.window_id = of_window AND upper_inf(c.known);
    GET DIAGNOSTICS withdrawn = ROW_COUNT;
    INSERT INTO cost_load (source_id, period, complete, outcome, delivered, removed, recorded_at)
        VALUES (of_source, withdraw_cost.billing_period, true, CASE WHEN withdrawn > 0 THEN 'changed' ELSE 'unchanged' END, 0, withdrawn, stamp) RETURNING load_id INTO new_load;
    INSERT INTO cost_window_load (window_id, load_id, delivered, added, removed) VALUES (of_window, new_load, 0, 0, withdrawn);
    RETURN withdrawn;
END $$;
COMMENT ON FUNCTION billing.withdraw_cost(text, text, daterange) IS
'Says that a billing account has no cost in a billing period, which no delivery can say because one without rows is about no window: what it had stops being known, and the period counts as delivered. Returns how many rows that were. Errors: 22023 no period, 42704 unknown source, billing account or billing period. Volatile.';
