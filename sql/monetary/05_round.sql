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

CREATE FUNCTION billing.monetary_rounded(amount pg_catalog.numeric, currency pg_catalog.text, mode pg_catalog.text DEFAULT 'half_up') RETURNS billing.monetary
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    -- What the 15 decimals of the type cannot hold only tells on which side of a border the number lies; a last decimal of 1 says so too.
    AS $$ SELECT billing.round(billing.monetary(CASE WHEN pg_catalog.trunc($1, 15) OPERATOR(pg_catalog.=) $1 THEN $1
                                                     ELSE pg_catalog.trunc($1, 14) OPERATOR(pg_catalog.+) (pg_catalog.sign($1) OPERATOR(pg_catalog.*) 0.000000000000001) END, $2), $3) $$;
COMMENT ON FUNCTION billing.monetary_rounded(pg_catalog.numeric, pg_catalog.text, pg_catalog.text) IS
'A number of any length as an amount at its currency''s minor unit, rounded once. monetary() keeps 15 decimals, halves to even, so that round(monetary(…)) rounds 0.0049999999999999999 EUR twice, to 0.01; this gives 0.00. Modes as for round(). Errors: 22023 unknown currency, mode, or a currency without a minor unit; 22003 NaN, infinite or beyond 10^16 units. Immutable.';
