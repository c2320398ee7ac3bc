-- Rating: the amount that a tariff gives for a quantity.
--
-- IMMUTABLE functions of values: they read no table, so they can be inlined, run in parallel and used for what-if.

CREATE FUNCTION billing.rate(tariff billing.tariff, quantity pg_catalog."numeric", events pg_catalog.int8 DEFAULT NULL, dimensions pg_catalog.jsonb DEFAULT NULL, fraction pg_catalog."numeric" DEFAULT 1, complete pg_catalog.bool DEFAULT true) RETURNS billing.monetary
    AS 'MODULE_PATHNAME', 'rating_rate' LANGUAGE C IMMUTABLE PARALLEL SAFE;
COMMENT ON FUNCTION billing.rate(billing.tariff, pg_catalog."numeric", pg_catalog.int8, pg_catalog.jsonb, pg_catalog."numeric", pg_catalog.bool) IS
'The exact amount for a quantity of one period, computed without rounding and rounded once, half even, to 15 decimals. events: how many events the quantity sums up, for a price with a fee an event; dimensions: values that a matrix looks up; fraction: part of a full period, for flat fees, minimum and maximum; complete: false while the period is running (no minimum yet). Errors: 22004 a null tariff, quantity, fraction or complete, 22003 quantity or amount out of range, 22023 negative fraction, BL001 no cell for the dimensions, BL002 negative quantity without meaning for the model, BL003 events or dimensions not given, BL004 beyond the last tier.';

CREATE FUNCTION billing.rate(tariff billing.tariff, quantities pg_catalog.jsonb, events pg_catalog.int8 DEFAULT NULL, dimensions pg_catalog.jsonb DEFAULT NULL, fraction pg_catalog."numeric" DEFAULT 1, complete pg_catalog.bool DEFAULT true) RETURNS billing.monetary
    AS 'MODULE_PATHNAME', 'rating_rate_units' LANGUAGE C IMMUTABLE PARALLEL SAFE;
COMMENT ON FUNCTION billing.rate(billing.tariff, pg_catalog.jsonb, pg_catalog.int8, pg_catalog.jsonb, pg_catalog."numeric", pg_catalog.bool) IS
'Like rate of a number, for quantities by unit, such as {"cpu-hour":"73"}. A price of one unit takes exactly one. Errors: those of rate, 22023 the quantities are no object of numbers, BL005 several units for a price of one unit.';

CREATE TYPE billing.rating_result AS (amount billing.monetary, sqlstate pg_catalog.text, detail pg_catalog.text);
COMMENT ON TYPE billing.rating_result IS
'What try_rate and try_rate_each return: either an amount, or the SQLSTATE and the message that rate or rate_each would have raised.';
COMMENT ON COLUMN billing.rating_result.amount IS 'The exact amount, unrounded at 15 decimals; null when it cannot be rated.';
COMMENT ON COLUMN billing.rating_result.sqlstate IS 'Why it cannot be rated, as a code; null when it can.';
COMMENT ON COLUMN billing.rating_result.detail IS 'Why it cannot be rated, in words; null when it can.';

CREATE FUNCTION billing.try_rate(tariff billing.tariff, quantity pg_catalog."numeric", events pg_catalog.int8 DEFAULT NULL, dimensions pg_catalog.jsonb DEFAULT NULL, fraction pg_catalog."numeric" DEFAULT 1, complete pg_catalog.bool DEFAULT true) RETURNS billing.rating_result
    AS 'MODULE_PATHNAME', 'rating_try_rate' LANGUAGE C IMMUTABLE PARALLEL SAFE;
COMMENT ON FUNCTION billing.try_rate(billing.tariff, pg_catalog."numeric", pg_catalog.int8, pg_catalog.jsonb, pg_catalog."numeric", pg_catalog.bool) IS
'Like rate, but returns what rate would raise: either amount, or sqlstate and detail. It never raises for what the arguments are, and works in parallel workers. Call it once a row, SELECT (r).amount, (r).sqlstate FROM (SELECT billing.try_rate(...) AS r ... OFFSET 0), because (try_rate(...)).* would rate once for each column.';

CREATE FUNCTION billing.try_bill(tariff billing.tariff, quantity pg_catalog."numeric", events pg_catalog.int8 DEFAULT NULL, dimensions pg_catalog.jsonb DEFAULT NULL, fraction pg_catalog."numeric" DEFAULT 1, complete pg_catalog.bool DEFAULT true) RETURNS billing.rating_result
    AS 'MODULE_PATHNAME', 'rating_try_bill' LANGUAGE C IMMUTABLE PARALLEL SAFE;
COMMENT ON FUNCTION billing.try_bill(billing.tariff, pg_catalog."numeric", pg_catalog.int8, pg_catalog.jsonb, pg_catalog."numeric", pg_catalog.bool) IS
'Like try_rate, but where tariff_rounding(tariff) is detail, the sum of the lines of rated_lines, each rounded by itself. What a billing run adds up. No errors.';

CREATE FUNCTION billing.try_rate(tariff billing.tariff, quantities pg_catalog.jsonb, events pg_catalog.int8 DEFAULT NULL, dimensions pg_catalog.jsonb DEFAULT NULL, fraction pg_catalog."numeric" DEFAULT 1, complete pg_catalog.bool DEFAULT true) RETURNS billing.rating_result
    AS 'MODULE_PATHNAME', 'rating_try_rate_units' LANGUAGE C IMMUTABLE PARALLEL SAFE;
COMMENT ON FUNCTION billing.try_rate(billing.tariff, pg_catalog.jsonb, pg_catalog.int8, pg_catalog.jsonb, pg_catalog."numeric", pg_catalog.bool) IS
'Like rate of quantities by unit, but returns what it would raise: either amount, or sqlstate and detail.';
