-- Usage as a basis: what a meter measures for each cost center, by the steps that meter a charge period.
--
-- All accounts are metered in one query, as contracts of one segment, the period (see rating/ledger/42_usage_quantity.sql).  Usage is
-- grouped by the target that it names before it is aggregated: so the peak of one cost center is not the sum of its samples, and who
-- reports every hour bears no more than who reports once a day.

DO $define$
DECLARE
    target CONSTANT text := $sql$coalesce(u.dimensions ->> usage_by_target.word,
        (SELECT t.value FROM billing.resource_tag AS t WHERE t.account_id = u.account_id AND t.resource_id = u.resource_id AND billing.normal_tag_key(t.tag) = as_tag AND t.valid @> u.ends_at AND t.known @> usage_by_target.known_at ORDER BY lower(t.known) DESC LIMIT 1),
        (SELECT a.key FROM billing.account AS a WHERE a.account_id = u.account_id))$sql$;
    own    CONSTANT text := 'billing.charge_group(s.charge_by, u.dimensions, r.key)';
    words  CONSTANT jsonb := pg_catalog.jsonb_build_object(
                      'known_at', 'usage_by_target.known_at', 'own_at', 'usage_by_target.known_at', 'batch', '''due''', 'levels', 'OR s.looks_back',
                      'usage_from', 'lower(span)', 'usage_to', '(upper(span) + (SELECT l.longest_usage FROM billing.ledger_state AS l))', 'usage_accounts', 'AND u.meter_id = item');
    step   text;
    steps  text := '';
BEGIN
    FOREACH step IN ARRAY '{rated_quantity_general,rated_quantity_level}'::text[] LOOP
        step := pg_catalog.replace(pg_catalog.replace(billing.rating_step(step), 'CASE WHEN s.charge_by = ''{}'' THEN ''{}'' ELSE ' || own || ' END', own), own, pg_catalog.format('jsonb_build_array(%s, %s)', target, own));
        IF pg_catalog.strpos(step, target) = 0 THEN
            RAISE EXCEPTION 'a rating step no longer groups usage by %', own;
        END IF;
        steps := steps || CASE WHEN steps <> '' THEN ' UNION ALL SELECT * FROM (' ELSE 'SELECT * FROM (' END || billing.fill_words(step, words) || ') AS q';
    END LOOP;
    EXECUTE pg_catalog.format($create$
CREATE FUNCTION billing.usage_by_target(meter text, word text, period daterange, kind text, known_at timestamptz) RETURNS TABLE (target_id bigint, target text, quantity numeric)
    LANGUAGE plpgsql STABLE PARALLEL SAFE SECURITY DEFINER SET search_path = pg_catalog, billing, pg_temp SET jit = off
AS %L $create$, $body$
#variable_conflict use_column
DECLARE
    item   CONSTANT int := billing.find_item(usage_by_target.meter, 'meter');
    span   CONSTANT tstzrange := tstzrange(lower(usage_by_target.period)::timestamp AT TIME ZONE 'UTC', upper(usage_by_target.period)::timestamp AT TIME ZONE 'UTC');
    as_tag CONSTANT text := billing.normal_tag_key(usage_by_target.word);
BEGIN
    PERFORM billing.check_usage_kept(span);
    RETURN QUERY WITH rated_contract AS MATERIALIZED (
        SELECT a.account_id AS contract_no, a.account_id AS consumer_id, 1::bigint AS spec_no, true AS is_first, lower(span) AS period_at, lower(span) AS from_at, upper(span) AS to_at,
               usage_by_target.known_at AS usage_at, usage_by_target.known_at AS usage_own, true AS rate_usage, 'due' AS batch
          FROM billing.account AS a
    ), rated_segment AS MATERIALIZED (
        SELECT 1::bigint AS segment_no, 1::bigint AS spec_no, m.item_id, 'meter' AS item_kind, true AS enabled, lower(span) AS from_at, upper(span) AS to_at, 'UTC' AS time_zone, d.days::numeric AS nominal_days,
               lower(usage_by_target.period) AS first_day, lower(usage_by_target.period) + d.days AS end_day,
               $body$ || billing.unpriced_columns() || ', ' || billing.metered_columns() || $body$
          FROM billing.meter_definition AS m
         CROSS JOIN LATERAL (SELECT $body$ || billing.meter_traits() || $body$, extract(epoch FROM upper(span) - lower(span))::numeric AS period_seconds) AS x
         CROSS JOIN LATERAL (SELECT billing.service_days(CASE WHEN m.prorated = 'day_half_open' THEN m.prorated ELSE 'day_inclusive' END, span, 'UTC') AS days) AS d
         WHERE m.item_id = item AND m.known @> usage_by_target.known_at
    ), rated_quantity AS MATERIALIZED ($body$ || steps || $body$
    ), measured AS (
        SELECT q.charge_group ->> 0 AS name, billing.round_quantity(billing.scaled_quantity(q.quantity, s.scale_by, s.scale_over), s.rounding, s.decimals) AS quantity
          FROM rated_quantity AS q JOIN rated_segment AS s USING (segment_no) WHERE q.quantity IS NOT NULL
    )
    SELECT k.cost_center_id, m.name, sum(m.quantity) FROM measured AS m LEFT JOIN billing.cost_center AS k ON k.kind = usage_by_target.kind AND k.key = m.name GROUP BY k.cost_center_id, m.name;
END $body$);
END $define$;
COMMENT ON FUNCTION billing.usage_by_target(text, text, daterange, text, timestamptz) IS
'What a meter measures in a period (days, UTC) for each cost center of a kind, as known at an instant: by all that the meter says, such as its filter, aggregation, conversion and rounding, as charges are metered. Usage belongs to the cost center named by its dimension word, else by the tag word of its resource, else by the key of its account; target is that name, and target_id null where no cost center has it. Quantities of several accounts or groups of a meter with dimensions are added. Errors: 42704 unknown meter, 55000 usage of the period has left with drop_sealed_usage(). Stable.';
