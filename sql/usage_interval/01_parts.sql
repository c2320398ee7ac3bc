-- Making usage_interval values, taking them apart, adding them.

CREATE FUNCTION billing.usage_interval(starts_at pg_catalog.timestamptz, ends_at pg_catalog.timestamptz, quantity pg_catalog."numeric") RETURNS billing.usage_interval
    AS 'MODULE_PATHNAME', 'usage_interval_from_bounds' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION billing.usage_interval(pg_catalog.timestamptz, pg_catalog.timestamptz, pg_catalog."numeric") IS
'A quantity used evenly from starts_at up to, but not including, ends_at; a point in time when both are equal. The quantity is in the unit of the meter and is rounded half to even at 15 decimals. Errors: 22000 start after end, 22008 infinite instant, 22003 quantity NaN, infinite or beyond 1.7 * 10^23.';

CREATE FUNCTION billing.usage_interval(at pg_catalog.timestamptz, quantity pg_catalog."numeric") RETURNS billing.usage_interval
    AS 'MODULE_PATHNAME', 'usage_interval_from_instant' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION billing.usage_interval(pg_catalog.timestamptz, pg_catalog."numeric") IS
'A quantity used at one instant. The quantity is in the unit of the meter and is rounded half to even at 15 decimals. Errors: 22008 infinite instant, 22003 quantity NaN, infinite or beyond 1.7 * 10^23.';

CREATE FUNCTION billing.starts_at(billing.usage_interval) RETURNS pg_catalog.timestamptz
    AS 'MODULE_PATHNAME', 'usage_interval_get_start' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION billing.starts_at(billing.usage_interval) IS
'The instant at which the usage began, the first of its span.';

CREATE FUNCTION billing.ends_at(billing.usage_interval) RETURNS pg_catalog.timestamptz
    AS 'MODULE_PATHNAME', 'usage_interval_get_end' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION billing.ends_at(billing.usage_interval) IS
'The instant at which the usage ended, the first after its span; of a point in time the instant itself.';

CREATE FUNCTION billing.quantity(billing.usage_interval) RETURNS pg_catalog."numeric"
    AS 'MODULE_PATHNAME', 'usage_interval_get_quantity' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION billing.quantity(billing.usage_interval) IS
'The quantity used, in the unit of the meter, exact, without trailing zeros.';

CREATE FUNCTION billing.is_point(billing.usage_interval) RETURNS pg_catalog.bool
    AS 'MODULE_PATHNAME', 'usage_interval_get_is_point' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION billing.is_point(billing.usage_interval) IS
'True for usage at one instant, false for usage over a span.';

CREATE FUNCTION billing.span(billing.usage_interval) RETURNS pg_catalog.tstzrange
    AS 'MODULE_PATHNAME', 'usage_interval_get_span' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION billing.span(billing.usage_interval) IS
'The span as a half-open range, [start,end); of a point in time the range [instant,instant], which holds that instant only.';

CREATE FUNCTION billing.duration(billing.usage_interval) RETURNS pg_catalog."interval"
    AS 'MODULE_PATHNAME', 'usage_interval_get_duration' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION billing.duration(billing.usage_interval) IS
'The time that elapsed between start and end, in hours, minutes and seconds: never in days, which differ in length. 0 for a point in time. Error: 22008 beyond 292,271 years.';

CREATE FUNCTION billing.usage_interval_add(billing.usage_interval, billing.usage_interval) RETURNS billing.usage_interval
    AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION billing.usage_interval_add(billing.usage_interval, billing.usage_interval) IS
'Behind operator + of usage_interval: the sum of two quantities over the same span. Errors: 22023 different spans, 22003 sum out of range.';

CREATE FUNCTION billing.usage_interval_subtract(billing.usage_interval, billing.usage_interval) RETURNS billing.usage_interval
    AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION billing.usage_interval_subtract(billing.usage_interval, billing.usage_interval) IS
'Behind operator - of usage_interval: the difference of two quantities over the same span. Errors: 22023 different spans, 22003 difference out of range.';

CREATE FUNCTION billing.usage_interval_negate(billing.usage_interval) RETURNS billing.usage_interval
    AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION billing.usage_interval_negate(billing.usage_interval) IS
'Behind the prefix operator - of usage_interval: the same span with the negative quantity, which reverses the value.';

CREATE OPERATOR billing.+ (
    LEFTARG = billing.usage_interval,
    RIGHTARG = billing.usage_interval,
    FUNCTION = billing.usage_interval_add,
    COMMUTATOR = OPERATOR(billing.+)
);
COMMENT ON OPERATOR billing.+ (billing.usage_interval, billing.usage_interval) IS
'Sum of two quantities over the same span; other spans raise 22023, because their sum would not be spread evenly.';

CREATE OPERATOR billing.- (
    LEFTARG = billing.usage_interval,
    RIGHTARG = billing.usage_interval,
    FUNCTION = billing.usage_interval_subtract
);
COMMENT ON OPERATOR billing.- (billing.usage_interval, billing.usage_interval) IS
'Difference of two quantities over the same span; other spans raise 22023.';

CREATE OPERATOR billing.- (
    RIGHTARG = billing.usage_interval,
    FUNCTION = billing.usage_interval_negate
);
COMMENT ON OPERATOR billing.- (NONE, billing.usage_interval) IS
'The reversal: the same span with the negative quantity.';
