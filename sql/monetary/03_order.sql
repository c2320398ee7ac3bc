-- Comparison of monetary values: operators and the operator classes of btree, hash and BRIN.
--
-- The order is by the letters of the currency, then by the amount.  It is total and never asks for an exchange rate.

CREATE FUNCTION billing.monetary_eq(billing.monetary, billing.monetary) RETURNS pg_catalog.bool
    AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT LEAKPROOF PARALLEL SAFE;
COMMENT ON FUNCTION billing.monetary_eq(billing.monetary, billing.monetary) IS
'Behind operator = of monetary. Same currency and same amount.';

CREATE FUNCTION billing.monetary_ne(billing.monetary, billing.monetary) RETURNS pg_catalog.bool
    AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT LEAKPROOF PARALLEL SAFE;
COMMENT ON FUNCTION billing.monetary_ne(billing.monetary, billing.monetary) IS
'Behind operator <> of monetary. Another currency or another amount.';

CREATE FUNCTION billing.monetary_lt(billing.monetary, billing.monetary) RETURNS pg_catalog.bool
    AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT LEAKPROOF PARALLEL SAFE;
COMMENT ON FUNCTION billing.monetary_lt(billing.monetary, billing.monetary) IS
'Behind operator < of monetary. Comes before: by the letters of the currency, then by the amount.';

CREATE FUNCTION billing.monetary_le(billing.monetary, billing.monetary) RETURNS pg_catalog.bool
    AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT LEAKPROOF PARALLEL SAFE;
COMMENT ON FUNCTION billing.monetary_le(billing.monetary, billing.monetary) IS
'Behind operator <= of monetary. Comes before or is equal: by the letters of the currency, then by the amount.';

CREATE FUNCTION billing.monetary_gt(billing.monetary, billing.monetary) RETURNS pg_catalog.bool
    AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT LEAKPROOF PARALLEL SAFE;
COMMENT ON FUNCTION billing.monetary_gt(billing.monetary, billing.monetary) IS
'Behind operator > of monetary. Comes after: by the letters of the currency, then by the amount.';

CREATE FUNCTION billing.monetary_ge(billing.monetary, billing.monetary) RETURNS pg_catalog.bool
    AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT LEAKPROOF PARALLEL SAFE;
COMMENT ON FUNCTION billing.monetary_ge(billing.monetary, billing.monetary) IS
'Behind operator >= of monetary. Comes after or is equal: by the letters of the currency, then by the amount.';

CREATE OPERATOR billing.= (
    LEFTARG = billing.monetary,
    RIGHTARG = billing.monetary,
    FUNCTION = billing.monetary_eq,
    COMMUTATOR = OPERATOR(billing.=),
    NEGATOR = OPERATOR(billing.<>),
    RESTRICT = pg_catalog.eqsel,
    JOIN = pg_catalog.eqjoinsel,
    HASHES,
    MERGES
);
COMMENT ON OPERATOR billing.= (billing.monetary, billing.monetary) IS
'Same currency and same amount.';

CREATE OPERATOR billing.<> (
    LEFTARG = billing.monetary,
    RIGHTARG = billing.monetary,
    FUNCTION = billing.monetary_ne,
    COMMUTATOR = OPERATOR(billing.<>),
    NEGATOR = OPERATOR(billing.=),
    RESTRICT = pg_catalog.neqsel,
    JOIN = pg_catalog.neqjoinsel
);
COMMENT ON OPERATOR billing.<> (billing.monetary, billing.monetary) IS
'Another currency or another amount.';

CREATE OPERATOR billing.< (
    LEFTARG = billing.monetary,
    RIGHTARG = billing.monetary,
    FUNCTION = billing.monetary_lt,
    COMMUTATOR = OPERATOR(billing.>),
    NEGATOR = OPERATOR(billing.>=),
    RESTRICT = pg_catalog.scalarltsel,
    JOIN = pg_catalog.scalarltjoinsel
);
COMMENT ON OPERATOR billing.< (billing.monetary, billing.monetary) IS
'Comes before: by the letters of the currency, then by the amount.';

CREATE OPERATOR billing.<= (
    LEFTARG = billing.monetary,
    RIGHTARG = billing.monetary,
    FUNCTION = billing.monetary_le,
    COMMUTATOR = OPERATOR(billing.>=),
    NEGATOR = OPERATOR(billing.>),
    RESTRICT = pg_catalog.scalarlesel,
    JOIN = pg_catalog.scalarlejoinsel
);
COMMENT ON OPERATOR billing.<= (billing.monetary, billing.monetary) IS
'Comes before or is equal: by the letters of the currency, then by the amount.';

CREATE OPERATOR billing.> (
    LEFTARG = billing.monetary,
    RIGHTARG = billing.monetary,
    FUNCTION = billing.monetary_gt,
    COMMUTATOR = OPERATOR(billing.<),
    NEGATOR = OPERATOR(billing.<=),
    RESTRICT = pg_catalog.scalargtsel,
    JOIN = pg_catalog.scalargtjoinsel
);
COMMENT ON OPERATOR billing.> (billing.monetary, billing.monetary) IS
'Comes after: by the letters of the currency, then by the amount.';

CREATE OPERATOR billing.>= (
    LEFTARG = billing.monetary,
    RIGHTARG = billing.monetary,
    FUNCTION = billing.monetary_ge,
    COMMUTATOR = OPERATOR(billing.<=),
    NEGATOR = OPERATOR(billing.<),
    RESTRICT = pg_catalog.scalargesel,
    JOIN = pg_catalog.scalargejoinsel
);
COMMENT ON OPERATOR billing.>= (billing.monetary, billing.monetary) IS
'Comes after or is equal: by the letters of the currency, then by the amount.';

CREATE FUNCTION billing.monetary_cmp(billing.monetary, billing.monetary) RETURNS pg_catalog.int4
    AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT LEAKPROOF PARALLEL SAFE;
COMMENT ON FUNCTION billing.monetary_cmp(billing.monetary, billing.monetary) IS
'Comparison for btree indexes: negative, 0 or positive as the first value comes before, equals or comes after the second.';

CREATE FUNCTION billing.monetary_sortsupport(pg_catalog.internal) RETURNS pg_catalog.void
    AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION billing.monetary_sortsupport(pg_catalog.internal) IS
'Fast sorting for btree indexes and ORDER BY, with abbreviated keys.';

CREATE OPERATOR CLASS billing.monetary_ops DEFAULT FOR TYPE billing.monetary USING btree AS
    OPERATOR 1 billing.<,
    OPERATOR 2 billing.<=,
    OPERATOR 3 billing.=,
    OPERATOR 4 billing.>=,
    OPERATOR 5 billing.>,
    FUNCTION 1 billing.monetary_cmp(billing.monetary, billing.monetary),
    FUNCTION 2 billing.monetary_sortsupport(pg_catalog.internal),
    FUNCTION 4 pg_catalog.btequalimage(pg_catalog.oid);
COMMENT ON OPERATOR CLASS billing.monetary_ops USING btree IS
'Default btree class of monetary: ordered by currency, then amount; equal values have equal bytes, so duplicates are stored once.';
COMMENT ON OPERATOR FAMILY billing.monetary_ops USING btree IS
'Btree support of monetary.';

CREATE FUNCTION billing.monetary_hash(billing.monetary) RETURNS pg_catalog.int4
    AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT LEAKPROOF PARALLEL SAFE;
COMMENT ON FUNCTION billing.monetary_hash(billing.monetary) IS
'32-bit hash of a value, for hash joins, hash aggregation and hash indexes.';

CREATE FUNCTION billing.monetary_hash_extended(billing.monetary, seed pg_catalog.int8) RETURNS pg_catalog.int8
    AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT LEAKPROOF PARALLEL SAFE;
COMMENT ON FUNCTION billing.monetary_hash_extended(billing.monetary, pg_catalog.int8) IS
'64-bit hash of a value with a seed, for hash partitioning.';

CREATE OPERATOR CLASS billing.monetary_ops DEFAULT FOR TYPE billing.monetary USING hash AS
    OPERATOR 1 billing.=,
    FUNCTION 1 billing.monetary_hash(billing.monetary),
    FUNCTION 2 billing.monetary_hash_extended(billing.monetary, pg_catalog.int8);
COMMENT ON OPERATOR CLASS billing.monetary_ops USING hash IS
'Default hash class of monetary.';
COMMENT ON OPERATOR FAMILY billing.monetary_ops USING hash IS
'Hash support of monetary.';

CREATE OPERATOR CLASS billing.monetary_minmax_ops DEFAULT FOR TYPE billing.monetary USING brin AS
    OPERATOR 1 billing.<,
    OPERATOR 2 billing.<=,
    OPERATOR 3 billing.=,
    OPERATOR 4 billing.>=,
    OPERATOR 5 billing.>,
    FUNCTION 1 pg_catalog.brin_minmax_opcinfo(pg_catalog.internal),
    FUNCTION 2 pg_catalog.brin_minmax_add_value(pg_catalog.internal, pg_catalog.internal, pg_catalog.internal, pg_catalog.internal),
    FUNCTION 3 pg_catalog.brin_minmax_consistent(pg_catalog.internal, pg_catalog.internal, pg_catalog.internal),
    FUNCTION 4 pg_catalog.brin_minmax_union(pg_catalog.internal, pg_catalog.internal, pg_catalog.internal);
COMMENT ON OPERATOR CLASS billing.monetary_minmax_ops USING brin IS
'Default BRIN class of monetary: the least and the greatest value of each block range.';
COMMENT ON OPERATOR FAMILY billing.monetary_minmax_ops USING brin IS
'BRIN minimum and maximum support of monetary.';

CREATE OPERATOR CLASS billing.monetary_bloom_ops FOR TYPE billing.monetary USING brin AS
    OPERATOR 1 billing.=,
    FUNCTION 1 pg_catalog.brin_bloom_opcinfo(pg_catalog.internal),
    FUNCTION 2 pg_catalog.brin_bloom_add_value(pg_catalog.internal, pg_catalog.internal, pg_catalog.internal, pg_catalog.internal),
    FUNCTION 3 pg_catalog.brin_bloom_consistent(pg_catalog.internal, pg_catalog.internal, pg_catalog.internal, pg_catalog.int4),
    FUNCTION 4 pg_catalog.brin_bloom_union(pg_catalog.internal, pg_catalog.internal, pg_catalog.internal),
    FUNCTION 5 pg_catalog.brin_bloom_options(pg_catalog.internal),
    FUNCTION 11 billing.monetary_hash(billing.monetary);
COMMENT ON OPERATOR CLASS billing.monetary_bloom_ops USING brin IS
'BRIN class of monetary for equality on scattered values: a Bloom filter for each block range.';
COMMENT ON OPERATOR FAMILY billing.monetary_bloom_ops USING brin IS
'BRIN Bloom filter support of monetary.';
