-- Billing cycles as a pure matter of dates.

CREATE FUNCTION billing.cycle_date(month date, cycle_day int) RETURNS date
    AS 'MODULE_PATHNAME', 'cycle_date' LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION billing.cycle_date(date, int) IS
'The day of the month of the given date on which a billing cycle with this cycle day (1 to 31) begins; a day past the end of the month is its last day. Errors: 22023 for another cycle day, 22008 for an infinite date. Immutable.';

CREATE FUNCTION billing.next_cycle_date(after date, cycle_day int) RETURNS date
    AS 'MODULE_PATHNAME', 'next_cycle_date' LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION billing.next_cycle_date(date, int) IS 'The first cycle date after the given date. Errors as cycle_date(). Immutable.';

CREATE FUNCTION billing.last_cycle_date(on_or_before date, cycle_day int) RETURNS date
    AS 'MODULE_PATHNAME', 'last_cycle_date' LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION billing.last_cycle_date(date, int) IS 'The latest cycle date on or before the given date. Errors as cycle_date(). Immutable.';

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
