-- How an amount came about, and what the bill of another product shows.

CREATE TYPE billing.rating_step AS (step pg_catalog.int4, tier_from pg_catalog."numeric", tier_to pg_catalog."numeric", quantity pg_catalog."numeric", unit_price pg_catalog."numeric", amount billing.monetary, what pg_catalog.text);
COMMENT ON TYPE billing.rating_step IS
'One step of a rating, as rating_steps returns it.';
COMMENT ON COLUMN billing.rating_step.step IS 'Number of the step, from 1, in the order of computation.';
COMMENT ON COLUMN billing.rating_step.tier_from IS 'Lower bound of the tier, which does not belong to it; null where the price has no tiers.';
COMMENT ON COLUMN billing.rating_step.tier_to IS 'Upper bound of the tier, which belongs to it; null for an open tier or none.';
COMMENT ON COLUMN billing.rating_step.quantity IS 'Units that this step charges, after conversion, at most 15 decimals; null for fees and adjustments.';
COMMENT ON COLUMN billing.rating_step.unit_price IS 'Price of one unit (a percentage as a part of 1); null for fees and adjustments.';
COMMENT ON COLUMN billing.rating_step.amount IS 'What this step adds to the amount. The last step takes what rounding left over, so that all steps add up to rate() exactly; all of it where a step comes to more than monetary holds, which the steps then say in words.';
COMMENT ON COLUMN billing.rating_step.what IS 'The step in words.';

CREATE FUNCTION billing.rating_steps(tariff billing.tariff, quantity pg_catalog."numeric", events pg_catalog.int8 DEFAULT NULL, dimensions pg_catalog.jsonb DEFAULT NULL, fraction pg_catalog."numeric" DEFAULT 1, complete pg_catalog.bool DEFAULT true) RETURNS SETOF billing.rating_step
    AS 'MODULE_PATHNAME', 'rating_steps' LANGUAGE C IMMUTABLE PARALLEL SAFE ROWS 5;
COMMENT ON FUNCTION billing.rating_steps(billing.tariff, pg_catalog."numeric", pg_catalog.int8, pg_catalog.jsonb, pg_catalog."numeric", pg_catalog.bool) IS
'The steps by which rate reaches its amount: conversion, free units, each tier, fees, discount, maximum, minimum. Arguments and errors are those of rate; the amounts add up to rate() exactly.';

CREATE FUNCTION billing.rating_steps(tariff billing.tariff, quantities pg_catalog.jsonb, events pg_catalog.int8 DEFAULT NULL, dimensions pg_catalog.jsonb DEFAULT NULL, fraction pg_catalog."numeric" DEFAULT 1, complete pg_catalog.bool DEFAULT true) RETURNS SETOF billing.rating_step
    AS 'MODULE_PATHNAME', 'rating_steps_units' LANGUAGE C IMMUTABLE PARALLEL SAFE ROWS 5;
COMMENT ON FUNCTION billing.rating_steps(billing.tariff, pg_catalog.jsonb, pg_catalog.int8, pg_catalog.jsonb, pg_catalog."numeric", pg_catalog.bool) IS
'The steps of rate for quantities by unit.';

CREATE FUNCTION billing.rated_lines(tariff billing.tariff, quantity pg_catalog."numeric", events pg_catalog.int8 DEFAULT NULL, dimensions pg_catalog.jsonb DEFAULT NULL, fraction pg_catalog."numeric" DEFAULT 1, complete pg_catalog.bool DEFAULT true, OUT line pg_catalog.int4, OUT amount billing.monetary) RETURNS SETOF record
    AS 'MODULE_PATHNAME', 'rating_lines' LANGUAGE C IMMUTABLE PARALLEL SAFE ROWS 2;
COMMENT ON FUNCTION billing.rated_lines(billing.tariff, pg_catalog."numeric", pg_catalog.int8, pg_catalog.jsonb, pg_catalog."numeric", pg_catalog.bool) IS
'The lines that the bill of the tariff''s dialect shows, rounded where that product rounds. Without a dialect one line with the exact amount. Arguments and errors are those of rate.';

CREATE FUNCTION billing.rated_lines(tariff billing.tariff, quantities pg_catalog.jsonb, events pg_catalog.int8 DEFAULT NULL, dimensions pg_catalog.jsonb DEFAULT NULL, fraction pg_catalog."numeric" DEFAULT 1, complete pg_catalog.bool DEFAULT true, OUT line pg_catalog.int4, OUT amount billing.monetary) RETURNS SETOF record
    AS 'MODULE_PATHNAME', 'rating_lines_units' LANGUAGE C IMMUTABLE PARALLEL SAFE ROWS 2;
COMMENT ON FUNCTION billing.rated_lines(billing.tariff, pg_catalog.jsonb, pg_catalog.int8, pg_catalog.jsonb, pg_catalog."numeric", pg_catalog.bool) IS
'The lines of the dialect''s bill for quantities by unit.';

CREATE FUNCTION billing.round_line(tariff billing.tariff, amount billing.monetary) RETURNS billing.monetary
    AS 'MODULE_PATHNAME', 'rating_round_line' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION billing.round_line(billing.tariff, billing.monetary) IS
'What the bill of the tariff''s dialect makes of an exact amount that is a line of its own: rounded to the minor unit, halves away from zero (waldur: away from zero to 0.01); unchanged where tariff_rounding(tariff) is sum. Errors: 22023 an amount in another currency.';

CREATE FUNCTION billing.lint(tariff billing.tariff, OUT severity pg_catalog.text, OUT code pg_catalog.text, OUT detail pg_catalog.text) RETURNS SETOF record
    AS 'MODULE_PATHNAME', 'tariff_lint' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE ROWS 3;
COMMENT ON FUNCTION billing.lint(billing.tariff) IS
'What looks wrong in a valid tariff, by severity (error: cannot be meant; warning: likely to surprise; notice: worth knowing), a stable code, and words: cliffs where using more makes the bill smaller, units beyond the last tier, combinations of dimensions without a cell, flat amounts at zero usage, a minimum above the maximum, negative prices. No row: nothing to say.';
