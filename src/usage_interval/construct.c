/*-------------------------------------------------------------------------
 *
 * construct.c
 *	  Making usage_interval values, taking them apart, adding them.
 *
 * Every way to make a value from parts meets the same two checks, in
 * usage_interval_check_bounds() and usage_quantity_from_numeric().
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "common/int.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/rangetypes.h"
#include "utils/timestamp.h"

#include "monetary/soft_error.h"
#include "usage_interval/usage_interval.h"

#if PG_VERSION_NUM >= 160000
#define make_range_hard(cache, lower, upper) make_range(cache, lower, upper, false, NULL)
#else
#define make_range_hard(cache, lower, upper) make_range(cache, lower, upper, false)
#endif

PG_FUNCTION_INFO_V1(usage_interval_from_bounds);
PG_FUNCTION_INFO_V1(usage_interval_from_instant);
PG_FUNCTION_INFO_V1(usage_interval_get_start);
PG_FUNCTION_INFO_V1(usage_interval_get_end);
PG_FUNCTION_INFO_V1(usage_interval_get_quantity);
PG_FUNCTION_INFO_V1(usage_interval_get_span);
PG_FUNCTION_INFO_V1(usage_interval_get_duration);
PG_FUNCTION_INFO_V1(usage_interval_get_is_point);
PG_FUNCTION_INFO_V1(usage_interval_add);
PG_FUNCTION_INFO_V1(usage_interval_subtract);
PG_FUNCTION_INFO_V1(usage_interval_negate);

/*
 * Allocates a value from parts that are known to be good.
 */
UsageInterval *
usage_interval_new(TimestampTz start, TimestampTz end, Fixed quantity)
{
	UsageInterval *result = palloc(sizeof(UsageInterval));

	Assert(start <= end);
	result->start = start;
	result->end = end;
	usage_interval_set_quantity(result, quantity);
	return result;
}

/*
 * Can these be the bounds of a value?  Saves 22008 for an infinite one and
 * 22000 for a start after the end, and returns false.
 */
bool
usage_interval_check_bounds(TimestampTz start, TimestampTz end, Node *escontext)
{
	char		start_text[INSTANT_TEXT_SIZE];
	char		end_text[INSTANT_TEXT_SIZE];

	if (likely(start <= end && !TIMESTAMP_NOT_FINITE(start) && !TIMESTAMP_NOT_FINITE(end)))
		return true;
	usage_interval_format_instant(start, start_text);
	usage_interval_format_instant(end, end_text);
	if (TIMESTAMP_NOT_FINITE(start) || TIMESTAMP_NOT_FINITE(end))
		ereturn(escontext, false,
				(errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE),
				 errmsg("usage interval from %s to %s is not finite", start_text, end_text),
				 errhint("Usage has happened: give the instants at which it began and ended.")));
	ereturn(escontext, false,
			(errcode(ERRCODE_DATA_EXCEPTION),
			 errmsg("usage interval starts at %s, after its end at %s", start_text, end_text)));
}

/*
 * Raises 22003 for a result that is no quantity.
 */
void
usage_quantity_range_error(void)
{
	ereport(ERROR,
			(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
			 errmsg("quantity is out of range for type %s", "usage_interval"),
			 errdetail("Quantities reach to 1.7 * 10^23 either way.")));
}

/*
 * A number as a quantity, rounded half to even at 15 decimals.  Raises 22003
 * for NaN, the infinities and numbers out of range.
 */
Fixed
usage_quantity_from_numeric(Numeric number)
{
	Fixed		quantity;
	bool		exact;

	if (!fixed_from_numeric(number, &quantity, &exact))
		ereport(ERROR,
				(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
				 errmsg("quantity %s is out of range for type %s",
						DatumGetCString(DirectFunctionCall1(numeric_out, NumericGetDatum(number))),
						"usage_interval"),
				 errdetail("Quantities are finite and reach to 1.7 * 10^23 either way.")));
	return quantity;
}

/*
 * usage_interval(starts_at, ends_at, quantity)
 */
Datum
usage_interval_from_bounds(PG_FUNCTION_ARGS)
{
	TimestampTz start = PG_GETARG_TIMESTAMPTZ(0);
	TimestampTz end = PG_GETARG_TIMESTAMPTZ(1);

	usage_interval_check_bounds(start, end, NULL);
	PG_RETURN_USAGE_INTERVAL_P(usage_interval_new(start, end,
												  usage_quantity_from_numeric(PG_GETARG_NUMERIC(2))));
}

/*
 * usage_interval(at, quantity)
 */
Datum
usage_interval_from_instant(PG_FUNCTION_ARGS)
{
	TimestampTz at = PG_GETARG_TIMESTAMPTZ(0);

	usage_interval_check_bounds(at, at, NULL);
	PG_RETURN_USAGE_INTERVAL_P(usage_interval_new(at, at,
												  usage_quantity_from_numeric(PG_GETARG_NUMERIC(1))));
}

/* ---- parts ----------------------------------------------------------- */

Datum
usage_interval_get_start(PG_FUNCTION_ARGS)
{
	PG_RETURN_TIMESTAMPTZ(PG_GETARG_USAGE_INTERVAL_P(0)->start);
}

Datum
usage_interval_get_end(PG_FUNCTION_ARGS)
{
	PG_RETURN_TIMESTAMPTZ(PG_GETARG_USAGE_INTERVAL_P(0)->end);
}

Datum
usage_interval_get_quantity(PG_FUNCTION_ARGS)
{
	PG_RETURN_NUMERIC(fixed_to_numeric(usage_interval_quantity(PG_GETARG_USAGE_INTERVAL_P(0))));
}

Datum
usage_interval_get_is_point(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(usage_interval_is_point(PG_GETARG_USAGE_INTERVAL_P(0)));
}

/*
 * span(usage_interval) is [start,end); of a point [start,start], because a
 * half-open range would be empty.
 */
Datum
usage_interval_get_span(PG_FUNCTION_ARGS)
{
	UsageInterval *value = PG_GETARG_USAGE_INTERVAL_P(0);
	TypeCacheEntry *cache = range_get_typcache(fcinfo, TSTZRANGEOID);
	RangeBound	lower = {.val = TimestampTzGetDatum(value->start), .inclusive = true, .lower = true};
	RangeBound	upper = {.val = TimestampTzGetDatum(value->end)};

	upper.inclusive = usage_interval_is_point(value);
	PG_RETURN_RANGE_P(make_range_hard(cache, &lower, &upper));
}

/*
 * duration(usage_interval) is the time that elapsed, without days or months:
 * those differ in length.  Raises 22008 beyond an interval's range.
 */
Datum
usage_interval_get_duration(PG_FUNCTION_ARGS)
{
	UsageInterval *value = PG_GETARG_USAGE_INTERVAL_P(0);
	Interval   *result = palloc0(sizeof(Interval));

	if (pg_sub_s64_overflow(value->end, value->start, &result->time))
		ereport(ERROR,
				(errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE),
				 errmsg("interval out of range")));
	PG_RETURN_INTERVAL_P(result);
}

/* ---- arithmetic ------------------------------------------------------ */

/*
 * Raises 22023 unless two values have the same span.  Quantities of different
 * spans have no sum that is spread evenly over both.
 */
static void
require_same_span(const UsageInterval *a, const UsageInterval *b)
{
	if (a->start != b->start || a->end != b->end)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("usage intervals of different spans cannot be added or subtracted"),
				 errhint("The aggregate sum() joins spans; total() adds quantities only.")));
}

/*
 * usage_interval + usage_interval, of the same span.  Raises 22023 and 22003.
 */
Datum
usage_interval_add(PG_FUNCTION_ARGS)
{
	UsageInterval *a = PG_GETARG_USAGE_INTERVAL_P(0);
	UsageInterval *b = PG_GETARG_USAGE_INTERVAL_P(1);
	Fixed		sum;

	require_same_span(a, b);
	if (!fixed_add(usage_interval_quantity(a), usage_interval_quantity(b), &sum))
		usage_quantity_range_error();
	PG_RETURN_USAGE_INTERVAL_P(usage_interval_new(a->start, a->end, sum));
}

/*
 * usage_interval - usage_interval, of the same span.  Raises 22023 and 22003.
 */
Datum
usage_interval_subtract(PG_FUNCTION_ARGS)
{
	UsageInterval *a = PG_GETARG_USAGE_INTERVAL_P(0);
	UsageInterval *b = PG_GETARG_USAGE_INTERVAL_P(1);
	Fixed		difference;

	require_same_span(a, b);
	if (!fixed_sub(usage_interval_quantity(a), usage_interval_quantity(b), &difference))
		usage_quantity_range_error();
	PG_RETURN_USAGE_INTERVAL_P(usage_interval_new(a->start, a->end, difference));
}

/*
 * - usage_interval: the reversal of a quantity over the same span.
 */
Datum
usage_interval_negate(PG_FUNCTION_ARGS)
{
	UsageInterval *value = PG_GETARG_USAGE_INTERVAL_P(0);

	PG_RETURN_USAGE_INTERVAL_P(usage_interval_new(value->start, value->end,
												  -usage_interval_quantity(value)));
}
