-- Making monetary values, taking them apart, and casts.  There is no cast from numeric: an amount without a currency is no money.

CREATE FUNCTION billing.monetary(amount pg_catalog."numeric", currency pg_catalog.text) RETURNS billing.monetary
    AS 'MODULE_PATHNAME', 'monetary_from_numeric' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION billing.monetary(pg_catalog."numeric", pg_catalog.text) IS
'An amount, in units of the currency, and a three-letter ISO 4217 code as one value. More than 15 decimals are rounded half to even. Errors: 22023 unknown currency, 22003 NaN, infinite or beyond 10^16 units.';

CREATE FUNCTION billing.amount(billing.monetary) RETURNS pg_catalog."numeric"
    AS 'MODULE_PATHNAME', 'monetary_get_amount' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION billing.amount(billing.monetary) IS
'The amount in units of the currency, exact, with at least the decimals of the minor unit: amount(''12.3 EUR'') is 12.30.';

CREATE FUNCTION billing.currency(billing.monetary) RETURNS pg_catalog.text
    AS 'MODULE_PATHNAME', 'monetary_get_currency' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION billing.currency(billing.monetary) IS
'The three-letter ISO 4217 code of the currency, in upper case.';

CREATE FUNCTION billing.monetary(billing.monetary, type_modifier pg_catalog.int4, explicit pg_catalog.bool) RETURNS billing.monetary
    AS 'MODULE_PATHNAME', 'monetary_coerce' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION billing.monetary(billing.monetary, pg_catalog.int4, pg_catalog.bool) IS
'Behind the cast to monetary(''EUR''): passes on a value of that currency and raises 22023 for any other; it never converts.';

CREATE CAST (billing.monetary AS billing.monetary)
    WITH FUNCTION billing.monetary(billing.monetary, pg_catalog.int4, pg_catalog.bool) AS IMPLICIT;
COMMENT ON CAST (billing.monetary AS billing.monetary) IS
'Enforces the currency of a column or cast such as monetary(''EUR'').';

CREATE FUNCTION billing.monetary_to_json(billing.monetary) RETURNS pg_catalog.json
    AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION billing.monetary_to_json(billing.monetary) IS
'The value as {"amount":"12.34","currency":"EUR"}. The amount is a string because many readers of JSON turn numbers into binary floating point.';

CREATE FUNCTION billing.monetary_to_jsonb(billing.monetary) RETURNS pg_catalog.jsonb
    AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION billing.monetary_to_jsonb(billing.monetary) IS
'The value as {"amount": "12.34", "currency": "EUR"}, the amount as a string.';

CREATE CAST (billing.monetary AS pg_catalog.json) WITH FUNCTION billing.monetary_to_json(billing.monetary);
COMMENT ON CAST (billing.monetary AS pg_catalog.json) IS
'{"amount":"12.34","currency":"EUR"}; to_json, row_to_json, json_agg and their jsonb kin use it too.';

CREATE CAST (billing.monetary AS pg_catalog.jsonb) WITH FUNCTION billing.monetary_to_jsonb(billing.monetary);
COMMENT ON CAST (billing.monetary AS pg_catalog.jsonb) IS
'{"amount": "12.34", "currency": "EUR"}.';
