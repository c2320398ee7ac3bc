/*-------------------------------------------------------------------------
 *
 * cycle.c
 *	  Billing cycles as a pure matter of dates.
 *
 * A cycle begins on the same day of each month, or on the month's last day
 * where there is no such day.  Runs ask for millions of accounts.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "fmgr.h"
#include "utils/date.h"
#include "utils/datetime.h"
#include "utils/timestamp.h"

PG_FUNCTION_INFO_V1(cycle_date);
PG_FUNCTION_INFO_V1(next_cycle_date);
PG_FUNCTION_INFO_V1(last_cycle_date);

/*
 * The day on which a cycle begins in the month "ahead" months after that of
 * a date.
 */
static DateADT
cycle_date_of_month(DateADT day, int cycle_day, int ahead)
{
	int			year;
	int			month;
	int			day_of_month;
	int			months;

	if (DATE_NOT_FINITE(day))
		ereport(ERROR,
				(errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE),
				 errmsg("a billing cycle needs a finite date")));
	if (cycle_day < 1 || cycle_day > 31)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("cycle day %d is not between 1 and 31", cycle_day)));
	j2date(day + POSTGRES_EPOCH_JDATE, &year, &month, &day_of_month);
	months = year * 12 + (month - 1) + ahead;
	year = months / 12;
	month = months % 12 + 1;
	if (year < -4700 || year > 290000)
		ereport(ERROR,
				(errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE),
				 errmsg("date out of range for a billing cycle")));
	return date2j(year, month, Min(cycle_day, day_tab[isleap(year)][month - 1])) - POSTGRES_EPOCH_JDATE;
}

/* cycle_date(month, cycle_day): the day of that month on which a cycle begins. */
Datum
cycle_date(PG_FUNCTION_ARGS)
{
	PG_RETURN_DATEADT(cycle_date_of_month(PG_GETARG_DATEADT(0), PG_GETARG_INT32(1), 0));
}

/* next_cycle_date(after, cycle_day): the first cycle date after a date. */
Datum
next_cycle_date(PG_FUNCTION_ARGS)
{
	DateADT		after = PG_GETARG_DATEADT(0);
	DateADT		this_month = cycle_date_of_month(after, PG_GETARG_INT32(1), 0);

	if (this_month > after)
		PG_RETURN_DATEADT(this_month);
	PG_RETURN_DATEADT(cycle_date_of_month(after, PG_GETARG_INT32(1), 1));
}

/* last_cycle_date(on_or_before, cycle_day): the latest cycle date up to a date. */
Datum
last_cycle_date(PG_FUNCTION_ARGS)
{
	DateADT		limit = PG_GETARG_DATEADT(0);
	DateADT		this_month = cycle_date_of_month(limit, PG_GETARG_INT32(1), 0);

	if (this_month <= limit)
		PG_RETURN_DATEADT(this_month);
	PG_RETURN_DATEADT(cycle_date_of_month(limit, PG_GETARG_INT32(1), -1));
}
