/*-------------------------------------------------------------------------
 *
 * connector.c
 *	  One call of a connector, the SQL function that turns a message into
 *	  requests and reads their answers.
 *
 * The call is a subtransaction: what fails takes nothing else with it.  What
 * the connector returns is judged here, since it may be anybody's function:
 * a malformed request or a missing step is a failure of that message.  So is
 * a constraint that was to be checked at the commit, where it would take the
 * whole turn along, and an end of the process, see journal.c.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/hsearch.h"
#include "utils/jsonb.h"
#include "utils/memutils.h"
#include "utils/resowner.h"
#include "utils/timeout.h"
#include "utils/varlena.h"

#include "module/server_version.h"
#include "worker/worker.h"

/* More requests than this in one attempt are an endless loop. */
#define MOST_STEPS 1000

/*
 * How long a connector may wait for a lock, after which it is called again a
 * moment later; and how long no connector of its endpoint is called then, so
 * that waiting takes a small part of the worker's time.  In milliseconds, but
 * for the setting.
 */
#define LOCK_TIMEOUT "20ms"
#define REST_AFTER_LOCK 200

/* A message that met a lock before anything was sent is tried again after this, without counting the attempt, in milliseconds. */
#define PAUSE_AFTER_LOCK 1000

/* An answer whose connector meets locks for longer than this is given up, in microseconds. */
#define LONGEST_HOLD INT64CONST(60000000)

/* Longest time a request may take, in milliseconds */
#define LONGEST_REQUEST INT64CONST(600000)

/* A lease is over so long after the request's own time, in milliseconds. */
#define LEASE_MARGIN 1000

#define LONGEST_REASON 1000

/* A connector's statement, by its name. */
typedef struct ConnectorPlan
{
	char		name[2 * NAMEDATALEN];
	SPIPlanPtr	plan;
} ConnectorPlan;

#define CALL_FORMAT \
	"SELECT s.action, s.progress, s.result, s.reason, billing.milliseconds(s.retry_after), (s.request).method, (s.request).path," \
	" CASE WHEN (s.request).headers IS NOT NULL THEN ARRAY(SELECT h.key OPERATOR(pg_catalog.||) ': '::pg_catalog.text OPERATOR(pg_catalog.||) h.value FROM pg_catalog.jsonb_each_text((s.request).headers) AS h) END," \
	" coalesce((s.request).raw_body, pg_catalog.convert_to((s.request).body, 'UTF8')), billing.milliseconds((s.request).timeout)" \
	" FROM %s(ROW($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)::billing.outgoing_message," \
	" CASE WHEN $12 THEN ROW($13, $14, $15, $16, $17, $18, $19, $20, $21)::billing.http_answer END) AS s"

#define ARGUMENTS 21

static Oid	argument_types[ARGUMENTS] = {
	INT8OID, TEXTOID, TEXTOID, JSONBOID, TEXTOID, TEXTOID, INT4OID, INT4OID, JSONBOID, BOOLOID, JSONBOID,
	BOOLOID, INT4OID, JSONBOID, TEXTOID, BYTEAOID, TEXTOID, TEXTOID, BOOLOID, INTERVALOID, INTERVALOID
};

/* Columns of CALL_FORMAT */
enum
{
	STEP_ACTION = 1, STEP_PROGRESS, STEP_RESULT, STEP_REASON, STEP_RETRY_AFTER, STEP_METHOD, STEP_PATH, STEP_HEADERS, STEP_BODY, STEP_TIMEOUT
};

/* ---- calling ---- */

/* The prepared call of a connector, "schema.name". */
static SPIPlanPtr
connector_plan(const char *name)
{
	static HTAB *plans = NULL;
	ConnectorPlan *entry;
	bool		found;
	List	   *parts;

	if (plans == NULL)
	{
		HASHCTL		control = {.keysize = 2 * NAMEDATALEN, .entrysize = sizeof(ConnectorPlan)};

		plans = hash_create("billing connectors", 16, &control, HASH_ELEM | HASH_STRINGS);
	}
	entry = hash_search(plans, name, HASH_ENTER, &found);
	if (!found)
		entry->plan = NULL;
	if (entry->plan == NULL)
	{
		SPIPlanPtr	plan;

		if (!SplitIdentifierString(pstrdup(name), '.', &parts) || list_length(parts) != 2)
			ereport(ERROR, (errcode(ERRCODE_INVALID_NAME), errmsg("connector \"%s\" is not named as schema.function", name)));
		plan = SPI_prepare(psprintf(CALL_FORMAT, quote_qualified_identifier(linitial(parts), lsecond(parts))), ARGUMENTS, argument_types);
		if (plan == NULL || SPI_keepplan(plan) != 0)
			elog(ERROR, "could not prepare the call of connector \"%s\"", name);
		entry->plan = plan;
	}
	return entry->plan;
}

static Datum
text_or_null(const char *text, char *null)
{
	*null = text == NULL ? 'n' : ' ';
	return text == NULL ? (Datum) 0 : CStringGetTextDatum(text);
}

static Datum
jsonb_or_null(Datum jsonb, char *null)
{
	*null = jsonb == 0 ? 'n' : ' ';
	return jsonb;
}

static Datum
interval_of(int64 microseconds)
{
	Interval   *interval = palloc0(sizeof(Interval));

	interval->time = microseconds;
	return IntervalPGetDatum(interval);
}

/* A string of a JSON object; bytes that are not printable ASCII, which no header field should have, become question marks. */
static JsonbValue
json_string(const char *bytes, size_t length)
{
	JsonbValue	string;

	string.type = jbvString;
	string.val.string.len = length;
	string.val.string.val = pnstrdup(bytes, length);
	for (size_t i = 0; i < length; i++)
		if ((unsigned char) bytes[i] < ' ' || (unsigned char) bytes[i] > '~')
			string.val.string.val[i] = '?';
	return string;
}

/* One header field of an answer */
typedef struct Field
{
	char	   *name;
	StringInfoData value;
} Field;

/* The field of that name in the list, made if it is not there. */
static Field *
find_field(List **fields, const char *name)
{
	ListCell   *cell;
	Field	   *field;

	foreach(cell, *fields)
		if (strcmp(((Field *) lfirst(cell))->name, name) == 0)
			return lfirst(cell);
	field = palloc(sizeof(Field));
	field->name = pstrdup(name);
	initStringInfo(&field->value);
	*fields = lappend(*fields, field);
	return field;
}

/* Takes a line "Name: value" into the list; a status line or an empty one is none. */
static void
take_header_line(List **fields, char *line)
{
	char	   *colon = strchr(line, ':');
	Field	   *field;

	if (colon == NULL || colon == line || strncmp(line, "HTTP/", 5) == 0)
		return;
	*colon++ = '\0';
	while (*colon == ' ' || *colon == '\t')
		colon++;
	for (char *at = line; *at != '\0'; at++)
		*at = pg_ascii_tolower((unsigned char) *at);
	field = find_field(fields, line);
	if (field->value.len > 0)
		appendStringInfoString(&field->value, ", ");
	appendStringInfoString(&field->value, colon);
}

/* The header fields of an answer as a JSON object. */
static Datum
headers_as_json(const Answer *answer)
{
	JsonbParseState *state = NULL;
	List	   *fields = NIL;
	ListCell   *cell;
	char	   *rest = NULL;
	char	   *copy = answer->headers == NULL ? pstrdup("") : pnstrdup(answer->headers, answer->headers_length);

	for (char *line = strtok_r(copy, "\r\n", &rest); line != NULL; line = strtok_r(NULL, "\r\n", &rest))
		take_header_line(&fields, line);
	pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	foreach(cell, fields)
	{
		Field	   *field = lfirst(cell);
		JsonbValue	name = json_string(field->name, strlen(field->name));
		JsonbValue	content = json_string(field->value.data, field->value.len);

		pushJsonbValue(&state, WJB_KEY, &name);
		pushJsonbValue(&state, WJB_VALUE, &content);
	}
	return JsonbPGetDatum(JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, NULL)));
}

/* The body as text of the database's encoding, or NULL when it is none. */
static char *
body_as_text(const Answer *answer)
{
	if (answer->body == NULL)
		return pstrdup("");
	if (memchr(answer->body, '\0', answer->body_length) != NULL ||
		!pg_verify_mbstr(PG_UTF8, answer->body, answer->body_length, true))
		return NULL;
	return pg_any_to_server(answer->body, answer->body_length, PG_UTF8);
}

static void
set_message_arguments(const Delivery *delivery, Datum *arguments, char *nulls)
{
	arguments[0] = Int64GetDatum(delivery->message_id);
	arguments[1] = text_or_null(delivery->endpoint->name, &nulls[1]);
	arguments[2] = text_or_null(delivery->kind, &nulls[2]);
	arguments[3] = jsonb_or_null(delivery->payload, &nulls[3]);
	arguments[4] = text_or_null(delivery->idempotency_key, &nulls[4]);
	arguments[5] = text_or_null(delivery->ordering_key, &nulls[5]);
	arguments[6] = Int32GetDatum(delivery->attempt);
	arguments[7] = Int32GetDatum(delivery->step);
	arguments[8] = jsonb_or_null(delivery->progress, &nulls[8]);
	arguments[9] = BoolGetDatum(delivery->uncertain);
	arguments[10] = jsonb_or_null(delivery->endpoint->options, &nulls[10]);
	arguments[11] = BoolGetDatum(delivery->has_answer);
}

static void
set_answer_arguments(const Delivery *delivery, Datum *arguments, char *nulls)
{
	const Answer *answer = &delivery->answer;
	char	   *text;

	if (!delivery->has_answer)
	{
		memset(nulls + 12, 'n', ARGUMENTS - 12);
		return;
	}
	text = body_as_text(answer);
	nulls[12] = answer->status == 0 ? 'n' : ' ';
	arguments[12] = Int32GetDatum(answer->status);
	arguments[13] = headers_as_json(answer);
	arguments[14] = text_or_null(text, &nulls[14]);
	nulls[15] = text != NULL ? 'n' : ' ';
	if (text == NULL)
		arguments[15] = PointerGetDatum(cstring_to_text_with_len(answer->body, answer->body_length));
	arguments[16] = text_or_null(answer->error, &nulls[16]);
	arguments[17] = text_or_null(answer->error == NULL ? NULL : secrets_redact(delivery->endpoint, answer->detail, sizeof(answer->detail)), &nulls[17]);
	arguments[18] = BoolGetDatum(answer->sent);
	nulls[19] = answer->retry_after < 0 ? 'n' : ' ';
	arguments[19] = nulls[19] == 'n' ? (Datum) 0 : interval_of(answer->retry_after * INT64CONST(1000000));
	arguments[20] = interval_of(answer->duration);
}

/* ---- reading the step ---- */

static char *
step_text(int column)
{
	bool		is_null;
	Datum		datum = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, column, &is_null);

	return is_null ? NULL : TextDatumGetCString(datum);
}

static int64
step_int8(int column)
{
	bool		is_null;
	Datum		datum = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, column, &is_null);

	return is_null ? 0 : DatumGetInt64(datum);
}

static Datum
step_jsonb(int column)
{
	bool		is_null;
	Datum		datum = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, column, &is_null);

	return is_null ? (Datum) 0 : PointerGetDatum(DatumGetJsonbPCopy(datum));
}

pg_noreturn static void bad_request(const char *what, const char *value);

static void
bad_request(const char *what, const char *value)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("the connector's request has a bad %s: \"%.200s\"", what, value == NULL ? "null" : value)));
}

/* Raises unless the text is printable ASCII, without spaces where they would end it. */
static void
check_line(const char *what, const char *text, char lowest)
{
	for (const char *at = text; *at != '\0'; at++)
		if (*at < lowest || *at > '~')
			bad_request(what, text);
}

/* Raises unless it is a header field that a connector may set. */
static void
check_header(const char *header)
{
	static const char *const ours[] = {"host", "content-length", "transfer-encoding", "connection", "expect", "upgrade", "te", "trailer"};
	const char *colon = strchr(header, ':');
	size_t		length = colon == NULL ? 0 : colon - header;

	if (length == 0 || strspn(header, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.!#$%&'*+^`|~") < length)
		bad_request("header field", header);
	check_line("header field", header, ' ');
	for (int i = 0; i < (int) lengthof(ours); i++)
		if (strlen(ours[i]) == length && pg_strncasecmp(ours[i], header, length) == 0)
			bad_request("header field", header);
}

static List *
read_headers(void)
{
	bool		is_null;
	Datum		datum = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, STEP_HEADERS, &is_null);
	Datum	   *elements;
	bool	   *nulls;
	int			count;
	List	   *headers = NIL;

	if (is_null)
		return NIL;
	deconstruct_array(DatumGetArrayTypeP(datum), TEXTOID, -1, false, TYPALIGN_INT, &elements, &nulls, &count);
	for (int i = 0; i < count; i++)
	{
		/* a member that is null is no field */
		if (nulls[i])
			continue;
		headers = lappend(headers, TextDatumGetCString(elements[i]));
		check_header(llast(headers));
	}
	return headers;
}

static void
read_body(Request *request)
{
	bool		is_null;
	Datum		datum = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, STEP_BODY, &is_null);
	bytea	   *body;

	request->has_body = !is_null;
	request->body = NULL;
	request->body_length = 0;
	if (is_null)
		return;
	body = DatumGetByteaPP(datum);
	request->body_length = VARSIZE_ANY_EXHDR(body);
	request->body = palloc(request->body_length + 1);
	memcpy(request->body, VARDATA_ANY(body), request->body_length);
	request->body[request->body_length] = '\0';
}

/* Whether the segment that begins here is . or .., as some server or other understands it. */
static bool
is_dot_segment(const char *segment)
{
	int			dots = 0;

	while (*segment == '.' || pg_strncasecmp(segment, "%2e", 3) == 0)
	{
		segment += *segment == '.' ? 1 : 3;
		dots++;
	}
	return (dots == 1 || dots == 2) && strchr("/\\;?", *segment) != NULL;
}

/*
 * Raises unless it is a path that stays below the endpoint's url and goes out
 * whole: without steps up and without a fragment, which no server gets to see.
 */
static void
check_path(const char *path)
{
	if (path == NULL || path[0] != '/' || strchr(path, '#') != NULL)
		bad_request("path", path);
	check_line("path", path, '!');
	for (const char *at = path; *at != '\0' && *at != '?'; at++)
		if ((*at == '/' || *at == '\\') && is_dot_segment(at + 1))
			bad_request("path", path);
}

/* Takes over the request of a step, into the current memory context; raises when it is malformed. */
static void
read_request(Request *request)
{
	static const char *const methods[] = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"};
	bool		known = false;

	request->method = step_text(STEP_METHOD);
	request->path = step_text(STEP_PATH);
	for (int i = 0; request->method != NULL && i < (int) lengthof(methods); i++)
		known = known || strcmp(request->method, methods[i]) == 0;
	if (!known)
		bad_request("method", request->method);
	check_path(request->path);
	request->headers = read_headers();
	read_body(request);
	request->timeout = step_int8(STEP_TIMEOUT);
	if (request->timeout < 0 || request->timeout > LONGEST_REQUEST)
		bad_request("timeout", psprintf(INT64_FORMAT " ms", request->timeout));
}

/* ---- what becomes of the message ---- */

/* Whether the last request found nobody to talk to. */
static bool
is_unreachable(const Delivery *delivery)
{
	return delivery->has_answer && delivery->answer.error != NULL && !delivery->answer.sent && delivery->answer.status == 0 &&
		strcmp(delivery->answer.error, "bad_request") != 0;
}

/* A reason as it is kept: without secrets, not too long, no character cut in two. */
static char *
clean_reason(const Delivery *delivery, const char *reason)
{
	char	   *clean = secrets_redact(delivery->endpoint, reason, LONGEST_REASON);

	clean[pg_mbcliplen(clean, strlen(clean), LONGEST_REASON)] = '\0';
	return clean;
}

/*
 * Whether the attempt does not count towards the most, because it says
 * nothing of the message: nobody could be reached, our credentials were
 * refused (endpoint_refuses_us()), or the other side wants to be left alone for a while.  That may
 * take a day and must not make dead letters.  A connection test has one
 * attempt, whatever comes of it.
 */
static bool
is_excused(const Delivery *delivery)
{
	if (!delivery->has_answer || strcmp(delivery->kind, "test") == 0)
		return false;
	return is_unreachable(delivery) || endpoint_refuses_us(delivery) || answer_asks_to_wait(&delivery->answer);
}

/* The message is to be tried again, unless it has used up its attempts. */
static void
retry_later(Delivery *delivery, const char *reason, int64 at_least)
{
	int			most = delivery->max_attempts > 0 ? delivery->max_attempts : delivery->endpoint->max_attempts;
	bool		is_wish = delivery->has_answer && answer_asks_to_wait(&delivery->answer);
	int64		delay = endpoint_retry_delay(delivery->endpoint, is_wish ? 1 : delivery->attempt);

	delivery->reason = reason == NULL ? pstrdup("the connector wants to try again") : clean_reason(delivery, reason);
	if (is_excused(delivery))
		delivery->excused++;
	else if (delivery->attempt - delivery->excused >= most)
	{
		delivery->state = "dead";
		return;
	}
	if (at_least == 0 && delivery->has_answer && delivery->answer.retry_after > 0)
		at_least = delivery->answer.retry_after * 1000;
	delivery->state = "delayed";
	delivery->next_try_at = GetCurrentTimestamp() + Min(Max(delay, at_least), LONGEST_PAUSE) * 1000;
}

static void
send_next(Delivery *delivery)
{
	MemoryContext former;
	int64		timeout;

	if (++delivery->step > MOST_STEPS)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("the connector wants to send more than %d requests for one message", MOST_STEPS)));
	MemoryContextReset(delivery->step_context);
	former = MemoryContextSwitchTo(delivery->step_context);
	read_request(&delivery->request);
	MemoryContextSwitchTo(former);
	timeout = delivery->request.timeout > 0 ? delivery->request.timeout : delivery->endpoint->timeout;
	delivery->lease_until = GetCurrentTimestamp() + (timeout + LEASE_MARGIN) * 1000;
	delivery->state = "sending";
}

/* Does what the connector says; raises when that makes no sense. */
static void
take_step(Delivery *delivery)
{
	char	   *action = step_text(STEP_ACTION);
	char	   *reason = step_text(STEP_REASON);

	delivery->new_progress = secrets_redact_json(delivery->endpoint, step_jsonb(STEP_PROGRESS));
	delivery->result = secrets_redact_json(delivery->endpoint, step_jsonb(STEP_RESULT));
	if (action == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("connector \"%s\" returned no step for a message of kind \"%s\"", delivery->endpoint->connector, delivery->kind)));
	if (strcmp(action, "send") == 0)
		send_next(delivery);
	else if (strcmp(action, "delivered") == 0)
		delivery->state = "delivered";
	else if (strcmp(action, "retry") == 0)
		retry_later(delivery, reason, step_int8(STEP_RETRY_AFTER));
	else if (strcmp(action, "failed") == 0)
	{
		delivery->state = "dead";
		delivery->reason = reason == NULL ? pstrdup("the connector said so") : clean_reason(delivery, reason);
	}
	else
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("connector \"%s\" returned \"%s\", which is no action", delivery->endpoint->connector, action)));
}

/*
 * Calls the connector and does what it says.  What the call needs is given
 * back after it, since answers may be large; what comes of it is made in
 * memory context outcome.
 */
static void
call_connector(Delivery *delivery, MemoryContext outcome)
{
	MemoryContext call = AllocSetContextCreate(outcome, "billing connector call", ALLOCSET_DEFAULT_SIZES);
	Datum		arguments[ARGUMENTS] = {0};
	char		nulls[ARGUMENTS];
	int			result;

	memset(nulls, ' ', sizeof(nulls));
	if (delivery->endpoint->connector == NULL)
		ereport(ERROR, (errcode(ERRCODE_FDW_DYNAMIC_PARAMETER_VALUE_NEEDED), errmsg("endpoint \"%s\" has no connector", delivery->endpoint->name)));
	MemoryContextSwitchTo(call);
	set_message_arguments(delivery, arguments, nulls);
	set_answer_arguments(delivery, arguments, nulls);
	result = SPI_execute_plan(connector_plan(delivery->endpoint->connector), arguments, nulls, false, 1);
	if (result != SPI_OK_SELECT || SPI_processed != 1)
		elog(ERROR, "the call of connector \"%s\" returned %d", delivery->endpoint->connector, result);
	MemoryContextSwitchTo(outcome);
	take_step(delivery);
	SPI_freetuptable(SPI_tuptable);
	MemoryContextDelete(call);
}

/*
 * What an answer to a request that changes something says of its outcome: a
 * status of 500 and more, or no whole answer, nothing; one of 4xx that it was
 * not carried out; any other that it was, or may have been.  What has had its
 * effect is kept in mind until the message has an outcome: an attempt that
 * ends without one, by an error, a retry or a crash, leaves it uncertain.
 */
static void
judge_certainty(Delivery *delivery)
{
	const Answer *answer = &delivery->answer;

	if (!delivery->has_answer || !delivery->unsafe)
		return;
	if (answer->error == NULL && answer->status < 500)
	{
		delivery->uncertain = false;
		delivery->has_effects = delivery->has_effects || answer->status < 400;
	}
	else if (answer->sent)
		delivery->uncertain = true;
}

/* Has constraints checked now that were left for the commit, and from now on with each statement. */
static void
check_constraints(void)
{
	ConstraintsSetStmt *immediate = makeNode(ConstraintsSetStmt);

	AfterTriggerSetState(immediate);
}

/* Keeps what the step has made beyond the subtransaction, and until it is recorded. */
static void
keep_progress(Delivery *delivery)
{
	MemoryContext former;

	if (delivery->new_progress == 0)
		return;
	former = MemoryContextSwitchTo(delivery->context);
	if (delivery->progress != 0)
		pfree(DatumGetPointer(delivery->progress));
	delivery->progress = PointerGetDatum(DatumGetJsonbPCopy(delivery->new_progress));
	MemoryContextSwitchTo(former);
}

/*
 * Whether a connector that has met a lock may be called again a moment later.
 * With an answer at hand it is kept for that; otherwise nothing has happened
 * yet, and the message is tried later without counting the attempt.
 */
static bool
hold_for_lock(Delivery *delivery, const ErrorData *error)
{
	TimestampTz now = GetCurrentTimestamp();

	if (error->sqlerrcode != ERRCODE_LOCK_NOT_AVAILABLE && error->sqlerrcode != ERRCODE_T_R_DEADLOCK_DETECTED)
		return false;
	delivery->endpoint->resting_until = now + REST_AFTER_LOCK * INT64CONST(1000);
	if (delivery->has_answer)
	{
		if (delivery->held_since == 0)
			delivery->held_since = now;
		return now - delivery->held_since < LONGEST_HOLD;
	}
	delivery->begun = false;
	delivery->state = "delayed";
	delivery->reason = clean_reason(delivery, psprintf("%s: %s", unpack_sql_state(error->sqlerrcode), error->message));
	delivery->next_try_at = now + PAUSE_AFTER_LOCK * INT64CONST(1000);
	return true;
}

/* Calls the connector in a subtransaction and does what it says; returns NULL, or the error, the subtransaction being rolled back. */
static ErrorData *
try_connector(Delivery *delivery)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	ErrorData  *volatile error = NULL;
	int			settings_level;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(context);
	settings_level = NewGUCNestLevel();
	enable_timeout_after(STATEMENT_TIMEOUT, delivery->endpoint->connector_timeout);
	journal_write(delivery->message_id);
	worker_link.called = delivery->endpoint->name;
	PG_TRY();
	{
		(void) set_config_option("lock_timeout", LOCK_TIMEOUT, PGC_SUSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
		check_constraints();
		call_connector(delivery, context);
		check_constraints();
		/* what the connector has set, a role for example, is not for what comes after it */
		AtEOXact_GUC(false, settings_level);
		disable_timeout(STATEMENT_TIMEOUT, false);
		ReleaseCurrentSubTransaction();
		MemoryContextSwitchTo(context);
		CurrentResourceOwner = owner;
	}
	PG_CATCH();
	{
		disable_timeout(STATEMENT_TIMEOUT, false);
		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
		MemoryContextSwitchTo(context);
		CurrentResourceOwner = owner;
		MemoryContextDeleteChildren(context);
	}
	PG_END_TRY();
	worker_link.called = NULL;
	journal_write(0);
	return error;
}

/* An error of a connector as a reason; a call that was cut off says so. */
static char *
error_as_reason(const Delivery *delivery, const ErrorData *error, int64 took)
{
	int64		limit = delivery->endpoint->connector_timeout;

	if (error->sqlerrcode == ERRCODE_QUERY_CANCELED && took >= limit * 1000)
		return psprintf("%s: the connector computed for longer than option connector_timeout allows, " INT64_FORMAT " ms",
						unpack_sql_state(error->sqlerrcode), limit);
	return psprintf("%s: %s", unpack_sql_state(error->sqlerrcode), error->message);
}

/*
 * connector_step(delivery) -> whether there is something to record
 *	  One call of the connector, with the answer if there is one.  Sets what is
 *	  to be recorded: state and what belongs to it.  An error of the connector
 *	  is a failed attempt.  When it has met a lock that it needs to judge an
 *	  answer, nothing is recorded: call it again a little later.  The caller is
 *	  in a transaction, connected to SPI.
 */
bool
connector_step(Delivery *delivery)
{
	MemoryContext former = CurrentMemoryContext;
	MemoryContext context = AllocSetContextCreate(former, "billing connector step", ALLOCSET_SMALL_SIZES);
	bool		was_uncertain = delivery->uncertain;
	int			step = delivery->step;
	TimestampTz begun = GetCurrentTimestamp();
	ErrorData  *error;

	judge_certainty(delivery);
	delivery->new_progress = delivery->result = 0;
	delivery->reason = NULL;
	delivery->next_try_at = delivery->lease_until = 0;
	MemoryContextSwitchTo(context);
	error = try_connector(delivery);
	if (error == NULL)
	{
		keep_progress(delivery);
		if (strcmp(delivery->state, "sending") == 0)
			delivery->unsafe = strcmp(delivery->request.method, "GET") != 0 && strcmp(delivery->request.method, "HEAD") != 0;
	}
	else
	{
		/* the connector has not taken note of the answer */
		delivery->uncertain = delivery->uncertain || was_uncertain;
		delivery->new_progress = delivery->result = 0;
		delivery->step = step;
		if (hold_for_lock(delivery, error))
		{
			MemoryContextSwitchTo(former);
			return !delivery->has_answer;
		}
		retry_later(delivery, error_as_reason(delivery, error, GetCurrentTimestamp() - begun), 0);
	}
	delivery->held_since = 0;
	MemoryContextSwitchTo(former);
	return true;
}
