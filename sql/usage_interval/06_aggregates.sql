-- Aggregates of usage_interval values and of levels over time.

CREATE FUNCTION billing.usage_interval_accumulate(billing.usage_interval, billing.usage_interval) RETURNS billing.usage_interval
    AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION billing.usage_interval_accumulate(billing.usage_interval, billing.usage_interval) IS
'Transition and combine function of sum(usage_interval): the hull of both spans with the sum of both quantities. Error: 22003 out of range.';

CREATE AGGREGATE billing.sum(billing.usage_interval) (
    SFUNC = billing.usage_interval_accumulate,
    STYPE = billing.usage_interval,
    COMBINEFUNC = billing.usage_interval_accumulate,
    PARALLEL = SAFE
);
COMMENT ON AGGREGATE billing.sum(billing.usage_interval) IS
'The sum of all quantities, over the hull of all spans: from the earliest start to the latest end, gaps included. Null without values. Error: 22003 sum out of range.';

CREATE FUNCTION billing.usage_interval_smaller(billing.usage_interval, billing.usage_interval) RETURNS billing.usage_interval
    AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION billing.usage_interval_smaller(billing.usage_interval, billing.usage_interval) IS
'Transition and combine function of min(usage_interval): the value that comes first, by end, then start, then quantity.';

CREATE FUNCTION billing.usage_interval_larger(billing.usage_interval, billing.usage_interval) RETURNS billing.usage_interval
    AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION billing.usage_interval_larger(billing.usage_interval, billing.usage_interval) IS
'Transition and combine function of max(usage_interval): the value that comes last, by end, then start, then quantity.';

CREATE AGGREGATE billing.min(billing.usage_interval) (
    SFUNC = billing.usage_interval_smaller,
    STYPE = billing.usage_interval,
    COMBINEFUNC = billing.usage_interval_smaller,
    SORTOP = OPERATOR(billing.<),
    PARALLEL = SAFE
);
COMMENT ON AGGREGATE billing.min(billing.usage_interval) IS
'The value that ended first (then: started first, has the least quantity). Null without values.';

CREATE AGGREGATE billing.max(billing.usage_interval) (
    SFUNC = billing.usage_interval_larger,
    STYPE = billing.usage_interval,
    COMBINEFUNC = billing.usage_interval_larger,
    SORTOP = OPERATOR(billing.>),
    PARALLEL = SAFE
);
COMMENT ON AGGREGATE billing.max(billing.usage_interval) IS
'The value that ended last (then: started last, has the greatest quantity). Null without values.';

-- total: its state is a type of its own, so that it can be inverted and travel between processes and nodes.

CREATE TYPE billing.usage_total;

CREATE FUNCTION billing.usage_total_in(pg_catalog.cstring) RETURNS billing.usage_total
    AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION billing.usage_total_in(pg_catalog.cstring) IS
'Text input of type usage_total: a quantity and a count, like 5.25 3. Errors (soft from PostgreSQL 16 on): 22P02 malformed, 22003 out of range.';

CREATE FUNCTION billing.usage_total_out(billing.usage_total) RETURNS pg_catalog.cstring
    AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION billing.usage_total_out(billing.usage_total) IS
'Text output of type usage_total: quantity and count, like 5.25 3.';

CREATE FUNCTION billing.usage_total_recv(pg_catalog.internal) RETURNS billing.usage_total
    AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION billing.usage_total_recv(pg_catalog.internal) IS
'Binary input of type usage_total: 24 bytes, big-endian: quantity in 10^-15 units (16 bytes, two''s complement), count (8 bytes). Error 22P03: -2^127, which is no quantity, or a negative count.';

CREATE FUNCTION billing.usage_total_send(billing.usage_total) RETURNS pg_catalog.bytea
    AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION billing.usage_total_send(billing.usage_total) IS
'Binary output of type usage_total: the 24 bytes that usage_total_recv reads.';

CREATE TYPE billing.usage_total (
    INPUT = billing.usage_total_in,
    OUTPUT = billing.usage_total_out,
    RECEIVE = billing.usage_total_recv,
    SEND = billing.usage_total_send,
    INTERNALLENGTH = 24,
    ALIGNMENT = double,
    STORAGE = plain
);
COMMENT ON TYPE billing.usage_total IS
'State of the aggregate total: a sum of quantities and how many there were. 24 bytes. Not meant for columns.';

CREATE FUNCTION billing.usage_total_accumulate(billing.usage_total, billing.usage_interval) RETURNS billing.usage_total
    AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION billing.usage_total_accumulate(billing.usage_total, billing.usage_interval) IS
'Transition function of total(usage_interval): adds a quantity. Error: 22003 out of range.';

CREATE FUNCTION billing.usage_total_remove(billing.usage_total, billing.usage_interval) RETURNS billing.usage_total
    AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION billing.usage_total_remove(billing.usage_total, billing.usage_interval) IS
'Inverse transition function of total(usage_interval), for moving window frames: takes a quantity away. Error: 22003 out of range.';

CREATE FUNCTION billing.usage_total_combine(billing.usage_total, billing.usage_total) RETURNS billing.usage_total
    AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION billing.usage_total_combine(billing.usage_total, billing.usage_total) IS
'Combine function of total(usage_interval): adds two states. Error: 22003 out of range.';

CREATE FUNCTION billing.usage_total_result(billing.usage_total) RETURNS pg_catalog."numeric"
    AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION billing.usage_total_result(billing.usage_total) IS
'Final function of total(usage_interval): the sum, null for no values.';

CREATE AGGREGATE billing.total(billing.usage_interval) (
    SFUNC = billing.usage_total_accumulate,
    STYPE = billing.usage_total,
    FINALFUNC = billing.usage_total_result,
    COMBINEFUNC = billing.usage_total_combine,
    INITCOND = '0 0',
    MSFUNC = billing.usage_total_accumulate,
    MINVFUNC = billing.usage_total_remove,
    MSTYPE = billing.usage_total,
    MFINALFUNC = billing.usage_total_result,
    MINITCOND = '0 0',
    PARALLEL = SAFE
);
COMMENT ON AGGREGATE billing.total(billing.usage_interval) IS
'The sum of all quantities as a number, exact. Null without values. Error: 22003 sum out of range.';

-- time_weighted_sum: its state is the whole input, so it is an internal one.

CREATE FUNCTION billing.time_weighted_accumulate(pg_catalog.internal, level pg_catalog."numeric", at pg_catalog.timestamptz, starts_at pg_catalog.timestamptz, ends_at pg_catalog.timestamptz) RETURNS pg_catalog.internal
    AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE PARALLEL SAFE;
COMMENT ON FUNCTION billing.time_weighted_accumulate(pg_catalog.internal, pg_catalog."numeric", pg_catalog.timestamptz, pg_catalog.timestamptz, pg_catalog.timestamptz) IS
'Transition function of time_weighted_sum: takes up one sample of a level.';

CREATE FUNCTION billing.time_weighted_accumulate_ranked(pg_catalog.internal, level pg_catalog."numeric", at pg_catalog.timestamptz, rank pg_catalog.int8, starts_at pg_catalog.timestamptz, ends_at pg_catalog.timestamptz) RETURNS pg_catalog.internal
    AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE PARALLEL SAFE;
COMMENT ON FUNCTION billing.time_weighted_accumulate_ranked(pg_catalog.internal, pg_catalog."numeric", pg_catalog.timestamptz, pg_catalog.int8, pg_catalog.timestamptz, pg_catalog.timestamptz) IS
'Transition function of time_weighted_sum with ranks: takes up one sample of a level.';

CREATE FUNCTION billing.time_weighted_combine(pg_catalog.internal, pg_catalog.internal) RETURNS pg_catalog.internal
    AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE PARALLEL SAFE;
COMMENT ON FUNCTION billing.time_weighted_combine(pg_catalog.internal, pg_catalog.internal) IS
'Combine function of time_weighted_sum: the union of two sets of samples.';

CREATE FUNCTION billing.time_weighted_serialize(pg_catalog.internal) RETURNS pg_catalog.bytea
    AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION billing.time_weighted_serialize(pg_catalog.internal) IS
'Serial function of time_weighted_sum: hands the samples of a parallel worker over. Error: 54000 more than 33 million samples in one group.';

CREATE FUNCTION billing.time_weighted_deserialize(pg_catalog.bytea, pg_catalog.internal) RETURNS pg_catalog.internal
    AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION billing.time_weighted_deserialize(pg_catalog.bytea, pg_catalog.internal) IS
'Deserial function of time_weighted_sum: takes over the samples of a parallel worker.';

CREATE FUNCTION billing.time_weighted_result(pg_catalog.internal) RETURNS pg_catalog."numeric"
    AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE PARALLEL SAFE;
COMMENT ON FUNCTION billing.time_weighted_result(pg_catalog.internal) IS
'Final function of time_weighted_sum: integrates the samples, null without any.';

CREATE AGGREGATE billing.time_weighted_sum(level pg_catalog."numeric", at pg_catalog.timestamptz, starts_at pg_catalog.timestamptz, ends_at pg_catalog.timestamptz) (
    SFUNC = billing.time_weighted_accumulate,
    STYPE = pg_catalog.internal,
    SSPACE = 256,
    FINALFUNC = billing.time_weighted_result,
    COMBINEFUNC = billing.time_weighted_combine,
    SERIALFUNC = billing.time_weighted_serialize,
    DESERIALFUNC = billing.time_weighted_deserialize,
    PARALLEL = SAFE
);
COMMENT ON AGGREGATE billing.time_weighted_sum(pg_catalog."numeric", pg_catalog.timestamptz, pg_catalog.timestamptz, pg_catalog.timestamptz) IS
'The integral of a level over the window from starts_at to ends_at, in level * seconds, exact: each row says that from at on the level was level. The last sample at or before starts_at carries into the window; before the first one the level is 0; samples from ends_at on do not count. Rows may come in any order; of several at one instant the highest level counts. Divide by the seconds of the window for the average. Rows with a null are passed over; null without a sample before ends_at. Errors: 22023 windows differ or end before they begin, 22008 infinite window, 22003 level NaN, infinite or out of range.';

CREATE AGGREGATE billing.time_weighted_sum(level pg_catalog."numeric", at pg_catalog.timestamptz, rank pg_catalog.int8, starts_at pg_catalog.timestamptz, ends_at pg_catalog.timestamptz) (
    SFUNC = billing.time_weighted_accumulate_ranked,
    STYPE = pg_catalog.internal,
    SSPACE = 256,
    FINALFUNC = billing.time_weighted_result,
    COMBINEFUNC = billing.time_weighted_combine,
    SERIALFUNC = billing.time_weighted_serialize,
    DESERIALFUNC = billing.time_weighted_deserialize,
    PARALLEL = SAFE
);
COMMENT ON AGGREGATE billing.time_weighted_sum(pg_catalog."numeric", pg_catalog.timestamptz, pg_catalog.int8, pg_catalog.timestamptz, pg_catalog.timestamptz) IS
'Like time_weighted_sum without ranks, but of several samples at one instant the one of the highest rank counts, for example the last recorded.';
