-- Arithmetic on monetary values.  Two currencies in one operation raise 22023; products and quotients are formed exactly and rounded once.

CREATE FUNCTION billing.monetary_add(billing.monetary, billing.monetary) RETURNS billing.monetary
    AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION billing.monetary_add(billing.monetary, billing.monetary) IS
'Behind operator +. Sum of two amounts of one currency. Errors: 22023 two currencies, 22003 beyond 10^16 units.';

CREATE FUNCTION billing.monetary_subtract(billing.monetary, billing.monetary) RETURNS billing.monetary
    AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION billing.monetary_subtract(billing.monetary, billing.monetary) IS
'Behind operator -. Difference of two amounts of one currency. Errors: 22023 two currencies, 22003 beyond 10^16 units.';

CREATE FUNCTION billing.monetary_negate(billing.monetary) RETURNS billing.monetary
    AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION billing.monetary_negate(billing.monetary) IS
'Behind operator -. The amount with its sign turned.';

CREATE FUNCTION billing.monetary_multiply(billing.monetary, pg_catalog."numeric") RETURNS billing.monetary
    AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION billing.monetary_multiply(billing.monetary, pg_catalog."numeric") IS
'Behind operator *. The amount times a number, exact, then rounded once, half to even, at 15 decimals. Error: 22003 beyond 10^16 units or times NaN or infinity.';

CREATE FUNCTION billing.numeric_multiply_monetary(pg_catalog."numeric", billing.monetary) RETURNS billing.monetary
    AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION billing.numeric_multiply_monetary(pg_catalog."numeric", billing.monetary) IS
'Behind operator *. A number times the amount, exact, then rounded once, half to even, at 15 decimals. Error: 22003 beyond 10^16 units or times NaN or infinity.';

CREATE FUNCTION billing.monetary_divide(billing.monetary, pg_catalog."numeric") RETURNS billing.monetary
    AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION billing.monetary_divide(billing.monetary, pg_catalog."numeric") IS
'Behind operator /. The amount divided by a number, exact, then rounded once, half to even, at 15 decimals. Errors: 22012 division by zero, 22003 beyond 10^16 units or divided by NaN or infinity.';

CREATE FUNCTION billing.monetary_ratio(billing.monetary, billing.monetary) RETURNS pg_catalog."numeric"
    AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION billing.monetary_ratio(billing.monetary, billing.monetary) IS
'Behind operator /. Ratio of two amounts of one currency, with the decimals of numeric division: at least 16 significant digits. Errors: 22023 two currencies, 22012 division by zero.';

CREATE OPERATOR billing.+ (
    LEFTARG = billing.monetary,
    RIGHTARG = billing.monetary,
    FUNCTION = billing.monetary_add,
    COMMUTATOR = OPERATOR(billing.+)
);
COMMENT ON OPERATOR billing.+ (billing.monetary, billing.monetary) IS
'Sum of two amounts of one currency. Errors: 22023 two currencies, 22003 beyond 10^16 units.';

CREATE OPERATOR billing.- (
    LEFTARG = billing.monetary,
    RIGHTARG = billing.monetary,
    FUNCTION = billing.monetary_subtract
);
COMMENT ON OPERATOR billing.- (billing.monetary, billing.monetary) IS
'Difference of two amounts of one currency. Errors: 22023 two currencies, 22003 beyond 10^16 units.';

CREATE OPERATOR billing.- (
    RIGHTARG = billing.monetary,
    FUNCTION = billing.monetary_negate
);
COMMENT ON OPERATOR billing.- (NONE, billing.monetary) IS
'The amount with its sign turned.';

CREATE OPERATOR billing.* (
    LEFTARG = billing.monetary,
    RIGHTARG = pg_catalog."numeric",
    FUNCTION = billing.monetary_multiply,
    COMMUTATOR = OPERATOR(billing.*)
);
COMMENT ON OPERATOR billing.* (billing.monetary, pg_catalog."numeric") IS
'The amount times a number, exact, then rounded once, half to even, at 15 decimals. Error: 22003 beyond 10^16 units or times NaN or infinity.';

CREATE OPERATOR billing.* (
    LEFTARG = pg_catalog."numeric",
    RIGHTARG = billing.monetary,
    FUNCTION = billing.numeric_multiply_monetary,
    COMMUTATOR = OPERATOR(billing.*)
);
COMMENT ON OPERATOR billing.* (pg_catalog."numeric", billing.monetary) IS
'A number times the amount, exact, then rounded once, half to even, at 15 decimals. Error: 22003 beyond 10^16 units or times NaN or infinity.';

CREATE OPERATOR billing./ (
    LEFTARG = billing.monetary,
    RIGHTARG = pg_catalog."numeric",
    FUNCTION = billing.monetary_divide
);
COMMENT ON OPERATOR billing./ (billing.monetary, pg_catalog."numeric") IS
'The amount divided by a number, exact, then rounded once, half to even, at 15 decimals. Errors: 22012 division by zero, 22003 beyond 10^16 units or divided by NaN or infinity.';

CREATE OPERATOR billing./ (
    LEFTARG = billing.monetary,
    RIGHTARG = billing.monetary,
    FUNCTION = billing.monetary_ratio
);
COMMENT ON OPERATOR billing./ (billing.monetary, billing.monetary) IS
'Ratio of two amounts of one currency, with the decimals of numeric division: at least 16 significant digits. Errors: 22023 two currencies, 22012 division by zero.';

CREATE FUNCTION billing.abs(billing.monetary) RETURNS billing.monetary
    AS 'MODULE_PATHNAME', 'monetary_abs' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION billing.abs(billing.monetary) IS
'The amount without its sign.';

CREATE FUNCTION billing.sign(billing.monetary) RETURNS pg_catalog.int4
    AS 'MODULE_PATHNAME', 'monetary_sign' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION billing.sign(billing.monetary) IS
'-1 for a negative amount, 0 for zero, 1 for a positive one.';

CREATE FUNCTION billing.is_zero(billing.monetary) RETURNS pg_catalog.bool
    AS 'MODULE_PATHNAME', 'monetary_is_zero' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION billing.is_zero(billing.monetary) IS
'Is the amount 0, in whatever currency?';
