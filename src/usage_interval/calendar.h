/*-------------------------------------------------------------------------
 *
 * calendar.h
 *	  Calendar borders in a time zone: hours, days, weeks, months.
 *
 *-------------------------------------------------------------------------
 */
#ifndef BILLING_CALENDAR_H
#define BILLING_CALENDAR_H

#include "datatype/timestamp.h"
#include "pgtime.h"

/* How borders follow one another; exactly one of the three sizes is not 0. */
typedef struct CalendarStep
{
	int32		months;			/* from January on */
	int32		days;			/* 1, or 7 from Monday on */
	int64		microseconds;	/* of the wall clock, from midnight on */
	pg_tz	   *zone;
} CalendarStep;

extern CalendarStep calendar_step_from_interval(const Interval *size, pg_tz *zone);
extern CalendarStep calendar_step_from_name(const char *name, pg_tz *zone);
extern pg_tz *calendar_zone(const char *name);
extern uint64 calendar_nominal_microseconds(const CalendarStep *step);
extern TimestampTz calendar_next_border(const CalendarStep *step, TimestampTz after);

#endif							/* BILLING_CALENDAR_H */
