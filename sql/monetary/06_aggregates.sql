-- Aggregates over monetary values.
--
-- The state of sum and avg is an SQL type, so that partial sums can be computed in parallel workers or on other nodes and travel like any value.

CREATE TYPE billing.monetary_sum;

CREATE FUNCTION billing.monetary_sum_in(pg_catalog.cstring) RETURNS billing.monetary_sum
    AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION billing.monetary_sum_in(pg_catalog.cstring) IS
'Text input of type monetary_sum: number of values, their sum, their currency, like (2,12.34,EUR); (0,0,) without values. Error (soft from PostgreSQL 16 on): 22P02.';

CREATE FUNCTION billing.monetary_sum_out(billing.monetary_sum) RETURNS pg_catalog.cstring
    AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION billing.monetary_sum_out(billing.monetary_sum) IS
'Text output of type monetary_sum, like (2,12.34,EUR).';

CREATE FUNCTION billing.monetary_sum_recv(pg_catalog.internal) RETURNS billing.monetary_sum
    AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION billing.monetary_sum_recv(pg_catalog.internal) IS
'Binary input of type monetary_sum: currency (4 bytes), number of values (8 bytes), sum in 10^-15 units (16 bytes), all big-endian. Error: 22P03.';

CREATE FUNCTION billing.monetary_sum_send(billing.monetary_sum) RETURNS pg_catalog.bytea
    AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION billing.monetary_sum_send(billing.monetary_sum) IS
'Binary output of type monetary_sum: the bytes that monetary_sum_recv reads.';

CREATE TYPE billing.monetary_sum (
    INPUT = billing.monetary_sum_in,
    OUTPUT = billing.monetary_sum_out,
    RECEIVE = billing.monetary_sum_recv,
    SEND = billing.monetary_sum_send,
    INTERNALLENGTH = 32,
    ALIGNMENT = double,
    STORAGE = plain
);
COMMENT ON TYPE billing.monetary_sum IS
'What sum and avg over monetary remember: number of values, their exact sum in 128 bits (so it may leave the range of monetary on the way), their currency.';

CREATE FUNCTION billing.monetary_sum_add(billing.monetary_sum, billing.monetary) RETURNS billing.monetary_sum
    AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION billing.monetary_sum_add(billing.monetary_sum, billing.monetary) IS
'Adds a value to a partial sum; behind sum and avg. Errors: 22023 two currencies, 22003 beyond 128 bits.';

CREATE FUNCTION billing.monetary_sum_remove(billing.monetary_sum, billing.monetary) RETURNS billing.monetary_sum
    AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION billing.monetary_sum_remove(billing.monetary_sum, billing.monetary) IS
'Takes a value out of a partial sum; behind sum and avg over moving window frames. Error: 22023 for a value that cannot be in the sum.';

CREATE FUNCTION billing.monetary_sum_combine(billing.monetary_sum, billing.monetary_sum) RETURNS billing.monetary_sum
    AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION billing.monetary_sum_combine(billing.monetary_sum, billing.monetary_sum) IS
'Adds two partial sums; behind parallel sum and avg. Errors: 22023 two currencies, 22003 beyond 128 bits.';

CREATE FUNCTION billing.monetary_sum_total(billing.monetary_sum) RETURNS billing.monetary
    AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION billing.monetary_sum_total(billing.monetary_sum) IS
'The sum; null without values. Error: 22003 beyond 10^16 units.';

CREATE FUNCTION billing.monetary_sum_average(billing.monetary_sum) RETURNS billing.monetary
    AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION billing.monetary_sum_average(billing.monetary_sum) IS
'The mean, rounded half to even at 15 decimals; null without values.';

CREATE AGGREGATE billing.sum(billing.monetary) (
    SFUNC = billing.monetary_sum_add,
    STYPE = billing.monetary_sum,
    SSPACE = 32,
    INITCOND = '(0,0,)',
    COMBINEFUNC = billing.monetary_sum_combine,
    FINALFUNC = billing.monetary_sum_total,
    MSFUNC = billing.monetary_sum_add,
    MINVFUNC = billing.monetary_sum_remove,
    MSTYPE = billing.monetary_sum,
    MSSPACE = 32,
    MINITCOND = '(0,0,)',
    MFINALFUNC = billing.monetary_sum_total,
    PARALLEL = SAFE
);
COMMENT ON AGGREGATE billing.sum(billing.monetary) IS
'Exact sum of amounts of one currency; null without values. Errors: 22023 two currencies (add billing.currency(...) to GROUP BY), 22003 the sum is beyond 10^16 units.';

CREATE AGGREGATE billing.avg(billing.monetary) (
    SFUNC = billing.monetary_sum_add,
    STYPE = billing.monetary_sum,
    SSPACE = 32,
    INITCOND = '(0,0,)',
    COMBINEFUNC = billing.monetary_sum_combine,
    FINALFUNC = billing.monetary_sum_average,
    MSFUNC = billing.monetary_sum_add,
    MINVFUNC = billing.monetary_sum_remove,
    MSTYPE = billing.monetary_sum,
    MSSPACE = 32,
    MINITCOND = '(0,0,)',
    MFINALFUNC = billing.monetary_sum_average,
    PARALLEL = SAFE
);
COMMENT ON AGGREGATE billing.avg(billing.monetary) IS
'Mean of amounts of one currency, from their exact sum, rounded once, half to even, at 15 decimals; null without values. Error: 22023 two currencies.';

CREATE FUNCTION billing.monetary_smaller(billing.monetary, billing.monetary) RETURNS billing.monetary
    AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION billing.monetary_smaller(billing.monetary, billing.monetary) IS
'The value that sorts first; behind min.';

CREATE FUNCTION billing.monetary_larger(billing.monetary, billing.monetary) RETURNS billing.monetary
    AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION billing.monetary_larger(billing.monetary, billing.monetary) IS
'The value that sorts last; behind max.';

CREATE AGGREGATE billing.min(billing.monetary) (
    SFUNC = billing.monetary_smaller,
    STYPE = billing.monetary,
    COMBINEFUNC = billing.monetary_smaller,
    SORTOP = OPERATOR(billing.<),
    PARALLEL = SAFE
);
COMMENT ON AGGREGATE billing.min(billing.monetary) IS
'The value that sorts first: the least amount of one currency. Over several currencies it is the least amount of the first of them by letters, as ORDER BY has it; group by billing.currency(...) for one row each.';

CREATE AGGREGATE billing.max(billing.monetary) (
    SFUNC = billing.monetary_larger,
    STYPE = billing.monetary,
    COMBINEFUNC = billing.monetary_larger,
    SORTOP = OPERATOR(billing.>),
    PARALLEL = SAFE
);
COMMENT ON AGGREGATE billing.max(billing.monetary) IS
'The value that sorts last: the greatest amount of one currency. Over several currencies it is the greatest amount of the last of them by letters, as ORDER BY has it; group by billing.currency(...) for one row each.';
