/*-------------------------------------------------------------------------
 *
 * span.c
 *	  Operators between usage_interval and tstzrange.
 *
 * The operators are declared on anyrange and check here that the range is a
 * tstzrange.  Declared on tstzrange itself, the forms with the range on the
 * left would win the resolution of tstzrange && 'literal' and break queries
 * that have nothing to do with billing.
 *
 * timestamptz counts whole microseconds, so that a range of any inclusiveness
 * equals a half-open one.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/rangetypes.h"
#include "utils/timestamp.h"

#include "usage_interval/usage_interval.h"

PG_FUNCTION_INFO_V1(usage_interval_overlaps_range);
PG_FUNCTION_INFO_V1(range_overlaps_usage_interval);
PG_FUNCTION_INFO_V1(usage_interval_within_range);
PG_FUNCTION_INFO_V1(range_contains_usage_interval);

/*
 * The first instant that a bound, as a lower one, lets in; or, as an upper
 * one, keeps out.
 */
static inline TimestampTz
first_instant(TimestampTz instant, bool skip_itself)
{
	return skip_itself && instant < SPAN_UNBOUNDED_END ? instant + 1 : instant;
}

/*
 * Turns a tstzrange into a half-open span.  Returns false for the empty range;
 * raises 42804 for a range of another type.
 */
bool
span_from_range(FunctionCallInfo fcinfo, RangeType *range, TimestampTz *from, TimestampTz *until)
{
	RangeBound	lower;
	RangeBound	upper;
	bool		empty;

	if (unlikely(RangeTypeGetOid(range) != TSTZRANGEOID))
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("a usage interval compares with a range of type tstzrange, not %s",
						format_type_be(RangeTypeGetOid(range)))));
	range_deserialize(range_get_typcache(fcinfo, TSTZRANGEOID), range, &lower, &upper, &empty);
	if (empty)
		return false;
	*from = lower.infinite ? SPAN_UNBOUNDED_START :
		first_instant(DatumGetTimestampTz(lower.val), !lower.inclusive);
	*until = upper.infinite ? SPAN_UNBOUNDED_END :
		first_instant(DatumGetTimestampTz(upper.val), upper.inclusive);
	return true;
}

/*
 * Have a value and a range an instant in common?  A point has itself.
 */
static bool
overlaps(FunctionCallInfo fcinfo, const UsageInterval *value, RangeType *range)
{
	TimestampTz from;
	TimestampTz until;

	if (!span_from_range(fcinfo, range, &from, &until))
		return false;
	if (usage_interval_is_point(value))
		return from <= value->start && value->start < until;
	return from < value->end && value->start < until;
}

/*
 * Lies the whole of a value in a range?
 */
static bool
within(FunctionCallInfo fcinfo, const UsageInterval *value, RangeType *range)
{
	TimestampTz from;
	TimestampTz until;

	if (!span_from_range(fcinfo, range, &from, &until))
		return false;
	if (usage_interval_is_point(value))
		return from <= value->start && value->start < until;
	return from <= value->start && value->end <= until;
}

/* Each operator and its commutator; all raise 42804. */

Datum
usage_interval_overlaps_range(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(overlaps(fcinfo, PG_GETARG_USAGE_INTERVAL_P(0), PG_GETARG_RANGE_P(1)));
}

Datum
range_overlaps_usage_interval(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(overlaps(fcinfo, PG_GETARG_USAGE_INTERVAL_P(1), PG_GETARG_RANGE_P(0)));
}

Datum
usage_interval_within_range(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(within(fcinfo, PG_GETARG_USAGE_INTERVAL_P(0), PG_GETARG_RANGE_P(1)));
}

Datum
range_contains_usage_interval(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(within(fcinfo, PG_GETARG_USAGE_INTERVAL_P(1), PG_GETARG_RANGE_P(0)));
}
