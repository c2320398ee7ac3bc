/*-------------------------------------------------------------------------
 *
 * usage_time.c
 *	  Reads the time of a fact.
 *
 * PostgreSQL's own timestamp input depends on DateStyle, on the session's time
 * zone and on time zone abbreviations, and it raises.  The time of something
 * that costs money must mean the same instant in every session, so only
 * RFC 3339 is read here (with the blank that PostgreSQL prints instead of the
 * T), and the offset from UTC is not optional.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "datatype/timestamp.h"
#include "fmgr.h"
#include "utils/date.h"
#include "utils/datetime.h"

#include "metering/usage_fact.h"

PG_FUNCTION_INFO_V1(utc_month);

/*
 * Reads exactly "count" digits at *at and moves behind them.
 */
static bool
usage_time_digits(const char **at, const char *end, int count, int *value)
{
	*value = 0;
	if (end - *at < count)
		return false;
	for (; count > 0; count--, (*at)++)
	{
		if (**at < '0' || **at > '9')
			return false;
		*value = *value * 10 + (**at - '0');
	}
	return true;
}

/* Reads one given character. */
static bool
usage_time_char(const char **at, const char *end, char expected)
{
	if (*at == end || **at != expected)
		return false;
	(*at)++;
	return true;
}

/*
 * Reads YYYY-MM-DD into days since 2000-01-01.  Years that cannot be meant are
 * refused: a typo in a year would give an account centuries of periods.
 */
static bool
usage_time_date(const char **at, const char *end, int *year, int *days)
{
	int			month;
	int			day;

	if (!usage_time_digits(at, end, 4, year) || !usage_time_char(at, end, '-') ||
		!usage_time_digits(at, end, 2, &month) || !usage_time_char(at, end, '-') ||
		!usage_time_digits(at, end, 2, &day))
		return false;
	if (month < 1 || month > 12 || day < 1 || day > day_tab[isleap(*year)][month - 1])
		return false;
	*days = date2j(*year, month, day) - POSTGRES_EPOCH_JDATE;
	return true;
}

/*
 * Reads HH:MM[:SS[.fraction]] into microseconds since midnight.  A leap second
 * is the first of the next minute, as PostgreSQL has it.  Digits beyond the
 * microsecond are dropped: rounding up could carry a fact into the next month.
 */
static bool
usage_time_of_day(const char **at, const char *end, int64 *microseconds)
{
	int			hour;
	int			minute;
	int			second = 0;
	int			fraction = 0;
	int			unit = USECS_PER_SEC / 10;

	if (!usage_time_digits(at, end, 2, &hour) || !usage_time_char(at, end, ':') ||
		!usage_time_digits(at, end, 2, &minute))
		return false;
	if (usage_time_char(at, end, ':'))
	{
		if (!usage_time_digits(at, end, 2, &second))
			return false;
		if (usage_time_char(at, end, '.'))
		{
			if (*at == end || **at < '0' || **at > '9')
				return false;
			for (; *at < end && **at >= '0' && **at <= '9'; (*at)++, unit /= 10)
				fraction += (**at - '0') * unit;
		}
	}
	if (hour > 23 || minute > 59 || second > 60)
		return false;
	*microseconds = ((hour * 60 + minute) * INT64CONST(60) + second) * USECS_PER_SEC + fraction;
	return true;
}

/*
 * Reads Z, +HH, +HH:MM or +HHMM and the end of the text.
 */
static bool
usage_time_offset(const char *at, const char *end, int64 *microseconds)
{
	int			hours;
	int			minutes = 0;
	bool		west = *at == '-';

	*microseconds = 0;
	if (*at == 'Z' || *at == 'z')
		return at + 1 == end;
	if (*at != '+' && *at != '-')
		return false;
	at++;
	if (!usage_time_digits(&at, end, 2, &hours))
		return false;
	if (at < end)
	{
		(void) usage_time_char(&at, end, ':');
		if (!usage_time_digits(&at, end, 2, &minutes))
			return false;
	}
	if (at != end || hours > MAX_TZDISP_HOUR || minutes > 59)
		return false;
	*microseconds = (hours * 60 + minutes) * INT64CONST(60) * USECS_PER_SEC;
	if (west)
		*microseconds = -*microseconds;
	return true;
}

/*
 * Reads an RFC 3339 time.  A text that is one but for the missing offset, or
 * that is a date alone, is told apart from other nonsense.
 */
UsageTimeResult
usage_time_parse(const char *text, int length, TimestampTz *result)
{
	const char *at = text;
	const char *end = text + length;
	int			year;
	int			days;
	int64		time;
	int64		offset;

	if (!usage_time_date(&at, end, &year, &days))
		return USAGE_TIME_SYNTAX;
	if (at == end)
		return USAGE_TIME_NO_ZONE;
	if (*at != 'T' && *at != 't' && *at != ' ')
		return USAGE_TIME_SYNTAX;
	at++;
	if (!usage_time_of_day(&at, end, &time))
		return USAGE_TIME_SYNTAX;
	if (at == end)
		return USAGE_TIME_NO_ZONE;
	if (!usage_time_offset(at, end, &offset))
		return USAGE_TIME_SYNTAX;
	if (year < USAGE_FIRST_YEAR || year > USAGE_LAST_YEAR)
		return USAGE_TIME_YEAR;
	*result = days * USECS_PER_DAY + time - offset;
	return USAGE_TIME_OK;
}

/*
 * utc_month(timestamptz): first day of the month in UTC, the infinities as they
 * are.
 */
Datum
utc_month(PG_FUNCTION_ARGS)
{
	TimestampTz instant = PG_GETARG_TIMESTAMPTZ(0);
	int			year;
	int			month;
	int			day;
	int			day_of_month;

	if (TIMESTAMP_IS_NOBEGIN(instant))
		PG_RETURN_DATEADT(DATEVAL_NOBEGIN);
	if (TIMESTAMP_IS_NOEND(instant))
		PG_RETURN_DATEADT(DATEVAL_NOEND);
	day = usage_utc_day(instant);
	j2date(day + POSTGRES_EPOCH_JDATE, &year, &month, &day_of_month);
	PG_RETURN_DATEADT(day - day_of_month + 1);
}
