-- Which part of a period a service covers, by the rules that products have.

CREATE FUNCTION billing.last_day(span tstzrange, time_zone text) RETURNS date
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE SET search_path = pg_catalog, pg_temp
    AS $$ SELECT ((CASE WHEN upper_inc($1) THEN upper($1) ELSE upper($1) - interval '1 microsecond' END) AT TIME ZONE $2)::date $$;
COMMENT ON FUNCTION billing.last_day(tstzrange, text) IS
'The local day of the last instant of a span of time; null for an empty one. An upper bound that belongs to the span counts, one that does not ends it right before. Immutable.';

CREATE FUNCTION billing.service_days(rule text, service tstzrange, time_zone text) RETURNS int
    LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF NOT isempty(service) AND (lower_inf(service) OR upper_inf(service) OR NOT isfinite(lower(service)) OR NOT isfinite(upper(service))) THEN
        RAISE EXCEPTION 'span % has no end', service USING ERRCODE = 'invalid_parameter_value';
    END IF;
    CASE rule
        WHEN 'day_inclusive' THEN RETURN COALESCE(billing.last_day(service, time_zone) - (lower(service) AT TIME ZONE time_zone)::date + 1, 0);
        WHEN 'day_half_open' THEN RETURN COALESCE((upper(service) AT TIME ZONE time_zone)::date - (lower(service) AT TIME ZONE time_zone)::date, 0);
        ELSE RAISE EXCEPTION 'rule "%" does not count days', rule USING ERRCODE = 'invalid_parameter_value', HINT = 'Rules that count days: day_inclusive, day_half_open.';
    END CASE;
END $$;
COMMENT ON FUNCTION billing.service_days(text, tstzrange, text) IS
'Days of a span in local time. day_inclusive: every day that the span touches; day_half_open: the day of the upper bound does not count, so a span inside one day has none. A day of 23 or 25 hours is one day. Errors: 22023 for another rule or a span without end, and for an unknown time zone. Immutable. Sources: Lago and Flexprice (day_inclusive), Meteroid, Kill Bill (day_half_open).';

CREATE FUNCTION billing.prorated_part(prorated numeric, whole numeric) RETURNS numeric
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE SET search_path = pg_catalog, pg_temp
    AS $$ SELECT CASE WHEN whole = 0 THEN 1 ELSE trim_scale(prorated::numeric(200, 100) / whole) END $$;
COMMENT ON FUNCTION billing.prorated_part(numeric, numeric) IS
'The part, at 100 decimals, that prorated units are of the whole ones, for the argument fraction of rate_each(): for events of a product that reports both, such as Lago. 1 where there are no units. Immutable.';

CREATE FUNCTION billing.waldur_month(service tstzrange, time_zone text, halves boolean) RETURNS numeric
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    first_day date := (lower(service) AT TIME ZONE time_zone)::date;
    final_day date := billing.last_day(service, time_zone);
    month     date := date_trunc('month', first_day::timestamp)::date;
    length    int  := (month + interval '1 month')::date - month;
    begins    int  := extract(day FROM first_day);
    ends      int  := extract(day FROM final_day);
    parts     int;   -- of the length of a month, or of half a month
BEGIN
    IF final_day >= month + length THEN
        RAISE EXCEPTION 'service from % to % is not inside one month', first_day, final_day
            USING ERRCODE = 'invalid_parameter_value', HINT = 'Give each calendar month on its own.';
    END IF;
    IF NOT halves THEN
        RETURN trim_scale(ceil(100.0 * (ends - begins + 1) / length) / 100);
    END IF;
    parts := CASE
        WHEN begins = 1 AND ends = length THEN 2 * length
        WHEN begins = 1 AND ends = 15 OR begins = 16 AND ends = length THEN length
        WHEN begins = 1 AND ends > 15 THEN length + 2 * (ends - 15)
        WHEN begins < 16 AND ends = length THEN length + 2 * (16 - begins)
        ELSE 2 * (ends - begins + 1)
    END;
    RETURN trim_scale(ceil(100.0 * parts / length) / 100);
END $$;
COMMENT ON FUNCTION billing.waldur_month(tstzrange, text, boolean) IS
'Behind prorate: months, or half months from the 1st to the 15th and from the 16th on, that a service inside one month covers, rounded up to 0.01. 22023 for a service of several months.';

CREATE FUNCTION billing.prorate(rule text, service tstzrange, period tstzrange, time_zone text) RETURNS numeric
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    whole   numeric;
    seconds numeric;
    covered tstzrange := CASE WHEN period IS NULL THEN service ELSE service * period END;
BEGIN
    IF service IS NULL OR time_zone IS NULL OR rule IS NULL OR (period IS NULL AND rule IN ('day_inclusive', 'day_half_open', 'second')) THEN
        RETURN NULL;
    END IF;
    PERFORM billing.service_days('day_half_open', span, time_zone) FROM unnest(ARRAY[service, period]) AS span;   -- refuses a span without end
    IF rule IN ('day_inclusive', 'day_half_open') THEN
        whole := billing.service_days(rule, period, time_zone);
        IF whole = 0 THEN
            RAISE EXCEPTION 'period % has no day', period USING ERRCODE = 'invalid_parameter_value';
        END IF;
        RETURN trim_scale(billing.service_days(rule, covered, time_zone)::numeric(60, 40) / whole);
    END IF;
    IF rule = 'second' THEN
        whole := COALESCE(extract(epoch FROM upper(period)) - extract(epoch FROM lower(period)), 0);
        seconds := COALESCE(extract(epoch FROM upper(service)) - extract(epoch FROM lower(service)), 0);
        RETURN CASE WHEN isempty(covered) AND NOT isempty(service) AND NOT isempty(period) THEN 0
                    WHEN seconds = 0 OR seconds >= whole THEN 1
                    ELSE trim_scale(seconds::numeric(80, 40) / whole) END;
    END IF;
    seconds := COALESCE(extract(epoch FROM upper(covered)) - extract(epoch FROM lower(covered)), 0);
    CASE rule
        WHEN 'month' THEN RETURN COALESCE(billing.waldur_month(covered, time_zone, false), 0);
        WHEN 'half_month' THEN RETURN COALESCE(billing.waldur_month(covered, time_zone, true), 0);
        WHEN 'day' THEN RETURN ceil(seconds / 86400);
        WHEN 'hour' THEN RETURN ceil(seconds / 3600);
        ELSE RAISE EXCEPTION 'proration rule "%" is not known', rule USING ERRCODE = 'invalid_parameter_value',
            HINT = 'Known rules: day_inclusive, day_half_open, second, month, half_month, day, hour.';
    END CASE;
END $$;
COMMENT ON FUNCTION billing.prorate(text, tstzrange, tstzrange, text) IS
'The part of a period that a service covers, for the argument fraction of rate, at 40 decimals; or a quantity of Waldur, for which period may be null. A service wholly outside the period has no part (0); of one that begins before it or ends after it the part inside counts, but by the rule second. Rules: day_inclusive, both end days count; day_half_open, the day of the upper bound does not; second, elapsed time of the service divided by that of the period, wherever the service begins and ends: one that is empty or as long as the period is the whole of it; month and half_month, days of the service divided by those of its month or half of them, a whole one being 1; day and hour, elapsed time of which any part is whole. The last four are rounded up to 0.01. Days are local to time_zone. Bounds of the spans count as they are written: [2023-01-08, 2023-01-31] touches the 31st. Null arguments give null. Errors: 22023 for an unknown rule, a span without end, a period without a day, a month rule over several months. Immutable. Sources: Lago, Flexprice (day_inclusive), Meteroid, Kill Bill (day_half_open), OpenMeter (second), Waldur (the others).';

CREATE FUNCTION billing.prorated_fee(tariff billing.tariff, quantity numeric, rule text, service tstzrange, period tstzrange, time_zone text) RETURNS billing.monetary
    LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
    AS $$ SELECT billing.round(billing.round_line(tariff, billing.monetary(billing.amount(billing.rate(tariff, quantity)) * billing.prorate(rule, service, period, time_zone), billing.currency(tariff)))) $$;
COMMENT ON FUNCTION billing.prorated_fee(billing.tariff, numeric, text, tstzrange, tstzrange, text) IS
'What a fee that is due for a whole period comes to for a part of it: what the tariff asks for the quantity, times prorate(), rounded as a line of its dialect, to the minor unit. For fees of other periods than the charge periods of an account (a quarter, a year, from one instant to another), and for telling beforehand what a change of plan comes to: the old fee for the rest of the period, credited, and the new one, charged. Null for a null argument that the rule needs. Errors: those of rate() and prorate(). Immutable. Source: the plan changes of Flexprice, Meteroid and OpenMeter, which round credit and charge apart.';

CREATE FUNCTION billing.fee_weight(rule text, from_local timestamp, to_local timestamp, time_zone text) RETURNS numeric
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE SET search_path = pg_catalog, pg_temp
    AS $$
    SELECT CASE
        WHEN from_local >= to_local THEN 0
        WHEN rule IN ('day_inclusive', 'day_half_open') THEN extract(epoch FROM to_local - from_local)::numeric / 86400
        WHEN rule = 'second' THEN extract(epoch FROM to_local AT TIME ZONE time_zone - from_local AT TIME ZONE time_zone)::numeric
        WHEN rule IN ('month', 'half_month') THEN
            (SELECT sum(billing.prorate(rule, tstzrange(greatest(from_local, m.begins) AT TIME ZONE time_zone, least(to_local, m.begins + interval '1 month') AT TIME ZONE time_zone), NULL, time_zone))
               FROM generate_series(date_trunc('month', from_local), to_local - interval '1 microsecond', interval '1 month') AS m(begins))
        ELSE billing.prorate(rule, tstzrange(from_local AT TIME ZONE time_zone, to_local AT TIME ZONE time_zone), NULL, time_zone) END
    $$;
COMMENT ON FUNCTION billing.fee_weight(text, timestamp, timestamp, text) IS
'How much of a recurring fee a span of local time is worth by a rule of prorate(): days for the rules that count days, to be divided by the days of the whole period; seconds for second, to be divided by its seconds; the quantity of Waldur for the others, each calendar month by itself. 0 for a span that ends before it begins. Errors: 22023 for an unknown rule. Immutable.';
