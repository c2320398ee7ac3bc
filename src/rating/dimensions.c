/*-------------------------------------------------------------------------
 *
 * dimensions.c
 *	  The dimensions by which usage is grouped, as an object of texts.
 *
 * Every usage row of a meter that makes lines by dimension comes through here,
 * once for its line and once for its price.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "common/cryptohash.h"
#include "common/sha2.h"
#include "fmgr.h"
#include "mb/pg_wchar.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"

/*
 * A group is part of the key of a charge, and an index row has 2,704 bytes for
 * it: eight values of this length, with names of 63 bytes, fit.
 */
#define GROUP_VALUE_BYTES	200
#define GROUP_VALUE_KEPT	100
#define GROUP_DIGEST_BYTES	16

PG_FUNCTION_INFO_V1(chosen_dimensions);
PG_FUNCTION_INFO_V1(charge_group);

static void
dimension_set_text(JsonbValue *value, const char *data, int length)
{
	value->type = jbvString;
	value->val.string.val = unconstify(char *, data);
	value->val.string.len = length;
}

/*
 * Makes a text of a JSON value, as operator ->> does; null stays null.
 */
static void
dimension_to_text(JsonbValue *value)
{
	const char *text;

	switch (value->type)
	{
		case jbvNull:
		case jbvString:
			return;
		case jbvNumeric:
			text = DatumGetCString(DirectFunctionCall1(numeric_out, NumericGetDatum(value->val.numeric)));
			break;
		case jbvBool:
			text = value->val.boolean ? "true" : "false";
			break;
		default:
			text = JsonbToCString(NULL, value->val.binary.data, value->val.binary.len);
			break;
	}
	dimension_set_text(value, text, strlen(text));
}

/*
 * Puts the beginning of a long text and a digest of the whole in its place, so
 * that different texts stay different groups.
 */
static void
dimension_shorten(JsonbValue *value)
{
	const char *data = value->val.string.val;
	int			length = value->val.string.len;
	uint8		digest[PG_SHA256_DIGEST_LENGTH];
	pg_cryptohash_ctx *context;
	StringInfoData text;

	if (value->type != jbvString || length <= GROUP_VALUE_BYTES)
		return;
	context = pg_cryptohash_create(PG_SHA256);
	if (pg_cryptohash_init(context) < 0 ||
		pg_cryptohash_update(context, (const uint8 *) data, length) < 0 ||
		pg_cryptohash_final(context, digest, sizeof(digest)) < 0)
		elog(ERROR, "could not compute SHA-256: %s", pg_cryptohash_error(context));
	pg_cryptohash_free(context);
	initStringInfo(&text);
	appendBinaryStringInfo(&text, data, pg_mbcliplen(data, length, GROUP_VALUE_KEPT));
	appendStringInfoString(&text, "... sha256 ");
	for (int i = 0; i < GROUP_DIGEST_BYTES; i++)
		appendStringInfo(&text, "%02x", digest[i]);
	dimension_set_text(value, text.data, text.len);
}

/*
 * The value of one dimension; "resource" names the resource.
 */
static void
dimension_find(JsonbValue *value, Jsonb *dimensions, const char *name, int length, text *resource)
{
	value->type = jbvNull;
	if (length == 8 && memcmp(name, "resource", 8) == 0)
	{
		if (resource != NULL)
			dimension_set_text(value, VARDATA_ANY(resource), VARSIZE_ANY_EXHDR(resource));
	}
	else if (dimensions != NULL && JB_ROOT_IS_OBJECT(dimensions) &&
			 getKeyJsonValueFromContainer(&dimensions->root, name, length, value) != NULL)
		dimension_to_text(value);
}

/*
 * The named dimensions as an object of texts.
 */
static Jsonb *
dimensions_chosen(FunctionCallInfo fcinfo, bool shortened)
{
	Jsonb	   *dimensions = PG_ARGISNULL(1) ? NULL : PG_GETARG_JSONB_P(1);
	text	   *resource = PG_ARGISNULL(2) ? NULL : PG_GETARG_TEXT_PP(2);
	JsonbParseState *state = NULL;
	Datum	   *names = NULL;
	bool	   *nulls = NULL;
	int			count = 0;

	if (!PG_ARGISNULL(0))
		deconstruct_array(PG_GETARG_ARRAYTYPE_P(0), TEXTOID, -1, false, TYPALIGN_INT, &names, &nulls, &count);
	pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	for (int i = 0; i < count; i++)
	{
		JsonbValue	name;
		JsonbValue	value;

		if (nulls[i])
			ereport(ERROR,
					(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
					 errmsg("the name of a dimension must not be null")));
		dimension_set_text(&name, VARDATA_ANY(DatumGetPointer(names[i])), VARSIZE_ANY_EXHDR(DatumGetPointer(names[i])));
		dimension_find(&value, dimensions, name.val.string.val, name.val.string.len, resource);
		if (shortened)
			dimension_shorten(&value);
		pushJsonbValue(&state, WJB_KEY, &name);
		pushJsonbValue(&state, WJB_VALUE, &value);
	}
	return JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, NULL));
}

/*
 * chosen_dimensions(names text[], dimensions jsonb, resource text): the named
 * dimensions as they are, for prices that look at them.
 */
Datum
chosen_dimensions(PG_FUNCTION_ARGS)
{
	PG_RETURN_JSONB_P(dimensions_chosen(fcinfo, false));
}

/*
 * charge_group(names text[], dimensions jsonb, resource text): the group of a
 * charge, in which a long value is shortened.
 */
Datum
charge_group(PG_FUNCTION_ARGS)
{
	PG_RETURN_JSONB_P(dimensions_chosen(fcinfo, true));
}
