/*-------------------------------------------------------------------------
 *
 * usage_fact.c
 *	  The rules that every fact of usage keeps, however it comes in.
 *
 * What needs a table (does the account exist, is it closed) is decided where
 * the tables are; here are the rules of a row by itself.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "mb/pg_wchar.h"
#include "utils/builtins.h"

#include "metering/usage_fact.h"

/* How much of a value is repeated in a message, in bytes. */
#define QUOTED_SIZE 64

/*
 * Notes the rule that was broken, unless nobody asks.  Always false, so that a
 * check can end with it.
 */
bool
usage_problem(UsageProblem *problem, const char *reason, const char *format,...)
{
	StringInfoData detail;

	if (problem == NULL)
		return false;
	initStringInfo(&detail);
	for (;;)
	{
		va_list		arguments;
		int			needed;

		va_start(arguments, format);
		needed = appendStringInfoVA(&detail, format, arguments);
		va_end(arguments);
		if (needed == 0)
			break;
		enlargeStringInfo(&detail, needed);
	}
	problem->reason = reason;
	problem->detail = detail.data;
	return false;
}

/*
 * A value in quotes for a message, cut where it is long.
 */
char *
usage_quote(UsageText text)
{
	int			kept = pg_mbcliplen(text.data, text.length, QUOTED_SIZE);

	return psprintf("\"%.*s%s\"", kept, text.data, kept < text.length ? "..." : "");
}

/*
 * A name (id, source, account, meter, resource) is not empty and not longer
 * than an index can hold.
 */
bool
usage_check_name(UsageText name, const char *member, bool required, UsageProblem *problem)
{
	if (name.data == NULL)
		return !required || usage_problem(problem, "missing_member", "%s is missing", member);
	if (name.length == 0)
		return usage_problem(problem, "bad_member", "%s is empty", member);
	if (name.length > USAGE_NAME_SIZE)
		return usage_problem(problem, "bad_member", "%s is %d bytes long, at most %d are allowed",
							 member, name.length, USAGE_NAME_SIZE);
	return true;
}

static bool
usage_too_precise(UsageProblem *problem)
{
	return usage_problem(problem, "quantity_out_of_range", "quantity has more than %d decimals", FIXED_SCALE);
}

static bool
usage_too_large(UsageProblem *problem)
{
	return usage_problem(problem, "quantity_out_of_range", "quantity has more than 23 digits before the decimal point");
}

/*
 * Reads a quantity given as text: a decimal number and nothing else, which
 * excludes NaN and the infinities.
 */
bool
usage_read_quantity(UsageText text, Fixed *quantity, UsageProblem *problem)
{
	bool		exact;

	if (text.data == NULL)
		return usage_problem(problem, "missing_member", "quantity is missing");
	switch (fixed_parse(text.data, text.length, quantity, &exact))
	{
		case FIXED_PARSE_OK:
			return exact || usage_too_precise(problem);
		case FIXED_PARSE_OUT_OF_RANGE:
			return usage_too_large(problem);
		default:
			return problem != NULL &&
				usage_problem(problem, "bad_quantity", "quantity %s is not a decimal number", usage_quote(text));
	}
}

/*
 * Reads a quantity given as a number.  Its digits are never printed: a number
 * of a few bytes, such as 1e131071, can have a hundred thousand of them.
 */
bool
usage_read_number(Numeric number, Fixed *quantity, UsageProblem *problem)
{
	bool		exact;

	if (numeric_is_nan(number) || numeric_is_inf(number))
		return usage_problem(problem, "bad_quantity", "quantity is not a finite number");
	if (!fixed_from_numeric(number, quantity, &exact))
		return usage_too_large(problem);
	return exact || usage_too_precise(problem);
}

static bool
usage_read_time(UsageText text, const char *member, TimestampTz *result, UsageProblem *problem)
{
	switch (usage_time_parse(text.data, text.length, result))
	{
		case USAGE_TIME_OK:
			return true;
		case USAGE_TIME_NO_ZONE:
			return problem != NULL &&
				usage_problem(problem, "timestamp_without_zone", "%s %s has no time of day with an offset from UTC, such as 2026-10-03T10:00:00Z",
							  member, usage_quote(text));
		case USAGE_TIME_YEAR:
			return problem != NULL &&
				usage_problem(problem, "bad_timestamp", "%s %s is not in the years %d to %d",
							  member, usage_quote(text), USAGE_FIRST_YEAR, USAGE_LAST_YEAR);
		default:
			return problem != NULL &&
				usage_problem(problem, "bad_timestamp", "%s %s is not a time such as 2026-10-03T10:00:00+02:00",
							  member, usage_quote(text));
	}
}

/*
 * Reads start and end; without a start the fact is a point in time.
 */
bool
usage_read_span(UsageText starts_at, UsageText ends_at, UsageInterval *consumed, UsageProblem *problem)
{
	if (ends_at.data == NULL)
		return usage_problem(problem, "missing_member", "the time of the usage is missing");
	if (!usage_read_time(ends_at, starts_at.data == NULL ? "time" : "end", &consumed->end, problem))
		return false;
	consumed->start = consumed->end;
	if (starts_at.data == NULL)
		return true;
	if (!usage_read_time(starts_at, "start", &consumed->start, problem))
		return false;
	if (consumed->start > consumed->end)
		return problem != NULL &&
			usage_problem(problem, "end_before_start", "end %s lies before start %s",
						  usage_quote(ends_at), usage_quote(starts_at));
	if (consumed->end - consumed->start > USAGE_LONGEST)
		return problem != NULL &&
			usage_problem(problem, "interval_too_long", "start %s to end %s is longer than ten years",
						  usage_quote(starts_at), usage_quote(ends_at));
	return true;
}

/*
 * One value of the dimensions.  Numbers must be ones that a Fixed can hold, so
 * that equal ones are recognised as equal.
 */
static bool
usage_check_dimension(UsageText name, const JsonbValue *value, UsageProblem *problem)
{
	Fixed		number;
	bool		exact;

	if (value->type == jbvString || value->type == jbvBool || value->type == jbvNull)
		return true;
	if (value->type == jbvNumeric)
		return (fixed_from_numeric(value->val.numeric, &number, &exact) && exact) ||
			(problem != NULL &&
			 usage_problem(problem, "bad_dimensions", "the number in dimension %s has too many digits", usage_quote(name)));
	return problem != NULL &&
		usage_problem(problem, "bad_dimensions", "dimension %s is neither a string nor a number nor a boolean", usage_quote(name));
}

/*
 * Dimensions are an object of strings, numbers and booleans, of bounded size.
 */
bool
usage_check_dimensions(Jsonb *dimensions, UsageProblem *problem)
{
	JsonbIterator *iterator;
	JsonbIteratorToken token;
	JsonbValue	value;
	UsageText	name = {NULL, 0};

	if (!JB_ROOT_IS_OBJECT(dimensions))
		return usage_problem(problem, "bad_dimensions", "dimensions are not a JSON object");
	if (VARSIZE(dimensions) > USAGE_DIMENSIONS_SIZE)
		return usage_problem(problem, "dimensions_too_large", "dimensions take %d bytes, at most %d are allowed",
							 (int) VARSIZE(dimensions), USAGE_DIMENSIONS_SIZE);
	iterator = JsonbIteratorInit(&dimensions->root);
	while ((token = JsonbIteratorNext(&iterator, &value, true)) != WJB_DONE)
	{
		if (token == WJB_KEY)
		{
			name.data = value.val.string.val;
			name.length = value.val.string.len;
		}
		else if (token == WJB_VALUE && !usage_check_dimension(name, &value, problem))
			return false;
	}
	return true;
}
