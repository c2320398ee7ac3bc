-- The type usage_interval: a quantity that was used over a span of time, or at a point in time.

CREATE TYPE billing.usage_interval;

CREATE FUNCTION billing.usage_interval_in(pg_catalog.cstring) RETURNS billing.usage_interval
    AS 'MODULE_PATHNAME' LANGUAGE C STABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION billing.usage_interval_in(pg_catalog.cstring) IS
'Text input of type usage_interval: [start,end) quantity for a span, or instant quantity for a point in time. Instants are read as by timestamptz, in the session''s time zone unless they carry an offset, and may stand in double quotes; a quantity has digits, an optional sign, point and exponent, and is rounded half to even at 15 decimals. Errors (soft from PostgreSQL 16 on): 22P02 malformed, 22007 and 22008 bad instant, 22008 infinite instant, 22000 start after end, 22003 quantity beyond 1.7 * 10^23.';

CREATE FUNCTION billing.usage_interval_out(billing.usage_interval) RETURNS pg_catalog.cstring
    AS 'MODULE_PATHNAME' LANGUAGE C STABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION billing.usage_interval_out(billing.usage_interval) IS
'Text output of type usage_interval: [2026-10-03 10:00:00+00,2026-10-03 11:00:00+00) 5.25, or 2026-10-03 10:00:00+00 5.25 for a point in time. Instants are in the session''s time zone and always in ISO style, whatever DateStyle says.';

CREATE FUNCTION billing.usage_interval_recv(pg_catalog.internal) RETURNS billing.usage_interval
    AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION billing.usage_interval_recv(pg_catalog.internal) IS
'Binary input of type usage_interval: 32 bytes, big-endian: start and end in microseconds since 2000-01-01 UTC (8 bytes each), quantity in 10^-15 units (16 bytes, two''s complement). Error 22P03: infinite or impossible instant, start after end, or the one 128-bit number that is no quantity, -2^127.';

CREATE FUNCTION billing.usage_interval_send(billing.usage_interval) RETURNS pg_catalog.bytea
    AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION billing.usage_interval_send(billing.usage_interval) IS
'Binary output of type usage_interval: the 32 bytes that usage_interval_recv reads.';

CREATE TYPE billing.usage_interval (
    INPUT = billing.usage_interval_in,
    OUTPUT = billing.usage_interval_out,
    RECEIVE = billing.usage_interval_recv,
    SEND = billing.usage_interval_send,
    INTERNALLENGTH = 32,
    ALIGNMENT = double,
    STORAGE = plain
);
COMMENT ON TYPE billing.usage_interval IS
'A quantity used evenly over a half-open span of time, like [2026-10-03 10:00:00+00,2026-10-03 11:00:00+00) 5.25, or at a point in time, like 2026-10-03 10:00:00+00 5.25. Instants to the microsecond and finite; the quantity exact to 15 decimals, up to 1.7 * 10^23 either way, negative for a reversal. 32 bytes.';
