-- Rounding of monetary values.
--
-- Modes: half_up (halves away from zero), half_even (halves to the even neighbour), up (away from zero), down (towards zero), ceiling, floor,
-- and cash (half_up to the smallest amount payable in cash).

CREATE FUNCTION billing.round(billing.monetary, mode pg_catalog.text DEFAULT 'half_up') RETURNS billing.monetary
    AS 'MODULE_PATHNAME', 'monetary_round' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION billing.round(billing.monetary, pg_catalog.text) IS
'The amount rounded to its currency''s minor unit. Modes: half_up (halves away from zero, the default), half_even, up (away from zero), down (towards zero), ceiling, floor, and cash (half_up to the smallest amount payable in cash, such as 0.05 CHF; the minor unit where currencies() lists none). Errors: 22023 unknown mode or a currency without a minor unit, 22003 beyond 10^16 units.';

CREATE FUNCTION billing.round(billing.monetary, digits pg_catalog.int4, mode pg_catalog.text DEFAULT 'half_up') RETURNS billing.monetary
    AS 'MODULE_PATHNAME', 'monetary_round_digits' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION billing.round(billing.monetary, pg_catalog.int4, pg_catalog.text) IS
'The amount rounded to a number of decimals from -15 to 15, negative ones left of the point. Modes: half_up (default), half_even, up, down, ceiling, floor. Errors: 22023 unknown mode, mode cash or digits out of range, 22003 beyond 10^16 units.';
