/*-------------------------------------------------------------------------
 *
 * usage_lookup.c
 *	  A single fact with its names looked up: what a call that records one
 *	  object needs before it inserts.
 *
 * Single calls are many and short, and most of a short statement is its
 * preparation: a join of six tables takes longer to set up than to run.  So
 * the rows are fetched here by the indexes of their keys, as the server
 * fetches rows of catalogs.  Tables, columns and indexes are found by name.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/stratnum.h"
#include "access/table.h"
#include "catalog/namespace.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "ledger/ledger_lock.h"
#include "metering/usage_fact.h"

PG_FUNCTION_INFO_V1(recordable_usage);

/* Facts that last longer are cut into parts, which is not done here. */
#define LONGEST_PART (INT64CONST(31) * USECS_PER_DAY)

/* A condition on a column; value has its type. */
typedef struct Condition
{
	const char *column;
	RegProcedure operator;
	Datum		value;
} Condition;

/* A table of the ledger and the index whose first columns the conditions are about. */
typedef struct Place
{
	const char *table;
	const char *index;			/* NULL: the table has one row */
} Place;

static const Place account_by_key = {"account", "account_key_key"};
static const Place closing_by_account = {"account_setting", "account_setting_closed"};
static const Place item_by_key = {"item", "item_kind_key_key"};
static const Place resource_by_key = {"resource", "resource_account_id_key_key"};
static const Place load_by_recorder = {"usage_load", "usage_load_recorder"};
static const Place ledger_state = {"ledger_state", NULL};

/* Columns of the result of recordable_usage(). */
enum
{
	COLUMN_ID,
	COLUMN_ACCOUNT,
	COLUMN_METER,
	COLUMN_KEY,
	COLUMN_PAYLOAD,
	COLUMN_CONSUMED,
	COLUMN_RESOURCE,
	COLUMN_DIMENSIONS,
	COLUMN_LOAD,
	COLUMN_RECORDED_AT,
	COLUMN_COUNT
};

/* Oid of a table of schema billing. */
static Oid
table_id(const char *name)
{
	Oid			result = get_relname_relid(name, get_namespace_oid("billing", false));

	if (!OidIsValid(result))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("relation \"billing.%s\" does not exist", name),
				 errhint("Make the ledger with CALL billing.create_ledger().")));
	return result;
}

/* Oid of its index; none when somebody has dropped or renamed it, and the table itself is read. */
static Oid
index_id(const Place *place)
{
	return place->index == NULL ? InvalidOid :
		get_relname_relid(place->index, get_namespace_oid("billing", false));
}

/*
 * A condition as the scan wants it.
 */
static void
put_scan_key(ScanKey key, TupleDesc columns, Oid table, const Condition *condition)
{
	AttrNumber	column = get_attnum(table, condition->column);

	if (column == InvalidAttrNumber)
		elog(ERROR, "column \"%s\" of relation %u does not exist", condition->column, table);
	ScanKeyEntryInitialize(key, 0, column,
						   condition->operator == F_TIMESTAMPTZ_GE ? BTGreaterEqualStrategyNumber : BTEqualStrategyNumber,
						   InvalidOid, TupleDescAttr(columns, column - 1)->attcollation,
						   condition->operator, condition->value);
}

/*
 * A column, passed by value and never null, of the first row that meets the
 * conditions; false when there is no row.  Where an index holds but some of
 * the rows and is not there, the others are found as well: see closed accounts.
 */
static bool
look_up(const Place *place, const Condition *conditions, int count, const char *column, Datum *result)
{
	Oid			table = table_id(place->table);
	Oid			index = index_id(place);
	Relation	relation = table_open(table, AccessShareLock);
	TupleDesc	columns = RelationGetDescr(relation);
	ScanKeyData keys[3];
	SysScanDesc scan;
	HeapTuple	row;
	bool		found;
	bool		is_null;

	Assert(count <= (int) lengthof(keys));
	for (int i = 0; i < count; i++)
		put_scan_key(&keys[i], columns, table, &conditions[i]);
	scan = systable_beginscan(relation, index, OidIsValid(index), GetActiveSnapshot(), count, keys);
	row = systable_getnext(scan);
	found = HeapTupleIsValid(row);
	if (found)
		*result = heap_getattr(row, get_attnum(table, column), columns, &is_null);
	systable_endscan(scan);
	table_close(relation, AccessShareLock);
	return found;
}

static Datum
text_datum(UsageText text)
{
	return PointerGetDatum(cstring_to_text_with_len(text.data, text.length));
}

/*
 * Account, meter and resource of a fact; false when one is not known, or the
 * account is or was closed and its days have to be looked at.  Without the
 * index of closings any setting of the account counts as one.
 */
static bool
look_up_names(const UsageFact *fact, Datum *values, bool *nulls)
{
	Condition	account = {"key", F_TEXTEQ, text_datum(fact->account)};
	Condition	meter[] = {{"kind", F_TEXTEQ, CStringGetTextDatum("meter")}, {"key", F_TEXTEQ, text_datum(fact->meter)}};
	Condition	of_account[] = {{"account_id", F_INT8EQ, 0}, {"key", F_TEXTEQ, 0}};
	Datum		closing;

	if (!look_up(&account_by_key, &account, 1, "account_id", &values[COLUMN_ACCOUNT]) ||
		!look_up(&item_by_key, meter, 2, "item_id", &values[COLUMN_METER]))
		return false;
	of_account[0].value = values[COLUMN_ACCOUNT];
	nulls[COLUMN_RESOURCE] = fact->resource.data == NULL;
	if (fact->resource.data != NULL)
	{
		of_account[1].value = text_datum(fact->resource);
		if (!look_up(&resource_by_key, of_account, 2, "resource_id", &values[COLUMN_RESOURCE]))
			return false;
	}
	return !look_up(&closing_by_account, of_account, 1, "setting_no", &closing);
}

/*
 * The load under which the single calls of this user and day (UTC) are filed;
 * false when this is the first of them.
 */
static bool
look_up_load(TimestampTz recorded_at, Datum *load)
{
	Condition	conditions[] = {
		{"recorded_by", F_TEXTEQ, CStringGetTextDatum(GetUserNameFromId(GetSessionUserId(), false))},
		{"source", F_TEXTEQ, CStringGetTextDatum("record_usage")},
		{"recorded_at", F_TIMESTAMPTZ_GE, TimestampTzGetDatum((TimestampTz) usage_utc_day(recorded_at) * USECS_PER_DAY)}
	};

	return look_up(&load_by_recorder, conditions, 3, "load_id", load);
}

/*
 * recordable_usage(usage jsonb, ledger_version text) returns what
 * record_usage() inserts for one object, or null when there is more to do than
 * two insertions: the ledger has another version, the object breaks a rule, a
 * name is not known, an account is or was closed, the fact is a sample or
 * lasts longer than a month, it is the first of its day.  Gives the
 * transaction its stamp.
 */
Datum
recordable_usage(PG_FUNCTION_ARGS)
{
	Datum		values[COLUMN_COUNT];
	bool		nulls[COLUMN_COUNT] = {false};
	Condition	version = {"ledger_version", F_TEXTEQ, PG_GETARG_DATUM(1)};
	UsageFact	fact;
	Datum		watermark;
	TimestampTz recorded_at;
	TupleDesc	columns;

	if (!usage_read_object(PG_GETARG_JSONB_P(0), &fact) || fact.sample_type.data != NULL ||
		fact.consumed->end - fact.consumed->start > LONGEST_PART ||
		!look_up(&ledger_state, &version, 1, "last_watermark", &watermark))
		PG_RETURN_NULL();
	recorded_at = stamp_after(DatumGetTimestampTz(watermark));
	if (!look_up_names(&fact, values, nulls) || !look_up_load(recorded_at, &values[COLUMN_LOAD]))
		PG_RETURN_NULL();
	values[COLUMN_ID] = text_datum(fact.id);
	values[COLUMN_KEY] = UUIDPGetDatum(fact.key);
	values[COLUMN_PAYLOAD] = Int64GetDatum(usage_payload_compute(DatumGetInt32(values[COLUMN_METER]), fact.consumed, fact.resource, fact.dimensions));
	values[COLUMN_CONSUMED] = PointerGetDatum(fact.consumed);
	values[COLUMN_DIMENSIONS] = PointerGetDatum(fact.dimensions);
	nulls[COLUMN_DIMENSIONS] = fact.dimensions == NULL;
	values[COLUMN_RECORDED_AT] = TimestampTzGetDatum(recorded_at);
	if (get_call_result_type(fcinfo, NULL, &columns) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(columns), values, nulls)));
}
