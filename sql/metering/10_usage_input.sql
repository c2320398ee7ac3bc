-- Reading what callers record: members, since they name no table.  None of them raises for the content of a row.

CREATE FUNCTION billing.read_usage(usage pg_catalog.jsonb)
    RETURNS TABLE (ordinal pg_catalog.int4, id pg_catalog.text, account pg_catalog.text, meter pg_catalog.text, key pg_catalog.uuid,
                   consumed billing.usage_interval, resource pg_catalog.text, dimensions pg_catalog.jsonb, reason pg_catalog.text, detail pg_catalog.text,
                   sample_type pg_catalog.text)
    AS 'MODULE_PATHNAME' LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE ROWS 100;
COMMENT ON FUNCTION billing.read_usage(pg_catalog.jsonb) IS
'Reads usage in our own form or as CloudEvents 1.0, one object or an array: one row an object, numbered from 0. Where an object breaks a rule, reason is a word of the list in doc/metering.md and detail a sentence; otherwise both are null. Records nothing. Errors: 22023 when the argument is neither an object nor an array.';

-- It reads tables of the ledger without asking for rights: for the ledger's owner alone, see create_ledger().
CREATE FUNCTION billing.recordable_usage(usage pg_catalog.jsonb, ledger_version pg_catalog.text, OUT id pg_catalog.text, OUT account_id pg_catalog.int8, OUT meter_id pg_catalog.int4, OUT key pg_catalog.uuid,
                                         OUT payload pg_catalog.int8, OUT consumed billing.usage_interval, OUT resource_id pg_catalog.int8, OUT dimensions pg_catalog.jsonb,
                                         OUT load_id pg_catalog.int4, OUT recorded_at pg_catalog.timestamptz)
    AS 'MODULE_PATHNAME' LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE;
COMMENT ON FUNCTION billing.recordable_usage(pg_catalog.jsonb, pg_catalog.text) IS
'Step of record_usage(): what is to be inserted for one object in our own form or as a CloudEvent, with its names looked up and the stamp of the transaction. Null when there is more to do: a ledger of another version, an object that breaks a rule, a name that is not known, an account that is or was closed, a sample, an interval above 31 days, the first call of a user and day. Errors: 42P01 without a ledger. Volatile.';
REVOKE ALL ON FUNCTION billing.recordable_usage(pg_catalog.jsonb, pg_catalog.text) FROM PUBLIC;

CREATE FUNCTION billing.usage_in_other_form(usage pg_catalog.jsonb) RETURNS pg_catalog.bool
    AS 'MODULE_PATHNAME' LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION billing.usage_in_other_form(pg_catalog.jsonb) IS
'Whether an object, or any object of an array, is neither in our own form with a quantity nor a CloudEvent, so that expand_usage() has something to do.';

CREATE FUNCTION billing.usage_key_of(id pg_catalog.text, source pg_catalog.text DEFAULT NULL) RETURNS pg_catalog.uuid
    AS 'MODULE_PATHNAME' LANGUAGE c IMMUTABLE PARALLEL SAFE CALLED ON NULL INPUT;
COMMENT ON FUNCTION billing.usage_key_of(pg_catalog.text, pg_catalog.text) IS
'Identity of a usage row within its account: the id itself when it is a UUID and source is null or empty, otherwise the first 128 bits of sha256(source || U&''\0001'' || id). Null when the id is missing, empty or longer than 1000 bytes.';

CREATE FUNCTION billing.try_usage_interval(starts_at pg_catalog.text, ends_at pg_catalog.text, quantity pg_catalog.text) RETURNS billing.usage_interval
    AS 'MODULE_PATHNAME' LANGUAGE c IMMUTABLE PARALLEL SAFE CALLED ON NULL INPUT;
COMMENT ON FUNCTION billing.try_usage_interval(pg_catalog.text, pg_catalog.text, pg_catalog.text) IS
'When and how much, from text: RFC 3339 times with an offset from UTC (starts_at null = a point in time) and a decimal number of at most 15 decimals. Null when one of them cannot be read; usage_fault() says why.';

CREATE FUNCTION billing.try_dimensions(dimensions pg_catalog.text) RETURNS pg_catalog.jsonb
    AS 'MODULE_PATHNAME' LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION billing.try_dimensions(pg_catalog.text) IS
'Dimensions of usage from text: a JSON object of strings, numbers and booleans. Null when it is none or takes more than 8192 bytes.';

CREATE FUNCTION billing.usage_payload(meter_id pg_catalog.int4, consumed billing.usage_interval, resource pg_catalog.text, dimensions pg_catalog.jsonb) RETURNS pg_catalog.int8
    AS 'MODULE_PATHNAME' LANGUAGE c IMMUTABLE PARALLEL SAFE CALLED ON NULL INPUT;
COMMENT ON FUNCTION billing.usage_payload(pg_catalog.int4, billing.usage_interval, pg_catalog.text, pg_catalog.jsonb) IS
'Hash of what a usage row says, by value (1.0 equals 1, the order of dimensions does not count), in the upper 52 bits, and the month (UTC) in which it ends in the lower 12: the same key with another hash is a conflict. The same on every machine. Null for a null meter or interval. Errors: 22008 outside the years that usage may have.';

CREATE FUNCTION billing.usage_payload_moved(payload pg_catalog.int8, consumed billing.usage_interval) RETURNS pg_catalog.int8
    AS 'MODULE_PATHNAME' LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION billing.usage_payload_moved(pg_catalog.int8, billing.usage_interval) IS
'The same hash with the month of another interval, for usage whose time was corrected: a retry of what was recorded first stays a duplicate. Errors: 22008 outside the years that usage may have.';

CREATE FUNCTION billing.usage_payload_month(payload pg_catalog.int8) RETURNS pg_catalog.date
    AS 'MODULE_PATHNAME' LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION billing.usage_payload_month(pg_catalog.int8) IS
'First day of the month (UTC) in which the usage of a payload ends: which partition of usage holds it.';

CREATE FUNCTION billing.usage_payload_same(payload pg_catalog.int8, other pg_catalog.int8) RETURNS pg_catalog.bool
    AS 'MODULE_PATHNAME' LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION billing.usage_payload_same(pg_catalog.int8, pg_catalog.int8) IS
'Whether two payloads have the same hash, in whatever months: a retry, and no conflict.';

CREATE FUNCTION billing.usage_fault(source pg_catalog.text, id pg_catalog.text, account pg_catalog.text, meter pg_catalog.text, starts_at pg_catalog.text,
                                    ends_at pg_catalog.text, quantity pg_catalog.text, resource pg_catalog.text, dimensions pg_catalog.text,
                                    OUT reason pg_catalog.text, OUT detail pg_catalog.text)
    AS 'MODULE_PATHNAME' LANGUAGE c IMMUTABLE PARALLEL SAFE CALLED ON NULL INPUT;
COMMENT ON FUNCTION billing.usage_fault(pg_catalog.text, pg_catalog.text, pg_catalog.text, pg_catalog.text, pg_catalog.text, pg_catalog.text, pg_catalog.text, pg_catalog.text, pg_catalog.text) IS
'The first rule that a row of a batch breaks by itself, as a word of the list in doc/metering.md and a sentence; null when it breaks none.';

CREATE FUNCTION billing.utc_month(instant pg_catalog.timestamptz) RETURNS pg_catalog.date
    AS 'MODULE_PATHNAME' LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION billing.utc_month(pg_catalog.timestamptz) IS
'First day of the month that an instant falls into in UTC: which partition of usage holds it.';
