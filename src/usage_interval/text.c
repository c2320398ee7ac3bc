/*-------------------------------------------------------------------------
 *
 * text.c
 *	  Text form of the type usage_interval.
 *
 *	  [2026-10-03 10:00:00+00,2026-10-03 11:00:00+00) 5.25
 *	  2026-10-03 10:00:00+00 5.25
 *
 * Instants are written in the session's time zone but always in ISO style,
 * whatever DateStyle says: a value written under one setting reads back under
 * every other.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "fmgr.h"
#include "miscadmin.h"
#include "parser/scansup.h"
#include "utils/builtins.h"
#include "utils/datetime.h"
#include "utils/timestamp.h"

#include "monetary/soft_error.h"
#include "usage_interval/usage_interval.h"

PG_FUNCTION_INFO_V1(usage_interval_in);
PG_FUNCTION_INFO_V1(usage_interval_out);

/*
 * A text taken apart: words of a private copy.  A point in time has no end.
 */
typedef struct TextParts
{
	char	   *start;
	char	   *end;
	char	   *quantity;
} TextParts;

/*
 * Reads an instant as type timestamptz does.  Saves its errors (22007, 22008,
 * 22009) and returns false.
 */
static bool
read_instant(char *text, TimestampTz *instant, Node *escontext)
{
	Datum		datum;

#if PG_VERSION_NUM >= 160000
	if (!DirectInputFunctionCallSafe(timestamptz_in, text, InvalidOid, -1, escontext, &datum))
		return false;
#else
	datum = DirectFunctionCall3(timestamptz_in, CStringGetDatum(text),
								ObjectIdGetDatum(InvalidOid), Int32GetDatum(-1));
#endif
	*instant = DatumGetTimestampTz(datum);
	return true;
}

static char *
skip_blanks(char *at)
{
	while (scanner_isspace(*at))
		at++;
	return at;
}

/*
 * Cuts the next bound of a span, which ends at a delimiter and may stand in
 * double quotes; moves *at behind the delimiter.  Returns NULL when there is
 * none.
 */
static char *
cut_bound(char **at, char delimiter)
{
	char	   *bound = skip_blanks(*at);
	char	   *end;

	if (*bound == '"')
	{
		bound++;
		end = strchr(bound, '"');
		if (end == NULL)
			return NULL;
		*end = '\0';
		end = skip_blanks(end + 1);
		if (*end != delimiter)
			return NULL;
	}
	else
	{
		end = strchr(bound, delimiter);
		if (end == NULL)
			return NULL;
		*end = '\0';
	}
	*at = end + 1;
	return *bound == '\0' ? NULL : bound;
}

/*
 * Takes a text apart, in place.  Returns false when it has neither of the two
 * shapes.
 */
static bool
cut_text(char *text, TextParts *parts)
{
	char	   *end = text + strlen(text);

	while (end > text && scanner_isspace(end[-1]))
		end--;
	*end = '\0';
	text = skip_blanks(text);
	if (*text == '[')
	{
		text++;
		parts->start = cut_bound(&text, ',');
		parts->end = parts->start ? cut_bound(&text, ')') : NULL;
		parts->quantity = skip_blanks(text);
		return parts->end != NULL && *parts->quantity != '\0';
	}

	/* a point in time: the quantity is the last word */
	if (*text == '(')
		return false;
	while (end > text && !scanner_isspace(end[-1]))
		end--;
	if (end == text)
		return false;
	end[-1] = '\0';
	parts->start = text;
	parts->end = NULL;
	parts->quantity = end;
	return true;
}

/*
 * usage_interval_in(cstring).  Soft errors: 22P02 neither shape or no number,
 * 22007 and 22008 as of timestamptz, 22008 infinite, 22000 start after end,
 * 22003 quantity out of range.
 */
Datum
usage_interval_in(PG_FUNCTION_ARGS)
{
	char	   *text = PG_GETARG_CSTRING(0);
	Node	   *escontext = fcinfo->context;
	UsageInterval *result = palloc(sizeof(UsageInterval));
	FixedParseResult outcome = FIXED_PARSE_SYNTAX;
	TextParts	parts;
	Fixed		quantity;
	bool		exact;

	if (cut_text(pstrdup(text), &parts))
		outcome = fixed_parse(parts.quantity, strlen(parts.quantity), &quantity, &exact);
	if (outcome == FIXED_PARSE_SYNTAX)
		ereturn(escontext, (Datum) 0,
				(errcode(ERRCODE_INVALID_TEXT_REPRESENTATION),
				 errmsg("invalid input syntax for type %s: \"%s\"", "usage_interval", text),
				 errhint("Write a half-open span or an instant, and a quantity, like \"[2026-10-03 10:00:00+00,2026-10-03 11:00:00+00) 5.25\" or \"2026-10-03 10:00:00+00 5.25\".")));
	if (outcome == FIXED_PARSE_OUT_OF_RANGE)
		ereturn(escontext, (Datum) 0,
				(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
				 errmsg("quantity \"%s\" is out of range for type %s", parts.quantity, "usage_interval")));

	if (!read_instant(parts.start, &result->start, escontext))
		return (Datum) 0;
	result->end = result->start;
	if (parts.end != NULL && !read_instant(parts.end, &result->end, escontext))
		return (Datum) 0;
	if (!usage_interval_check_bounds(result->start, result->end, escontext))
		return (Datum) 0;
	usage_interval_set_quantity(result, quantity);
	PG_RETURN_USAGE_INTERVAL_P(result);
}

/*
 * Writes an instant in ISO style and the session's time zone into a buffer of
 * INSTANT_TEXT_SIZE bytes; returns where the text ends.
 */
char *
usage_interval_format_instant(TimestampTz instant, char *buffer)
{
	struct pg_tm fields;
	fsec_t		microseconds;
	int			zone;

	if (TIMESTAMP_NOT_FINITE(instant))
		EncodeSpecialTimestamp(instant, buffer);
	else if (timestamp2tm(instant, &zone, &fields, &microseconds, NULL, NULL) == 0)
		EncodeDateTime(&fields, microseconds, true, zone, NULL, USE_ISO_DATES, buffer);
	else
		ereport(ERROR,
				(errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE),
				 errmsg("timestamp out of range")));
	return buffer + strlen(buffer);
}

/*
 * usage_interval_out(usage_interval) writes what usage_interval_in reads back
 * to the same bytes.
 */
Datum
usage_interval_out(PG_FUNCTION_ARGS)
{
	UsageInterval *value = PG_GETARG_USAGE_INTERVAL_P(0);
	char	   *buffer = palloc(USAGE_INTERVAL_TEXT_SIZE);
	char	   *at = buffer;

	if (usage_interval_is_point(value))
		at = usage_interval_format_instant(value->start, at);
	else
	{
		*at++ = '[';
		at = usage_interval_format_instant(value->start, at);
		*at++ = ',';
		at = usage_interval_format_instant(value->end, at);
		*at++ = ')';
	}
	*at++ = ' ';
	fixed_format(usage_interval_quantity(value), 0, at);
	PG_RETURN_CSTRING(buffer);
}
