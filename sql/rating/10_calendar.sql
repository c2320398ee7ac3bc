-- Billing cycles as a pure matter of dates.

CREATE FUNCTION billing.cycle_date(month date, cycle_day int) RETURNS date
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    AS $$ SELECT (pg_catalog.date_trunc('month', $1::pg_catalog.timestamp)::pg_catalog.date
                  OPERATOR(pg_catalog.+) (LEAST($2, EXTRACT(day FROM pg_catalog.date_trunc('month', $1::pg_catalog.timestamp)
                                                    OPERATOR(pg_catalog.+) '1 month - 1 day'::pg_catalog.interval)::pg_catalog.int4) OPERATOR(pg_catalog.-) 1)) $$;
COMMENT ON FUNCTION billing.cycle_date(date, int) IS
'The day of the month of the given date on which a billing cycle with this cycle day (1 to 31) begins; a day past the end of the month is its last day. Immutable.';

CREATE FUNCTION billing.next_cycle_date(after date, cycle_day int) RETURNS date
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    AS $$ SELECT CASE WHEN billing.cycle_date($1, $2) OPERATOR(pg_catalog.>) $1 THEN billing.cycle_date($1, $2)
                      ELSE billing.cycle_date((pg_catalog.date_trunc('month', $1::pg_catalog.timestamp) OPERATOR(pg_catalog.+) '1 month'::pg_catalog.interval)::pg_catalog.date, $2) END $$;
COMMENT ON FUNCTION billing.next_cycle_date(date, int) IS 'The first cycle date after the given date. Immutable.';

CREATE FUNCTION billing.last_cycle_date(on_or_before date, cycle_day int) RETURNS date
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    AS $$ SELECT CASE WHEN billing.cycle_date($1, $2) OPERATOR(pg_catalog.<=) $1 THEN billing.cycle_date($1, $2)
                      ELSE billing.cycle_date((pg_catalog.date_trunc('month', $1::pg_catalog.timestamp) OPERATOR(pg_catalog.-) '1 month'::pg_catalog.interval)::pg_catalog.date, $2) END $$;
COMMENT ON FUNCTION billing.last_cycle_date(date, int) IS 'The latest cycle date on or before the given date. Immutable.';

CREATE FUNCTION billing.meter_accepts(filter jsonb, dimensions jsonb) RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    AS $$ SELECT NOT EXISTS (SELECT FROM pg_catalog.jsonb_each($1) AS f(name, wanted)
                              WHERE ($2 OPERATOR(pg_catalog.->>) f.name) IS NULL
                                 OR NOT (CASE WHEN pg_catalog.jsonb_typeof(f.wanted) OPERATOR(pg_catalog.=) 'array' THEN f.wanted ELSE pg_catalog.jsonb_build_array(f.wanted) END
                                         OPERATOR(pg_catalog.@>) pg_catalog.jsonb_build_array($2 OPERATOR(pg_catalog.->>) f.name))) $$;
COMMENT ON FUNCTION billing.meter_accepts(jsonb, jsonb) IS
'Whether usage with these dimensions passes a meter''s filter: each member of the filter names a dimension and the text, or the array of texts, that it must be. Immutable.';

CREATE FUNCTION billing.chosen_dimensions(names text[], dimensions jsonb, resource text) RETURNS jsonb
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    AS $$ SELECT COALESCE(pg_catalog.jsonb_object_agg(n.name, CASE WHEN n.name OPERATOR(pg_catalog.=) 'resource' THEN resource ELSE dimensions OPERATOR(pg_catalog.->>) n.name END), '{}')
            FROM pg_catalog.unnest($1) AS n(name) $$;
COMMENT ON FUNCTION billing.chosen_dimensions(text[], jsonb, text) IS
'The named dimensions of usage as an object of texts; "resource" names the resource, a dimension that is missing is null. Immutable.';
