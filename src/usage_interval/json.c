/*-------------------------------------------------------------------------
 *
 * json.c
 *	  JSON form of the type usage_interval.
 *
 *	  {"start":"2026-10-03T10:00:00Z","end":"2026-10-03T11:00:00Z","quantity":"5.25"}
 *	  {"at":"2026-10-03T10:00:00Z","quantity":"5.25"}
 *
 * Instants are always in UTC, so that the text depends on no setting.  The
 * quantity is a string because many readers of JSON turn numbers into binary
 * floating point; both forms are read.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/timestamp.h"

#include "usage_interval/usage_interval.h"

PG_FUNCTION_INFO_V1(usage_interval_to_json);
PG_FUNCTION_INFO_V1(usage_interval_to_jsonb);
PG_FUNCTION_INFO_V1(usage_interval_from_jsonb);

/* ---- writing --------------------------------------------------------- */

/*
 * Appends an instant as ISO 8601 in UTC, with as many decimals of the second
 * as it needs.  Years before the common era end in " BC", as PostgreSQL reads
 * and writes them.
 */
static void
append_instant(StringInfo buffer, TimestampTz instant)
{
	struct pg_tm fields;
	fsec_t		microseconds;
	bool		before_era;

	if (timestamp2tm(instant, NULL, &fields, &microseconds, NULL, NULL) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE),
				 errmsg("timestamp out of range")));
	before_era = fields.tm_year <= 0;
	appendStringInfo(buffer, "%04d-%02d-%02dT%02d:%02d:%02d",
					 before_era ? 1 - fields.tm_year : fields.tm_year, fields.tm_mon,
					 fields.tm_mday, fields.tm_hour, fields.tm_min, fields.tm_sec);
	if (microseconds != 0)
	{
		appendStringInfo(buffer, ".%06d", (int) microseconds);
		while (buffer->data[buffer->len - 1] == '0')
			buffer->data[--buffer->len] = '\0';
	}
	appendStringInfoString(buffer, before_era ? "Z BC" : "Z");
}

static char *
json_text(const UsageInterval *value)
{
	StringInfoData buffer;
	char		quantity[FIXED_TEXT_SIZE];

	initStringInfo(&buffer);
	appendStringInfoString(&buffer, usage_interval_is_point(value) ? "{\"at\":\"" : "{\"start\":\"");
	append_instant(&buffer, value->start);
	if (!usage_interval_is_point(value))
	{
		appendStringInfoString(&buffer, "\",\"end\":\"");
		append_instant(&buffer, value->end);
	}
	fixed_format(usage_interval_quantity(value), 0, quantity);
	appendStringInfo(&buffer, "\",\"quantity\":\"%s\"}", quantity);
	return buffer.data;
}

/*
 * Behind the cast to json.
 */
Datum
usage_interval_to_json(PG_FUNCTION_ARGS)
{
	PG_RETURN_TEXT_P(cstring_to_text(json_text(PG_GETARG_USAGE_INTERVAL_P(0))));
}

/*
 * Behind the cast to jsonb.
 */
Datum
usage_interval_to_jsonb(PG_FUNCTION_ARGS)
{
	return DirectFunctionCall1(jsonb_in, CStringGetDatum(json_text(PG_GETARG_USAGE_INTERVAL_P(0))));
}

/* ---- reading --------------------------------------------------------- */

/*
 * The member of an object with a given key; NULL when there is none, or null.
 */
static JsonbValue *
find_member(Jsonb *document, const char *key)
{
	JsonbValue *member = getKeyJsonValueFromContainer(&document->root, key, (int) strlen(key), NULL);

	return member == NULL || member->type == jbvNull ? NULL : member;
}

/*
 * An instant, from a string.  Raises 22023 for another kind of value, and what
 * type timestamptz raises.
 */
static TimestampTz
instant_of(JsonbValue *member, const char *key)
{
	if (member->type != jbvString)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("\"%s\" of a usage interval must be a string", key),
				 errhint("Write an instant like \"2026-10-03T10:00:00Z\".")));
	return DatumGetTimestampTz(DirectFunctionCall3(timestamptz_in,
												   CStringGetDatum(pnstrdup(member->val.string.val,
																			member->val.string.len)),
												   ObjectIdGetDatum(InvalidOid), Int32GetDatum(-1)));
}

/*
 * A quantity, from a string or a number.  Raises 22023 for another kind of
 * value, 22P02 for a string that is no number, 22003 out of range.
 */
static Fixed
quantity_of(JsonbValue *member)
{
	FixedParseResult outcome;
	Fixed		quantity;
	bool		exact;

	if (member->type == jbvNumeric)
		return usage_quantity_from_numeric(member->val.numeric);
	if (member->type != jbvString)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("\"quantity\" of a usage interval must be a string or a number")));
	outcome = fixed_parse(member->val.string.val, member->val.string.len, &quantity, &exact);
	if (outcome == FIXED_PARSE_SYNTAX)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_TEXT_REPRESENTATION),
				 errmsg("\"quantity\" of a usage interval is no number: \"%.*s\"",
						member->val.string.len, member->val.string.val)));
	if (outcome == FIXED_PARSE_OUT_OF_RANGE)
		usage_quantity_range_error();
	return quantity;
}

/*
 * Behind the cast from jsonb: an object with "quantity" and either "at" or
 * "start" and "end"; other members are passed over.  Raises 22023 for any other
 * shape, and what the parts raise.
 */
Datum
usage_interval_from_jsonb(PG_FUNCTION_ARGS)
{
	Jsonb	   *document = PG_GETARG_JSONB_P(0);
	JsonbValue *at = NULL;
	JsonbValue *start = NULL;
	JsonbValue *end = NULL;
	JsonbValue *quantity = NULL;
	TimestampTz start_instant;
	TimestampTz end_instant;

	if (JB_ROOT_IS_OBJECT(document))
	{
		at = find_member(document, "at");
		start = find_member(document, "start");
		end = find_member(document, "end");
		quantity = find_member(document, "quantity");
	}
	if (quantity == NULL || (at != NULL) == (start != NULL) || (start != NULL) != (end != NULL))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("JSON value is no usage interval"),
				 errhint("Give \"quantity\" and either \"at\" or \"start\" and \"end\".")));
	start_instant = instant_of(at ? at : start, at ? "at" : "start");
	end_instant = at ? start_instant : instant_of(end, "end");
	usage_interval_check_bounds(start_instant, end_instant, NULL);
	PG_RETURN_USAGE_INTERVAL_P(usage_interval_new(start_instant, end_instant, quantity_of(quantity)));
}
