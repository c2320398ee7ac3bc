/*-------------------------------------------------------------------------
 *
 * outbox.c
 *	  The database's side of the worker: calls of the functions worker_… of
 *	  the ledger.  Everything here runs inside a transaction with SPI at hand.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xlog.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

#include "worker/worker.h"

/* A column of the row that SPI has returned. */
typedef struct Row
{
	HeapTuple	tuple;
	TupleDesc	descriptor;
} Row;

static Row
row_at(uint64 number)
{
	Row			row = {SPI_tuptable->vals[number], SPI_tuptable->tupdesc};

	return row;
}

/* Number of a column; the ledger is of a protocol that has it. */
static int
column(Row row, const char *name)
{
	int			number = SPI_fnumber(row.descriptor, name);

	if (number <= 0)
		elog(ERROR, "the ledger returned no column \"%s\"", name);
	return number;
}

static Datum
value(Row row, const char *name, bool *is_null)
{
	return SPI_getbinval(row.tuple, row.descriptor, column(row, name), is_null);
}

static int64
value_int8(Row row, const char *name)
{
	bool		is_null;
	Datum		datum = value(row, name, &is_null);

	return is_null ? 0 : DatumGetInt64(datum);
}

static int
value_int4(Row row, const char *name)
{
	bool		is_null;
	Datum		datum = value(row, name, &is_null);

	return is_null ? 0 : DatumGetInt32(datum);
}

static bool
value_bool(Row row, const char *name)
{
	bool		is_null;
	Datum		datum = value(row, name, &is_null);

	return !is_null && DatumGetBool(datum);
}

/* Text in the current memory context; NULL for null. */
static char *
value_text(Row row, const char *name)
{
	bool		is_null;
	Datum		datum = value(row, name, &is_null);

	return is_null ? NULL : TextDatumGetCString(datum);
}

/* A copy of a jsonb, not toasted, in the current memory context; 0 for null. */
static Datum
value_jsonb(Row row, const char *name)
{
	bool		is_null;
	Datum		datum = value(row, name, &is_null);

	return is_null ? (Datum) 0 : PointerGetDatum(DatumGetJsonbPCopy(datum));
}

/* The elements of a text[] that has no nulls. */
static List *
value_texts(Row row, const char *name)
{
	bool		is_null;
	Datum		datum = value(row, name, &is_null);
	List	   *texts = NIL;
	Datum	   *elements;
	int			count;

	if (is_null)
		return NIL;
	deconstruct_array(DatumGetArrayTypeP(datum), TEXTOID, -1, false, TYPALIGN_INT, &elements, NULL, &count);
	for (int i = 0; i < count; i++)
		texts = lappend(texts, TextDatumGetCString(elements[i]));
	return texts;
}

/* A prepared statement that is kept for the life of the process. */
static SPIPlanPtr
keep_plan(SPIPlanPtr *plan, const char *statement, int count, Oid *types)
{
	if (*plan == NULL)
	{
		SPIPlanPtr	prepared = SPI_prepare(statement, count, types);

		if (prepared == NULL || SPI_keepplan(prepared) != 0)
			elog(ERROR, "could not prepare \"%s\"", statement);
		*plan = prepared;
	}
	return *plan;
}

static void
execute(SPIPlanPtr plan, Datum *arguments, const char *nulls)
{
	int			result = SPI_execute_plan(plan, arguments, nulls, false, 0);

	if (result != SPI_OK_SELECT)
		elog(ERROR, "SPI_execute_plan returned %d", result);
}

static Datum
make_array(Datum *elements, bool *nulls, int count, Oid type)
{
	int16		length;
	bool		by_value;
	char		alignment;
	int			lower = 1;

	get_typlenbyvalalign(type, &length, &by_value, &alignment);
	return PointerGetDatum(construct_md_array(elements, nulls, 1, &count, &lower, type, length, by_value, alignment));
}

/* Whether this database has a ledger that this library works with; *protocol is that of the ledger. */
LedgerState
outbox_ledger_state(int *protocol)
{
	static const char *const find =
		"SELECT EXISTS (SELECT FROM pg_catalog.pg_proc AS p JOIN pg_catalog.pg_namespace AS n ON n.oid = p.pronamespace"
		" WHERE n.nspname = 'billing' AND p.proname = 'worker_protocol' AND pg_catalog.has_schema_privilege(n.oid, 'USAGE')"
		" AND pg_catalog.has_function_privilege(p.oid, 'EXECUTE')) AS found";
	Row			row;

	*protocol = 0;
	if (SPI_execute(find, true, 1) != SPI_OK_SELECT || SPI_processed != 1)
		elog(ERROR, "could not look for the ledger");
	row = row_at(0);
	if (!value_bool(row, "found"))
		return LEDGER_MISSING;
	if (SPI_execute("SELECT billing.worker_protocol() AS protocol", true, 1) != SPI_OK_SELECT || SPI_processed != 1)
		elog(ERROR, "could not read the ledger's protocol");
	row = row_at(0);
	*protocol = value_int4(row, "protocol");
	return *protocol == WORKER_PROTOCOL ? LEDGER_READY : LEDGER_UNKNOWN_PROTOCOL;
}

/*
 * Has the ledger compare this server with the one that delivered last: after
 * a promotion or in a copy nobody knows what that one has sent since.  Returns
 * of how many messages that is so.
 */
int64
outbox_note_origin(void)
{
	static SPIPlanPtr plan = NULL;
	Oid			types[] = {INT8OID, INT4OID};
	Datum		arguments[] = {Int64GetDatum((int64) GetSystemIdentifier()), Int32GetDatum((int32) GetWALInsertionTimeLine())};

	execute(keep_plan(&plan, "SELECT billing.worker_note_origin($1, $2) AS uncertain", 2, types), arguments, NULL);
	return value_int8(row_at(0), "uncertain");
}

/* One endpoint, in a memory context of its own. */
static Endpoint *
read_endpoint(Row row)
{
	MemoryContext context = AllocSetContextCreate(TopMemoryContext, "billing endpoint", ALLOCSET_SMALL_SIZES);
	MemoryContext former = MemoryContextSwitchTo(context);
	Endpoint   *endpoint = palloc0(sizeof(Endpoint));
	bool		is_null;
	Datum		paused_until;

	endpoint->context = context;
	endpoint->secret_context = AllocSetContextCreate(context, "billing secrets", ALLOCSET_SMALL_SIZES);
	endpoint->server_id = DatumGetObjectId(value(row, "server_id", &is_null));
	endpoint->name = value_text(row, "endpoint");
	endpoint->url = value_text(row, "url");
	endpoint->connector = value_text(row, "connector");
	endpoint->options = value_jsonb(row, "options");
	endpoint->secret_headers = value_texts(row, "secret_headers");
	endpoint->ca_file = value_text(row, "ca_file");
	endpoint->proxy = value_text(row, "proxy");
	endpoint->allow_private = value_bool(row, "allow_private");
	endpoint->timeout = value_int8(row, "timeout");
	endpoint->connect_timeout = value_int8(row, "connect_timeout");
	endpoint->max_body = value_int4(row, "max_body");
	endpoint->microseconds_a_request = value_int8(row, "microseconds_a_request");
	endpoint->max_parallel = value_int4(row, "max_parallel");
	endpoint->connector_timeout = value_int8(row, "connector_timeout");
	endpoint->max_attempts = value_int4(row, "max_attempts");
	endpoint->retry_delay = value_int8(row, "retry_delay");
	endpoint->retry_limit = value_int8(row, "retry_limit");
	endpoint->breaker_failures = value_int4(row, "breaker_failures");
	endpoint->breaker_pause = value_int8(row, "breaker_pause");
	endpoint->failures = value_int4(row, "failures");
	paused_until = value(row, "paused_until", &is_null);
	endpoint->paused_until = is_null ? 0 : DatumGetTimestampTz(paused_until);
	endpoint->asked_to_wait = endpoint->failures < endpoint->breaker_failures;
	endpoint->may_have_more = true;
	MemoryContextSwitchTo(former);
	return endpoint;
}

/* All endpoints, Endpoint *. */
List *
outbox_read_endpoints(void)
{
	static SPIPlanPtr plan = NULL;
	List	   *endpoints = NIL;

	execute(keep_plan(&plan, "SELECT * FROM billing.worker_endpoints()", 0, NULL), NULL, NULL);
	for (uint64 i = 0; i < SPI_processed; i++)
		endpoints = lappend(endpoints, read_endpoint(row_at(i)));
	return endpoints;
}

/* A message that was claimed, in a memory context of its own. */
static Delivery *
read_delivery(Row row, Endpoint *endpoint)
{
	MemoryContext context = AllocSetContextCreate(TopMemoryContext, "billing delivery", ALLOCSET_SMALL_SIZES);
	MemoryContext former = MemoryContextSwitchTo(context);
	Delivery   *delivery = palloc0(sizeof(Delivery));

	delivery->context = context;
	delivery->step_context = AllocSetContextCreate(context, "billing request", ALLOCSET_SMALL_SIZES);
	delivery->endpoint = endpoint;
	delivery->message_id = value_int8(row, "message_id");
	delivery->kind = value_text(row, "kind");
	delivery->payload = value_jsonb(row, "payload");
	delivery->idempotency_key = value_text(row, "idempotency_key");
	delivery->ordering_key = value_text(row, "ordering_key");
	delivery->attempt = value_int4(row, "attempts") + 1;
	delivery->excused = value_int4(row, "excused");
	delivery->max_attempts = value_int4(row, "max_attempts");
	delivery->progress = value_jsonb(row, "progress");
	delivery->uncertain = value_bool(row, "uncertain");
	delivery->begun = true;
	MemoryContextSwitchTo(former);
	return delivery;
}

/*
 * outbox_claim(endpoints, free, modes, ask_again) -> Delivery *
 *	  Up to free[i] messages of the i-th endpoint, locked until the transaction
 *	  ends.  *ask_again: there may be more than this look has found.
 */
List *
outbox_claim(List *endpoints, const int *free, const ClaimMode *modes, bool *ask_again)
{
	static const char *const mode_names[] = {"all", "fewest attempts", "tests"};
	static SPIPlanPtr plan = NULL;
	Oid			types[] = {TEXTARRAYOID, INT4ARRAYOID, TEXTARRAYOID};
	int			count = list_length(endpoints);
	Datum	   *names = palloc(sizeof(Datum) * count);
	Datum	   *numbers = palloc(sizeof(Datum) * count);
	Datum	   *ways = palloc(sizeof(Datum) * count);
	Datum		arguments[3];
	List	   *deliveries = NIL;

	*ask_again = false;
	for (int i = 0; i < count; i++)
	{
		names[i] = CStringGetTextDatum(((Endpoint *) list_nth(endpoints, i))->name);
		numbers[i] = Int32GetDatum(free[i]);
		ways[i] = CStringGetTextDatum(mode_names[modes[i]]);
	}
	arguments[0] = make_array(names, NULL, count, TEXTOID);
	arguments[1] = make_array(numbers, NULL, count, INT4OID);
	arguments[2] = make_array(ways, NULL, count, TEXTOID);
	execute(keep_plan(&plan, "SELECT * FROM billing.worker_claim($1, $2, $3)", 3, types), arguments, NULL);
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		Row			row = row_at(i);
		char	   *name = value_text(row, "to_endpoint");

		if (name == NULL)
			*ask_again = true;
		else
			deliveries = lappend(deliveries, read_delivery(row, endpoint_by_name(name)));
	}
	return deliveries;
}

/* The columns of worker_record() */
enum
{
	RECORD_MESSAGE_ID, RECORD_STATE, RECORD_BEGUN, RECORD_EXCUSED, RECORD_PROGRESS, RECORD_UNSAFE, RECORD_UNCERTAIN, RECORD_NEXT_TRY_AT,
	RECORD_LEASE_UNTIL, RECORD_STATUS, RECORD_ANSWER, RECORD_REASON, RECORD_RESULT, RECORD_COLUMNS
};

static const Oid record_types[RECORD_COLUMNS] = {
	INT8OID, TEXTOID, BOOLOID, INT4OID, JSONBOID, BOOLOID, BOOLOID, TIMESTAMPTZOID, TIMESTAMPTZOID, INT4OID, TEXTOID, TEXTOID, JSONBOID
};

/* What an answer said, as far as it is kept: not of one that was fine. */
static char *
answer_excerpt(const Delivery *delivery)
{
	const Answer *answer = &delivery->answer;
	char	   *text;

	if (!delivery->has_answer || strcmp(delivery->state, "delivered") == 0 || strcmp(delivery->state, "sending") == 0 || answer->body == NULL)
		return NULL;
	text = secrets_redact(delivery->endpoint, answer->body, 2000);
	for (char *at = text; *at != '\0'; at++)
		if ((unsigned char) *at < ' ' || (unsigned char) *at > '~')
			*at = *at == '\n' ? '\n' : '?';
	return text;
}

static void
put(Datum *elements, bool *nulls, int row, bool is_null, Datum datum)
{
	elements[row] = datum;
	nulls[row] = is_null;
}

/* Puts one delivery into row number row of the columns. */
static void
put_delivery(Datum *elements[], bool *nulls[], int row, Delivery *delivery)
{
	bool		sending = strcmp(delivery->state, "sending") == 0;
	bool		uncertain = delivery->uncertain || (delivery->has_effects && strcmp(delivery->state, "delivered") != 0);
	char	   *excerpt = answer_excerpt(delivery);

#define PUT(column, is_null, datum) put(elements[column], nulls[column], row, (is_null), (is_null) ? (Datum) 0 : (datum))
	PUT(RECORD_MESSAGE_ID, false, Int64GetDatum(delivery->message_id));
	PUT(RECORD_STATE, false, CStringGetTextDatum(delivery->state));
	PUT(RECORD_BEGUN, false, BoolGetDatum(delivery->begun));
	PUT(RECORD_EXCUSED, false, Int32GetDatum(delivery->excused));
	PUT(RECORD_PROGRESS, delivery->new_progress == 0, delivery->new_progress);
	PUT(RECORD_UNSAFE, false, BoolGetDatum(sending && delivery->unsafe));
	PUT(RECORD_UNCERTAIN, false, BoolGetDatum(uncertain));
	PUT(RECORD_NEXT_TRY_AT, delivery->next_try_at == 0, TimestampTzGetDatum(delivery->next_try_at));
	PUT(RECORD_LEASE_UNTIL, !sending, TimestampTzGetDatum(delivery->lease_until));
	PUT(RECORD_STATUS, !delivery->has_answer || delivery->answer.status == 0, Int32GetDatum(delivery->answer.status));
	PUT(RECORD_ANSWER, excerpt == NULL, CStringGetTextDatum(excerpt));
	PUT(RECORD_REASON, delivery->reason == NULL, CStringGetTextDatum(delivery->reason));
	PUT(RECORD_RESULT, delivery->result == 0, delivery->result);
#undef PUT
}

/* Writes down what becomes of deliveries. */
void
outbox_record(List *deliveries)
{
	static SPIPlanPtr plan = NULL;
	Oid			types[RECORD_COLUMNS];
	Datum		arguments[RECORD_COLUMNS];
	Datum	   *elements[RECORD_COLUMNS];
	bool	   *nulls[RECORD_COLUMNS];
	int			count = list_length(deliveries);

	if (count == 0)
		return;
	for (int i = 0; i < RECORD_COLUMNS; i++)
	{
		types[i] = get_array_type(record_types[i]);
		elements[i] = palloc(sizeof(Datum) * count);
		nulls[i] = palloc(sizeof(bool) * count);
	}
	for (int row = 0; row < count; row++)
		put_delivery(elements, nulls, row, list_nth(deliveries, row));
	for (int i = 0; i < RECORD_COLUMNS; i++)
		arguments[i] = make_array(elements[i], nulls[i], count, record_types[i]);
	execute(keep_plan(&plan, "SELECT billing.worker_record($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)", RECORD_COLUMNS, types), arguments, NULL);
}

/* Housekeeping of the outbox; returns when there is something to do next, 0 = nothing is known of. */
TimestampTz
outbox_look_after(List *in_flight)
{
	static SPIPlanPtr plan = NULL;
	Oid			types[] = {INT8ARRAYOID};
	int			count = list_length(in_flight);
	Datum	   *numbers = palloc(sizeof(Datum) * Max(count, 1));
	Datum		arguments[1];
	bool		is_null;
	Datum		due;

	for (int i = 0; i < count; i++)
		numbers[i] = Int64GetDatum(((Delivery *) list_nth(in_flight, i))->message_id);
	arguments[0] = count == 0 ? PointerGetDatum(construct_empty_array(INT8OID)) : make_array(numbers, NULL, count, INT8OID);
	execute(keep_plan(&plan, "SELECT billing.worker_look_after($1) AS due", 1, types), arguments, NULL);
	due = value(row_at(0), "due", &is_null);
	return is_null ? 0 : DatumGetTimestampTz(due);
}

/* Deletes messages that are kept no longer; returns how many. */
int64
outbox_clean(int row_limit)
{
	static SPIPlanPtr plan = NULL;
	Oid			types[] = {INT4OID};
	Datum		arguments[] = {Int32GetDatum(row_limit)};

	execute(keep_plan(&plan, "SELECT billing.worker_clean($1) AS gone", 1, types), arguments, NULL);
	return value_int8(row_at(0), "gone");
}

/* Counts an attempt in which the call of the connector has ended the process. */
void
outbox_count_fatal_call(int64 message_id)
{
	static SPIPlanPtr plan = NULL;
	Oid			types[] = {INT8OID};
	Datum		arguments[] = {Int64GetDatum(message_id)};

	execute(keep_plan(&plan, "SELECT billing.worker_count_fatal_call($1)", 1, types), arguments, NULL);
}

/* Writes down how endpoints have answered, where that is news; that one still answers is told once a second. */
void
outbox_note(List *endpoints)
{
	static SPIPlanPtr plan = NULL;
	Oid			types[] = {TEXTARRAYOID, INT4ARRAYOID, TIMESTAMPTZARRAYOID, BOOLARRAYOID, TEXTARRAYOID};
	ListCell   *cell;

	foreach(cell, endpoints)
	{
		Endpoint   *endpoint = lfirst(cell);
		Datum		elements[5];
		bool		nulls[5] = {false};
		Datum		arguments[5];

		if (!endpoint->noted || (!endpoint->urgent && GetCurrentTimestamp() - endpoint->noted_at < INT64CONST(1000000)))
			continue;
		elements[0] = CStringGetTextDatum(endpoint->name);
		elements[1] = Int32GetDatum(endpoint->failures);
		elements[2] = TimestampTzGetDatum(endpoint->paused_until);
		nulls[2] = endpoint->paused_until == 0;
		elements[3] = BoolGetDatum(endpoint->succeeded);
		nulls[4] = endpoint->failure[0] == '\0';
		elements[4] = nulls[4] ? (Datum) 0 : CStringGetTextDatum(secrets_redact(endpoint, endpoint->failure, 200));
		for (int i = 0; i < 5; i++)
			arguments[i] = make_array(&elements[i], &nulls[i], 1, get_element_type(types[i]));
		execute(keep_plan(&plan, "SELECT billing.worker_note($1, $2, $3, $4, $5)", 5, types), arguments, NULL);
		endpoint->noted = endpoint->urgent = false;
		endpoint->noted_at = GetCurrentTimestamp();
		endpoint->succeeded = false;
		endpoint->failure[0] = '\0';
	}
}
