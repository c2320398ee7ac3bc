-- The rating pipeline: what is owed, step by step, as SQL text.
--
-- Each step is one query over the relations of the steps before it (rated_period, rated_view, …).  A run executes them one by one
-- and stores each result in an unlogged table of that name (a temporary table would take all parallelism away); functions that read
-- one account compose the same texts into a single query, each step a CTE of that name.  So there is one definition of what is owed.
--
-- Texts hold these words in braces, replaced by literals:
--   {known_at}, {own_at}   the watermark: facts recorded before known_at, or stamped own_at, count
--   {levels}               lets usage of any age pass where a meter looks back, such as for the level that still holds
--   {usage_from}, {usage_to}, {usage_accounts}   bounds on usage known when the query is planned, so that partitions are pruned
--   {usage_partitions}     a relation of the usage between these bounds that compares no row with them
--   {batch}                'due' or 'touched': the two halves of a run's scope, whose usage is read in different ways
--
-- The first relation, rated_period, comes from the caller:
--   account_id, period_no, date_from, date_to, full_from, starts_at, ends_at, time_zone, rated_to (end of what is rated: ends_at,
--   or earlier while the period is running), rate_usage, rate_arrears, rate_advance (which components are due), interim,
--   closed_known_at, closed_own_at, looked_known_at, looked_own_at, rating_version, sealed, batch,
--   advance_known_at, advance_pinned_at, advance_pinned_own

CREATE FUNCTION billing.rating_version() RETURNS int LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$ SELECT 1 $$;
COMMENT ON FUNCTION billing.rating_version() IS 'Version of the rating rules of this ledger; it changes with a release that rates the same facts to another amount.';

CREATE FUNCTION billing.descendants(account_id bigint, known_at timestamptz, own_at timestamptz) RETURNS SETOF bigint
    LANGUAGE sql STABLE PARALLEL SAFE SECURITY DEFINER ROWS 10 SET search_path = pg_catalog, billing, pg_temp
AS $$
    WITH RECURSIVE parent AS (
        SELECT DISTINCT ON (s.account_id) s.account_id, s.parent_id
          FROM billing.account_setting AS s
         WHERE billing.known(s.recorded_at, $2, $3)
         ORDER BY s.account_id, s.setting_no DESC
    ), below AS (
        SELECT p.account_id FROM parent AS p WHERE p.parent_id = $1
        UNION
        SELECT p.account_id FROM below AS b JOIN parent AS p ON p.parent_id = b.account_id
    )
    SELECT b.account_id FROM below AS b
$$;
COMMENT ON FUNCTION billing.descendants(bigint, timestamptz, timestamptz) IS 'All accounts below an account in the tree, as known at a watermark. Stable.';

CREATE FUNCTION billing.round_quantity(quantity numeric, mode text, decimals int) RETURNS numeric
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    -- the last decimal's unit is written out, since a power of ten below 10^-16 comes out as 0
    SELECT CASE
        WHEN $2 IS NULL THEN $1
        WHEN $2 OPERATOR(pg_catalog.=) 'half_up' THEN pg_catalog.round($1, $3)
        WHEN $2 OPERATOR(pg_catalog.=) 'down' OR pg_catalog.trunc($1, $3) OPERATOR(pg_catalog.=) $1 THEN pg_catalog.trunc($1, $3)
        WHEN $2 OPERATOR(pg_catalog.=) 'half_even' THEN
            CASE WHEN (pg_catalog.abs($1 OPERATOR(pg_catalog.-) pg_catalog.trunc($1, $3)) OPERATOR(pg_catalog.*) 2) OPERATOR(pg_catalog.=) ('1e' OPERATOR(pg_catalog.||) (OPERATOR(pg_catalog.-) $3)::pg_catalog.text)::pg_catalog.numeric
                  AND pg_catalog.mod(pg_catalog.trunc($1 OPERATOR(pg_catalog.*) ('1e' OPERATOR(pg_catalog.||) $3::pg_catalog.text)::pg_catalog.numeric), 2) OPERATOR(pg_catalog.=) 0
                 THEN pg_catalog.trunc($1, $3) ELSE pg_catalog.round($1, $3) END
        WHEN $2 OPERATOR(pg_catalog.=) 'up' OR $2 OPERATOR(pg_catalog.=) CASE WHEN $1 OPERATOR(pg_catalog.>) 0 THEN 'ceiling' ELSE 'floor' END
            THEN pg_catalog.trunc($1, $3) OPERATOR(pg_catalog.+) (pg_catalog.sign($1) OPERATOR(pg_catalog.*) ('1e' OPERATOR(pg_catalog.||) (OPERATOR(pg_catalog.-) $3)::pg_catalog.text)::pg_catalog.numeric)
        WHEN $2 OPERATOR(pg_catalog.=) 'ceiling' OR $2 OPERATOR(pg_catalog.=) 'floor' THEN pg_catalog.trunc($1, $3)
        ELSE $1 END
$$;
COMMENT ON FUNCTION billing.round_quantity(numeric, text, int) IS
'A quantity rounded as its meter says: half_up (half away from zero), half_even, up (away from zero), down (towards zero), ceiling, floor, to a number of decimals; a null mode leaves it as it is. Immutable.';

CREATE FUNCTION billing.with_tenant(dimensions jsonb, account_id bigint) RETURNS jsonb
    LANGUAGE sql STABLE PARALLEL SAFE SECURITY DEFINER SET search_path = pg_catalog, billing, pg_temp
    AS $$ SELECT jsonb_build_object('tenant_id', coalesce($1 -> 'project_id', to_jsonb((SELECT a.key FROM billing.account AS a WHERE a.account_id = $2)))) || coalesce($1, '{}') $$;
COMMENT ON FUNCTION billing.with_tenant(jsonb, bigint) IS
'Dimensions of usage with tenant_id, by which rules of CloudKitty name the account they are for: the dimension tenant_id or project_id, otherwise the key of the account that consumed. Stable.';
REVOKE ALL ON FUNCTION billing.with_tenant(jsonb, bigint) FROM PUBLIC;

-- Without a SET clause and the owner's rights, so that it becomes part of the statement and costs nothing where no rule names tenants.
CREATE FUNCTION billing.rated_dimensions(by_tenant boolean, dimensions jsonb, account_id bigint) RETURNS jsonb
    LANGUAGE sql STABLE PARALLEL SAFE
    AS $$ SELECT CASE WHEN $1 THEN billing.with_tenant($2, $3) ELSE $2 END $$;
COMMENT ON FUNCTION billing.rated_dimensions(boolean, jsonb, bigint) IS
'Dimensions of usage as a price looks at them: with tenant_id where it is by tenant. Stable.';
REVOKE ALL ON FUNCTION billing.rated_dimensions(boolean, jsonb, bigint) FROM PUBLIC;

-- Usage rows of meters that look at more than a segment of a period: levels and readings that go on from before, and usage that counts
-- with the part of the period from its time on.  Each comes down to a sum over the rows: what a row changes, times for how long.
-- So segments of a period add up to the period, however prices cut it.
CREATE FUNCTION billing.weighed_rows() RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $function$
    SELECT $step$
        WITH reading AS (
            SELECT c.contract_no, c.is_first AS first_contract, c.period_at, c.to_at AS until_at, g.charge_group, g.rate_group, u.ends_at AS at, u.recorded_at, u.key, u.revision, s.segment_no,
                   greatest(c.from_at, s.from_at) AS from_at, least(c.to_at, s.to_at) AS to_at,
                   CASE WHEN s.aggregation <> 'unique_count' THEN u.resource_id::text
                        WHEN s.unique_dimension IS NULL THEN r.key ELSE u.dimensions ->> s.unique_dimension END AS series,
                   CASE WHEN s.mutates THEN billing.mutated_quantity(billing.quantity(u.consumed), s.multiply_by, s.divide_by, s.offset_by, s.mutate, s.mutate_map)
                        ELSE billing.quantity(u.consumed) END AS value,
                   coalesce(u.dimensions ->> s.operation_dimension = 'remove', false) AS removes, s.aggregation = 'time_weighted' AS levels
              FROM billing.usage AS u
              JOIN rated_contract AS c ON c.consumer_id = u.account_id
              JOIN rated_segment AS s ON s.spec_no = c.spec_no AND s.item_id = u.meter_id
              LEFT JOIN billing.usage_change AS x ON x.account_id = u.account_id AND x.key = u.key AND x.revision = u.revision
               AND billing.known(x.recorded_at, c.usage_at, c.usage_own)
              LEFT JOIN billing.resource AS r ON r.account_id = u.account_id AND r.resource_id = u.resource_id
             CROSS JOIN LATERAL (SELECT CASE WHEN s.charge_by = '{}' THEN '{}' ELSE billing.charge_group(s.charge_by, u.dimensions, r.key) END AS charge_group,
                                        CASE WHEN coalesce(cardinality(s.rate_by), 0) = 0 THEN '{}' ELSE billing.chosen_dimensions(s.rate_by, billing.rated_dimensions(s.by_tenant, u.dimensions, u.account_id), r.key) END AS rate_group) AS g
             WHERE (SELECT EXISTS (SELECT FROM rated_segment AS z WHERE z.looks_back)) AND (u.ends_at >= {usage_from} {levels}) AND u.ends_at <= {usage_to} {usage_accounts}
               AND u.ends_at < c.to_at AND greatest(c.from_at, s.from_at) < least(c.to_at, s.to_at)
               AND (u.ends_at >= c.period_at OR s.carried_over OR s.aggregation IN ('time_weighted', 'increase'))
               AND billing.known(u.recorded_at, c.usage_at, c.usage_own)
               AND s.looks_back AND s.item_kind = 'meter' AND s.enabled AND c.rate_usage AND c.batch = {batch}
               AND (s.filter = '{}' OR billing.meter_accepts(s.filter, u.dimensions, billing.quantity(u.consumed)))
               AND x.account_id IS NULL
        ), neighbour AS (   -- each reading with those before and after it of its resource, or of the value that is counted
            SELECT d.*, lag(d.value) OVER w AS value_before, lead(d.at) OVER w AS next_at, coalesce(NOT lag(d.removes) OVER w, false) AS present_before
              FROM reading AS d
            WINDOW w AS (PARTITION BY d.contract_no, d.segment_no, d.charge_group, d.rate_group, d.series ORDER BY d.at, d.removes, CASE WHEN d.levels THEN d.recorded_at END, d.value, d.key)
        ), change AS (
            SELECT n.*, s.aggregation, s.prorated,
                   CASE s.aggregation
                       WHEN 'unique_count' THEN CASE WHEN n.removes = n.present_before AND n.series IS NOT NULL THEN CASE WHEN n.removes THEN -1 ELSE 1 END END
                       WHEN 'increase' THEN CASE WHEN n.value >= n.value_before THEN n.value - n.value_before WHEN n.value < n.value_before THEN n.value END
                       ELSE n.value END AS change,
                   (n.at AT TIME ZONE s.time_zone)::date + (n.removes AND s.prorated = 'day_inclusive')::int AS day
              FROM neighbour AS n JOIN rated_segment AS s USING (segment_no)
        ), counted AS (   -- a day on which something was taken away counts, and is not counted again when it comes back
            SELECT h.*, greatest(h.day, CASE WHEN NOT h.removes THEN lag(h.day) OVER w END) AS counts_from_day, lead(h.at) OVER w IS NULL AS is_last
              FROM change AS h
             WHERE h.change IS NOT NULL
            WINDOW w AS (PARTITION BY h.contract_no, h.segment_no, h.charge_group, h.rate_group, CASE WHEN h.aggregation = 'unique_count' THEN h.series ELSE h.key::text END ORDER BY h.at, h.removes, h.key)
        ), weighed AS (
            SELECT k.*, k.at < k.period_at AS from_before,
                   CASE WHEN k.aggregation = 'time_weighted' THEN extract(epoch FROM least(k.next_at, k.to_at, k.at + s.level_holds) - greatest(k.at, k.from_at))
                        WHEN k.aggregation = 'weighted_sum' OR k.prorated = 'second' THEN extract(epoch FROM k.to_at - greatest(k.at, k.from_at))
                        WHEN k.prorated IS NOT NULL THEN s.end_day - greatest(k.counts_from_day, s.first_day)
                        -- whole: once, where it came in; what was there before counts where the period begins
                        WHEN k.aggregation = 'unique_count' AND NOT (k.is_last AND k.change > 0) THEN 0
                        WHEN k.at >= k.from_at AND k.at < k.to_at THEN 1
                        WHEN k.aggregation <> 'increase' AND k.at < k.from_at AND s.is_first AND k.first_contract THEN 1
                        ELSE 0 END AS weight,
                   CASE WHEN k.aggregation = 'time_weighted' OR (k.aggregation = 'weighted_sum' AND s.hours_in_month IS NOT NULL) THEN 3600 WHEN k.aggregation = 'weighted_sum' OR k.prorated = 'second' THEN s.period_seconds
                        WHEN k.prorated IS NOT NULL THEN s.nominal_days ELSE 1 END AS whole
              FROM counted AS k JOIN rated_segment AS s USING (segment_no)
        )
        SELECT w.* FROM weighed AS w
    $step$
$function$;
COMMENT ON FUNCTION billing.weighed_rows() IS
'SQL text of the rows of meters that look beyond a segment, by contract and segment: what each changes (change), for how long or whether (weight) and of which whole (whole); a quantity is their sum. Holds the words of rating_step(). Immutable.';

-- Usage rows that count in a segment, each cut to it and to the windows of its price.
CREATE FUNCTION billing.counted_rows() RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $function$
    SELECT $step$
        SELECT c.contract_no, s.segment_no, g.charge_group, g.rate_group, w.window_at, s.aggregation, s.unique_dimension, s.percentile, v.value,
               u.ends_at, billing.starts_at(w.part) AS starts_at, u.key, r.key AS resource, s.walks, s.tariff, s.scale_by, s.scale_over, s.fraction, s.interim, coalesce(billing.rated_dimensions(s.by_tenant, u.dimensions, u.account_id), '{}') AS dimensions
          FROM billing.usage AS u
          JOIN rated_contract AS c ON c.consumer_id = u.account_id
          JOIN rated_segment AS s ON s.spec_no = c.spec_no AND s.item_id = u.meter_id
          {changes}
          LEFT JOIN billing.resource AS r ON r.account_id = u.account_id AND r.resource_id = u.resource_id
         CROSS JOIN LATERAL (SELECT CASE WHEN s.charge_by = '{}' THEN '{}' ELSE billing.charge_group(s.charge_by, u.dimensions, r.key) END AS charge_group,
                                    CASE WHEN coalesce(cardinality(s.rate_by), 0) = 0 THEN '{}' ELSE billing.chosen_dimensions(s.rate_by, billing.rated_dimensions(s.by_tenant, u.dimensions, u.account_id), r.key) END AS rate_group) AS g
         CROSS JOIN LATERAL ({parts}) AS w
         -- a row that is changed as a whole counts with the part of its time
         CROSS JOIN LATERAL (SELECT CASE WHEN NOT s.mutates THEN billing.quantity(w.part)
                                         WHEN w.part = u.consumed THEN billing.mutated_quantity(billing.quantity(u.consumed), s.multiply_by, s.divide_by, s.offset_by, s.mutate, s.mutate_map)
                                         ELSE billing.scaled_quantity(billing.mutated_quantity(billing.quantity(u.consumed), s.multiply_by, s.divide_by, s.offset_by, s.mutate, s.mutate_map),
                                                                      extract(epoch FROM billing.ends_at(w.part) - billing.starts_at(w.part)),
                                                                      greatest(extract(epoch FROM u.ends_at - billing.starts_at(u.consumed)), 0.000001)) END AS value) AS v
         WHERE u.ends_at >= {usage_from} AND u.ends_at <= {usage_to} {usage_accounts}
           -- no row is clipped by segments that it cannot reach: an account may have hundreds of them
           AND u.ends_at >= s.from_at AND u.ends_at <= s.to_at + (SELECT l.longest_usage FROM billing.ledger_state AS l)
           AND billing.known(u.recorded_at, c.usage_at, c.usage_own)
           AND NOT s.plain AND NOT s.looks_back AND s.by_rows = {by_rows} AND s.item_kind = 'meter' AND s.enabled AND c.rate_usage AND c.batch = {batch}
           AND (s.filter = '{}' OR billing.meter_accepts(s.filter, u.dimensions, billing.quantity(u.consumed)))
           AND {unchanged} AND w.part IS NOT NULL
    $step$
$function$;
COMMENT ON FUNCTION billing.counted_rows() IS
'SQL text of the usage rows of meters that do not only add up, by contract and segment, as changed by their meter (value). Holds the words of rating_step(); {by_rows}: whether of those that a chain of rating modules prices; {changes}, {unchanged}: the join of their changes and that there is none; {parts}: the parts of a row by window. Immutable.';
REVOKE ALL ON FUNCTION billing.counted_rows() FROM PUBLIC;

CREATE FUNCTION billing.counted_rows(by_rows text) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $function$
    SELECT replace(replace(replace(replace(billing.counted_rows(), '{by_rows}', by_rows), '{changes}', $step$
          LEFT JOIN billing.usage_change AS x ON x.account_id = u.account_id AND x.key = u.key AND x.revision = u.revision
           AND billing.known(x.recorded_at, c.usage_at, c.usage_own)$step$), '{unchanged}', 'x.account_id IS NULL'), '{parts}', $step$
                             SELECT billing.clip(u.consumed, greatest(c.from_at, s.from_at), least(c.to_at, s.to_at)) AS part, NULL::timestamp AS window_at
                              WHERE s.rate_window IS NULL
                              UNION ALL
                             SELECT i.part, date_trunc(s.rate_window, billing.starts_at(i.part) AT TIME ZONE s.time_zone)
                               FROM billing.split(billing.clip(u.consumed, greatest(c.from_at, s.from_at), least(c.to_at, s.to_at)), s.rate_window, s.time_zone) AS i(part)
                              WHERE s.rate_window IS NOT NULL$step$)
$function$;
COMMENT ON FUNCTION billing.counted_rows(text) IS
'counted_rows() with all parts of each row, and its changes joined. Argument: an SQL condition in the place of {by_rows}. Immutable.';
REVOKE ALL ON FUNCTION billing.counted_rows(text) FROM PUBLIC;

-- Rows that are priced one by one are many to an account, so that they are read by index: what most of them do not have (a change, a
-- window) is not looked for in each.
CREATE FUNCTION billing.counted_rows_by_rules() RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $function$
    SELECT replace(replace(replace(replace(billing.counted_rows(), '{by_rows}', 'true AND s.by_rules AND (SELECT EXISTS (SELECT FROM rated_segment AS z WHERE z.by_rules))'), '{changes}', ''), '{unchanged}', $step$
               ((SELECT NOT EXISTS (SELECT FROM billing.usage_change))
                OR NOT EXISTS (SELECT FROM billing.usage_change AS x
                                WHERE x.account_id = u.account_id AND x.key = u.key AND x.revision = u.revision AND billing.known(x.recorded_at, c.usage_at, c.usage_own)))$step$),
        '{parts}', 'SELECT billing.clip(u.consumed, greatest(c.from_at, s.from_at), least(c.to_at, s.to_at)) AS part, NULL::timestamp AS window_at')
$function$;
COMMENT ON FUNCTION billing.counted_rows_by_rules() IS
'counted_rows() of segments that rules price, which have no windows. Immutable.';
REVOKE ALL ON FUNCTION billing.counted_rows_by_rules() FROM PUBLIC;

CREATE FUNCTION billing.meter_traits() RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $function$
    SELECT $step$
        coalesce(m.mutate IS NOT NULL OR m.offset_by <> 0, false) AS mutates, coalesce(m.aggregation IN ('count', 'unique_count'), false) AS counts,
        coalesce(m.aggregation IN ('time_weighted', 'weighted_sum', 'increase') OR m.carried_over OR m.prorated IS NOT NULL OR m.operation_dimension IS NOT NULL, false) AS looks_back
    $step$
$function$;
COMMENT ON FUNCTION billing.meter_traits() IS
'SQL text of what follows from the definition m of a meter: whether it changes its rows one by one, counts them, looks beyond a segment. Immutable.';

CREATE FUNCTION billing.metered_columns() RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $function$
    SELECT $step$
        m.aggregation, m.percentile, m.unique_dimension, m.rounding, m.decimals, m.filter, m.dimensions AS charge_by,
        m.operation_dimension, m.carried_over, m.prorated, m.proration_decimals, m.level_holds,
        m.multiply_by, m.divide_by, m.offset_by, m.mutate, m.mutate_map, m.hours_in_month, x.mutates, x.looks_back,
        -- what the quantity of a period is multiplied with and divided by, after its rows have been added up
        CASE WHEN x.counts OR x.mutates THEN 1 ELSE coalesce(m.multiply_by, 1) END AS scale_by,
        CASE WHEN x.counts OR x.mutates THEN 1 ELSE coalesce(m.divide_by, 1) END
            * CASE WHEN x.counts OR m.hours_in_month IS NULL THEN 1 WHEN m.hours_in_month = 'actual' THEN x.period_seconds / 3600 ELSE m.hours_in_month::numeric END AS scale_over,
        x.period_seconds
    $step$
$function$;
COMMENT ON FUNCTION billing.metered_columns() IS
'SQL text of the columns of rated_segment that come from the definition m of a meter, its meter_traits() and the length of the period (period_seconds), both as x. Immutable.';

-- For those that meter and price nothing, so that they take the same steps as charges.
CREATE FUNCTION billing.unpriced_columns() RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $function$
    SELECT $step$
        NULL::billing.tariff AS tariff, '{}'::text[] AS rate_by, NULL::text AS rate_window, false AS by_tenant, false AS by_rows, NULL::numeric AS fraction, false AS interim,
        false AS walks, false AS plain, true AS is_first
    $step$
$function$;
COMMENT ON FUNCTION billing.unpriced_columns() IS
'SQL text of the columns of rated_segment that come from a price and its span, where there is none. Immutable.';

CREATE FUNCTION billing.threshold_reached(thresholds billing.monetary[], every billing.monetary, billed numeric, owed numeric) RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    BEGIN ATOMIC
        SELECT threshold_reached.owed OPERATOR(pg_catalog.>) b.billed AND coalesce(
            CASE WHEN b.billed OPERATOR(pg_catalog.<) t.last
                 THEN EXISTS (SELECT FROM pg_catalog.unnest(thresholds) AS x WHERE billing.amount(x) OPERATOR(pg_catalog.>) b.billed AND billing.amount(x) OPERATOR(pg_catalog.<=) owed)
                 ELSE pg_catalog.floor(owed OPERATOR(pg_catalog./) billing.amount(every)) OPERATOR(pg_catalog.>) pg_catalog.floor(b.billed OPERATOR(pg_catalog./) billing.amount(every)) END, false)
          FROM (SELECT coalesce(pg_catalog.max(billing.amount(x)), 0) AS last FROM pg_catalog.unnest(thresholds) AS x) AS t, (SELECT GREATEST(threshold_reached.billed, 0) AS billed) AS b;
    END;
COMMENT ON FUNCTION billing.threshold_reached(billing.monetary[], billing.monetary, numeric, numeric) IS
'Whether usage that was billed up to one amount and now comes to another has passed a threshold: one of the list while less than its last was billed, afterwards a multiple of every (null = none), counted from 0. So does Lago. Immutable.';

CREATE FUNCTION billing.greatest_amount() RETURNS numeric
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    AS $$ SELECT 1000000000000000.0 $$;
COMMENT ON FUNCTION billing.greatest_amount() IS
'The most that a charge may come to, and the lines of an invoice added up by tax rate without their signs: 10^15 units, so that differences, sums and taxes of them stay within what monetary holds. Immutable.';

CREATE FUNCTION billing.rating_step(step text) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $function$
    SELECT CASE $1

    -- The ways in which a period is looked at.  0: as billed, that is at its pin when it has one.  Only a pinned period has the
    -- others, each replacing one more part of the pin by what is known now: 1 prices, 2 agreements and account settings, 3 meter and
    -- fee definitions; -1 is 0 with the facts of the last look, to find the effect of a new rating version; -2 is 0 with the advances
    -- of the pin of the last look, to tell an approved price from usage, and with those by which it billed itself.
    -- Fees in advance that were billed before their period fell due have a pin of prices and agreements of their own, which stays when
    -- the period is closed: they are rated apart from everything else, in views whose numbers are 10 more.
    WHEN 'rated_view' THEN $step$
        SELECT p.account_id, p.period_no, v.variant + CASE WHEN p.fees_apart THEN 10 ELSE 0 END AS variant, p.fees_apart, p.now_own, p.advance_cause,
               CASE WHEN v.variant >= 1 THEN {known_at} ELSE p.price_pin END AS price_at,
               CASE WHEN v.variant >= 1 THEN p.now_own ELSE p.pin_own END AS price_own,
               CASE WHEN v.variant >= 2 THEN {known_at} WHEN v.variant = -1 THEN p.plan_pin_looked WHEN v.variant = -2 THEN p.plan_pin_before ELSE p.plan_pin END AS plan_at,
               CASE WHEN v.variant >= 2 THEN p.now_own ELSE p.pin_own END AS plan_own,
               CASE WHEN v.variant >= 3 THEN {known_at} WHEN v.variant = -1 THEN p.reference_pin_looked WHEN v.variant = -2 THEN p.reference_pin_before ELSE p.reference_pin END AS reference_at,
               CASE WHEN v.variant >= 3 THEN p.now_own ELSE p.reference_own END AS reference_own,
               CASE WHEN v.variant = -1 THEN p.looked_at ELSE {known_at} END AS usage_at,
               CASE WHEN v.variant = -1 THEN p.looked_own_at ELSE p.now_own END AS usage_own,
               CASE WHEN v.variant < 0 THEN p.looked_at ELSE {known_at} END AS advance_at,
               CASE WHEN v.variant < 0 THEN p.looked_own_at ELSE p.now_own END AS advance_own,
               v.variant = -2 AS own_advances
          FROM (SELECT r.account_id, r.period_no, i.fees_apart, i.pinned_at, i.looked_at, r.closed_known_at, r.looked_own_at, r.rating_version,
                       coalesce({own_at}, r.looked_own_at) AS now_own,
                       CASE WHEN i.pinned_at IS NULL THEN coalesce({own_at}, r.looked_own_at) ELSE i.pinned_own END AS pin_own,
                       CASE WHEN r.closed_known_at IS NULL THEN coalesce({own_at}, r.looked_own_at) ELSE r.closed_own_at END AS reference_own,
                       coalesce(i.pinned_at, {known_at}) AS price_pin,
                       greatest(coalesce(i.pinned_at, {known_at}), a.plan) AS plan_pin,
                       greatest(coalesce(r.closed_known_at, {known_at}), a.reference_data) AS reference_pin,
                       greatest(coalesce(i.pinned_at, {known_at}), a.plan_before) AS plan_pin_before,
                       greatest(coalesce(r.closed_known_at, {known_at}), a.reference_before) AS reference_pin_before,
                       greatest(coalesce(i.pinned_at, {known_at}), a.plan_looked) AS plan_pin_looked,
                       greatest(coalesce(r.closed_known_at, {known_at}), a.reference_looked) AS reference_pin_looked,
                       CASE WHEN a.plan IS DISTINCT FROM a.plan_before THEN 'plan' WHEN a.reference_data IS DISTINCT FROM a.reference_before THEN 'reference_data' ELSE 'price' END AS advance_cause
                  FROM rated_period AS r
                 CROSS JOIN LATERAL (SELECT false AS fees_apart, r.closed_known_at AS pinned_at, r.closed_own_at AS pinned_own, r.looked_known_at AS looked_at
                                      UNION ALL
                                     SELECT true, r.advance_pinned_at, r.advance_pinned_own, coalesce(r.looked_known_at, r.advance_known_at) WHERE r.advance_pinned_at IS NOT NULL) AS i
                 CROSS JOIN LATERAL (SELECT max(x.advance_to) FILTER (WHERE x.cause = 'plan') AS plan,
                                            max(x.advance_to) FILTER (WHERE x.cause = 'reference_data') AS reference_data,
                                            max(x.advance_to) FILTER (WHERE x.cause = 'plan' AND (billing.known(x.recorded_at, i.looked_at, r.looked_own_at) OR x.advance_to <= i.looked_at)) AS plan_before,
                                            max(x.advance_to) FILTER (WHERE x.cause = 'reference_data' AND (billing.known(x.recorded_at, i.looked_at, r.looked_own_at) OR x.advance_to <= i.looked_at)) AS reference_before,
                                            -- without those by which the last look itself billed: charge_key.looked_owed is what was owed before them
                                            max(x.advance_to) FILTER (WHERE x.cause = 'plan' AND billing.known(x.recorded_at, i.looked_at, r.looked_own_at)) AS plan_looked,
                                            max(x.advance_to) FILTER (WHERE x.cause = 'reference_data' AND billing.known(x.recorded_at, i.looked_at, r.looked_own_at)) AS reference_looked
                                       FROM billing.pin_advance AS x
                                      WHERE i.pinned_at IS NOT NULL AND x.account_id = r.account_id AND x.cause <> 'price'
                                        AND billing.known(x.recorded_at, {known_at}, coalesce({own_at}, r.looked_own_at)) AND x.valid @> tsrange(r.date_from, r.date_to)) AS a
                 WHERE NOT r.sealed) AS p
         CROSS JOIN (SELECT (SELECT max(greatest(lower(x.known), upper(x.known))) FROM billing.price AS x) AS price_changed,
                            greatest((SELECT max(greatest(lower(x.known), upper(x.known))) FROM billing.agreement_term AS x),
                                     (SELECT max(x.recorded_at) FROM billing.account_setting AS x)) AS plan_changed,
                            greatest((SELECT max(greatest(lower(x.known), upper(x.known))) FROM billing.meter_definition AS x),
                                     (SELECT max(greatest(lower(x.known), upper(x.known))) FROM billing.fee_definition AS x)) AS reference_changed,
                            (SELECT max(x.recorded_at) FROM billing.pin_advance AS x) AS pin_advanced) AS c
         CROSS JOIN (VALUES (0), (1), (2), (3), (-1), (-2)) AS v(variant)
         WHERE v.variant = 0
            OR (p.pinned_at IS NOT NULL
                AND CASE v.variant WHEN 1 THEN c.price_changed >= p.pinned_at
                                   WHEN 2 THEN c.plan_changed >= p.pinned_at
                                   WHEN 3 THEN c.reference_changed >= p.closed_known_at
                                   WHEN -1 THEN p.rating_version <> billing.rating_version() AND p.looked_at IS NOT NULL
                                   WHEN -2 THEN c.pin_advanced >= p.looked_at END)
    $step$

    -- Under which price list who charges whom for whose usage, in each view of a period.
    WHEN 'rated_term' THEN $step$
        WITH term AS (
            SELECT v.account_id, v.period_no, v.variant, a.agreement_id, a.seller_id, t.list_id, one.consumer_id, one.consumer_id = t.consumer_id AS bears_fees,
                   t.progressive_threshold, num_nonnulls(t.progressive_threshold, t.progressive_thresholds, t.progressive_every) > 0 AS progressive, greatest(p.date_from, lower(t.valid)) AS from_date, least(p.date_to, upper(t.valid)) AS to_date
              FROM rated_view AS v
              JOIN rated_period AS p USING (account_id, period_no)
              JOIN billing.agreement AS a ON a.buyer_id = v.account_id
              JOIN billing.agreement_term AS t ON t.agreement_id = a.agreement_id
               AND billing.known(t.known, v.plan_at, v.plan_own) AND t.valid && daterange(p.date_from, p.date_to)
             CROSS JOIN LATERAL (SELECT t.consumer_id
                                  UNION ALL
                                 SELECT d.account_id FROM billing.descendants(t.consumer_id, v.plan_at, v.plan_own) AS d(account_id) WHERE t.with_descendants AND NOT v.fees_apart) AS one
        ), together AS (   -- terms that say the same of list and consumer are one: only prices cut segments
            SELECT t.account_id, t.period_no, t.variant, t.agreement_id, t.seller_id, t.list_id, t.consumer_id, bool_or(t.bears_fees) AS bears_fees,
                   max(t.progressive_threshold) AS progressive_threshold, bool_or(t.progressive) AS progressive, min(t.from_date) AS from_date, max(t.to_date) AS to_date,
                   max(t.to_date) - min(t.from_date) = sum(t.to_date - t.from_date) AS unbroken
              FROM term AS t
             GROUP BY t.account_id, t.period_no, t.variant, t.agreement_id, t.seller_id, t.list_id, t.consumer_id
        ), island AS (
            SELECT t.*, sum(t.starts::int) OVER (PARTITION BY t.account_id, t.period_no, t.variant, t.agreement_id, t.consumer_id, t.list_id ORDER BY t.from_date) AS island_no
              FROM (SELECT x.*, lag(x.to_date) OVER w IS DISTINCT FROM x.from_date AS starts
                      FROM term AS x
                      JOIN together AS g USING (account_id, period_no, variant, agreement_id, list_id, consumer_id)
                     WHERE NOT g.unbroken
                    WINDOW w AS (PARTITION BY x.account_id, x.period_no, x.variant, x.agreement_id, x.consumer_id, x.list_id ORDER BY x.from_date)) AS t
        )
        SELECT g.account_id, g.period_no, g.variant, g.agreement_id, g.seller_id, g.list_id, g.consumer_id, g.bears_fees, g.progressive_threshold, g.progressive, g.from_date, g.to_date
          FROM together AS g
         WHERE g.unbroken
         UNION ALL
        SELECT i.account_id, i.period_no, i.variant, i.agreement_id, i.seller_id, i.list_id, i.consumer_id, bool_or(i.bears_fees),
               max(i.progressive_threshold), bool_or(i.progressive), min(i.from_date), max(i.to_date)
          FROM island AS i
         GROUP BY i.account_id, i.period_no, i.variant, i.agreement_id, i.seller_id, i.list_id, i.consumer_id, i.island_no
    $step$

    -- The same with all that prices, quantities and fees depend on.  spec_no numbers the distinct combinations on which prices
    -- depend: a handful for thousands of accounts without prices of their own.
    WHEN 'rated_contract' THEN $step$
        SELECT row_number() OVER () AS contract_no, b.*,
               dense_rank() OVER (ORDER BY b.list_id, b.own_account, b.from_date, b.to_date, b.from_at, b.to_at, b.full_from, b.date_to, b.interim,
                                           b.price_at, b.price_own, b.reference_at, b.reference_own, b.advance_at, b.advance_own, b.own_advances, b.now_own, b.time_zone) AS spec_no
          FROM (SELECT m.*, v.fees_apart, v.now_own, v.price_at, v.price_own, v.reference_at, v.reference_own, v.usage_at, v.usage_own, v.advance_at, v.advance_own, v.own_advances,
                       p.starts_at AS period_at, m.from_date = min(m.from_date) OVER (PARTITION BY m.account_id, m.period_no, m.variant, m.agreement_id, m.consumer_id) AS is_first,
                       p.time_zone, p.full_from, p.date_to, p.interim, p.rate_usage AND (NOT p.interim OR m.progressive) AND NOT v.fees_apart AS rate_usage,
                       p.rate_arrears AND NOT v.fees_apart AS rate_arrears, p.rate_advance AND v.fees_apart = (p.advance_pinned_at IS NOT NULL) AS rate_advance,
                       p.batch, p.closed_known_at IS NOT NULL OR v.fees_apart AS closed, l.currency, s.rounding_mode, coalesce(o.account_id, 0) AS own_account,
                       CASE WHEN m.from_date > p.date_from THEN m.from_date::timestamp AT TIME ZONE p.time_zone ELSE p.starts_at END AS from_at,
                       least(p.rated_to, CASE WHEN m.to_date < p.date_to THEN m.to_date::timestamp AT TIME ZONE p.time_zone ELSE p.rated_to END) AS to_at
                  FROM rated_term AS m
                  JOIN rated_view AS v USING (account_id, period_no, variant)
                  JOIN rated_period AS p USING (account_id, period_no)
                  JOIN billing.account_setting AS s ON s.account_id = v.account_id AND s.from_date <= p.date_from AND billing.known(s.recorded_at, v.plan_at, v.plan_own)
                   AND NOT EXISTS (SELECT FROM billing.account_setting AS x
                                    WHERE x.account_id = v.account_id AND x.setting_no > s.setting_no AND x.from_date <= p.date_from AND billing.known(x.recorded_at, v.plan_at, v.plan_own))
                  JOIN billing.price_list AS l ON l.list_id = m.list_id AND l.currency = s.currency
                  LEFT JOIN (SELECT x.list_id, x.account_id FROM billing.price AS x WHERE x.account_id <> 0
                             UNION SELECT x.list_id, x.account_id FROM billing.pin_advance AS x WHERE x.account_id <> 0) AS o
                    ON o.list_id = m.list_id AND o.account_id = v.account_id) AS b
         WHERE b.from_at < b.to_at OR (b.rate_advance AND b.from_date < b.to_date)
    $step$

    WHEN 'rated_spec' THEN $step$
        SELECT c.spec_no, c.list_id, c.own_account, c.time_zone, c.from_date, c.to_date, c.full_from, c.date_to, c.interim,
               c.from_at, greatest(c.to_at, c.to_date::timestamp AT TIME ZONE c.time_zone) AS to_at, c.to_at AS usage_to_at,
               c.price_at, c.price_own, c.reference_at, c.reference_own, c.advance_at, c.advance_own, c.own_advances, c.now_own
          FROM rated_contract AS c
         WHERE c.contract_no IN (SELECT min(x.contract_no) FROM rated_contract AS x GROUP BY x.spec_no)
    $step$

    -- Price segments: the spans inside a period in which one tariff holds.  Prices are read as known at the pin, or at the latest
    -- advance of the pin that covers the span; where none was known then, the first that became known after it counts, since a first
    -- price is no change; what changes it later is one.  An account's own price goes before the list's.  Neighbours with equal tariffs
    -- are one segment, so that tiers do not restart.
    WHEN 'rated_segment' THEN $step$
        WITH candidate AS (
            SELECT s.spec_no, pr.item_id, pr.price_id, pr.account_id <> 0 AS own, pr.tariff, pr.chain, pr.tax_code, pr.known,
                   CASE WHEN lower_inf(pr.valid) THEN '-infinity' ELSE lower(pr.valid) AT TIME ZONE s.time_zone END AS valid_from,
                   CASE WHEN upper_inf(pr.valid) THEN 'infinity' ELSE upper(pr.valid) AT TIME ZONE s.time_zone END AS valid_to
              FROM rated_spec AS s
              JOIN billing.price AS pr ON pr.list_id = s.list_id AND pr.account_id IN (0, s.own_account)
             -- the last look, whose result a new rating version is compared with, knew no later prices
             WHERE CASE WHEN s.own_advances THEN billing.known(lower(pr.known), {known_at}, s.now_own) ELSE billing.known(lower(pr.known), s.advance_at, s.advance_own) END
               AND pr.valid && tsrange(s.from_at AT TIME ZONE s.time_zone, s.to_at AT TIME ZONE s.time_zone)
        ), advance AS (
            SELECT s.spec_no, a.item_id, a.advance_to AS known_at,
                   CASE WHEN lower_inf(a.valid) THEN '-infinity' ELSE lower(a.valid) AT TIME ZONE s.time_zone END AS valid_from,
                   CASE WHEN upper_inf(a.valid) THEN 'infinity' ELSE upper(a.valid) AT TIME ZONE s.time_zone END AS valid_to
              FROM rated_spec AS s
              JOIN billing.pin_advance AS a ON a.list_id = s.list_id AND a.account_id IN (0, s.own_account)
             WHERE a.cause = 'price' AND (billing.known(a.recorded_at, s.advance_at, s.advance_own) OR (s.own_advances AND a.advance_to <= s.advance_at))
        ), border AS (
            SELECT i.spec_no, i.item_id, s.from_at AS at, s.to_at
              FROM (SELECT DISTINCT c.spec_no, c.item_id FROM candidate AS c) AS i JOIN rated_spec AS s USING (spec_no)
            UNION
            SELECT x.spec_no, x.item_id, x.at, s.to_at
              FROM (SELECT c.spec_no, c.item_id, c.valid_from AS at FROM candidate AS c
                    UNION ALL SELECT c.spec_no, c.item_id, c.valid_to FROM candidate AS c
                    UNION ALL SELECT a.spec_no, a.item_id, a.valid_from FROM advance AS a
                    UNION ALL SELECT a.spec_no, a.item_id, a.valid_to FROM advance AS a) AS x
              JOIN rated_spec AS s USING (spec_no)
             WHERE x.at > s.from_at AND x.at < s.to_at
        ), span AS (
            SELECT b.spec_no, b.item_id, b.at AS from_at, lead(b.at, 1, b.to_at) OVER (PARTITION BY b.spec_no, b.item_id ORDER BY b.at) AS to_at
              FROM border AS b
        ), dated AS (
            SELECT n.spec_no, n.item_id, n.from_at, n.to_at, greatest(s.price_at, max(a.known_at)) AS price_at, s.price_own
              FROM span AS n
              JOIN rated_spec AS s USING (spec_no)
              LEFT JOIN advance AS a ON a.spec_no = n.spec_no AND a.item_id = n.item_id AND a.valid_from <= n.from_at AND a.valid_to >= n.to_at
             GROUP BY n.spec_no, n.item_id, n.from_at, n.to_at, s.price_at, s.price_own
        ), chosen AS (
            SELECT DISTINCT ON (d.spec_no, d.item_id, d.from_at) d.spec_no, d.item_id, d.from_at, d.to_at, c.tariff, c.chain, c.tax_code, c.price_id
              FROM dated AS d
              JOIN candidate AS c ON c.spec_no = d.spec_no AND c.item_id = d.item_id AND c.valid_from <= d.from_at AND c.valid_to >= d.to_at
             CROSS JOIN LATERAL (SELECT billing.known(c.known, d.price_at, d.price_own) AS at_pin, NOT billing.known(lower(c.known), d.price_at, d.price_own) AS after_pin) AS k
             WHERE k.at_pin OR k.after_pin
             ORDER BY d.spec_no, d.item_id, d.from_at, k.at_pin DESC, CASE WHEN k.after_pin THEN lower(c.known) END, c.own DESC, c.price_id DESC
        ), island AS (
            SELECT c.*, sum(c.starts::int) OVER (PARTITION BY c.spec_no, c.item_id ORDER BY c.from_at) AS island_no
              FROM (SELECT x.*, (lag(x.to_at) OVER w IS DISTINCT FROM x.from_at OR lag(x.tariff) OVER w <> x.tariff
                                 OR lag(x.chain) OVER w IS DISTINCT FROM x.chain OR lag(x.tax_code) OVER w IS DISTINCT FROM x.tax_code) IS NOT FALSE AS starts
                      FROM chosen AS x WINDOW w AS (PARTITION BY x.spec_no, x.item_id ORDER BY x.from_at)) AS c
        ), segment AS (
            SELECT i.spec_no, i.item_id, min(i.from_at) AS from_at, max(i.to_at) AS to_at,
                   (array_agg(i.tariff ORDER BY i.from_at))[1] AS tariff, (array_agg(i.chain))[1] AS chain, min(i.tax_code) AS tax_code, array_agg(i.price_id ORDER BY i.from_at) AS price_ids
              FROM island AS i
             GROUP BY i.spec_no, i.item_id, i.island_no
        )
        SELECT row_number() OVER () AS segment_no, g.*, s.interim,
               b.from_local, b.to_local, s.time_zone,
               -- limits of a running period are those of the whole one; only a flat amount is earned by time
               greatest(0, extract(epoch FROM CASE WHEN s.usage_to_at >= g.to_at OR billing.model(g.tariff) <> 'flat' THEN b.to_local ELSE s.usage_to_at AT TIME ZONE s.time_zone END - b.from_local)::numeric)
                   / ((s.date_to - s.full_from) * 86400) AS fraction,
               coalesce(f.price_days, s.date_to - s.full_from)::numeric AS nominal_days, f.proration,
               CASE WHEN f.proration = 'second' THEN extract(epoch FROM s.date_to::timestamp AT TIME ZONE s.time_zone - s.full_from::timestamp AT TIME ZONE s.time_zone)::numeric END AS nominal_seconds,
               billing.model(g.tariff) = 'blocks' AND g.tariff::text::jsonb ->> 'policy' = 'capacity' AS by_units,
               billing.tariff_rounding(g.tariff) AS rounded_by, billing.tariff_rounding(g.tariff) <> 'sum' AS rounds,
               CASE WHEN billing.tariff_rounding(g.tariff) <> 'sum' THEN billing.tariff_rounding(g.tariff) || CASE WHEN g.tariff::text::jsonb ->> 'dialect' = 'waldur' THEN ' up' ELSE ' half_up' END END AS rounding_words,
               billing.tariff_grouping(g.tariff) AS rate_by, billing.model(g.tariff) = 'hashmap' AND 'tenant_id' = ANY (billing.tariff_grouping(g.tariff)) AS by_tenant, billing.tariff_window(g.tariff) AS rate_window, billing.carries(g.tariff) AS carries,
               CASE WHEN billing.model(g.tariff) = 'per_unit' AND g.chain IS NULL THEN (g.tariff::text::jsonb ->> 'unit_price')::numeric END AS unit_price,
               billing.model(g.tariff) = 'matrix' AND g.chain IS NULL AS by_cell,
               coalesce(amount((billing.try_rate(g.tariff, 0, 0)).amount) <> 0, false) AND g.chain IS NULL AS owes_at_zero,
               i.kind AS item_kind, i.key AS item_key, f.in_advance, coalesce(m.enabled, f.item_id IS NOT NULL) AS enabled,
               $step$ || billing.metered_columns() || $step$, coalesce(m.prorated IS NOT NULL AND billing.model(g.tariff) IN ('graduated', 'volume'), false) OR y.each AS walks,
               coalesce(g.chain IS NOT NULL AND m.aggregation IN ('sum', 'count') AND NOT x.looks_back, false) AS by_rows,
               coalesce(g.chain = '[{"module": "hashmap"}]' AND m.aggregation IN ('sum', 'count') AND NOT x.looks_back AND billing.tariff_window(g.tariff) IS NULL, false) AS by_rules,
               min(g.from_at) OVER (PARTITION BY g.spec_no, g.item_id) = g.from_at AS is_first,
               -- the days that count in this segment: those whose midnight lies in it
               (b.from_local + interval '86399.999999 seconds')::date AS first_day,
               (CASE WHEN s.usage_to_at >= g.to_at THEN b.to_local ELSE s.usage_to_at AT TIME ZONE s.time_zone END + interval '86399.999999 seconds')::date AS end_day,
               coalesce(m.aggregation IN ('sum', 'count') AND m.dimensions = '{}' AND m.filter = '{}' AND NOT x.mutates AND NOT x.looks_back AND g.chain IS NULL AND NOT y.each
                        AND coalesce(cardinality(billing.tariff_grouping(g.tariff)), 0) = 0 AND billing.tariff_window(g.tariff) IS NULL, false) AS plain
          FROM segment AS g
          JOIN rated_spec AS s USING (spec_no)
         -- borders of the period are whole days, even when its zone is not that of the period before
         CROSS JOIN LATERAL (SELECT CASE WHEN g.from_at = s.from_at THEN s.from_date::timestamp ELSE g.from_at AT TIME ZONE s.time_zone END AS from_local,
                                    CASE WHEN g.to_at = s.to_at THEN s.to_date::timestamp ELSE g.to_at AT TIME ZONE s.time_zone END AS to_local) AS b
          JOIN billing.item AS i ON i.item_id = g.item_id
          LEFT JOIN LATERAL (SELECT x.* FROM billing.meter_definition AS x
                              WHERE x.item_id = g.item_id AND billing.known(lower(x.known), {known_at}, s.now_own)
                                AND (billing.known(x.known, s.reference_at, s.reference_own) OR NOT billing.known(lower(x.known), s.reference_at, s.reference_own))
                              ORDER BY lower(x.known) LIMIT 1) AS m ON true
          LEFT JOIN LATERAL (SELECT x.* FROM billing.fee_definition AS x
                              WHERE x.item_id = g.item_id AND billing.known(lower(x.known), {known_at}, s.now_own)
                                AND (billing.known(x.known, s.reference_at, s.reference_own) OR NOT billing.known(lower(x.known), s.reference_at, s.reference_own))
                              ORDER BY lower(x.known) LIMIT 1) AS f ON true
         CROSS JOIN LATERAL (SELECT $step$ || billing.meter_traits() || $step$,
                                    extract(epoch FROM s.date_to::timestamp AT TIME ZONE s.time_zone - s.full_from::timestamp AT TIME ZONE s.time_zone)::numeric AS period_seconds) AS x
         -- free events and bounds of the fee of an event: each row is an event
         CROSS JOIN LATERAL (SELECT coalesce(billing.per_event(g.tariff) AND m.aggregation IN ('sum', 'count') AND NOT x.looks_back AND g.chain IS NULL, false) AS each) AS y
    $step$

    -- Quantities of meters that only add up: the pass over usage that matters.
    WHEN 'rated_quantity_plain' THEN $step$
        SELECT c.contract_no, s.segment_no, '{}'::jsonb AS charge_group, '{}'::jsonb AS rate_group, NULL::timestamp AS window_at,
               CASE WHEN min(s.aggregation) = 'count' THEN count(p.part)::numeric ELSE sum(billing.quantity(p.part)) END AS quantity, count(p.part) AS events,
               NULL::billing.rating_result AS priced
          FROM billing.usage AS u
          JOIN rated_contract AS c ON c.consumer_id = u.account_id
          JOIN rated_segment AS s ON s.spec_no = c.spec_no AND s.item_id = u.meter_id
          LEFT JOIN billing.usage_change AS x ON x.account_id = u.account_id AND x.key = u.key AND x.revision = u.revision
           AND billing.known(x.recorded_at, c.usage_at, c.usage_own)
         CROSS JOIN LATERAL (SELECT billing.clip(u.consumed, greatest(c.from_at, s.from_at), least(c.to_at, s.to_at)) AS part) AS p
         WHERE u.ends_at >= {usage_from} AND u.ends_at <= {usage_to} {usage_accounts}
           -- no row is clipped by segments that it cannot reach: an account may have hundreds of them
           AND u.ends_at >= s.from_at AND u.ends_at <= s.to_at + (SELECT l.longest_usage FROM billing.ledger_state AS l)
           AND billing.known(u.recorded_at, c.usage_at, c.usage_own)
           AND s.plain AND s.enabled AND c.rate_usage AND c.batch = {batch}
           AND x.account_id IS NULL AND p.part IS NOT NULL
         GROUP BY c.contract_no, s.segment_no
    $step$

    -- The same in one parallel pass, for thousands of accounts.  What was voided, corrected or moved is taken out again.
    WHEN 'rated_quantity_pass' THEN $step$
        SELECT t.contract_no::bigint AS contract_no, t.segment_no::bigint AS segment_no, '{}'::jsonb AS charge_group, '{}'::jsonb AS rate_group, NULL::timestamp AS window_at,
               CASE WHEN s.aggregation = 'count' THEN (t.events - coalesce(x.events, 0))::numeric
                    WHEN x.contract_no IS NULL THEN t.quantity ELSE t.quantity - x.quantity END AS quantity,
               t.events - coalesce(x.events, 0) AS events, NULL::billing.rating_result AS priced
          FROM (SELECT billing.pass_usage((SELECT billing.pack_pieces(c.consumer_id, s.item_id, greatest(c.from_at, s.from_at), least(c.to_at, s.to_at), c.contract_no::int, s.segment_no::int)
                                             FROM rated_contract AS c
                                             JOIN rated_segment AS s USING (spec_no)
                                            WHERE s.plain AND s.enabled AND c.rate_usage AND c.batch = {batch} AND greatest(c.from_at, s.from_at) < least(c.to_at, s.to_at)),
                                          u.account_id, u.meter_id, u.consumed, u.recorded_at, {known_at}, {own_at}) AS totals
                  FROM {usage_partitions} AS u) AS f
         CROSS JOIN LATERAL billing.pass_totals(f.totals) AS t
          JOIN rated_segment AS s ON s.segment_no = t.segment_no
          LEFT JOIN (SELECT c.contract_no, s.segment_no, sum(billing.quantity(q.part)) AS quantity, count(q.part) AS events
                       FROM billing.usage_change AS h
                       JOIN rated_contract AS c ON c.consumer_id = h.account_id AND c.rate_usage AND c.batch = {batch}
                       JOIN rated_segment AS s ON s.spec_no = c.spec_no AND s.item_id = h.meter_id AND s.plain AND s.enabled
                       JOIN billing.usage AS u ON u.account_id = h.account_id AND u.meter_id = h.meter_id AND u.key = h.key AND u.revision = h.revision
                        AND u.ends_at >= h.starts_at AND u.ends_at <= h.ends_at AND u.ends_at >= {usage_from} AND u.ends_at <= {usage_to} AND billing.known(u.recorded_at, {known_at}, {own_at})
                      CROSS JOIN LATERAL (SELECT billing.clip(u.consumed, greatest(c.from_at, s.from_at), least(c.to_at, s.to_at)) AS part) AS q
                      WHERE billing.known(h.recorded_at, {known_at}, {own_at}) AND q.part IS NOT NULL
                      GROUP BY c.contract_no, s.segment_no) AS x ON x.contract_no = t.contract_no AND x.segment_no = t.segment_no
         WHERE t.events > coalesce(x.events, 0)
    $step$

    -- Quantities of all other meters: filtered, grouped, priced by window, changed row by row, or aggregated
    -- otherwise than by adding.
    WHEN 'rated_quantity_general' THEN $step$
        SELECT x.contract_no, x.segment_no, x.charge_group, x.rate_group, x.window_at,
               CASE min(x.aggregation)
                   WHEN 'sum' THEN sum(x.value)
                   WHEN 'count' THEN count(*)::numeric
                   WHEN 'max' THEN max(x.value)
                   WHEN 'min' THEN min(x.value)
                   WHEN 'avg' THEN avg(x.value)
                   WHEN 'latest' THEN (array_agg(x.value ORDER BY x.ends_at DESC, x.key DESC))[1]
                   WHEN 'unique_count' THEN count(DISTINCT CASE WHEN x.unique_dimension IS NULL THEN x.resource ELSE x.dimensions ->> x.unique_dimension END)::numeric
                   WHEN 'percentile' THEN (array_agg(x.value ORDER BY x.value))[greatest(1, ceil(min(x.percentile) * count(*)))::int]
               END AS quantity,
               count(*) AS events,
               billing.try_rate_each(x.tariff, CASE x.aggregation WHEN 'count' THEN 1 ELSE billing.scaled_quantity(x.value, x.scale_by, x.scale_over) END, x.ends_at, 1, NULLIF(x.rate_group, '{}'), x.fraction, NOT x.interim) FILTER (WHERE x.walks) AS priced
          FROM ($step$ || billing.counted_rows('false') || $step$) AS x
         GROUP BY x.contract_no, x.segment_no, x.charge_group, x.rate_group, x.window_at
    $step$

    -- The same of meters whose rows a chain of rating modules prices one by one.  Where that is hashmap alone, rows cost the same that have
    -- the same quantity and the same values in its fields: one is rated for all of them.
    WHEN 'rated_quantity_rows' THEN $step$
        WITH alike AS (
            SELECT x.contract_no, x.segment_no, x.charge_group, x.rate_group, x.window_at, x.dimensions -> 'service' AS service, CASE WHEN x.aggregation = 'count' THEN 1 ELSE x.value END AS counted, count(*) AS events
              FROM ($step$ || billing.counted_rows_by_rules() || $step$) AS x
             -- there are far more rows than the planner thinks: groups are hashed, since an xid cannot be sorted
             GROUP BY x.contract_no, x.segment_no, x.charge_group, x.rate_group, x.window_at, 6, 7, '0'::xid
        ), rated AS (
            SELECT a.*, billing.currency(s.tariff) AS currency,
                   billing.try_rate(s.tariff, billing.round_quantity(billing.scaled_quantity(a.counted, s.scale_by, s.scale_over), s.rounding, s.decimals),
                                    dimensions => a.rate_group || jsonb_build_object('service', coalesce(a.service, to_jsonb(s.item_key)))) AS one
              FROM alike AS a JOIN rated_segment AS s USING (segment_no)
            OFFSET 0
        ), point AS (
            SELECT x.*, billing.round_quantity(billing.scaled_quantity(CASE WHEN s.aggregation = 'count' THEN 1 ELSE x.value END, s.scale_by, s.scale_over), s.rounding, s.decimals) AS quantity,
                   CASE WHEN s.aggregation = 'count' THEN 1 ELSE x.value END AS counted, CASE WHEN x.resource IS NULL THEN x.dimensions ELSE jsonb_build_object('resource', x.resource) || x.dimensions END AS described,
                   -- an array does not hold millions of them
                   (row_number() OVER (PARTITION BY x.contract_no, x.segment_no, x.charge_group, x.rate_group, x.window_at) - 1) / 10000 AS batch_no
              FROM ($step$ || billing.counted_rows('true AND NOT s.by_rules AND (SELECT EXISTS (SELECT FROM rated_segment AS z WHERE z.by_rows AND NOT z.by_rules))') || $step$) AS x JOIN rated_segment AS s USING (segment_no)
        ), batch AS (
            SELECT p.contract_no, p.segment_no, p.charge_group, p.rate_group, p.window_at, p.batch_no, sum(p.counted) AS quantity, count(*) AS events,
                   array_agg(p.quantity) AS quantities, array_agg(p.starts_at) AS times, array_agg(p.described) AS described
              FROM point AS p
             GROUP BY p.contract_no, p.segment_no, p.charge_group, p.rate_group, p.window_at, p.batch_no
        ), priced AS (
            SELECT b.*, billing.rate_rows(s.chain, s.tariff, s.item_key, s.time_zone, b.quantities, b.times, b.described) AS priced
              FROM batch AS b JOIN rated_segment AS s USING (segment_no)
            OFFSET 0
        )
        SELECT p.contract_no, p.segment_no, p.charge_group, p.rate_group, p.window_at, sum(p.quantity) AS quantity, sum(p.events)::bigint AS events, billing.added_results(array_agg(p.priced)) AS priced
          FROM priced AS p
         GROUP BY p.contract_no, p.segment_no, p.charge_group, p.rate_group, p.window_at
         UNION ALL
        SELECT r.contract_no, r.segment_no, r.charge_group, r.rate_group, r.window_at, sum(r.counted * r.events), sum(r.events)::bigint,
               CASE WHEN count((r.one).sqlstate) > 0 THEN ROW(NULL, left(min((r.one).sqlstate || (r.one).detail), 5), substr(min((r.one).sqlstate || (r.one).detail), 6))::billing.rating_result
                    WHEN abs(sum(amount((r.one).amount) * r.events)) > billing.greatest_amount() THEN ROW(NULL, '22003', 'charge comes to more than ' || trunc(billing.greatest_amount()) || ' ' || min(r.currency))::billing.rating_result
                    ELSE ROW(billing.monetary(sum(amount((r.one).amount) * r.events), min(r.currency)), NULL, NULL)::billing.rating_result END
          FROM rated AS r
         GROUP BY r.contract_no, r.segment_no, r.charge_group, r.rate_group, r.window_at
    $step$

    -- The same of meters that look at more than the segment, from their rows.
    WHEN 'rated_quantity_level' THEN 'WITH weighed AS (' || billing.weighed_rows() || $step$)
        SELECT w.contract_no, w.segment_no, w.charge_group, w.rate_group, NULL::timestamp AS window_at,
               CASE WHEN s.proration_decimals IS NULL THEN billing.scaled_quantity(sum(w.change * w.weight), 1, min(w.whole))
                    ELSE billing.round_quantity(billing.scaled_quantity(coalesce(sum(w.change * w.weight) FILTER (WHERE w.from_before), 0), 1, min(w.whole)), 'up', s.proration_decimals)
                       + billing.round_quantity(billing.scaled_quantity(coalesce(sum(w.change * w.weight) FILTER (WHERE NOT w.from_before), 0), 1, min(w.whole)), 'up', s.proration_decimals) END AS quantity,
               count(*) AS events,
               billing.try_rate_each(s.tariff, billing.scaled_quantity(w.change, s.scale_by, s.scale_over), w.at, round(w.weight::numeric, 60) / w.whole, NULLIF(w.rate_group, '{}'), s.fraction, NOT s.interim) FILTER (WHERE s.walks) AS priced
          FROM weighed AS w JOIN rated_segment AS s USING (segment_no)
         WHERE w.weight > 0 OR (s.walks AND w.weight = 0)
         GROUP BY w.contract_no, w.segment_no, w.charge_group, w.rate_group, s.segment_no, s.tariff, s.proration_decimals, s.fraction, s.interim
    $step$

    -- What each quantity and each subscription costs, unrounded.  weight and divisor prorate fees by days: Σ amount × weight ÷ divisor.
    WHEN 'rated_amount' THEN $step$
        WITH measured AS NOT MATERIALIZED (
            SELECT q.contract_no, q.segment_no, q.charge_group, q.rate_group, q.window_at, q.events, q.priced,
                   -- calls of functions that cannot be inlined cost more than rating: only where they are needed
                   CASE WHEN s.rounding IS NULL AND s.scale_by = 1 AND s.scale_over = 1 THEN q.quantity
                        ELSE billing.round_quantity(billing.scaled_quantity(q.quantity, s.scale_by, s.scale_over), s.rounding, s.decimals) END AS quantity, NULL::jsonb AS units
              FROM rated_quantity AS q JOIN rated_segment AS s USING (segment_no)
             WHERE q.quantity IS NOT NULL AND NOT s.by_units
            UNION ALL   -- a price that depends on the quantities of all units together
            SELECT q.contract_no, q.segment_no, q.charge_group, '{}', q.window_at, sum(q.events)::bigint, NULL, 1,
                   jsonb_object_agg(coalesce(q.rate_group ->> 'unit', ''), billing.round_quantity(billing.scaled_quantity(q.quantity, s.scale_by, s.scale_over), s.rounding, s.decimals))
              FROM rated_quantity AS q JOIN rated_segment AS s USING (segment_no)
             WHERE q.quantity IS NOT NULL AND s.by_units
             GROUP BY q.contract_no, q.segment_no, q.charge_group, q.window_at
            UNION ALL
            SELECT c.contract_no, s.segment_no, '{}', '{}', NULL, 0, NULL, 0, NULL
              FROM rated_contract AS c JOIN rated_segment AS s USING (spec_no)
             WHERE EXISTS (SELECT FROM rated_segment AS x WHERE x.owes_at_zero)   -- decided once, before anything is joined
               AND s.owes_at_zero AND s.item_kind = 'meter' AND s.enabled AND s.charge_by = '{}' AND c.rate_usage AND s.from_at < c.to_at
               AND NOT EXISTS (SELECT FROM rated_quantity AS q WHERE q.contract_no = c.contract_no AND q.segment_no = s.segment_no)
        ), carried AS (
            SELECT m.*, CASE WHEN s.carries THEN coalesce(sum(m.quantity) OVER (PARTITION BY m.contract_no, s.item_id, m.charge_group, m.rate_group, m.window_at
                                                       ORDER BY s.from_at ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0) ELSE 0 END AS before
              FROM measured AS m JOIN rated_segment AS s USING (segment_no)
             WHERE EXISTS (SELECT FROM rated_segment AS x WHERE x.carries)
            UNION ALL
            SELECT m.*, 0 FROM measured AS m WHERE NOT EXISTS (SELECT FROM rated_segment AS x WHERE x.carries)
        ), tried AS (
            SELECT k.contract_no, k.segment_no, k.charge_group, k.rate_group, k.quantity, k.units, 0::bigint AS subscription_id,
                   CASE WHEN (s.walks OR s.by_rows) AND k.events > 0 THEN k.priced
                        WHEN s.chain IS NOT NULL THEN ROW(NULL, '0A000', 'meter "' || s.item_key || '" adds nothing up, but a chain of rating modules prices its rows')::billing.rating_result
                        WHEN s.by_units AND s.aggregation IN ('sum', 'count') THEN ROW(NULL, '0A000', 'meter "' || s.item_key || '" adds up, but a price of capacity is for the peak: its aggregation must be max')::billing.rating_result
                        WHEN k.units IS NULL THEN billing.try_rate(s.tariff, k.before + k.quantity, k.events, k.rate_group, s.fraction, NOT s.interim)
                        WHEN k.units ? '' AND k.units - '' = '{}' THEN billing.try_rate(s.tariff, (k.units ->> '')::numeric, k.events, k.rate_group, s.fraction, NOT s.interim)
                        ELSE billing.try_rate(s.tariff, k.units, k.events, k.rate_group, s.fraction, NOT s.interim) END AS priced,
                   CASE WHEN k.before <> 0 AND k.units IS NULL AND NOT (s.walks AND k.events > 0) THEN billing.try_rate(s.tariff, k.before, k.events, k.rate_group, s.fraction, NOT s.interim) END AS priced_before,
                   1::numeric AS weight, 1::numeric AS divisor,
                   CASE WHEN s.rounded_by = 'detail' AND NOT s.walks AND s.chain IS NULL AND k.units IS NULL THEN (billing.try_bill(s.tariff, k.before + k.quantity, k.events, k.rate_group, s.fraction, NOT s.interim)).amount END AS detailed,
                   CASE WHEN s.rounded_by = 'detail' AND NOT s.walks AND s.chain IS NULL AND k.before <> 0 AND k.units IS NULL THEN (billing.try_bill(s.tariff, k.before, k.events, k.rate_group, s.fraction, NOT s.interim)).amount END AS detailed_before, 0::numeric AS unused,
                   CASE WHEN s.by_cell THEN billing.tariff_unit_price(s.tariff, k.rate_group) END AS cell_price
              FROM carried AS k JOIN rated_segment AS s USING (segment_no)
            UNION ALL
            SELECT c.contract_no, s.segment_no, '{}', '{}', d.weight * t.quantity, NULL, b.subscription_id,
                   billing.try_rate(s.tariff, t.quantity), NULL, d.weight,
                   CASE WHEN s.proration IN ('day_half_open', 'day_inclusive') THEN s.nominal_days ELSE coalesce(s.nominal_seconds, 1) END, NULL, NULL, e.unused, NULL
              FROM rated_contract AS c
              JOIN rated_segment AS s ON s.spec_no = c.spec_no AND s.item_kind = 'fee' AND s.enabled
              JOIN billing.subscription AS b ON b.agreement_id = c.agreement_id AND b.item_id = s.item_id
              JOIN billing.subscription_term AS t ON t.subscription_id = b.subscription_id AND billing.known(t.known, c.usage_at, c.usage_own)
             CROSS JOIN LATERAL (SELECT CASE WHEN s.proration = 'day_half_open'
                                             THEN extract(epoch FROM least(c.to_date, upper(t.dates), s.to_local) - greatest(c.from_date, lower(t.dates), s.from_local))::numeric / 86400
                                             ELSE billing.fee_weight(s.proration, greatest(c.from_date, lower(t.dates), s.from_local),
                                                      least(c.to_date, s.to_local, CASE WHEN s.proration = 'day_inclusive' AND NOT EXISTS (
                                                              SELECT FROM billing.subscription_term AS n WHERE n.subscription_id = t.subscription_id AND lower(n.dates) = upper(t.dates) AND billing.known(n.known, c.usage_at, c.usage_own))
                                                          THEN upper(t.dates) + 1 ELSE upper(t.dates) END), c.time_zone) END AS weight) AS d
             -- what a subscription that ends leaves of a fee in advance, where that is credited by an amount rounded by itself
             CROSS JOIN LATERAL (SELECT CASE WHEN s.in_advance AND s.rounds AND upper(t.dates) < least(c.to_date, s.to_local)
                                              AND NOT EXISTS (SELECT FROM billing.subscription_term AS n
                                                               WHERE n.subscription_id = t.subscription_id AND lower(n.dates) >= upper(t.dates) AND billing.known(n.known, c.usage_at, c.usage_own))
                                             THEN billing.fee_weight(s.proration, greatest(c.from_date, lower(t.dates), s.from_local), least(c.to_date, s.to_local), c.time_zone) - d.weight
                                             ELSE 0 END AS unused) AS e
             WHERE c.bears_fees AND d.weight > 0
               AND CASE WHEN s.in_advance THEN c.rate_advance ELSE c.rate_arrears END
             OFFSET 0
        )
        SELECT t.contract_no, t.segment_no, t.charge_group, t.rate_group, t.subscription_id, t.quantity, t.units, t.weight, t.divisor,
               CASE WHEN t.priced_before IS NULL THEN (t.priced).amount ELSE (t.priced).amount - (t.priced_before).amount END AS amount,
               coalesce((t.priced).sqlstate, (t.priced_before).sqlstate) AS sqlstate, coalesce((t.priced).detail, (t.priced_before).detail) AS detail,
               -- where the parts of the price are rounded one by one: the sum of those
               CASE WHEN t.detailed_before IS NULL THEN t.detailed ELSE t.detailed - t.detailed_before END AS detailed, t.unused, t.cell_price
          FROM tried AS t
    $step$

    -- What each charge key owes, in each view of its period.
    WHEN 'rated_owed' THEN $step$
        -- Numbers, since what a price comes to in seconds, or for all cells together, can be more than monetary holds on the way.
        WITH rated AS (
            SELECT r.contract_no, r.segment_no, r.charge_group, r.subscription_id, r.quantity, r.divisor, r.sqlstate, r.detail,
                   CASE WHEN r.weight = 1 THEN amount(r.amount) ELSE amount(r.amount) * r.weight END AS part, NULL::numeric AS rounded, r.cell_price
              FROM rated_amount AS r
             UNION ALL   -- prices that are rounded by themselves: a row more for what each comes to in a segment
            SELECT x.contract_no, x.segment_no, x.charge_group, x.subscription_id, NULL, x.divisor, NULL, NULL, NULL,
                   (amount(billing.round_line(x.tariff, billing.monetary(x.exact + x.unused, billing.currency(x.tariff))))
                    - CASE WHEN x.unused = 0 THEN 0 ELSE amount(billing.round_line(x.tariff, billing.monetary(x.unused, billing.currency(x.tariff)))) END) * x.divisor, x.cell_price
              FROM (SELECT r.contract_no, r.segment_no, r.charge_group, r.subscription_id, r.divisor, (array_agg(s.tariff))[1] AS tariff,
                           sum(coalesce(amount(r.detailed), CASE WHEN r.divisor = 1 THEN amount(r.amount) * r.weight ELSE round(amount(r.amount) * r.weight, 30) / r.divisor END)) AS exact,
                           coalesce(sum(round(amount(r.amount) * r.unused, 30) / r.divisor) FILTER (WHERE r.unused <> 0), 0) AS unused,
                           CASE WHEN min(r.cell_price) = max(r.cell_price) THEN min(r.cell_price) END AS cell_price
                      FROM rated_amount AS r JOIN rated_segment AS s USING (segment_no)
                     WHERE s.rounds
                     GROUP BY r.contract_no, r.segment_no, r.charge_group, r.subscription_id, r.divisor) AS x
             WHERE abs(x.exact) + abs(x.unused) <= billing.greatest_amount()
        ), added AS (
            SELECT c.account_id, c.period_no, CASE WHEN c.fees_apart THEN c.variant - 10 ELSE c.variant END AS variant, c.agreement_id, s.item_id, r.subscription_id, c.consumer_id, r.charge_group,
                   CASE s.item_kind WHEN 'fee' THEN 'fee' ELSE 'usage' END AS component, bool_or(c.closed) AS closed, bool_or(c.fees_apart) AS fees_apart,
                   min(c.seller_id) AS seller_id, min(c.currency) AS currency, min(c.rounding_mode) AS rounding_mode, bool_or(coalesce(s.in_advance, false)) AS in_advance,
                   bool_or(c.interim AND s.item_kind = 'meter') AS interim, min(c.progressive_threshold) AS progressive_threshold,
                   -- 30 decimals are enough for every 15th to be right
                   CASE WHEN min(r.divisor) = 1 THEN sum(r.part) ELSE round(sum(r.part), 30) / min(r.divisor) END AS exact,
                   CASE WHEN min(r.divisor) = 1 THEN sum(CASE WHEN s.rounds THEN r.rounded ELSE r.part END)
                        ELSE round(sum(CASE WHEN s.rounds THEN r.rounded ELSE r.part END), 30) / min(r.divisor) END AS counted,
                   coalesce(min(s.rounding_words), 'sum ' || min(c.rounding_mode)) AS rounding, min(CASE s.item_kind WHEN 'fee' THEN s.proration ELSE s.prorated END) AS proration,
                   sum(r.quantity) FILTER (WHERE r.sqlstate IS NULL) / min(r.divisor) AS quantity,
                   -- one where all that is rated has it, whether by the price or by the cell that its dimensions choose
                   CASE WHEN min(coalesce(s.unit_price, r.cell_price)) = max(coalesce(s.unit_price, r.cell_price))
                         AND count(coalesce(s.unit_price, r.cell_price)) FILTER (WHERE r.sqlstate IS NULL) = count(*) FILTER (WHERE r.sqlstate IS NULL)
                        THEN min(coalesce(s.unit_price, r.cell_price)) END AS unit_price,
                   min(s.price_ids) AS price_ids, min(s.tax_code) AS tax_code,
                   count(*) FILTER (WHERE r.sqlstate IS NULL) AS rated,
                   count(*) FILTER (WHERE r.sqlstate <> 'BL001') AS failed,
                   count(*) FILTER (WHERE r.sqlstate = 'BL001') AS unmatched,
                   min(r.sqlstate || ' ' || r.detail) FILTER (WHERE r.sqlstate IS NOT NULL) AS problem
              FROM rated AS r
              JOIN rated_contract AS c USING (contract_no)
              JOIN rated_segment AS s USING (segment_no)
             GROUP BY c.account_id, c.period_no, 3, c.agreement_id, s.item_id, r.subscription_id, c.consumer_id, r.charge_group, s.item_kind
        ), summed AS (
            SELECT a.account_id, a.period_no, a.variant, a.agreement_id, a.item_id, a.subscription_id, a.consumer_id, a.charge_group, a.component, a.closed, a.fees_apart,
                   a.seller_id, a.currency, a.rounding_mode, a.in_advance, a.interim, a.progressive_threshold,
                   CASE WHEN abs(a.exact) <= billing.greatest_amount() THEN billing.monetary(a.exact, a.currency) END AS exact,
                   CASE WHEN abs(a.counted) <= billing.greatest_amount() THEN billing.monetary(a.counted, a.currency) END AS counted,
                   a.rounding, a.proration, a.quantity, a.unit_price, a.price_ids, a.tax_code, a.rated,
                   a.failed + (greatest(abs(a.exact), abs(a.counted)) > billing.greatest_amount() IS TRUE)::int AS failed, a.unmatched,
                   coalesce(a.problem, CASE WHEN greatest(abs(a.exact), abs(a.counted)) > billing.greatest_amount()
                                            THEN '22003 charge comes to more than ' || trunc(billing.greatest_amount()) || ' ' || a.currency END) AS problem
              FROM added AS a
        )
        -- a period that is not closed is looked at in one way
        SELECT s.account_id, s.period_no, s.agreement_id, s.item_id, s.subscription_id, s.consumer_id, s.charge_group, s.component,
               s.fees_apart, s.seller_id, s.currency, s.in_advance, s.interim, s.progressive_threshold, s.exact, billing.round(s.counted, s.rounding_mode) AS owed,
               NULL::billing.monetary AS owed_price_now, NULL::billing.monetary AS owed_plan_now, NULL::billing.monetary AS owed_reference_now,
               NULL::billing.monetary AS owed_at_last_look, false AS failed_at_last_look, NULL::billing.monetary AS owed_before_advance,
               false AS failed_before_advance, coalesce(s.quantity, 0) AS quantity, s.unit_price, s.price_ids, s.tax_code, s.rounding, s.proration, s.failed > 0 AS failed, s.failed > 0 AS failed_now, s.problem
          FROM summed AS s
         WHERE NOT s.closed AND (s.rated > 0 OR s.failed > 0)
         UNION ALL
        SELECT s.account_id, s.period_no, s.agreement_id, s.item_id, s.subscription_id, s.consumer_id, s.charge_group, s.component,
               bool_or(s.fees_apart) AS fees_apart, min(s.seller_id) AS seller_id, min(s.currency) AS currency, bool_or(s.in_advance) AS in_advance,
               bool_or(s.interim) AS interim, min(s.progressive_threshold) AS progressive_threshold,
               max(s.exact) FILTER (WHERE s.variant = 0) AS exact,
               max(billing.round(s.counted, s.rounding_mode)) FILTER (WHERE s.variant = 0) AS owed,
               max(billing.round(s.counted, s.rounding_mode)) FILTER (WHERE s.variant = 1) AS owed_price_now,
               max(billing.round(s.counted, s.rounding_mode)) FILTER (WHERE s.variant = 2) AS owed_plan_now,
               max(billing.round(s.counted, s.rounding_mode)) FILTER (WHERE s.variant = 3) AS owed_reference_now,
               max(billing.round(s.counted, s.rounding_mode)) FILTER (WHERE s.variant = -1) AS owed_at_last_look,
               coalesce(sum(s.failed) FILTER (WHERE s.variant = -1), 0) > 0 AS failed_at_last_look,
               max(billing.round(s.counted, s.rounding_mode)) FILTER (WHERE s.variant = -2) AS owed_before_advance,
               coalesce(sum(s.failed) FILTER (WHERE s.variant = -2), 0) > 0 AS failed_before_advance,
               coalesce(max(s.quantity) FILTER (WHERE s.variant = 0), 0) AS quantity,
               max(s.unit_price) FILTER (WHERE s.variant = 0) AS unit_price,
               min(s.price_ids) FILTER (WHERE s.variant = 0) AS price_ids,
               min(s.tax_code) FILTER (WHERE s.variant = 0) AS tax_code,
               min(s.rounding) FILTER (WHERE s.variant = 0) AS rounding, min(s.proration) FILTER (WHERE s.variant = 0) AS proration,
               -- What could not be rated as it was looked at last is no reason to leave it unbilled now.
               coalesce(sum(s.failed) FILTER (WHERE s.variant >= 0), 0) > 0 AS failed, coalesce(sum(s.failed) FILTER (WHERE s.variant >= 1), 0) > 0 AS failed_now, min(s.problem) FILTER (WHERE s.variant >= 0) AS problem
          FROM summed AS s
         WHERE s.closed AND (s.rated > 0 OR s.failed > 0)
         GROUP BY s.account_id, s.period_no, s.agreement_id, s.item_id, s.subscription_id, s.consumer_id, s.charge_group, s.component
    $step$

    -- What is left to bill for every key that is owed, booked or decided.  Keys that are not due now are left alone.
    WHEN 'rated_difference' THEN $step$
        WITH keyed AS (
            SELECT account_id, period_no, agreement_id, item_id, subscription_id, consumer_id, charge_group, component,
                   k.key_id, k.frozen_at, k.looked_owed, component = 'fee' AND q.advance_pinned_at IS NOT NULL AND coalesce(o.fees_apart, true) AS fees_apart, o.seller_id, o.currency, o.in_advance, o.interim AS rated_interim, o.progressive_threshold,
                   o.exact, o.owed, o.owed_price_now, o.owed_plan_now, o.owed_reference_now, o.owed_at_last_look, o.failed_at_last_look, o.owed_before_advance, o.failed_before_advance, coalesce(o.failed_now, false) AS failed_now,
                   coalesce(o.quantity, 0) AS quantity, o.unit_price, o.price_ids, o.tax_code, o.rounding, o.proration, coalesce(o.failed, false) AS failed, o.problem, o.owed IS NOT NULL OR o.failed AS is_owed
              FROM rated_owed AS o
              FULL JOIN (SELECT x.* FROM billing.charge_key AS x JOIN rated_period AS p USING (account_id, period_no)) AS k
             USING (account_id, period_no, agreement_id, item_id, subscription_id, consumer_id, charge_group, component)
              JOIN rated_period AS q USING (account_id, period_no)
        ), summed AS (
            SELECT k.*, coalesce(k.rated_interim, p.interim AND k.component = 'usage') AS interim, p.closed_known_at IS NOT NULL OR k.fees_apart AS closed, p.sealed, p.date_from, p.date_to, p.ends_at, p.closed_known_at AS pin, p.looked_own_at,
                   p.rating_version <> billing.rating_version() AND p.closed_known_at IS NOT NULL AND p.looked_known_at IS NOT NULL AND NOT p.sealed AS new_version, d.decided_since, w.causes AS drafted_causes, w.amount AS drafted,
                   k.failed AND NOT k.failed_now AND coalesce(v.price_now, false) AS failed_at_pin,
                   coalesce(h.chain_no, 0) AS chain_no, h.booked_after AS head, h.kind IN ('void', 'cancellation') AS taken_back, coalesce(h.kind = 'interim', false) AS after_interim, d.decided, d.ignored, z.owed AS sealed_owed,
                   coalesce(v.price_now, false) AS price_now, coalesce(v.plan_now, false) AS plan_now, coalesce(v.reference_now, false) AS reference_now, coalesce(v.advanced, false) AS advanced, v.advance_cause,
                   billing.monetary(0, coalesce(k.currency, billing.currency(h.booked_after), billing.currency(d.decided), billing.currency(z.owed), billing.currency(k.looked_owed))) AS nothing
              FROM keyed AS k
              JOIN rated_period AS p USING (account_id, period_no)
              LEFT JOIN LATERAL (SELECT l.chain_no, l.booked_after, l.kind FROM billing.line AS l
                                  WHERE l.account_id = k.account_id AND l.key_id = k.key_id ORDER BY l.chain_no DESC LIMIT 1) AS h ON true
              LEFT JOIN (SELECT x.account_id, x.key_id, sum(x.amount) AS decided, sum(x.since) FILTER (WHERE x.cause IS NULL) AS decided_since,
                                jsonb_object_agg(x.cause, x.total) FILTER (WHERE x.cause IS NOT NULL) AS ignored
                           FROM (SELECT y.account_id, y.key_id, y.cause, sum(y.amount) AS amount, amount(sum(y.amount)) AS total,
                                        sum(y.amount) FILTER (WHERE NOT billing.known(y.recorded_at, coalesce(q.looked_known_at, q.advance_known_at), q.looked_own_at)) AS since
                                   FROM billing.decision AS y
                                   JOIN billing.charge_key AS x ON x.account_id = y.account_id AND x.key_id = y.key_id
                                   JOIN rated_period AS q ON q.account_id = x.account_id AND q.period_no = x.period_no
                                  WHERE billing.known(y.recorded_at, {known_at}, coalesce({own_at}, q.looked_own_at))
                                  GROUP BY y.account_id, y.key_id, y.cause) AS x
                          GROUP BY x.account_id, x.key_id) AS d ON d.account_id = k.account_id AND d.key_id = k.key_id
              LEFT JOIN billing.draft_line AS w ON w.account_id = k.account_id AND w.key_id = k.key_id
              LEFT JOIN billing.sealed_owed AS z ON z.account_id = k.account_id AND z.key_id = k.key_id
              LEFT JOIN (SELECT w.account_id, w.period_no, w.fees_apart, bool_or(w.variant IN (1, 11)) AS price_now, bool_or(w.variant IN (2, 12)) AS plan_now, bool_or(w.variant IN (3, 13)) AS reference_now, bool_or(w.variant IN (-2, 8)) AS advanced, min(w.advance_cause) AS advance_cause
                           FROM rated_view AS w WHERE w.variant NOT IN (0, 10) GROUP BY w.account_id, w.period_no, w.fees_apart) AS v ON v.account_id = k.account_id AND v.period_no = k.period_no AND v.fees_apart = k.fees_apart
             WHERE CASE WHEN k.component = 'usage' THEN p.rate_arrears OR (p.interim AND (k.is_owed OR h.chain_no IS NOT NULL))
                        WHEN k.is_owed THEN true
                        ELSE p.rate_arrears OR h.chain_no IS NOT NULL OR (p.rate_advance AND EXISTS (SELECT FROM billing.draft_line AS y WHERE y.account_id = k.account_id AND y.key_id = k.key_id)) END
        ), measured AS (
            SELECT s.*, coalesce(s.head, s.nothing) AS booked,
                   -- A charge that cannot be rated at the pin stays as it is; what it would owe as known now is a difference to that.
                   CASE WHEN s.sealed THEN coalesce(s.sealed_owed, s.nothing) WHEN s.failed_at_pin THEN u.unchanged + coalesce(s.drafted, s.nothing) ELSE coalesce(s.owed, s.nothing) END AS base,
                   CASE WHEN s.failed_before_advance THEN u.unchanged + coalesce(s.decided_since, s.nothing) ELSE coalesce(s.owed_before_advance, s.nothing) END AS before_advance,
                   CASE WHEN s.price_now THEN coalesce(s.owed_price_now, s.nothing) ELSE coalesce(s.owed, s.nothing) END AS after_price,
                   CASE WHEN s.plan_now THEN coalesce(s.owed_plan_now, s.nothing) WHEN s.price_now THEN coalesce(s.owed_price_now, s.nothing) ELSE coalesce(s.owed, s.nothing) END AS after_plan,
                   CASE WHEN s.reference_now THEN coalesce(s.owed_reference_now, s.nothing) WHEN s.plan_now THEN coalesce(s.owed_plan_now, s.nothing)
                        WHEN s.price_now THEN coalesce(s.owed_price_now, s.nothing) ELSE coalesce(s.owed, s.nothing) END AS after_reference,
                   CASE WHEN s.new_version AND s.looked_owed IS NOT NULL AND s.failed_at_last_look IS NOT TRUE THEN coalesce(s.owed_at_last_look, s.nothing) - s.looked_owed ELSE s.nothing END AS engine_change
              FROM summed AS s
             CROSS JOIN LATERAL (SELECT coalesce(s.head, s.nothing) - coalesce(s.decided, s.nothing)
                                        + billing.monetary(coalesce((s.ignored ->> 'price')::numeric, 0) + coalesce((s.ignored ->> 'plan')::numeric, 0) + coalesce((s.ignored ->> 'reference_data')::numeric, 0),
                                                           billing.currency(s.nothing)) AS unchanged) AS u
        ), changed AS (
            SELECT m.*, c.change_by_cause, c.billed, c.ignored_more, c.held
              FROM measured AS m
             CROSS JOIN LATERAL (
                -- What was ignored once stays so: its decision and the change it answers cancel out, whatever the policy says today.  But a
                -- decision answers no more than the change that is left; what is over is taken back, since nobody ever paid it.
                SELECT jsonb_object_agg(y.cause, amount(y.change) + y.answered) FILTER (WHERE y.action = 'bill') AS change_by_cause,
                       coalesce(sum(CASE y.action WHEN 'hold' THEN billing.monetary(- y.answered, billing.currency(m.nothing)) ELSE y.change END), m.nothing) AS billed,
                       jsonb_object_agg(y.cause, CASE y.action WHEN 'ignore' THEN - amount(y.change) ELSE y.answered END - y.ignored) AS ignored_more,
                       jsonb_object_agg(y.cause, amount(y.change) + y.answered) FILTER (WHERE y.action = 'hold') AS held
                  FROM (SELECT x.cause, x.change, i.ignored, CASE WHEN i.ignored > 0 THEN least(i.ignored, greatest(- amount(x.change), 0)) ELSE greatest(i.ignored, least(- amount(x.change), 0)) END AS answered,
                               billing.correction_action(m.agreement_id, m.account_id, x.cause, x.change, m.ends_at, {known_at}, coalesce({own_at}, m.looked_own_at)) AS action
                          FROM (VALUES ('price', m.after_price - m.base), ('plan', m.after_plan - m.after_price), ('reference_data', m.after_reference - m.after_plan)) AS x(cause, change)
                         CROSS JOIN LATERAL (SELECT coalesce((m.ignored ->> x.cause)::numeric, 0) AS ignored) AS i
                         WHERE m.closed AND NOT m.sealed AND (amount(x.change) <> 0 OR i.ignored <> 0)) AS y) AS c
        )
        SELECT c.account_id, c.period_no, c.agreement_id, c.item_id, c.subscription_id, c.consumer_id, c.charge_group, c.component, c.key_id,
               c.closed, c.sealed, c.interim, c.fees_apart, c.failed, c.failed_at_pin, c.problem, c.is_owed, c.frozen_at, c.progressive_threshold,
               c.exact, c.base, c.base + c.billed AS target, coalesce(c.decided, c.nothing) AS decided, c.booked, c.chain_no, c.taken_back, c.after_interim,
               CASE WHEN c.ignored_more IS NOT NULL OR amount(c.engine_change) <> 0 THEN
                   (SELECT jsonb_object_agg(i.cause, i.amount) FROM (
                        SELECT e.key AS cause, e.value::text::numeric AS amount FROM jsonb_each(c.ignored_more) AS e WHERE e.value::text::numeric <> 0
                        UNION ALL SELECT 'engine', - amount(c.engine_change) WHERE amount(c.engine_change) <> 0) AS i) END AS ignored_now,
               c.held, c.nothing, c.change_by_cause AS billed_by_policy,
               CASE WHEN c.chain_no = 0 THEN '{}' ELSE
                   (SELECT coalesce(jsonb_object_agg(y.cause, y.change), '{}')
                      FROM (SELECT x.cause, sum(x.change) AS change
                              FROM (SELECT e.key AS cause, e.value::text::numeric AS change FROM jsonb_each(c.change_by_cause) AS e
                                    UNION ALL SELECT c.advance_cause, amount(c.base - c.before_advance) WHERE c.advanced AND c.advance_cause IS NOT NULL
                                    UNION ALL SELECT 'decision', amount(c.decided_since) WHERE c.decided_since IS NOT NULL
                                    -- what the run before found and nobody has billed yet
                                    UNION ALL SELECT e.key, e.value::text::numeric FROM jsonb_each(c.drafted_causes) AS e
                                               WHERE e.key NOT IN ('usage', 'subscription', 'billed_again')) AS x
                             WHERE x.change <> 0 GROUP BY x.cause) AS y) END AS causes, c.quantity, c.unit_price, c.price_ids, c.tax_code, c.rounding, c.proration
          FROM changed AS c
    $step$

    -- Whether all usage of an agreement, billed and running, has come to another of its thresholds since it was billed last.
    WHEN 'rated_progress' THEN $step$
        WITH running AS (
            SELECT r.*, t.progressive_thresholds, t.progressive_every
              FROM (SELECT d.account_id, d.agreement_id, billing.currency(d.nothing) AS currency, max(p.period_no) AS period_no, max(p.interim_to) AS interim_to,
                           amount(sum(d.booked)) AS booked, amount(sum(CASE WHEN d.failed OR d.frozen_at IS NOT NULL THEN d.booked ELSE d.target + d.decided END)) AS owed
                      FROM rated_difference AS d
                      JOIN rated_period AS p USING (account_id, period_no)
                     WHERE d.interim
                     GROUP BY d.account_id, d.agreement_id, billing.currency(d.nothing)) AS r
              JOIN rated_view AS v ON v.account_id = r.account_id AND v.period_no = r.period_no AND v.variant = 0
              JOIN billing.agreement_term AS t ON t.agreement_id = r.agreement_id AND t.valid @> r.interim_to - 1 AND billing.known(t.known, v.plan_at, v.plan_own)
             WHERE num_nonnulls(t.progressive_thresholds, t.progressive_every) > 0
        ), other AS (   -- usage of other periods: what was billed, or waits to be
            SELECT x.account_id, x.agreement_id, x.currency, amount(sum(x.amount)) AS amount
              FROM (SELECT r.account_id, r.agreement_id, r.currency,
                           CASE WHEN d.key_id IS NULL OR d.failed OR d.frozen_at IS NOT NULL THEN l.booked + coalesce(w.amount, billing.monetary(0, r.currency)) ELSE d.target + d.decided END AS amount
                      FROM running AS r
                      JOIN billing.charge_key AS k ON k.account_id = r.account_id AND k.agreement_id = r.agreement_id AND k.component = 'usage'
                      LEFT JOIN rated_difference AS d ON d.account_id = k.account_id AND d.key_id = k.key_id
                      LEFT JOIN billing.draft_line AS w ON w.account_id = k.account_id AND w.key_id = k.key_id
                     CROSS JOIN LATERAL (SELECT coalesce(sum(y.amount), billing.monetary(0, r.currency)) AS booked FROM billing.line AS y WHERE y.account_id = k.account_id AND y.key_id = k.key_id) AS l
                     WHERE d.interim IS NOT TRUE AND billing.currency(l.booked) = r.currency AND (w.amount IS NULL OR billing.currency(w.amount) = r.currency)
                    UNION ALL   -- charges that are not stored yet
                    SELECT r.account_id, r.agreement_id, r.currency, d.target + d.decided
                      FROM running AS r
                      JOIN rated_difference AS d ON d.account_id = r.account_id AND d.agreement_id = r.agreement_id AND billing.currency(d.nothing) = r.currency
                     WHERE d.key_id IS NULL AND d.component = 'usage' AND NOT d.interim AND NOT d.failed) AS x
             GROUP BY x.account_id, x.agreement_id, x.currency
        )
        SELECT r.account_id, r.agreement_id,
               bool_or(billing.threshold_reached(r.progressive_thresholds, r.progressive_every, r.booked + coalesce(o.amount, 0), r.owed + coalesce(o.amount, 0))) AS reached
          FROM running AS r
          LEFT JOIN other AS o USING (account_id, agreement_id, currency)
         GROUP BY r.account_id, r.agreement_id
    $step$
    END
$function$;
COMMENT ON FUNCTION billing.rating_step(text) IS 'SQL text of one step of the rating pipeline, by the name of the relation that it makes. Immutable.';

CREATE FUNCTION billing.pricing_steps() RETURNS text[]
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    AS $$ SELECT '{rated_view,rated_term,rated_contract,rated_spec,rated_segment}'::pg_catalog.text[] $$;
COMMENT ON FUNCTION billing.pricing_steps() IS 'The steps of the rating pipeline, in order, that find the prices of the periods in rated_period, before any usage is read. Immutable.';

CREATE FUNCTION billing.correction_action(agreement_id int, account_id bigint, cause text, change billing.monetary, period_ends_at timestamptz, known_at timestamptz, own_at timestamptz) RETURNS text
    LANGUAGE sql STABLE PARALLEL SAFE SECURITY DEFINER SET search_path = pg_catalog, billing, pg_temp
AS $$
    SELECT coalesce((SELECT CASE WHEN p.action = 'bill' AND (p.greatest_age < LEAST($6, pg_catalog.now()) - $5 OR pg_catalog.abs(billing.amount(p.greatest_amount)) < pg_catalog.abs(billing.amount($4))) THEN 'hold' ELSE p.action END
                       FROM billing.correction_policy AS p
                       LEFT JOIN billing.agreement AS a ON a.agreement_id = $1
                      WHERE p.cause = $3 AND billing.known(p.known, $6, $7) AND (p.account_id = $2 OR p.seller_id = a.seller_id)
                      ORDER BY p.account_id IS NULL LIMIT 1),
                    CASE WHEN $3 IN ('usage', 'subscription') THEN 'bill' WHEN $3 IN ('price', 'plan', 'discount') THEN 'hold' ELSE 'ignore' END)
$$;
COMMENT ON FUNCTION billing.correction_action(int, bigint, text, billing.monetary, timestamptz, timestamptz, timestamptz) IS
'What happens to a difference of this cause in a closed period: bill, hold or ignore, by the account''s correction policy known at a watermark, the seller''s, or the default (usage and subscription are billed; price, plan and discount held; the rest ignored). Stable.';
