-- Comparison of usage_interval values: operators and the operator classes of btree, hash and BRIN.
--
-- The order is by end, then start, then quantity: total, and a pure function of the value.

CREATE FUNCTION billing.usage_interval_eq(billing.usage_interval, billing.usage_interval) RETURNS pg_catalog.bool
    AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT LEAKPROOF PARALLEL SAFE;
COMMENT ON FUNCTION billing.usage_interval_eq(billing.usage_interval, billing.usage_interval) IS
'Behind operator = of usage_interval. Same start, end and quantity.';

CREATE FUNCTION billing.usage_interval_ne(billing.usage_interval, billing.usage_interval) RETURNS pg_catalog.bool
    AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT LEAKPROOF PARALLEL SAFE;
COMMENT ON FUNCTION billing.usage_interval_ne(billing.usage_interval, billing.usage_interval) IS
'Behind operator <> of usage_interval. Another start, end or quantity.';

CREATE FUNCTION billing.usage_interval_lt(billing.usage_interval, billing.usage_interval) RETURNS pg_catalog.bool
    AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT LEAKPROOF PARALLEL SAFE;
COMMENT ON FUNCTION billing.usage_interval_lt(billing.usage_interval, billing.usage_interval) IS
'Behind operator < of usage_interval. Comes before: by end, then start, then quantity.';

CREATE FUNCTION billing.usage_interval_le(billing.usage_interval, billing.usage_interval) RETURNS pg_catalog.bool
    AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT LEAKPROOF PARALLEL SAFE;
COMMENT ON FUNCTION billing.usage_interval_le(billing.usage_interval, billing.usage_interval) IS
'Behind operator <= of usage_interval. Comes before or is equal: by end, then start, then quantity.';

CREATE FUNCTION billing.usage_interval_gt(billing.usage_interval, billing.usage_interval) RETURNS pg_catalog.bool
    AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT LEAKPROOF PARALLEL SAFE;
COMMENT ON FUNCTION billing.usage_interval_gt(billing.usage_interval, billing.usage_interval) IS
'Behind operator > of usage_interval. Comes after: by end, then start, then quantity.';

CREATE FUNCTION billing.usage_interval_ge(billing.usage_interval, billing.usage_interval) RETURNS pg_catalog.bool
    AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT LEAKPROOF PARALLEL SAFE;
COMMENT ON FUNCTION billing.usage_interval_ge(billing.usage_interval, billing.usage_interval) IS
'Behind operator >= of usage_interval. Comes after or is equal: by end, then start, then quantity.';

CREATE OPERATOR billing.= (
    LEFTARG = billing.usage_interval,
    RIGHTARG = billing.usage_interval,
    FUNCTION = billing.usage_interval_eq,
    COMMUTATOR = OPERATOR(billing.=),
    NEGATOR = OPERATOR(billing.<>),
    RESTRICT = pg_catalog.eqsel,
    JOIN = pg_catalog.eqjoinsel,
    HASHES,
    MERGES
);
COMMENT ON OPERATOR billing.= (billing.usage_interval, billing.usage_interval) IS
'Same start, end and quantity.';

CREATE OPERATOR billing.<> (
    LEFTARG = billing.usage_interval,
    RIGHTARG = billing.usage_interval,
    FUNCTION = billing.usage_interval_ne,
    COMMUTATOR = OPERATOR(billing.<>),
    NEGATOR = OPERATOR(billing.=),
    RESTRICT = pg_catalog.neqsel,
    JOIN = pg_catalog.neqjoinsel
);
COMMENT ON OPERATOR billing.<> (billing.usage_interval, billing.usage_interval) IS
'Another start, end or quantity.';

CREATE OPERATOR billing.< (
    LEFTARG = billing.usage_interval,
    RIGHTARG = billing.usage_interval,
    FUNCTION = billing.usage_interval_lt,
    COMMUTATOR = OPERATOR(billing.>),
    NEGATOR = OPERATOR(billing.>=),
    RESTRICT = pg_catalog.scalarltsel,
    JOIN = pg_catalog.scalarltjoinsel
);
COMMENT ON OPERATOR billing.< (billing.usage_interval, billing.usage_interval) IS
'Comes before: by end, then start, then quantity.';

CREATE OPERATOR billing.<= (
    LEFTARG = billing.usage_interval,
    RIGHTARG = billing.usage_interval,
    FUNCTION = billing.usage_interval_le,
    COMMUTATOR = OPERATOR(billing.>=),
    NEGATOR = OPERATOR(billing.>),
    RESTRICT = pg_catalog.scalarlesel,
    JOIN = pg_catalog.scalarlejoinsel
);
COMMENT ON OPERATOR billing.<= (billing.usage_interval, billing.usage_interval) IS
'Comes before or is equal: by end, then start, then quantity.';

CREATE OPERATOR billing.> (
    LEFTARG = billing.usage_interval,
    RIGHTARG = billing.usage_interval,
    FUNCTION = billing.usage_interval_gt,
    COMMUTATOR = OPERATOR(billing.<),
    NEGATOR = OPERATOR(billing.<=),
    RESTRICT = pg_catalog.scalargtsel,
    JOIN = pg_catalog.scalargtjoinsel
);
COMMENT ON OPERATOR billing.> (billing.usage_interval, billing.usage_interval) IS
'Comes after: by end, then start, then quantity.';

CREATE OPERATOR billing.>= (
    LEFTARG = billing.usage_interval,
    RIGHTARG = billing.usage_interval,
    FUNCTION = billing.usage_interval_ge,
    COMMUTATOR = OPERATOR(billing.<=),
    NEGATOR = OPERATOR(billing.<),
    RESTRICT = pg_catalog.scalargesel,
    JOIN = pg_catalog.scalargejoinsel
);
COMMENT ON OPERATOR billing.>= (billing.usage_interval, billing.usage_interval) IS
'Comes after or is equal: by end, then start, then quantity.';

CREATE FUNCTION billing.usage_interval_cmp(billing.usage_interval, billing.usage_interval) RETURNS pg_catalog.int4
    AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT LEAKPROOF PARALLEL SAFE;
COMMENT ON FUNCTION billing.usage_interval_cmp(billing.usage_interval, billing.usage_interval) IS
'Support function 1 of btree: negative, 0 or positive as the first value comes before the second, equals it or comes after it, by end, then start, then quantity.';

CREATE FUNCTION billing.usage_interval_sortsupport(pg_catalog.internal) RETURNS pg_catalog.void
    AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION billing.usage_interval_sortsupport(pg_catalog.internal) IS
'Support function 2 of btree: sorts by the end alone as far as that decides.';

CREATE FUNCTION billing.usage_interval_hash(billing.usage_interval) RETURNS pg_catalog.int4
    AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT LEAKPROOF PARALLEL SAFE;
COMMENT ON FUNCTION billing.usage_interval_hash(billing.usage_interval) IS
'Support function 1 of hash: hash of the 32 bytes.';

CREATE FUNCTION billing.usage_interval_hash_extended(billing.usage_interval, pg_catalog.int8) RETURNS pg_catalog.int8
    AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT LEAKPROOF PARALLEL SAFE;
COMMENT ON FUNCTION billing.usage_interval_hash_extended(billing.usage_interval, pg_catalog.int8) IS
'Support function 2 of hash: 64-bit hash of the 32 bytes with a seed, for hash partitioning.';

CREATE OPERATOR CLASS billing.usage_interval_ops DEFAULT FOR TYPE billing.usage_interval USING btree AS
    OPERATOR 1 billing.<,
    OPERATOR 2 billing.<=,
    OPERATOR 3 billing.=,
    OPERATOR 4 billing.>=,
    OPERATOR 5 billing.>,
    FUNCTION 1 billing.usage_interval_cmp(billing.usage_interval, billing.usage_interval),
    FUNCTION 2 billing.usage_interval_sortsupport(pg_catalog.internal),
    FUNCTION 4 pg_catalog.btequalimage(pg_catalog.oid);
COMMENT ON OPERATOR CLASS billing.usage_interval_ops USING btree IS
'By end, then start, then quantity. Equal values have equal bytes, so that indexes deduplicate.';

CREATE OPERATOR CLASS billing.usage_interval_hash_ops DEFAULT FOR TYPE billing.usage_interval USING hash AS
    OPERATOR 1 billing.=,
    FUNCTION 1 billing.usage_interval_hash(billing.usage_interval),
    FUNCTION 2 billing.usage_interval_hash_extended(billing.usage_interval, pg_catalog.int8);
COMMENT ON OPERATOR CLASS billing.usage_interval_hash_ops USING hash IS
'Equality of usage_interval values, for hash indexes, hash joins, hash aggregates and hash partitioning.';

CREATE OPERATOR CLASS billing.usage_interval_minmax_ops DEFAULT FOR TYPE billing.usage_interval USING brin AS
    OPERATOR 1 billing.<,
    OPERATOR 2 billing.<=,
    OPERATOR 3 billing.=,
    OPERATOR 4 billing.>=,
    OPERATOR 5 billing.>,
    FUNCTION 1 pg_catalog.brin_minmax_opcinfo(pg_catalog.internal),
    FUNCTION 2 pg_catalog.brin_minmax_add_value(pg_catalog.internal, pg_catalog.internal, pg_catalog.internal, pg_catalog.internal),
    FUNCTION 3 pg_catalog.brin_minmax_consistent(pg_catalog.internal, pg_catalog.internal, pg_catalog.internal),
    FUNCTION 4 pg_catalog.brin_minmax_union(pg_catalog.internal, pg_catalog.internal, pg_catalog.internal);
COMMENT ON OPERATOR CLASS billing.usage_interval_minmax_ops USING brin IS
'Smallest and greatest value of a range of blocks; fits tables that grow in the order of usage, because the end comes first.';
