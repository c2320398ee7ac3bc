/*-------------------------------------------------------------------------
 *
 * usage_json.c
 *	  Facts that come as JSON: our own form, and CloudEvents 1.0.  The forms of
 *	  other systems are brought to ours in SQL, one file a system; here is only
 *	  the question whether that is needed.
 *
 * Both are brought to the same members first.  Our own form is read strictly:
 * a member that it does not know is a reason to refuse the fact, because
 * "quantiy" silently ignored is money lost.  A CloudEvent may carry attributes
 * that are none of our business; those are skipped, as its standard asks.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "metering/usage_fact.h"

PG_FUNCTION_INFO_V1(read_usage);
PG_FUNCTION_INFO_V1(usage_in_other_form);

typedef enum UsageMember
{
	MEMBER_ID,
	MEMBER_SOURCE,
	MEMBER_ACCOUNT,
	MEMBER_METER,
	MEMBER_AT,
	MEMBER_START,
	MEMBER_END,
	MEMBER_QUANTITY,
	MEMBER_RESOURCE,
	MEMBER_DIMENSIONS,
	MEMBER_SAMPLE_TYPE,
	MEMBER_COUNT
} UsageMember;

/* What a member of the input is called, and what it is to us. */
typedef struct MemberName
{
	const char *name;
	UsageMember member;
} MemberName;

static const MemberName own_names[] = {
	{"id", MEMBER_ID}, {"source", MEMBER_SOURCE}, {"account", MEMBER_ACCOUNT}, {"meter", MEMBER_METER},
	{"at", MEMBER_AT}, {"start", MEMBER_START}, {"end", MEMBER_END}, {"quantity", MEMBER_QUANTITY},
	{"resource", MEMBER_RESOURCE}, {"dimensions", MEMBER_DIMENSIONS},
	{"sample_type", MEMBER_SAMPLE_TYPE}, {NULL, MEMBER_COUNT}
};

static const MemberName event_names[] = {
	{"id", MEMBER_ID}, {"source", MEMBER_SOURCE}, {"subject", MEMBER_ACCOUNT}, {"type", MEMBER_METER},
	{"time", MEMBER_AT}, {NULL, MEMBER_COUNT}
};

static const MemberName event_data_names[] = {
	{"start", MEMBER_START}, {"end", MEMBER_END}, {"quantity", MEMBER_QUANTITY},
	{"resource", MEMBER_RESOURCE}, {"dimensions", MEMBER_DIMENSIONS}, {NULL, MEMBER_COUNT}
};

/* One fact, member by member; absent ones and JSON nulls are jbvNull. */
typedef struct UsageObject
{
	JsonbValue	members[MEMBER_COUNT];
	Jsonb	   *dimensions;		/* NULL: none */
} UsageObject;

/* Columns of the result of read_usage(). */
enum
{
	COLUMN_ORDINAL,
	COLUMN_ID,
	COLUMN_ACCOUNT,
	COLUMN_METER,
	COLUMN_KEY,
	COLUMN_CONSUMED,
	COLUMN_RESOURCE,
	COLUMN_DIMENSIONS,
	COLUMN_REASON,
	COLUMN_DETAIL,
	COLUMN_SAMPLE_TYPE,
	COLUMN_COUNT
};

static bool
is_object(const JsonbValue *value)
{
	return value->type == jbvBinary && JsonContainerIsObject(value->val.binary.data);
}

static UsageText
text_of(const JsonbValue *value)
{
	UsageText	result = {NULL, 0};

	if (value->type == jbvString)
	{
		result.data = value->val.string.val;
		result.length = value->val.string.len;
	}
	return result;
}

static bool
text_equals(const JsonbValue *value, const char *expected)
{
	return value->type == jbvString && value->val.string.len == (int) strlen(expected) &&
		memcmp(value->val.string.val, expected, value->val.string.len) == 0;
}

/*
 * Finds a member by its name; MEMBER_COUNT when the list does not have it.
 */
static UsageMember
find_member(const MemberName *names, const JsonbValue *key)
{
	for (; names->name != NULL; names++)
		if (text_equals(key, names->name))
			break;
	return names->member;
}

/* ---- our own form ------------------------------------------------------ */

static bool
read_own_form(JsonbContainer *container, UsageObject *object, UsageProblem *problem)
{
	JsonbIterator *iterator = JsonbIteratorInit(container);
	JsonbIteratorToken token;
	JsonbValue	key;
	bool		known = true;

	while ((token = JsonbIteratorNext(&iterator, &key, true)) != WJB_DONE)
	{
		UsageMember member;

		if (token != WJB_KEY)
			continue;
		member = find_member(own_names, &key);
		if (member < MEMBER_COUNT)
			(void) JsonbIteratorNext(&iterator, &object->members[member], true);
		else if (known)			/* read on: the result row wants the id */
			known = usage_problem(problem, "unknown_member", "member %s is not known", usage_quote(text_of(&key)));
	}
	return known;
}

/* ---- CloudEvents ------------------------------------------------------- */

/*
 * Adds the members of an object to the dimensions that are being built.
 */
static void
push_members(JsonbParseState **state, JsonbContainer *container)
{
	JsonbIterator *iterator = JsonbIteratorInit(container);
	JsonbIteratorToken token;
	JsonbValue	value;

	while ((token = JsonbIteratorNext(&iterator, &value, true)) != WJB_DONE)
		if (token == WJB_KEY || token == WJB_VALUE)
			(void) pushJsonbValue(state, token, &value);
}

/*
 * Reads the data of an event.  What is not one of ours there is a dimension;
 * members of data.dimensions come last, so that they win over equal names.
 */
static void
read_event_data(JsonbContainer *data, UsageObject *object)
{
	JsonbIterator *iterator = JsonbIteratorInit(data);
	JsonbIteratorToken token;
	JsonbValue	key;
	JsonbValue	value;
	JsonbParseState *state = NULL;
	JsonbValue *further;

	(void) pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	while ((token = JsonbIteratorNext(&iterator, &key, true)) != WJB_DONE)
	{
		UsageMember member;

		if (token != WJB_KEY)
			continue;
		(void) JsonbIteratorNext(&iterator, &value, true);
		member = find_member(event_data_names, &key);
		if (member < MEMBER_COUNT)
			object->members[member] = value;
		else
		{
			(void) pushJsonbValue(&state, WJB_KEY, &key);
			(void) pushJsonbValue(&state, WJB_VALUE, &value);
		}
	}
	if (is_object(&object->members[MEMBER_DIMENSIONS]))
		push_members(&state, object->members[MEMBER_DIMENSIONS].val.binary.data);
	else if (object->members[MEMBER_DIMENSIONS].type != jbvNull)
		return;					/* refused later, as it stands */
	further = pushJsonbValue(&state, WJB_END_OBJECT, NULL);
	object->dimensions = JsonbValueToJsonb(further);
}

/*
 * Reads a CloudEvent: type is the meter, subject the account.  An interval in
 * the data counts for more than the time of the event.
 */
static bool
read_event(JsonbContainer *container, const JsonbValue *version, UsageObject *object, UsageProblem *problem)
{
	JsonbValue	data;

	for (const MemberName *name = event_names; name->name != NULL; name++)
		if (getKeyJsonValueFromContainer(container, name->name, strlen(name->name), &object->members[name->member]) == NULL)
			object->members[name->member].type = jbvNull;
	if (!text_equals(version, "1.0"))
		return usage_problem(problem, "bad_event", "specversion is not \"1.0\"");
	if (getKeyJsonValueFromContainer(container, "data", 4, &data) == NULL || !is_object(&data))
		return usage_problem(problem, "bad_event", "the event has no data that is a JSON object");
	read_event_data(data.val.binary.data, object);
	if (object->members[MEMBER_START].type != jbvNull || object->members[MEMBER_END].type != jbvNull)
		object->members[MEMBER_AT].type = jbvNull;
	return true;
}

/* ---- both -------------------------------------------------------------- */

/*
 * Members that are text must be JSON strings.
 */
static bool
check_strings(const UsageObject *object, UsageProblem *problem)
{
	for (const MemberName *name = own_names; name->name != NULL; name++)
	{
		enum jbvType type = object->members[name->member].type;

		if (name->member != MEMBER_QUANTITY && name->member != MEMBER_DIMENSIONS &&
			type != jbvString && type != jbvNull)
			return usage_problem(problem, "bad_member", "%s is not a string", name->name);
	}
	return true;
}

/*
 * A sample says whether it is a level (gauge), an amount since the last one
 * (delta), or the reading of a counter (cumulative): words of Ceilometer.
 */
static bool
check_sample_type(const UsageObject *object, UsageProblem *problem)
{
	const JsonbValue *type = &object->members[MEMBER_SAMPLE_TYPE];

	if (type->type == jbvNull || text_equals(type, "gauge") || text_equals(type, "delta") || text_equals(type, "cumulative"))
		return true;
	return usage_problem(problem, "bad_member", "sample_type is none of gauge, delta and cumulative");
}

static bool
read_times(const UsageObject *object, UsageInterval *consumed, UsageProblem *problem)
{
	UsageText	at = text_of(&object->members[MEMBER_AT]);
	UsageText	start = text_of(&object->members[MEMBER_START]);
	UsageText	end = text_of(&object->members[MEMBER_END]);

	if (at.data != NULL && (start.data != NULL || end.data != NULL))
		return usage_problem(problem, "bad_member", "there is a time (at) as well as an interval (start, end)");
	if (at.data == NULL && start.data == NULL && end.data != NULL)
		return usage_problem(problem, "missing_member", "start is missing");
	if (start.data != NULL && end.data == NULL)
		return usage_problem(problem, "missing_member", "end is missing");
	return usage_read_span(start, at.data != NULL ? at : end, consumed, problem);
}

static bool
read_quantity(const UsageObject *object, Fixed *quantity, UsageProblem *problem)
{
	const JsonbValue *value = &object->members[MEMBER_QUANTITY];

	if (value->type == jbvNumeric)
		return usage_read_number(value->val.numeric, quantity, problem);
	if (value->type == jbvString || value->type == jbvNull)
		return usage_read_quantity(text_of(value), quantity, problem);
	return usage_problem(problem, "bad_quantity", "quantity is neither a number nor a string");
}

/*
 * Dimensions as a value of their own, unless the event's reader made one.
 */
static bool
read_dimensions(UsageObject *object, UsageProblem *problem)
{
	JsonbValue *value = &object->members[MEMBER_DIMENSIONS];

	if (object->dimensions == NULL)
	{
		if (value->type == jbvNull)
			return true;
		if (!is_object(value))
			return usage_problem(problem, "bad_dimensions", "dimensions are not a JSON object");
		object->dimensions = JsonbValueToJsonb(value);
	}
	if (!usage_check_dimensions(object->dimensions, problem))
		return false;
	if (JB_ROOT_COUNT(object->dimensions) == 0)
		object->dimensions = NULL;
	return true;
}

static bool
read_members(JsonbValue *element, UsageObject *object, UsageProblem *problem)
{
	JsonbContainer *container;
	JsonbValue	version;

	for (int i = 0; i < MEMBER_COUNT; i++)
		object->members[i].type = jbvNull;
	object->dimensions = NULL;
	if (!is_object(element))
		return usage_problem(problem, "not_an_object", "usage is not a JSON object");
	container = element->val.binary.data;
	if (getKeyJsonValueFromContainer(container, "specversion", strlen("specversion"), &version) != NULL)
		return read_event(container, &version, object, problem);
	return read_own_form(container, object, problem);
}

/*
 * Checks a fact whose members are known, and says what it says.
 */
static bool
read_fact(UsageObject *object, UsageFact *fact, UsageProblem *problem)
{
	UsageText	source = text_of(&object->members[MEMBER_SOURCE]);
	UsageInterval consumed;
	Fixed		quantity;

	fact->id = text_of(&object->members[MEMBER_ID]);
	fact->account = text_of(&object->members[MEMBER_ACCOUNT]);
	fact->meter = text_of(&object->members[MEMBER_METER]);
	fact->resource = text_of(&object->members[MEMBER_RESOURCE]);
	fact->sample_type = text_of(&object->members[MEMBER_SAMPLE_TYPE]);
	if (source.length == 0)
		source.data = NULL;
	if (fact->resource.length == 0)
		fact->resource.data = NULL;
	if (!check_strings(object, problem) ||
		!check_sample_type(object, problem) ||
		!usage_check_name(source, "source", false, problem) ||
		!usage_check_name(fact->id, "id", true, problem) ||
		!usage_check_name(fact->account, "account", true, problem) ||
		!usage_check_name(fact->meter, "meter", true, problem) ||
		!read_times(object, &consumed, problem) ||
		!read_quantity(object, &quantity, problem) ||
		!usage_check_name(fact->resource, "resource", false, problem) ||
		!read_dimensions(object, problem))
		return false;
	fact->key = palloc(sizeof(pg_uuid_t));
	usage_key_compute(source, fact->id, fact->key);
	fact->consumed = usage_interval_new(consumed.start, consumed.end, quantity);
	fact->dimensions = object->dimensions;
	return true;
}

/* The outermost object of a value, as an element of an array would be. */
static JsonbValue
root_element(Jsonb *input)
{
	JsonbValue	element;

	element.type = jbvBinary;
	element.val.binary.data = &input->root;
	element.val.binary.len = VARSIZE(input) - VARHDRSZ;
	return element;
}

/*
 * Reads a value that is one object in our own form or a CloudEvent; false when
 * it is anything else, or breaks a rule.
 */
bool
usage_read_object(Jsonb *input, UsageFact *fact)
{
	JsonbValue	element = root_element(input);
	UsageObject object;

	return JB_ROOT_IS_OBJECT(input) && read_members(&element, &object, NULL) && read_fact(&object, fact, NULL);
}

/* ---- rows -------------------------------------------------------------- */

/* Puts a text into a column of the result, if it is there. */
static void
put_text(UsageText text, int column, Datum *values, bool *nulls)
{
	nulls[column] = text.data == NULL;
	if (text.data != NULL)
		values[column] = PointerGetDatum(cstring_to_text_with_len(text.data, text.length));
}

/* Fills the columns that only a sound fact has. */
static void
put_fact(const UsageFact *fact, Datum *values, bool *nulls)
{
	values[COLUMN_KEY] = UUIDPGetDatum(fact->key);
	values[COLUMN_CONSUMED] = PointerGetDatum(fact->consumed);
	nulls[COLUMN_KEY] = nulls[COLUMN_CONSUMED] = false;
	put_text(fact->resource, COLUMN_RESOURCE, values, nulls);
	put_text(fact->sample_type, COLUMN_SAMPLE_TYPE, values, nulls);
	nulls[COLUMN_DIMENSIONS] = fact->dimensions == NULL;
	values[COLUMN_DIMENSIONS] = PointerGetDatum(fact->dimensions);
}

/*
 * Appends the row of one element to the result.
 */
static void
put_element(ReturnSetInfo *result, int ordinal, JsonbValue *element)
{
	UsageObject object;
	UsageFact	fact;
	UsageProblem problem = {NULL, NULL};
	Datum		values[COLUMN_COUNT];
	bool		nulls[COLUMN_COUNT];
	bool		sound;

	memset(nulls, true, sizeof(nulls));
	sound = read_members(element, &object, &problem);
	values[COLUMN_ORDINAL] = Int32GetDatum(ordinal);
	nulls[COLUMN_ORDINAL] = false;
	put_text(text_of(&object.members[MEMBER_ID]), COLUMN_ID, values, nulls);
	put_text(text_of(&object.members[MEMBER_ACCOUNT]), COLUMN_ACCOUNT, values, nulls);
	put_text(text_of(&object.members[MEMBER_METER]), COLUMN_METER, values, nulls);
	if (sound && read_fact(&object, &fact, &problem))
		put_fact(&fact, values, nulls);
	else
	{
		values[COLUMN_REASON] = CStringGetTextDatum(problem.reason);
		values[COLUMN_DETAIL] = CStringGetTextDatum(problem.detail);
		nulls[COLUMN_REASON] = nulls[COLUMN_DETAIL] = false;
	}
	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

/*
 * read_usage(jsonb) returns a row for the object, or for each element of the
 * array, in order: what it says, or what is wrong with it.  Raises 22023 when
 * the argument is neither object nor array.
 */
Datum
read_usage(PG_FUNCTION_ARGS)
{
	Jsonb	   *input = PG_GETARG_JSONB_P(0);
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	MemoryContext per_element;
	MemoryContext caller;
	JsonbIterator *iterator;
	JsonbIteratorToken token;
	JsonbValue	element;
	int			ordinal = 0;

	if (JB_ROOT_IS_SCALAR(input))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("usage must be a JSON object or an array of objects")));
	InitMaterializedSRF(fcinfo, 0);
	per_element = AllocSetContextCreate(CurrentMemoryContext, "usage element", ALLOCSET_DEFAULT_SIZES);
	caller = MemoryContextSwitchTo(per_element);
	if (JB_ROOT_IS_OBJECT(input))
	{
		element = root_element(input);
		put_element(result, ordinal, &element);
		MemoryContextSwitchTo(caller);
		return (Datum) 0;
	}

	MemoryContextSwitchTo(caller);
	iterator = JsonbIteratorInit(&input->root);
	while ((token = JsonbIteratorNext(&iterator, &element, true)) != WJB_DONE)
	{
		if (token != WJB_ELEM)
			continue;
		CHECK_FOR_INTERRUPTS();
		MemoryContextSwitchTo(per_element);
		put_element(result, ordinal++, &element);
		MemoryContextSwitchTo(caller);
		MemoryContextReset(per_element);
	}
	return (Datum) 0;
}

/*
 * Whether an element is in none of the forms that read_usage() takes: ours
 * names an account, a CloudEvent its version.  A state stands for a quantity.
 */
static bool
is_other_form(JsonbContainer *container)
{
	JsonbValue	member;

	if (!JsonContainerIsObject(container))
		return false;
	if (getKeyJsonValueFromContainer(container, "account", strlen("account"), &member) != NULL)
		return getKeyJsonValueFromContainer(container, "state", strlen("state"), &member) != NULL;
	return getKeyJsonValueFromContainer(container, "specversion", strlen("specversion"), &member) == NULL;
}

/*
 * usage_in_other_form(jsonb) says whether an object, or any element of an
 * array, may be in the form of another system, so that usage in our own form
 * pays next to nothing for those.
 */
Datum
usage_in_other_form(PG_FUNCTION_ARGS)
{
	Jsonb	   *input = PG_GETARG_JSONB_P(0);

	if (JB_ROOT_IS_OBJECT(input))
		PG_RETURN_BOOL(is_other_form(&input->root));
	if (JB_ROOT_IS_SCALAR(input))
		PG_RETURN_BOOL(false);
	for (uint32 i = 0; i < JB_ROOT_COUNT(input); i++)
	{
		JsonbValue *element = getIthJsonbValueFromContainer(&input->root, i);
		bool		found = is_object(element) && is_other_form(element->val.binary.data);

		pfree(element);
		if (found)
			PG_RETURN_BOOL(true);
	}
	PG_RETURN_BOOL(false);
}
