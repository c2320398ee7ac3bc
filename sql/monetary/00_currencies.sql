-- The table of currencies that is compiled into the library.

CREATE FUNCTION billing.currencies(
    OUT code pg_catalog.text,
    OUT numeric_code pg_catalog.text,
    OUT minor_unit pg_catalog.int2,
    OUT cash_increment pg_catalog."numeric",
    OUT name pg_catalog.text,
    OUT withdrawn pg_catalog.text
) RETURNS SETOF pg_catalog.record
    AS 'MODULE_PATHNAME', 'currency_list' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE ROWS 307;
COMMENT ON FUNCTION billing.currencies() IS
'Every currency that type monetary knows, active and withdrawn, sorted by code: ISO 4217 three-letter code, three-digit code, decimals of the minor unit (null: none, so amounts cannot be rounded or invoiced in it), smallest amount payable in cash where coarser than the minor unit, English name, and when ISO 4217 withdrew the code (null: active). Sources: ISO 4217 of 2026-01, Unicode CLDR 45 for cash, OpenJDK 17 for the minor units of withdrawn codes.';
