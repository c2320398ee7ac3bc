-- JSON and range forms of usage_interval.

CREATE FUNCTION billing.usage_interval_to_json(billing.usage_interval) RETURNS pg_catalog.json
    AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION billing.usage_interval_to_json(billing.usage_interval) IS
'The value as {"start":"2026-10-03T10:00:00Z","end":"2026-10-03T11:00:00Z","quantity":"5.25"}, or {"at":"2026-10-03T10:00:00Z","quantity":"5.25"} for a point in time. Instants in UTC, ISO 8601; the quantity is a string because many readers of JSON turn numbers into binary floating point.';

CREATE FUNCTION billing.usage_interval_to_jsonb(billing.usage_interval) RETURNS pg_catalog.jsonb
    AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION billing.usage_interval_to_jsonb(billing.usage_interval) IS
'The value as an object with start, end and quantity, or at and quantity for a point in time, like usage_interval_to_json.';

CREATE FUNCTION billing.usage_interval_from_jsonb(pg_catalog.jsonb) RETURNS billing.usage_interval
    AS 'MODULE_PATHNAME' LANGUAGE C STABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION billing.usage_interval_from_jsonb(pg_catalog.jsonb) IS
'Reads an object with quantity (string or number) and either at or both start and end (strings; without an offset they are in the session''s time zone); other members are passed over. Errors: 22023 another shape, 22007 and 22008 bad or infinite instant, 22000 start after end, 22P02 and 22003 bad quantity.';

CREATE CAST (billing.usage_interval AS pg_catalog.json) WITH FUNCTION billing.usage_interval_to_json(billing.usage_interval);
COMMENT ON CAST (billing.usage_interval AS pg_catalog.json) IS
'{"start","end","quantity"} or {"at","quantity"}; to_json, row_to_json, json_agg and their jsonb kin use it too.';

CREATE CAST (billing.usage_interval AS pg_catalog.jsonb) WITH FUNCTION billing.usage_interval_to_jsonb(billing.usage_interval);
COMMENT ON CAST (billing.usage_interval AS pg_catalog.jsonb) IS
'{"start","end","quantity"} or {"at","quantity"}.';

CREATE CAST (pg_catalog.jsonb AS billing.usage_interval) WITH FUNCTION billing.usage_interval_from_jsonb(pg_catalog.jsonb);
COMMENT ON CAST (pg_catalog.jsonb AS billing.usage_interval) IS
'Reads {"start","end","quantity"} or {"at","quantity"}; explicit only.';

CREATE CAST (billing.usage_interval AS pg_catalog.tstzrange) WITH FUNCTION billing.span(billing.usage_interval);
COMMENT ON CAST (billing.usage_interval AS pg_catalog.tstzrange) IS
'The span alone, as span() gives it; explicit only, because the quantity is lost.';
