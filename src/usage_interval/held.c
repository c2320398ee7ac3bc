/*-------------------------------------------------------------------------
 *
 * held.c
 *	  Quantities of things that are held over time: level times time.
 *
 * 20 GB held for 36 hours are 720 GB-hours.  The product is exact and the
 * quotient by the unit is rounded once, half to even, at 15 decimals, however
 * many decimals the level has.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "common/int.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/numeric.h"
#include "utils/timestamp.h"

#include "usage_interval/usage_interval.h"

PG_FUNCTION_INFO_V1(usage_interval_held);

/*
 * The length of a unit of time; a day has 24 hours.  Raises 22023 unless it is
 * positive, finite and free of months.
 */
static int64
unit_microseconds(Interval *unit)
{
	int64		days;
	int64		result;

	if (unit->month != 0 ||
		pg_mul_s64_overflow(unit->day, USECS_PER_DAY, &days) ||
		pg_add_s64_overflow(days, unit->time, &result) || result <= 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("unit of time \"%s\" has no fixed positive length",
						DatumGetCString(DirectFunctionCall1(interval_out, PointerGetDatum(unit)))),
				 errhint("Use hours, or days of 24 hours; months differ in length, so give the hours that stand for one, like interval '730 hours'.")));
	return result;
}

/*
 * The bounds of a range over which something is held.  Raises 22023 for the
 * empty range, 22008 for an unbounded one.
 */
static void
held_span(FunctionCallInfo fcinfo, RangeType *range, TimestampTz *from, TimestampTz *until)
{
	if (!span_from_range(fcinfo, range, from, until) || *from >= *until)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("nothing can be held over an empty span")));
	if (!IS_VALID_TIMESTAMP(*from) || !IS_VALID_TIMESTAMP(*until))
		ereport(ERROR,
				(errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE),
				 errmsg("span over which a level is held must be finite"),
				 errhint("Intersect it with the period to be billed.")));
}

static Numeric
call_numeric(PGFunction function, Numeric a, Numeric b)
{
	return DatumGetNumeric(DirectFunctionCall2(function, NumericGetDatum(a), NumericGetDatum(b)));
}

static int
compare_numeric(Numeric a, Numeric b)
{
	return DatumGetInt32(DirectFunctionCall2(numeric_cmp, NumericGetDatum(a), NumericGetDatum(b)));
}

/*
 * level * time / unit, rounded half to even at 15 decimals, for a level with
 * more decimals than that.
 */
static Fixed
held_quantity_by_numeric(Numeric level, uint64 time, int64 unit)
{
	Numeric		ten_to_15 = int64_to_numeric((int64) FIXED_ONE);
	Numeric		divisor = int64_to_numeric(unit);
	Numeric		product = call_numeric(numeric_mul, level, fixed_to_numeric((Fixed) time * FIXED_ONE));
	Numeric		dividend = call_numeric(numeric_mul, product, ten_to_15);
	Numeric		quotient = call_numeric(numeric_div_trunc, dividend, divisor);
	Numeric		rest = call_numeric(numeric_sub, dividend, call_numeric(numeric_mul, quotient, divisor));
	Numeric		magnitude = DatumGetNumeric(DirectFunctionCall1(numeric_abs, NumericGetDatum(rest)));
	int			half = compare_numeric(call_numeric(numeric_add, magnitude, magnitude), divisor);
	Numeric		zero = int64_to_numeric(0);
	Numeric		parity = call_numeric(numeric_mod, quotient, int64_to_numeric(2));

	if (half > 0 || (half == 0 && compare_numeric(parity, zero) != 0))
		quotient = call_numeric(numeric_add, quotient,
								int64_to_numeric(compare_numeric(level, zero) < 0 ? -1 : 1));

	/* 15 decimals by a product, because division would round on its own */
	return usage_quantity_from_numeric(call_numeric(numeric_mul, quotient, fixed_to_numeric(1)));
}

/*
 * held(level, span, unit).  Raises 22003 for a level or a quantity out of
 * range, 22023 for an empty span or a bad unit, 22008 for an unbounded span.
 */
Datum
usage_interval_held(PG_FUNCTION_ARGS)
{
	Numeric		level_number = PG_GETARG_NUMERIC(0);
	int64		unit = unit_microseconds(PG_GETARG_INTERVAL_P(2));
	TimestampTz from;
	TimestampTz until;
	uint64		time;
	Fixed		level;
	Fixed		quantity;
	bool		exact;

	held_span(fcinfo, PG_GETARG_RANGE_P(1), &from, &until);
	time = elapsed_microseconds(from, until);
	if (!fixed_from_numeric(level_number, &level, &exact))
		usage_quantity_from_numeric(level_number);	/* raises */
	if (!exact)
		quantity = held_quantity_by_numeric(level_number, time, unit);
	else if (!fixed_mul_div(level, time, unit, FIXED_ROUND_HALF_EVEN, &quantity))
		usage_quantity_range_error();
	PG_RETURN_USAGE_INTERVAL_P(usage_interval_new(from, until, quantity));
}
