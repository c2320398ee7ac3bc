/*-------------------------------------------------------------------------
 *
 * io.c
 *	  Text, binary and JSON input and output of type tariff.
 *
 * On the wire a tariff is always canonical JSON, never compiled bytes, so a
 * client cannot send a compiled form that the checks have not seen.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/detoast.h"
#include "libpq/pqformat.h"
#include "nodes/primnodes.h"
#include "utils/builtins.h"
#include "utils/json.h"
#include "utils/jsonb.h"
#include "utils/memutils.h"

#include "monetary/soft_error.h"
#include "tariff/tariff.h"

/* Version of the binary format: this byte, then canonical JSON. */
#define TARIFF_WIRE_VERSION 1

/* Text longer than this is refused before it is parsed. */
#define TARIFF_MAX_TEXT_SIZE (16 * 1024 * 1024)

PG_FUNCTION_INFO_V1(tariff_in);
PG_FUNCTION_INFO_V1(tariff_out);
PG_FUNCTION_INFO_V1(tariff_recv);
PG_FUNCTION_INFO_V1(tariff_send);
PG_FUNCTION_INFO_V1(tariff_from_jsonb);
PG_FUNCTION_INFO_V1(tariff_to_jsonb);
PG_FUNCTION_INFO_V1(tariff_to_json);

/* What the call site remembers; made at the first use. */
TariffCache *
tariff_cache(FunctionCallInfo fcinfo)
{
	if (fcinfo->flinfo->fn_extra == NULL)
		fcinfo->flinfo->fn_extra = MemoryContextAllocZero(fcinfo->flinfo->fn_mcxt,
														  sizeof(TariffCache));
	return (TariffCache *) fcinfo->flinfo->fn_extra;
}

/* Keep a plain copy of a stored datum at the call site. */
static void
cache_fill(TariffCache *cache, MemoryContext context, struct varlena *stored, Size size)
{
	MemoryContext old_context = MemoryContextSwitchTo(context);

	if (cache->stored != NULL)
	{
		pfree(cache->stored);
		cache->stored = NULL;
		pfree(cache->plain);
	}
	cache->unpacked.body = NULL;
	cache->plain = detoast_attr(stored);
	cache->stored_size = size;
	cache->stored = memcpy(palloc(size), stored, size);
	MemoryContextSwitchTo(old_context);
}

/*
 * A tariff argument whose bytes can be read, behind VARDATA_ANY.  Plain and
 * short-header values are taken where they lie; one that was compressed or
 * moved out of line is detoasted once for each call site and as long as it
 * stays the same.
 */
struct varlena *
tariff_fetch(FunctionCallInfo fcinfo, Datum datum)
{
	struct varlena *stored = (struct varlena *) DatumGetPointer(datum);
	TariffCache *cache;
	Size		size;

	/* A pointer to an out-of-line value counts as short, too. */
	if (likely(!VARATT_IS_EXTENDED(stored) ||
			   (VARATT_IS_SHORT(stored) && !VARATT_IS_EXTERNAL(stored))))
		return stored;
	if (fcinfo->flinfo == NULL)
		return detoast_attr(stored);
	cache = tariff_cache(fcinfo);
	size = VARSIZE_ANY(stored);
	if (cache->stored == NULL || cache->stored_size != size ||
		memcmp(cache->stored, stored, size) != 0)
		cache_fill(cache, fcinfo->flinfo->fn_mcxt, stored, size);
	return cache->plain;
}

/* Forget the unpacked form and make that of another tariff. */
static void
cache_unpack(TariffCache *cache, FunctionCallInfo fcinfo, const Tariff *tariff)
{
	if (cache->unpacked_context == NULL)
		cache->unpacked_context = AllocSetContextCreate(fcinfo->flinfo->fn_mcxt, "unpacked tariff",
														ALLOCSET_SMALL_SIZES);
	MemoryContextReset(cache->unpacked_context);
	cache->unpacked.body = NULL;
	cache->unpacked.form = tariff_model(tariff)->unpack(tariff, cache->unpacked_context);
	cache->unpacked.body = tariff->body;
}

/* Is the tariff of this call written into the query as a constant? */
static bool
call_is_constant(TariffCache *cache, FunctionCallInfo fcinfo)
{
	Node	   *call = fcinfo->flinfo->fn_expr;

	if (!cache->looked_at_call)
		cache->constant = call != NULL && IsA(call, FuncExpr) &&
			IsA(linitial(((FuncExpr *) call)->args), Const);
	cache->looked_at_call = true;
	return cache->constant;
}

/* A call site whose tariff changes this often is not worth a copy of each. */
#define TARIFF_MAX_CHANGES 64

/*
 * Does this row have the tariff of the row before?  If so *bytes becomes the
 * copy of it that the call site keeps.
 */
static bool
tariff_repeats(TariffCache *cache, FunctionCallInfo fcinfo, const struct varlena **bytes)
{
	Size		size = VARSIZE_ANY(*bytes);

	if (cache->repeated != NULL && VARSIZE_ANY(cache->repeated) == size &&
		memcmp(cache->repeated, *bytes, size) == 0)
	{
		*bytes = cache->repeated;
		return true;
	}
	if (cache->changes >= TARIFF_MAX_CHANGES)
		return false;
	cache->changes++;
	cache->unpacked.body = NULL;
	if (cache->repeated != NULL)
		pfree(cache->repeated);
	cache->repeated = memcpy(MemoryContextAlloc(fcinfo->flinfo->fn_mcxt, size), *bytes, size);
	return false;
}

/*
 * The unpacked form of a tariff whose bytes tariff_fetch returned, if its
 * model has one and the call site rates with this tariff again and again;
 * else NULL.  *tariff is opened from bytes that stay.
 */
const TariffUnpacked *
tariff_unpack(FunctionCallInfo fcinfo, const struct varlena *bytes, Tariff *tariff)
{
	TariffCache *cache;

	if (likely(tariff_model(tariff)->unpack == NULL) || fcinfo->flinfo == NULL)
		return NULL;
	cache = tariff_cache(fcinfo);
	if (!call_is_constant(cache, fcinfo) && bytes != cache->plain)
	{
		if (!tariff_repeats(cache, fcinfo, &bytes))
			return NULL;
		tariff_open(VARDATA_ANY(bytes), tariff);
	}
	if (unlikely(cache->unpacked.body != tariff->body))
		cache_unpack(cache, fcinfo, tariff);
	return &cache->unpacked;
}

/* A tariff from a JSON document, or 0 after reader_fail. */
Datum
tariff_from_json(Jsonb *json, TariffReader *reader)
{
	ReaderObject object;
	StringInfoData out;
	int32		header = 0;

	reader_root(reader, json, &object);
	initStringInfo(&out);
	compiled_put_bytes(&out, &header, sizeof(header));
	if (!tariff_compile(&object, &out))
		return (Datum) 0;
	SET_VARSIZE(out.data, out.len);
	return PointerGetDatum(out.data);
}

/*
 * Count the members of all objects in a JSON text that is known to be valid:
 * one for each colon outside of strings.
 */
static int
count_members(const char *text)
{
	bool		in_string = false;
	int			count = 0;

	for (; *text != '\0'; text++)
	{
		if (in_string && *text == '\\' && text[1] != '\0')
			text++;
		else if (*text == '"')
			in_string = !in_string;
		else if (*text == ':' && !in_string)
			count++;
	}
	return count;
}

/* The same for the jsonb, where of members with one name only one is left. */
static int
count_jsonb_members(Jsonb *json)
{
	JsonbIterator *iterator = JsonbIteratorInit(&json->root);
	JsonbIteratorToken token;
	JsonbValue	value;
	int			count = 0;

	while ((token = JsonbIteratorNext(&iterator, &value, false)) != WJB_DONE)
		count += (token == WJB_KEY);
	return count;
}

/* Parse and compile; NULL when a soft error was saved. */
static Datum
tariff_parse(char *text, Node *context)
{
	TariffReader reader = {0};
	Datum		json;
	Datum		result;

	if (strlen(text) > TARIFF_MAX_TEXT_SIZE)
		ereturn(context, (Datum) 0,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("text of a tariff is longer than %d bytes", TARIFF_MAX_TEXT_SIZE)));
#if PG_VERSION_NUM >= 160000
	if (!DirectInputFunctionCallSafe(jsonb_in, text, InvalidOid, -1, context, &json))
		return (Datum) 0;
#else
	json = DirectFunctionCall1(jsonb_in, CStringGetDatum(text));
#endif
	if (count_members(text) != count_jsonb_members(DatumGetJsonbP(json)))
		reader_fail(&reader, "a member is given twice");
	result = tariff_from_json(DatumGetJsonbP(json), &reader);
	if (reader.sqlstate != 0)
		ereturn(context, (Datum) 0,
				(errcode(reader.sqlstate),
				 errmsg("invalid input for type %s", "tariff"),
				 errdetail("%s.", reader.error)));
	return result;
}

/* Text input; errors are soft where the server can. */
Datum
tariff_in(PG_FUNCTION_ARGS)
{
	Datum		result = tariff_parse(PG_GETARG_CSTRING(0), fcinfo->context);

	if (result == (Datum) 0)
		PG_RETURN_NULL();
	return result;
}

/* Canonical JSON of a tariff. */
char *
tariff_text(Datum datum)
{
	StringInfoData json;
	Tariff		tariff;

	tariff_open(VARDATA_ANY(PG_DETOAST_DATUM_PACKED(datum)), &tariff);
	initStringInfo(&json);
	tariff_print(&tariff, &json);
	return json.data;
}

/* Text output: canonical JSON. */
Datum
tariff_out(PG_FUNCTION_ARGS)
{
	PG_RETURN_CSTRING(tariff_text(PG_GETARG_DATUM(0)));
}

/* Binary input: checked exactly like text. */
Datum
tariff_recv(PG_FUNCTION_ARGS)
{
	StringInfo	buffer = (StringInfo) PG_GETARG_POINTER(0);
	int			version = pq_getmsgbyte(buffer);
	char	   *text;
	int			size;

	if (version != TARIFF_WIRE_VERSION)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_BINARY_REPRESENTATION),
				 errmsg("unsupported binary version %d of type %s", version, "tariff")));
	text = pq_getmsgtext(buffer, buffer->len - buffer->cursor, &size);
	if (strlen(text) != (size_t) size)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_BINARY_REPRESENTATION),
				 errmsg("binary value of type %s contains a zero byte", "tariff")));
	PG_RETURN_DATUM(tariff_parse(text, NULL));
}

/* Binary output: the version byte and canonical JSON. */
Datum
tariff_send(PG_FUNCTION_ARGS)
{
	StringInfoData buffer;
	char	   *text = tariff_text(PG_GETARG_DATUM(0));

	pq_begintypsend(&buffer);
	pq_sendbyte(&buffer, TARIFF_WIRE_VERSION);
	pq_sendtext(&buffer, text, strlen(text));
	PG_RETURN_BYTEA_P(pq_endtypsend(&buffer));
}

/* Cast from jsonb.  A jsonb has already dropped members given twice. */
Datum
tariff_from_jsonb(PG_FUNCTION_ARGS)
{
	TariffReader reader = {0};
	Datum		result = tariff_from_json(PG_GETARG_JSONB_P(0), &reader);

	if (reader.sqlstate != 0)
		ereport(ERROR,
				(errcode(reader.sqlstate),
				 errmsg("invalid input for type %s", "tariff"),
				 errdetail("%s.", reader.error)));
	PG_RETURN_DATUM(result);
}

/* Cast to jsonb. */
Datum
tariff_to_jsonb(PG_FUNCTION_ARGS)
{
	return DirectFunctionCall1(jsonb_in, CStringGetDatum(tariff_text(PG_GETARG_DATUM(0))));
}

/* Cast to json, which keeps the canonical order of members. */
Datum
tariff_to_json(PG_FUNCTION_ARGS)
{
	PG_RETURN_TEXT_P(cstring_to_text(tariff_text(PG_GETARG_DATUM(0))));
}
