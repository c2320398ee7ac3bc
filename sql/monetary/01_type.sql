-- The type monetary: an amount of one currency.

CREATE TYPE billing.monetary;

CREATE FUNCTION billing.monetary_in(pg_catalog.cstring, pg_catalog.oid, pg_catalog.int4) RETURNS billing.monetary
    AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION billing.monetary_in(pg_catalog.cstring, pg_catalog.oid, pg_catalog.int4) IS
'Text input of type monetary: an amount and a three-letter ISO 4217 code in either order and case, like 12.34 EUR or EUR 12.34. More than 15 decimals are rounded half to even. Errors (soft from PostgreSQL 16 on): 22P02 malformed or unknown currency, 22003 beyond 10^16 units, 22023 another currency than the type modifier''s.';

CREATE FUNCTION billing.monetary_out(billing.monetary) RETURNS pg_catalog.cstring
    AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION billing.monetary_out(billing.monetary) IS
'Text output of type monetary: all significant decimals, at least those of the currency''s minor unit, and the code, like 12.30 EUR. Independent of every setting.';

CREATE FUNCTION billing.monetary_recv(pg_catalog.internal, pg_catalog.oid, pg_catalog.int4) RETURNS billing.monetary
    AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION billing.monetary_recv(pg_catalog.internal, pg_catalog.oid, pg_catalog.int4) IS
'Binary input of type monetary: 16 bytes, first the three letters of the currency, then the amount in 10^-15 units as a big-endian 104-bit two''s complement number. Errors: 22P03 unknown currency or beyond 10^16 units, 22023 another currency than the type modifier''s.';

CREATE FUNCTION billing.monetary_send(billing.monetary) RETURNS pg_catalog.bytea
    AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION billing.monetary_send(billing.monetary) IS
'Binary output of type monetary: the 16 bytes that monetary_recv reads.';

CREATE FUNCTION billing.monetary_typmod_in(pg_catalog.cstring[]) RETURNS pg_catalog.int4
    AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION billing.monetary_typmod_in(pg_catalog.cstring[]) IS
'Reads the type modifier of monetary(''EUR''), the only currency that such a column accepts. Error: 22023 unknown currency or not exactly one modifier.';

CREATE FUNCTION billing.monetary_typmod_out(pg_catalog.int4) RETURNS pg_catalog.cstring
    AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION billing.monetary_typmod_out(pg_catalog.int4) IS
'Writes the type modifier of type monetary in quotes, because some codes, such as ALL, are reserved words.';

CREATE TYPE billing.monetary (
    INPUT = billing.monetary_in,
    OUTPUT = billing.monetary_out,
    RECEIVE = billing.monetary_recv,
    SEND = billing.monetary_send,
    TYPMOD_IN = billing.monetary_typmod_in,
    TYPMOD_OUT = billing.monetary_typmod_out,
    INTERNALLENGTH = 16,
    ALIGNMENT = char,
    STORAGE = plain
);
COMMENT ON TYPE billing.monetary IS
'An amount of one currency, like 12.34 EUR: exact to 15 decimals, up to 10^16 units either way, 16 bytes. monetary(''EUR'') accepts that currency only. Amounts of two currencies are never added or converted implicitly.';
