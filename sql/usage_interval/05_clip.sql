-- Parts of usage_interval values: clip and split; and values made of a level held over time.

CREATE FUNCTION billing.clip(billing.usage_interval, starts_at pg_catalog.timestamptz, ends_at pg_catalog.timestamptz) RETURNS billing.usage_interval
    AS 'MODULE_PATHNAME', 'usage_interval_clip_instants' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION billing.clip(billing.usage_interval, pg_catalog.timestamptz, pg_catalog.timestamptz) IS
'The part of a value in [starts_at,ends_at): the value itself when it lies wholly inside, null when it lies outside or when starts_at is not before ends_at. A point in time belongs to [a,b) when a <= instant < b. Its quantity is R(end of the part) - R(start of the part), where R(t) is the quantity from the start of the whole to t, rounded half to even at 15 decimals: so the parts in adjacent spans add up to the whole exactly. Clip the original, not a part of it. -infinity and infinity stand for no bound.';

CREATE FUNCTION billing.clip(billing.usage_interval, span pg_catalog.tstzrange) RETURNS billing.usage_interval
    AS 'MODULE_PATHNAME', 'usage_interval_clip_range' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION billing.clip(billing.usage_interval, pg_catalog.tstzrange) IS
'The part of a value in a range of any inclusiveness, bounded or not; null when they have no instant in common. The quantity is as in clip(usage_interval, starts_at, ends_at).';

CREATE FUNCTION billing.split(billing.usage_interval, step pg_catalog."interval", time_zone pg_catalog.text) RETURNS SETOF billing.usage_interval
    AS 'MODULE_PATHNAME', 'usage_interval_split_interval' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE ROWS 24;
COMMENT ON FUNCTION billing.split(billing.usage_interval, pg_catalog."interval", pg_catalog.text) IS
'The value cut at the calendar borders of a time zone, in order; the parts add up to it exactly and equal those that clip gives. step is minutes or hours that divide a day, counted from midnight; 1 day; 7 days, from Monday; months that divide a year, or whole years, from January. A day on which clocks change is one day of 23 or 25 hours. time_zone is a full name such as Europe/Berlin. Errors: 22023 no such step or zone, 54000 more than 1,000,000 parts.';

CREATE FUNCTION billing.split(billing.usage_interval, step pg_catalog.text, time_zone pg_catalog.text) RETURNS SETOF billing.usage_interval
    AS 'MODULE_PATHNAME', 'usage_interval_split_name' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE ROWS 24;
COMMENT ON FUNCTION billing.split(billing.usage_interval, pg_catalog.text, pg_catalog.text) IS
'The value cut at the calendar borders of a time zone, with the step by name: minute, hour, day, week (from Monday), month, quarter or year. Otherwise like split with an interval. Errors: 22023 no such step or zone, 54000 more than 1,000,000 parts.';

CREATE FUNCTION billing.split_at_instants(billing.usage_interval, instants pg_catalog.timestamptz[]) RETURNS SETOF billing.usage_interval
    AS 'MODULE_PATHNAME', 'usage_interval_split_instants' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE ROWS 4;
COMMENT ON FUNCTION billing.split_at_instants(billing.usage_interval, pg_catalog.timestamptz[]) IS
'The value cut at those of the given instants that lie inside its span, in order, for example where prices change; instants may be unsorted, repeated and outside. The parts add up to the value exactly. Error: 22004 a null instant.';

CREATE FUNCTION billing.held(level pg_catalog."numeric", span pg_catalog.tstzrange, unit pg_catalog."interval" DEFAULT '1 hour'::pg_catalog."interval") RETURNS billing.usage_interval
    AS 'MODULE_PATHNAME', 'usage_interval_held' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION billing.held(pg_catalog."numeric", pg_catalog.tstzrange, pg_catalog."interval") IS
'Usage of something held over time: quantity = level * elapsed time / unit over the span, so 20 GB held for 36 hours are 720 GB-hours. The product is exact and rounded once, half to even, at 15 decimals. unit is a fixed length of time; a day in it has 24 hours. Errors: 22023 empty span, unit with months or not positive, 22008 unbounded span, 22003 level or quantity out of range.';
