-- The quantity of a meter in any span of time, by the steps that meter a charge period.
--
-- Here one contract and one segment, which is the span, take the place of those that a price list makes; all that follows is the text of
-- the pipeline, so that an hour, a quarter or ninety days are metered as a charge period is.

DO $define$
DECLARE
    words CONSTANT jsonb := pg_catalog.jsonb_build_object(
                      'known_at', 'metered.known_at', 'own_at', 'NULL::timestamptz', 'batch', '''due''', 'levels', 'OR s.looks_back',
                      'usage_from', 'lower(metered.span)', 'usage_to', '(upper(metered.span) + (SELECT l.longest_usage FROM billing.ledger_state AS l))',
                      'usage_accounts', 'AND u.account_id = metered.account_id AND u.meter_id = metered.meter_id');
BEGIN
    EXECUTE pg_catalog.format($create$
CREATE FUNCTION billing.metered(account_id bigint, meter_id int, span tstzrange, service tstzrange, time_zone text, known_at timestamptz)
    RETURNS TABLE (charge_group jsonb, quantity numeric, events bigint)
    LANGUAGE plpgsql STABLE PARALLEL SAFE SECURITY DEFINER ROWS 10
    SET search_path = pg_catalog, billing, pg_temp SET jit = off SET plan_cache_mode = force_generic_plan
AS %L $create$, $body$
#variable_conflict use_column
BEGIN
    RETURN QUERY WITH rated_contract AS MATERIALIZED (
        SELECT 1::bigint AS contract_no, metered.account_id AS consumer_id, 1::bigint AS spec_no, true AS is_first, lower(metered.span) AS period_at,
               lower(metered.service) AS from_at, upper(metered.service) AS to_at, metered.known_at AS usage_at, NULL::timestamptz AS usage_own, true AS rate_usage, 'due' AS batch
    ), rated_segment AS MATERIALIZED (
        SELECT 1::bigint AS segment_no, 1::bigint AS spec_no, m.item_id, 'meter' AS item_kind, true AS enabled, lower(metered.service) AS from_at, upper(metered.service) AS to_at,
               metered.time_zone, d.nominal_days, (lower(metered.service) AT TIME ZONE metered.time_zone)::date AS first_day,
               (lower(metered.service) AT TIME ZONE metered.time_zone)::date + billing.service_days(d.rule, metered.service, metered.time_zone) AS end_day,
               $body$ || billing.unpriced_columns() || ', ' || billing.metered_columns() || $body$
          FROM billing.meter_definition AS m
         CROSS JOIN LATERAL (SELECT $body$ || billing.meter_traits() || $body$,
                                    extract(epoch FROM upper(metered.span) - lower(metered.span))::numeric AS period_seconds) AS x
         CROSS JOIN LATERAL (SELECT r.rule, billing.service_days(r.rule, metered.span, metered.time_zone)::numeric AS nominal_days
                               FROM (SELECT CASE WHEN m.prorated = 'day_half_open' THEN m.prorated ELSE 'day_inclusive' END AS rule) AS r) AS d
         WHERE m.item_id = metered.meter_id AND billing.known(m.known, metered.known_at, NULL)
    ), rated_quantity AS MATERIALIZED (
        $body$ || billing.fill_words(billing.rating_step('rated_quantity_general') || ' UNION ALL SELECT * FROM (' || billing.rating_step('rated_quantity_level') || ') AS l', words) || $body$
    )
    SELECT q.charge_group, billing.round_quantity(billing.scaled_quantity(q.quantity, s.scale_by, s.scale_over), s.rounding, s.decimals), q.events
      FROM rated_quantity AS q JOIN rated_segment AS s USING (segment_no)
     WHERE q.quantity IS NOT NULL;
END $body$);
END $define$;
COMMENT ON FUNCTION billing.metered(bigint, int, tstzrange, tstzrange, text, timestamptz) IS
'Behind usage_quantity(): the quantities of a span by the steps rated_quantity_general and rated_quantity_level of the rating pipeline; one row for each charge group with usage. Stable.';
REVOKE ALL ON FUNCTION billing.metered(bigint, int, tstzrange, tstzrange, text, timestamptz) FROM PUBLIC;

CREATE FUNCTION billing.check_usage_kept(span tstzrange) RETURNS void
    LANGUAGE plpgsql STABLE PARALLEL SAFE SECURITY DEFINER SET search_path = pg_catalog, billing, pg_temp
AS $$
DECLARE
    reach CONSTANT tstzrange := tstzrange(lower(span), upper(span) + (SELECT l.longest_usage FROM ledger_state AS l));   -- usage that ends later can begin in the span
    left_ date := (SELECT min(d.month) FROM usage_dropped AS d
                    WHERE d.row_count > 0 AND reach && tstzrange(d.month::timestamp AT TIME ZONE 'UTC', (d.month + interval '1 month') AT TIME ZONE 'UTC'));
BEGIN
    IF left_ IS NOT NULL THEN
        RAISE object_not_in_prerequisite_state USING MESSAGE = format('the usage of %s has left', to_char(left_, 'YYYY-MM')),
            HINT = 'drop_sealed_usage() dropped it after its periods had been sealed; charges() shows what was billed.';
    END IF;
END $$;
COMMENT ON FUNCTION billing.check_usage_kept(tstzrange) IS 'Raises 55000 when drop_sealed_usage() has dropped usage that can lie in a span of time. Stable.';
REVOKE ALL ON FUNCTION billing.check_usage_kept(tstzrange) FROM PUBLIC;

CREATE FUNCTION billing.check_span(name text, span tstzrange) RETURNS void
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF span IS NULL OR isempty(span) OR lower_inf(span) OR upper_inf(span) OR NOT isfinite(lower(span)) OR NOT isfinite(upper(span)) OR NOT lower_inc(span) OR upper_inc(span) THEN
        RAISE invalid_parameter_value USING MESSAGE = format('%s must be a span of time from an instant on and before another, not %s', name, coalesce(span::text, 'null')),
            HINT = 'For an hour: tstzrange(''2026-10-05 10:00Z'', ''2026-10-05 11:00Z'').';
    END IF;
END $$;
COMMENT ON FUNCTION billing.check_span(text, tstzrange) IS 'Raises 22023 for a span, by the name of its argument, that is null, empty or unbounded, or does not begin with its first instant and end before its last. Immutable.';
REVOKE ALL ON FUNCTION billing.check_span(text, tstzrange) FROM PUBLIC;

CREATE FUNCTION billing.usage_quantity(account text, meter text, span tstzrange, service tstzrange DEFAULT NULL, known_at timestamptz DEFAULT NULL)
    RETURNS TABLE (charge_group jsonb, quantity numeric, unit text, events bigint)
    LANGUAGE plpgsql STABLE PARALLEL RESTRICTED SECURITY DEFINER ROWS 10 SET search_path = pg_catalog, billing, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
    consumer   bigint := billing.find_account(account);
    item       int := billing.find_item(meter, 'meter');
    as_of      CONSTANT timestamptz := coalesce(known_at, 'infinity');
    definition meter_definition;
    zone       text;
    served     tstzrange;
BEGIN
    PERFORM billing.check_ledger();
    PERFORM billing.check_usage_partitions();
    PERFORM billing.check_span('span', span);
    IF service IS NOT NULL THEN
        PERFORM billing.check_span('service', service);
    END IF;
    PERFORM billing.check_usage_kept(span);
    SELECT m.* INTO definition FROM meter_definition AS m WHERE m.item_id = item AND billing.known(m.known, as_of, NULL);
    IF definition.item_id IS NULL THEN
        RAISE undefined_object USING MESSAGE = format('meter "%s" was not known yet at %s', meter, known_at);
    END IF;
    -- an account that had no settings then has those of today
    SELECT s.time_zone INTO zone
      FROM unnest(ARRAY[(lower(span) AT TIME ZONE 'UTC')::date, 'infinity']) WITH ORDINALITY AS d(day, position) CROSS JOIN LATERAL billing.account_setting_at(consumer, d.day, 'infinity', NULL) AS s
     WHERE s.account_id IS NOT NULL ORDER BY d.position LIMIT 1;
    IF definition.prorated = 'day_half_open' AND billing.service_days('day_half_open', span, zone) = 0 THEN
        RAISE invalid_parameter_value USING MESSAGE = format('span %s has no day', span), HINT = format('Meter "%s" is prorated by day_half_open, which does not count the day of the upper bound.', meter);
    END IF;
    served := span * coalesce(service, span);
    RETURN QUERY SELECT q.charge_group, trim_scale(q.quantity), definition.unit, q.events FROM billing.metered(consumer, item, span, served, zone, as_of) AS q ORDER BY q.charge_group::text;
    IF NOT FOUND AND definition.dimensions = '{}' THEN
        RETURN QUERY SELECT '{}'::jsonb, 0::numeric, definition.unit, 0::bigint;
    END IF;
END $$;
COMMENT ON FUNCTION billing.usage_quantity(text, text, tstzrange, tstzrange, timestamptz) IS
'What a meter makes of an account''s own usage in any span of time, whether it is a charge period or not: the quantity that charges() would show if the span were one. All the meter says holds: filter, conversion, aggregation, what is carried over or prorated, hours_in_month (actual = the hours of the span) and rounding; no price is looked at, so what a price measures apart, by window or dimension, is taken together. service: the part of the span in which the account is served, for meters that are prorated; null = all of it; days are those of the account''s time zone. known_at: as known at a watermark, as for charges(). One row for each group of a meter with dimensions, otherwise one row, with 0 where there is no usage. events counts the usage rows. Errors: 42704 unknown account or meter, also one that was not known at the watermark; 22023 a span that is null, empty, unbounded or not of the form [from, to), or without a day where the meter is prorated by day_half_open; 55000 where drop_sealed_usage() dropped usage of the span. Stable.';
