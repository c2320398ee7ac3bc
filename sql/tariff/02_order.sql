-- Equality and order of tariffs: operators and the operator classes of btree and hash.
--
-- Equal means the same canonical JSON, not the same amounts.  Grouping, DISTINCT, joins and the merging of equal neighbours rely on it.

CREATE FUNCTION billing.tariff_eq(billing.tariff, billing.tariff) RETURNS pg_catalog.bool
    AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT LEAKPROOF PARALLEL SAFE;
COMMENT ON FUNCTION billing.tariff_eq(billing.tariff, billing.tariff) IS
'Behind operator = of tariff. Same canonical JSON.';

CREATE FUNCTION billing.tariff_ne(billing.tariff, billing.tariff) RETURNS pg_catalog.bool
    AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT LEAKPROOF PARALLEL SAFE;
COMMENT ON FUNCTION billing.tariff_ne(billing.tariff, billing.tariff) IS
'Behind operator <> of tariff. Another canonical JSON.';

CREATE FUNCTION billing.tariff_lt(billing.tariff, billing.tariff) RETURNS pg_catalog.bool
    AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT LEAKPROOF PARALLEL SAFE;
COMMENT ON FUNCTION billing.tariff_lt(billing.tariff, billing.tariff) IS
'Behind operator < of tariff. Sorts before. The order of tariffs has no meaning; it serves grouping and indexes.';

CREATE FUNCTION billing.tariff_le(billing.tariff, billing.tariff) RETURNS pg_catalog.bool
    AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT LEAKPROOF PARALLEL SAFE;
COMMENT ON FUNCTION billing.tariff_le(billing.tariff, billing.tariff) IS
'Behind operator <= of tariff. Sorts before or is equal. The order of tariffs has no meaning.';

CREATE FUNCTION billing.tariff_gt(billing.tariff, billing.tariff) RETURNS pg_catalog.bool
    AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT LEAKPROOF PARALLEL SAFE;
COMMENT ON FUNCTION billing.tariff_gt(billing.tariff, billing.tariff) IS
'Behind operator > of tariff. Sorts behind. The order of tariffs has no meaning.';

CREATE FUNCTION billing.tariff_ge(billing.tariff, billing.tariff) RETURNS pg_catalog.bool
    AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT LEAKPROOF PARALLEL SAFE;
COMMENT ON FUNCTION billing.tariff_ge(billing.tariff, billing.tariff) IS
'Behind operator >= of tariff. Sorts behind or is equal. The order of tariffs has no meaning.';

CREATE OPERATOR billing.= (
    LEFTARG = billing.tariff,
    RIGHTARG = billing.tariff,
    FUNCTION = billing.tariff_eq,
    COMMUTATOR = OPERATOR(billing.=),
    NEGATOR = OPERATOR(billing.<>),
    RESTRICT = pg_catalog.eqsel,
    JOIN = pg_catalog.eqjoinsel,
    HASHES,
    MERGES
);
COMMENT ON OPERATOR billing.= (billing.tariff, billing.tariff) IS
'Same canonical JSON.';

CREATE OPERATOR billing.<> (
    LEFTARG = billing.tariff,
    RIGHTARG = billing.tariff,
    FUNCTION = billing.tariff_ne,
    COMMUTATOR = OPERATOR(billing.<>),
    NEGATOR = OPERATOR(billing.=),
    RESTRICT = pg_catalog.neqsel,
    JOIN = pg_catalog.neqjoinsel
);
COMMENT ON OPERATOR billing.<> (billing.tariff, billing.tariff) IS
'Another canonical JSON.';

CREATE OPERATOR billing.< (
    LEFTARG = billing.tariff,
    RIGHTARG = billing.tariff,
    FUNCTION = billing.tariff_lt,
    COMMUTATOR = OPERATOR(billing.>),
    NEGATOR = OPERATOR(billing.>=),
    RESTRICT = pg_catalog.scalarltsel,
    JOIN = pg_catalog.scalarltjoinsel
);
COMMENT ON OPERATOR billing.< (billing.tariff, billing.tariff) IS
'Sorts before. The order of tariffs has no meaning; it serves grouping and indexes.';

CREATE OPERATOR billing.<= (
    LEFTARG = billing.tariff,
    RIGHTARG = billing.tariff,
    FUNCTION = billing.tariff_le,
    COMMUTATOR = OPERATOR(billing.>=),
    NEGATOR = OPERATOR(billing.>),
    RESTRICT = pg_catalog.scalarlesel,
    JOIN = pg_catalog.scalarlejoinsel
);
COMMENT ON OPERATOR billing.<= (billing.tariff, billing.tariff) IS
'Sorts before or is equal. The order of tariffs has no meaning.';

CREATE OPERATOR billing.> (
    LEFTARG = billing.tariff,
    RIGHTARG = billing.tariff,
    FUNCTION = billing.tariff_gt,
    COMMUTATOR = OPERATOR(billing.<),
    NEGATOR = OPERATOR(billing.<=),
    RESTRICT = pg_catalog.scalargtsel,
    JOIN = pg_catalog.scalargtjoinsel
);
COMMENT ON OPERATOR billing.> (billing.tariff, billing.tariff) IS
'Sorts behind. The order of tariffs has no meaning.';

CREATE OPERATOR billing.>= (
    LEFTARG = billing.tariff,
    RIGHTARG = billing.tariff,
    FUNCTION = billing.tariff_ge,
    COMMUTATOR = OPERATOR(billing.<=),
    NEGATOR = OPERATOR(billing.<),
    RESTRICT = pg_catalog.scalargesel,
    JOIN = pg_catalog.scalargejoinsel
);
COMMENT ON OPERATOR billing.>= (billing.tariff, billing.tariff) IS
'Sorts behind or is equal. The order of tariffs has no meaning.';

CREATE FUNCTION billing.tariff_cmp(billing.tariff, billing.tariff) RETURNS pg_catalog.int4
    AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT LEAKPROOF PARALLEL SAFE;
COMMENT ON FUNCTION billing.tariff_cmp(billing.tariff, billing.tariff) IS
'Btree support of tariff: -1, 0 or 1. The order has no meaning beyond grouping.';

CREATE OPERATOR CLASS billing.tariff_ops DEFAULT FOR TYPE billing.tariff USING btree AS
    OPERATOR 1 billing.<,
    OPERATOR 2 billing.<=,
    OPERATOR 3 billing.=,
    OPERATOR 4 billing.>=,
    OPERATOR 5 billing.>,
    FUNCTION 1 billing.tariff_cmp(billing.tariff, billing.tariff),
    FUNCTION 4 pg_catalog.btequalimage(pg_catalog.oid);
COMMENT ON OPERATOR CLASS billing.tariff_ops USING btree IS
'Sorting and unique indexes of tariffs by their canonical form.';

CREATE FUNCTION billing.tariff_hash(billing.tariff) RETURNS pg_catalog.int4
    AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT LEAKPROOF PARALLEL SAFE;
COMMENT ON FUNCTION billing.tariff_hash(billing.tariff) IS
'Hash support of tariff, over its canonical form.';

CREATE FUNCTION billing.tariff_hash_extended(billing.tariff, pg_catalog.int8) RETURNS pg_catalog.int8
    AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT LEAKPROOF PARALLEL SAFE;
COMMENT ON FUNCTION billing.tariff_hash_extended(billing.tariff, pg_catalog.int8) IS
'Hash support of tariff with a seed, for hash partitions.';

CREATE OPERATOR CLASS billing.tariff_ops DEFAULT FOR TYPE billing.tariff USING hash AS
    OPERATOR 1 billing.=,
    FUNCTION 1 billing.tariff_hash(billing.tariff),
    FUNCTION 2 billing.tariff_hash_extended(billing.tariff, pg_catalog.int8);
COMMENT ON OPERATOR CLASS billing.tariff_ops USING hash IS
'Grouping and hash joins of tariffs by their canonical form.';
