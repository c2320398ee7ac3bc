-- Prices that depend on the single events.

CREATE FUNCTION billing.rate_each_add(pg_catalog.internal, billing.tariff, pg_catalog."numeric", pg_catalog.timestamptz, pg_catalog."numeric") RETURNS pg_catalog.internal
    AS 'MODULE_PATHNAME', 'rating_each_add' LANGUAGE C IMMUTABLE PARALLEL SAFE;
COMMENT ON FUNCTION billing.rate_each_add(pg_catalog.internal, billing.tariff, pg_catalog."numeric", pg_catalog.timestamptz, pg_catalog."numeric") IS
'Behind the aggregates rate_each and try_rate_each: takes one event.';

CREATE FUNCTION billing.rate_each_add(pg_catalog.internal, billing.tariff, pg_catalog."numeric", pg_catalog.timestamptz, pg_catalog."numeric", pg_catalog.jsonb) RETURNS pg_catalog.internal
    AS 'MODULE_PATHNAME', 'rating_each_add' LANGUAGE C IMMUTABLE PARALLEL SAFE;
COMMENT ON FUNCTION billing.rate_each_add(pg_catalog.internal, billing.tariff, pg_catalog."numeric", pg_catalog.timestamptz, pg_catalog."numeric", pg_catalog.jsonb) IS
'Behind the aggregates rate_each and try_rate_each with dimensions: takes one event.';

CREATE FUNCTION billing.rate_each_add(pg_catalog.internal, billing.tariff, pg_catalog."numeric", pg_catalog.timestamptz, pg_catalog."numeric", pg_catalog.jsonb, pg_catalog."numeric", pg_catalog.bool) RETURNS pg_catalog.internal
    AS 'MODULE_PATHNAME', 'rating_each_add' LANGUAGE C IMMUTABLE PARALLEL SAFE;
COMMENT ON FUNCTION billing.rate_each_add(pg_catalog.internal, billing.tariff, pg_catalog."numeric", pg_catalog.timestamptz, pg_catalog."numeric", pg_catalog.jsonb, pg_catalog."numeric", pg_catalog.bool) IS
'Behind the aggregate try_rate_each with what of a period is rated: takes one event.';

CREATE FUNCTION billing.rate_each_amount(pg_catalog.internal) RETURNS billing.monetary
    AS 'MODULE_PATHNAME', 'rating_each_amount' LANGUAGE C IMMUTABLE PARALLEL SAFE;
COMMENT ON FUNCTION billing.rate_each_amount(pg_catalog.internal) IS
'Behind the aggregate rate_each: rates the events taken.';

CREATE FUNCTION billing.rate_each_result(pg_catalog.internal) RETURNS billing.rating_result
    AS 'MODULE_PATHNAME', 'rating_each_result' LANGUAGE C IMMUTABLE PARALLEL SAFE;
COMMENT ON FUNCTION billing.rate_each_result(pg_catalog.internal) IS
'Behind the aggregate try_rate_each: rates the events taken, or returns why it cannot.';

CREATE AGGREGATE billing.rate_each(tariff billing.tariff, amount pg_catalog."numeric", at pg_catalog.timestamptz, fraction pg_catalog."numeric") (
    SFUNC = billing.rate_each_add,
    STYPE = internal,
    FINALFUNC = billing.rate_each_amount,
    PARALLEL = SAFE
);
COMMENT ON AGGREGATE billing.rate_each(billing.tariff, pg_catalog."numeric", pg_catalog.timestamptz, pg_catalog."numeric") IS
'The exact amount of single events, for prices that depend on each: amount is the quantity of an event, or its money under a percentage; fraction the part of the period that it counts, 1 as a rule. Sorts by time itself; at one instant by amount, then fraction. Free events end with the event before which free_events or free_amount is used up; event_min and event_max bound the fee of each paid event; a tier is entered by the full amounts, its price counts by the fraction of the event, its flat is due once. No events give null. All events of a group must have one tariff. Errors: those of rate, 22023 events that cannot be prorated or rounded under this price, or two tariffs in a group.';

CREATE AGGREGATE billing.rate_each(tariff billing.tariff, amount pg_catalog."numeric", at pg_catalog.timestamptz, fraction pg_catalog."numeric", dimensions pg_catalog.jsonb) (
    SFUNC = billing.rate_each_add,
    STYPE = internal,
    FINALFUNC = billing.rate_each_amount,
    PARALLEL = SAFE
);
COMMENT ON AGGREGATE billing.rate_each(billing.tariff, pg_catalog."numeric", pg_catalog.timestamptz, pg_catalog."numeric", pg_catalog.jsonb) IS
'rate_each for a matrix: dimensions, the same for all events of a group, choose the cell.';

CREATE AGGREGATE billing.try_rate_each(tariff billing.tariff, amount pg_catalog."numeric", at pg_catalog.timestamptz, fraction pg_catalog."numeric") (
    SFUNC = billing.rate_each_add,
    STYPE = internal,
    FINALFUNC = billing.rate_each_result,
    PARALLEL = SAFE
);
COMMENT ON AGGREGATE billing.try_rate_each(billing.tariff, pg_catalog."numeric", pg_catalog.timestamptz, pg_catalog."numeric") IS
'Like rate_each, but returns what it would raise: either amount, or sqlstate and detail.';

CREATE AGGREGATE billing.try_rate_each(tariff billing.tariff, amount pg_catalog."numeric", at pg_catalog.timestamptz, fraction pg_catalog."numeric", dimensions pg_catalog.jsonb) (
    SFUNC = billing.rate_each_add,
    STYPE = internal,
    FINALFUNC = billing.rate_each_result,
    PARALLEL = SAFE
);
COMMENT ON AGGREGATE billing.try_rate_each(billing.tariff, pg_catalog."numeric", pg_catalog.timestamptz, pg_catalog."numeric", pg_catalog.jsonb) IS
'try_rate_each for a matrix: dimensions, the same for all events of a group, choose the cell.';

CREATE AGGREGATE billing.try_rate_each(tariff billing.tariff, amount pg_catalog."numeric", at pg_catalog.timestamptz, fraction pg_catalog."numeric", dimensions pg_catalog.jsonb, period_fraction pg_catalog."numeric", complete pg_catalog.bool) (
    SFUNC = billing.rate_each_add,
    STYPE = internal,
    FINALFUNC = billing.rate_each_result,
    PARALLEL = SAFE
);
COMMENT ON AGGREGATE billing.try_rate_each(billing.tariff, pg_catalog."numeric", pg_catalog.timestamptz, pg_catalog."numeric", pg_catalog.jsonb, pg_catalog."numeric", pg_catalog.bool) IS
'try_rate_each for a part of a period: period_fraction prorates a minimum and a maximum as the argument fraction of rate() does, complete says whether the period has ended, so that a minimum is due; both are those of the first row of a group.';
