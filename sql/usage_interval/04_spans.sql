-- Operators between usage_interval and tstzrange.
--
-- They are declared on anyrange and refuse other ranges when called.  Declared on tstzrange, the forms with the range on the left would
-- capture tstzrange && 'literal' in every query of a database that has billing on its search_path.

CREATE FUNCTION billing.usage_interval_overlaps_range(billing.usage_interval, pg_catalog.anyrange) RETURNS pg_catalog.bool
    AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION billing.usage_interval_overlaps_range(billing.usage_interval, pg_catalog.anyrange) IS
'Behind operator && of usage_interval and tstzrange: true when both have an instant in common; a point in time has its instant. Error: 42804 a range of another type.';

CREATE FUNCTION billing.range_overlaps_usage_interval(pg_catalog.anyrange, billing.usage_interval) RETURNS pg_catalog.bool
    AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION billing.range_overlaps_usage_interval(pg_catalog.anyrange, billing.usage_interval) IS
'Behind operator && of tstzrange and usage_interval: true when both have an instant in common; a point in time has its instant. Error: 42804 a range of another type.';

CREATE FUNCTION billing.usage_interval_within_range(billing.usage_interval, pg_catalog.anyrange) RETURNS pg_catalog.bool
    AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION billing.usage_interval_within_range(billing.usage_interval, pg_catalog.anyrange) IS
'Behind operator <@ of usage_interval and tstzrange: true when the whole span, or the point in time, lies in the range. Error: 42804 a range of another type.';

CREATE FUNCTION billing.range_contains_usage_interval(pg_catalog.anyrange, billing.usage_interval) RETURNS pg_catalog.bool
    AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION billing.range_contains_usage_interval(pg_catalog.anyrange, billing.usage_interval) IS
'Behind operator @> of tstzrange and usage_interval: true when the whole span, or the point in time, lies in the range. Error: 42804 a range of another type.';

CREATE OPERATOR billing.&& (
    LEFTARG = billing.usage_interval,
    RIGHTARG = pg_catalog.anyrange,
    FUNCTION = billing.usage_interval_overlaps_range,
    COMMUTATOR = OPERATOR(billing.&&),
    RESTRICT = pg_catalog.matchingsel,
    JOIN = pg_catalog.matchingjoinsel
);
COMMENT ON OPERATOR billing.&& (billing.usage_interval, pg_catalog.anyrange) IS
'True when both have an instant in common; a point in time has its instant.';

CREATE OPERATOR billing.&& (
    LEFTARG = pg_catalog.anyrange,
    RIGHTARG = billing.usage_interval,
    FUNCTION = billing.range_overlaps_usage_interval,
    COMMUTATOR = OPERATOR(billing.&&),
    RESTRICT = pg_catalog.matchingsel,
    JOIN = pg_catalog.matchingjoinsel
);
COMMENT ON OPERATOR billing.&& (pg_catalog.anyrange, billing.usage_interval) IS
'True when both have an instant in common; a point in time has its instant.';

CREATE OPERATOR billing.<@ (
    LEFTARG = billing.usage_interval,
    RIGHTARG = pg_catalog.anyrange,
    FUNCTION = billing.usage_interval_within_range,
    COMMUTATOR = OPERATOR(billing.@>),
    RESTRICT = pg_catalog.matchingsel,
    JOIN = pg_catalog.matchingjoinsel
);
COMMENT ON OPERATOR billing.<@ (billing.usage_interval, pg_catalog.anyrange) IS
'True when the whole span, or the point in time, lies in the range.';

CREATE OPERATOR billing.@> (
    LEFTARG = pg_catalog.anyrange,
    RIGHTARG = billing.usage_interval,
    FUNCTION = billing.range_contains_usage_interval,
    COMMUTATOR = OPERATOR(billing.<@),
    RESTRICT = pg_catalog.matchingsel,
    JOIN = pg_catalog.matchingjoinsel
);
COMMENT ON OPERATOR billing.@> (pg_catalog.anyrange, billing.usage_interval) IS
'True when the whole span, or the point in time, lies in the range.';
