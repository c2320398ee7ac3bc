/*-------------------------------------------------------------------------
 *
 * usage_row.c
 *	  Facts that come as rows of text: what batches are made of.
 *
 * A batch is loaded in statements over all its rows.  The functions that such
 * a statement calls for each row return null for a bad row and say nothing;
 * usage_fault() finds the words afterwards, for the rows that need them.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "common/jsonapi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"

#include "metering/usage_fact.h"
#include "monetary/soft_error.h"

PG_FUNCTION_INFO_V1(usage_key_of);
PG_FUNCTION_INFO_V1(try_usage_interval);
PG_FUNCTION_INFO_V1(try_dimensions);
PG_FUNCTION_INFO_V1(usage_fault);

/* Dimensions longer than this as text are not parsed at all. */
#define DIMENSIONS_TEXT_SIZE (4 * USAGE_DIMENSIONS_SIZE)

/*
 * An argument of type text, absent when null.
 */
static UsageText
usage_text_argument(FunctionCallInfo fcinfo, int number)
{
	UsageText	result = {NULL, 0};

	if (!PG_ARGISNULL(number))
	{
		text	   *argument = PG_GETARG_TEXT_PP(number);

		result.data = VARDATA_ANY(argument);
		result.length = VARSIZE_ANY_EXHDR(argument);
	}
	return result;
}

/* The same for a member that may be absent: empty means absent. */
static UsageText
usage_optional_argument(FunctionCallInfo fcinfo, int number)
{
	UsageText	result = usage_text_argument(fcinfo, number);

	if (result.length == 0)
		result.data = NULL;
	return result;
}

/*
 * usage_key_of(id, source): the key, or null when one of them is no name.
 */
Datum
usage_key_of(PG_FUNCTION_ARGS)
{
	UsageText	id = usage_text_argument(fcinfo, 0);
	UsageText	source = usage_optional_argument(fcinfo, 1);
	pg_uuid_t  *key;

	if (!usage_check_name(source, "source", false, NULL) || !usage_check_name(id, "id", true, NULL))
		PG_RETURN_NULL();
	key = palloc(sizeof(pg_uuid_t));
	usage_key_compute(source, id, key);
	PG_RETURN_UUID_P(key);
}

/*
 * try_usage_interval(starts_at, ends_at, quantity): when and how much, or null
 * when one of them cannot be read.
 */
Datum
try_usage_interval(PG_FUNCTION_ARGS)
{
	UsageInterval consumed;
	Fixed		quantity;

	if (!usage_read_span(usage_text_argument(fcinfo, 0), usage_text_argument(fcinfo, 1), &consumed, NULL) ||
		!usage_read_quantity(usage_text_argument(fcinfo, 2), &quantity, NULL))
		PG_RETURN_NULL();
	PG_RETURN_USAGE_INTERVAL_P(usage_interval_new(consumed.start, consumed.end, quantity));
}

/* ---- dimensions as text ------------------------------------------------ */

#if PG_VERSION_NUM >= 160000

/* Reads JSON of bounded length; NULL when it is none. */
static Jsonb *
usage_parse_json(UsageText text)
{
	ErrorSaveContext errors = {.type = T_ErrorSaveContext};
	Datum		result;

	if (!DirectInputFunctionCallSafe(jsonb_in, pnstrdup(text.data, text.length), JSONBOID, -1,
									 (Node *) &errors, &result))
		return NULL;
	return DatumGetJsonbP(result);
}

#else

/* A number that jsonb could not hold would raise; none of those is of use here. */
static void
usage_check_json_scalar(void *state, char *token, JsonTokenType type)
{
	Fixed		number;
	bool		exact;

	if (type == JSON_TOKEN_NUMBER &&
		fixed_parse(token, strlen(token), &number, &exact) != FIXED_PARSE_OK)
		*(bool *) state = false;
}

/*
 * Before PostgreSQL 16 jsonb has no input that does not raise: the parser below
 * it is asked first, which returns its errors.
 */
static Jsonb *
usage_parse_json(UsageText text)
{
	char	   *copy = pnstrdup(text.data, text.length);
	JsonLexContext *lexer = makeJsonLexContextCstringLen(copy, text.length, GetDatabaseEncoding(), true);
	bool		sound = true;
	JsonSemAction actions = {.semstate = &sound,.scalar = usage_check_json_scalar};

	if (pg_parse_json(lexer, &actions) != JSON_SUCCESS || !sound)
		return NULL;
	return DatumGetJsonbP(DirectFunctionCall1(jsonb_in, CStringGetDatum(copy)));
}

#endif

/*
 * Whether JSON text has an object or array inside another one.  Asked before
 * parsing, because parsers of nested text raise when the stack runs out.
 */
static bool
usage_json_is_nested(UsageText text)
{
	int			depth = 0;
	bool		in_string = false;

	for (int i = 0; i < text.length; i++)
	{
		char		c = text.data[i];

		if (in_string && c == '\\')
			i++;
		else if (c == '"')
			in_string = !in_string;
		else if (!in_string && (c == '{' || c == '[') && ++depth > 1)
			return true;
	}
	return false;
}

/*
 * Reads and checks dimensions; *result is NULL when there are none.
 */
static bool
usage_read_dimensions(UsageText text, Jsonb **result, UsageProblem *problem)
{
	*result = NULL;
	if (text.data == NULL)
		return true;
	if (text.length > DIMENSIONS_TEXT_SIZE)
		return usage_problem(problem, "dimensions_too_large", "dimensions are %d bytes long, at most %d are allowed",
							 text.length, DIMENSIONS_TEXT_SIZE);
	if (usage_json_is_nested(text))
		return usage_problem(problem, "bad_dimensions", "dimensions are not an object of strings, numbers and booleans");
	*result = usage_parse_json(text);
	if (*result == NULL)
		return problem != NULL &&
			usage_problem(problem, "bad_dimensions", "dimensions %s are not a JSON object", usage_quote(text));
	return usage_check_dimensions(*result, problem);
}

/*
 * try_dimensions(text): dimensions as jsonb; null for null and for what cannot
 * be read.  Strict.
 */
Datum
try_dimensions(PG_FUNCTION_ARGS)
{
	Jsonb	   *dimensions;

	if (!usage_read_dimensions(usage_text_argument(fcinfo, 0), &dimensions, NULL))
		PG_RETURN_NULL();
	PG_RETURN_JSONB_P(dimensions);
}

/* ---- why a row was refused --------------------------------------------- */

/*
 * The first rule that a row breaks by itself.  Arguments as in usage_fault().
 */
static bool
usage_check_row(FunctionCallInfo fcinfo, UsageProblem *problem)
{
	UsageInterval consumed;
	Fixed		quantity;
	Jsonb	   *dimensions;

	return usage_check_name(usage_optional_argument(fcinfo, 0), "source", false, problem) &&
		usage_check_name(usage_text_argument(fcinfo, 1), "id", true, problem) &&
		usage_check_name(usage_text_argument(fcinfo, 2), "account", true, problem) &&
		usage_check_name(usage_text_argument(fcinfo, 3), "meter", true, problem) &&
		usage_read_span(usage_text_argument(fcinfo, 4), usage_text_argument(fcinfo, 5), &consumed, problem) &&
		usage_read_quantity(usage_text_argument(fcinfo, 6), &quantity, problem) &&
		usage_check_name(usage_optional_argument(fcinfo, 7), "resource", false, problem) &&
		usage_read_dimensions(usage_text_argument(fcinfo, 8), &dimensions, problem);
}

/*
 * usage_fault(source, id, account, meter, starts_at, ends_at, quantity,
 * resource, dimensions) returns (reason, detail) of what is wrong with a row by
 * itself, or null when it is sound.
 */
Datum
usage_fault(PG_FUNCTION_ARGS)
{
	UsageProblem problem;
	TupleDesc	descriptor;
	Datum		values[2];
	bool		nulls[2] = {false, false};

	if (usage_check_row(fcinfo, &problem))
		PG_RETURN_NULL();
	if (get_call_result_type(fcinfo, NULL, &descriptor) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	values[0] = CStringGetTextDatum(problem.reason);
	values[1] = CStringGetTextDatum(problem.detail);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(descriptor), values, nulls)));
}
