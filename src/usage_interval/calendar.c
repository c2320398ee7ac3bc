/*-------------------------------------------------------------------------
 *
 * calendar.c
 *	  Calendar borders in a time zone: hours, days, weeks, months.
 *
 * Days and longer steps begin at the instant that PostgreSQL gives for local
 * midnight, timestamp AT TIME ZONE zone, so that borders made here and in SQL
 * agree.  A day on which the clocks change is one day of 23 or 25 hours.
 *
 * Shorter steps begin where the wall clock passes a multiple of the step,
 * counted from midnight.  An hour that the clock shows twice is two hours; a
 * zone that changes by half an hour has one half hour that day.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <ctype.h>

#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/datetime.h"
#include "utils/timestamp.h"

#include "usage_interval/calendar.h"

#define STEP_HINT \
	"Steps are minutes and hours that divide a day, interval '1 day', interval '7 days', and months that divide a year or make whole years; or one of minute, hour, day, week, month, quarter, year."

/* ---- steps ----------------------------------------------------------- */

/*
 * Can calendar borders follow one another at this distance?
 */
static bool
is_calendar_step(const CalendarStep *step)
{
	if (step->months != 0)
		return step->days == 0 && step->microseconds == 0 && step->months > 0 &&
			(12 % step->months == 0 || step->months % 12 == 0);
	if (step->days != 0)
		return step->microseconds == 0 && (step->days == 1 || step->days == 7);
	return step->microseconds > 0 && step->microseconds < USECS_PER_DAY &&
		USECS_PER_DAY % step->microseconds == 0;
}

/*
 * A step of a given size.  Raises 22023 when it does not fit the calendar.
 */
CalendarStep
calendar_step_from_interval(const Interval *size, pg_tz *zone)
{
	CalendarStep step = {size->month, size->day, size->time, zone};

	if (!is_calendar_step(&step))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("calendar has no borders every \"%s\"",
						DatumGetCString(DirectFunctionCall1(interval_out, PointerGetDatum(size)))),
				 errhint(STEP_HINT)));
	return step;
}

/*
 * A step by its name.  Raises 22023 for an unknown one.
 */
CalendarStep
calendar_step_from_name(const char *name, pg_tz *zone)
{
	static const struct
	{
		const char *name;
		int32		months;
		int32		days;
		int64		microseconds;
	}			steps[] =
	{
		{"minute", 0, 0, USECS_PER_MINUTE},
		{"hour", 0, 0, USECS_PER_HOUR},
		{"day", 0, 1, 0},
		{"week", 0, 7, 0},
		{"month", 1, 0, 0},
		{"quarter", 3, 0, 0},
		{"year", 12, 0, 0}
	};

	for (int i = 0; i < (int) lengthof(steps); i++)
		if (pg_strcasecmp(name, steps[i].name) == 0)
		{
			CalendarStep step = {steps[i].months, steps[i].days, steps[i].microseconds, zone};

			return step;
		}
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("unknown calendar step \"%s\"", name),
			 errhint(STEP_HINT)));
}

/*
 * Usual length of a step: of 30 days for a month.
 */
uint64
calendar_nominal_microseconds(const CalendarStep *step)
{
	return (uint64) step->months * 30 * USECS_PER_DAY + (uint64) step->days * USECS_PER_DAY +
		(uint64) step->microseconds;
}

/* ---- time zones ------------------------------------------------------ */

/*
 * Is this a POSIX rule such as XYZ+2 instead of a zone's name?  PostgreSQL
 * takes any word with a number for one, so that a mistyped name would silently
 * become a fixed offset, and with the opposite sign.
 */
static bool
is_posix_rule(const char *name)
{
	static const char *const names_with_digits[] =
	{"EST5EDT", "CST6CDT", "MST7MDT", "PST8PDT", "GMT0", "GMT+0", "GMT-0"};

	if (pg_strncasecmp(name, "Etc/", 4) == 0)
		return false;
	for (int i = 0; i < (int) lengthof(names_with_digits); i++)
		if (pg_strcasecmp(name, names_with_digits[i]) == 0)
			return false;
	return strpbrk(name, "0123456789<") != NULL;
}

/*
 * A time zone by its full name.  Raises 22023 for an unknown one.
 */
pg_tz *
calendar_zone(const char *name)
{
	pg_tz	   *zone = NULL;

	if (strlen(name) <= TZ_STRLEN_MAX && !is_posix_rule(name))
		zone = pg_tzset(name);
	if (zone == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("time zone \"%s\" not recognized", name),
				 errhint("Use a full name of the view pg_timezone_names, like Europe/Berlin; abbreviations and offsets do not say when clocks change.")));
	return zone;
}

/* ---- borders --------------------------------------------------------- */

static inline int64
floor_divide(int64 dividend, int64 divisor)
{
	int64		quotient = dividend / divisor;

	return dividend % divisor < 0 ? quotient - 1 : quotient;
}

/*
 * The instant of midnight that begins a date; DT_NOEND when it is no timestamp.
 */
static TimestampTz
midnight(int year, int month, int day, pg_tz *zone)
{
	struct pg_tm fields = {.tm_year = year, .tm_mon = month, .tm_mday = day};
	int			offset = DetermineTimeZoneOffset(&fields, zone);
	Timestamp	result;

	if (tm2timestamp(&fields, 0, &offset, &result) != 0)
		return DT_NOEND;
	return result;
}

/*
 * The first midnight after an instant that begins a step of months.
 *
 * Both searches begin at the step that the local date lies in: where a zone has
 * midnight twice, the one that counts may still lie ahead.
 */
static TimestampTz
next_month_border(const CalendarStep *step, TimestampTz after, const struct pg_tm *local)
{
	int64		month = (int64) local->tm_year * MONTHS_PER_YEAR + local->tm_mon - 1;
	TimestampTz border;

	month = floor_divide(month, step->months) * step->months;
	do
	{
		int64		year = floor_divide(month, MONTHS_PER_YEAR);

		border = midnight((int) year, (int) (month - year * MONTHS_PER_YEAR) + 1, 1, step->zone);
		month += step->months;
	} while (border <= after);
	return border;
}

/*
 * The first midnight after an instant that begins a step of days.  A date that
 * a zone left out begins where the next one does.
 */
static TimestampTz
next_day_border(const CalendarStep *step, TimestampTz after, const struct pg_tm *local)
{
	int			date = date2j(local->tm_year, local->tm_mon, local->tm_mday);
	TimestampTz border;

	/* weeks begin on Monday, which j2day() numbers 1 */
	if (step->days == 7)
		date -= (j2day(date) + 6) % 7;
	do
	{
		int			year;
		int			month;
		int			day;

		j2date(date, &year, &month, &day);
		border = midnight(year, month, day, step->zone);
		date += step->days;
	} while (border <= after);
	return border;
}

/*
 * The offset from UTC in force at an instant, and when and to what it changes
 * next, in microseconds; DT_NOEND when it never changes again.
 */
static void
clock_at(TimestampTz instant, pg_tz *zone, int64 *offset, TimestampTz *change, int64 *new_offset)
{
	const int64 epoch = (int64) (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * SECS_PER_DAY;
	pg_time_t	second = floor_divide(instant, USECS_PER_SEC) + epoch;
	pg_time_t	boundary;
	long		seconds_before;
	long		seconds_after;
	int			daylight_before;
	int			daylight_after;
	int			outcome = pg_next_dst_boundary(&second, &seconds_before, &daylight_before,
											   &boundary, &seconds_after, &daylight_after, zone);

	if (outcome < 0)
		ereport(ERROR,
				(errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE),
				 errmsg("timestamp out of range")));
	*offset = (int64) seconds_before * USECS_PER_SEC;
	*change = outcome == 0 ? DT_NOEND : (boundary - epoch) * USECS_PER_SEC;
	*new_offset = outcome == 0 ? *offset : (int64) seconds_after * USECS_PER_SEC;
}

/*
 * The next instant at which the wall clock passes a multiple of the step.  A
 * change of the clock is such an instant when it skips a multiple, or sets the
 * clock back behind one.
 */
static TimestampTz
next_clock_border(const CalendarStep *step, TimestampTz after)
{
	for (;;)
	{
		int64		offset;
		int64		new_offset;
		TimestampTz change;
		int64		step_number;
		TimestampTz border;

		clock_at(after, step->zone, &offset, &change, &new_offset);
		step_number = floor_divide(after + offset, step->microseconds);
		border = (step_number + 1) * step->microseconds - offset;
		if (border <= change)
			return border;
		if (floor_divide(change + new_offset, step->microseconds) != step_number)
			return change;
		after = change;
	}
}

/*
 * The first border after an instant; DT_NOEND when it is no timestamp.
 */
TimestampTz
calendar_next_border(const CalendarStep *step, TimestampTz after)
{
	struct pg_tm local;
	fsec_t		microseconds;
	int			offset;

	if (step->microseconds != 0)
		return next_clock_border(step, after);
	if (timestamp2tm(after, &offset, &local, &microseconds, NULL, step->zone) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE),
				 errmsg("timestamp out of range")));
	if (step->months != 0)
		return next_month_border(step, after, &local);
	return next_day_border(step, after, &local);
}
