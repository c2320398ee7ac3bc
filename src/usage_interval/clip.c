/*-------------------------------------------------------------------------
 *
 * clip.c
 *	  The part of a usage_interval that falls into a span.
 *
 * Let R(t) be the quantity from the start of the value to t, rounded half to
 * even at 15 decimals, with R(start) = 0 and R(end) the whole quantity.  The
 * part in [a, b) is R(b) - R(a).  So the parts in adjacent spans add up to
 * the whole exactly, which parts rounded one by one do not: a quantity of 1
 * cut in three thirds would come to 0.999999999999999.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "fmgr.h"
#include "utils/rangetypes.h"
#include "utils/timestamp.h"

#include "usage_interval/usage_interval.h"

PG_FUNCTION_INFO_V1(usage_interval_clip_instants);
PG_FUNCTION_INFO_V1(usage_interval_clip_range);

/*
 * R(until), for an instant from the start to the end of a value that is no
 * point.
 */
Fixed
usage_interval_cumulative(const UsageInterval *value, TimestampTz until)
{
	Fixed		quantity = usage_interval_quantity(value);
	Fixed		result;

	if (until == value->start)
		return 0;
	if (until == value->end)
		return quantity;
	if (!fixed_mul_div(quantity, elapsed_microseconds(value->start, until),
					   elapsed_microseconds(value->start, value->end),
					   FIXED_ROUND_HALF_EVEN, &result))
		elog(ERROR, "part of a quantity exceeds the whole");
	return result;
}

/*
 * The part of a value in [from, until): the value itself when it lies wholly
 * inside, NULL when it lies outside, else built in "room".  A span that ends
 * before it begins holds nothing.
 */
const UsageInterval *
usage_interval_clip(const UsageInterval *value, TimestampTz from, TimestampTz until,
					UsageInterval *room)
{
	if (from <= value->start && value->end <= until)
	{
		/* a point at the end of the span belongs to the next one */
		if (value->start < until)
			return value;
		return NULL;
	}
	room->start = Max(from, value->start);
	room->end = Min(until, value->end);
	if (room->start >= room->end)
		return NULL;

	/* cannot overflow: both are between 0 and the quantity */
	usage_interval_set_quantity(room, usage_interval_cumulative(value, room->end) -
								usage_interval_cumulative(value, room->start));
	return room;
}

/*
 * Returns the part of the first argument in [from, until) from a SQL function.
 */
static Datum
return_clip(FunctionCallInfo fcinfo, TimestampTz from, TimestampTz until)
{
	UsageInterval room;
	const UsageInterval *part = usage_interval_clip(PG_GETARG_USAGE_INTERVAL_P(0), from, until, &room);
	UsageInterval *result;

	if (part == NULL)
		PG_RETURN_NULL();
	if (part != &room)
		PG_RETURN_DATUM(PG_GETARG_DATUM(0));
	result = palloc(sizeof(UsageInterval));
	*result = room;
	PG_RETURN_USAGE_INTERVAL_P(result);
}

/*
 * clip(usage_interval, starts_at, ends_at).  The infinities of timestamptz
 * stand for no bound.
 */
Datum
usage_interval_clip_instants(PG_FUNCTION_ARGS)
{
	return return_clip(fcinfo, PG_GETARG_TIMESTAMPTZ(1), PG_GETARG_TIMESTAMPTZ(2));
}

/*
 * clip(usage_interval, tstzrange)
 */
Datum
usage_interval_clip_range(PG_FUNCTION_ARGS)
{
	TimestampTz from;
	TimestampTz until;

	if (!span_from_range(fcinfo, PG_GETARG_RANGE_P(1), &from, &until))
		PG_RETURN_NULL();
	return return_clip(fcinfo, from, until);
}
