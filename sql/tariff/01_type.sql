-- The type tariff: a price as a value.

CREATE TYPE billing.tariff;

CREATE FUNCTION billing.tariff_in(pg_catalog.cstring) RETURNS billing.tariff
    AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION billing.tariff_in(pg_catalog.cstring) IS
'Text input of type tariff: a JSON object with model, currency and the members of the model; numbers may be JSON numbers or strings. Errors (soft from PostgreSQL 16 on), with a detail that says where: 22P02 something is missing, unknown or contradicts itself, 22003 a number has more than 36 digits or there are too many tiers or cells.';

CREATE FUNCTION billing.tariff_out(billing.tariff) RETURNS pg_catalog.cstring
    AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION billing.tariff_out(billing.tariff) IS
'Text output of type tariff: canonical JSON, with a fixed order of members, numbers as strings without exponent or trailing zeros, and no member that has its default. Equal tariffs print alike.';

CREATE FUNCTION billing.tariff_recv(pg_catalog.internal) RETURNS billing.tariff
    AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION billing.tariff_recv(pg_catalog.internal) IS
'Binary input of type tariff: a version byte (1) and JSON text in the client''s encoding, checked like text input. Errors: those of text input, and 22P03 for another version.';

CREATE FUNCTION billing.tariff_send(billing.tariff) RETURNS pg_catalog.bytea
    AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION billing.tariff_send(billing.tariff) IS
'Binary output of type tariff: a version byte (1) and the canonical JSON. Compiled bytes never leave the server.';

CREATE TYPE billing.tariff (
    INPUT = billing.tariff_in,
    OUTPUT = billing.tariff_out,
    RECEIVE = billing.tariff_recv,
    SEND = billing.tariff_send,
    INTERNALLENGTH = VARIABLE,
    ALIGNMENT = int4,
    STORAGE = main
);
COMMENT ON TYPE billing.tariff IS
'A price function as a value, written as JSON: {"model":"per_unit","currency":"EUR","unit_price":"0.10"}. Checked and compiled on input. billing.rate(tariff, quantity) gives the exact amount.';

CREATE FUNCTION billing.tariff(pg_catalog.jsonb) RETURNS billing.tariff
    AS 'MODULE_PATHNAME', 'tariff_from_jsonb' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION billing.tariff(pg_catalog.jsonb) IS
'Makes a tariff of a JSON object, for prices that are put together in SQL. Errors as for text input: 22P02, 22003.';
CREATE CAST (pg_catalog.jsonb AS billing.tariff) WITH FUNCTION billing.tariff(pg_catalog.jsonb);
COMMENT ON CAST (pg_catalog.jsonb AS billing.tariff) IS
'Reads a JSON object as a tariff; explicit, because it can fail.';

CREATE FUNCTION billing.tariff_to_jsonb(billing.tariff) RETURNS pg_catalog.jsonb
    AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION billing.tariff_to_jsonb(billing.tariff) IS
'The canonical JSON of a tariff, as jsonb. No errors.';
CREATE CAST (billing.tariff AS pg_catalog.jsonb) WITH FUNCTION billing.tariff_to_jsonb(billing.tariff);
COMMENT ON CAST (billing.tariff AS pg_catalog.jsonb) IS
'The canonical JSON of a tariff, for looking at its members.';

CREATE FUNCTION billing.tariff_to_json(billing.tariff) RETURNS pg_catalog.json
    AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION billing.tariff_to_json(billing.tariff) IS
'The canonical JSON of a tariff, as json with its order of members. No errors.';
CREATE CAST (billing.tariff AS pg_catalog.json) WITH FUNCTION billing.tariff_to_json(billing.tariff);
COMMENT ON CAST (billing.tariff AS pg_catalog.json) IS
'The canonical JSON of a tariff; to_jsonb and row_to_json use it, so that a tariff is nested as an object and not as a string.';
