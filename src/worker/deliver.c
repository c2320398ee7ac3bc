/*-------------------------------------------------------------------------
 *
 * deliver.c
 *	  The worker of one database: takes messages, sends, writes down.
 *
 * Each turn of the loop is one short transaction, with the network idle, and
 * one wait, with no transaction open:
 *
 *	 1. answers that have come go through their connectors and are recorded
 *	 2. messages are claimed as far as there is room, go through their
 *		connectors, and are recorded as being sent
 *	 3. commit; only now the requests go out
 *	 4. wait for the network, the latch or the time
 *
 * Connectors of one endpoint get a limited time of a turn; what is left over
 * waits for the next.  A large answer gets a transaction of its own, when the
 * others have had their turn.  An answer whose connector meets a lock is kept
 * and tried again, after everything else.
 *
 * All state is in tables.  Whatever raises ends the process, which the
 * launcher starts again; requests that were out then are tried again when
 * their lease is over.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "tcop/tcopprot.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "worker/worker.h"

/* The longest the worker sleeps when it knows of nothing to do, in milliseconds: messages of prepared transactions are found then */
#define LONGEST_SLEEP 5000

/* How often it looks after delayed messages and leases while it is busy, and looks for a ledger, in microseconds */
#define LOOK_AFTER_EVERY INT64CONST(500000)
#define CLEAN_EVERY INT64CONST(60000000)
#define CLEAN_ROWS 1000

/* How long the connectors of one endpoint may take in one turn, in microseconds: no further one is called then */
#define SHARE_OF_TURN INT64CONST(10000)

/*
 * A call that takes longer than this, in microseconds, is followed by a rest
 * of so many times as long while messages to other endpoints are under way,
 * so that slow connectors of one take a fifth of the worker's time.
 */
#define SLOW_CALL INT64CONST(20000)
#define REST_AFTER_SLOW_CALL 4

/* Most messages that are begun in one turn */
#define MOST_CLAIMED 64

/* An answer of more bytes is judged in a transaction of its own. */
#define LARGE_ANSWER 1048576

static WorkerSlot *my_slot;
static List *in_flight = NIL;	/* Delivery *, recorded as being sent */
static List *answered = NIL;	/* Delivery *, whose answer is not recorded yet, in the order in which they are to be judged */
static TimestampTz look_after_at = 0;
static TimestampTz clean_at = 0;
static bool look_at_once = true;	/* something may wait that was not seen yet */
static bool ledger_ready = false;
static bool origin_noted = false;
static char last_error[256] = "";
static emit_log_hook_type former_log_hook = NULL;
static int64 fatal_call = 0;	/* message whose connector has ended the former worker, not counted yet */

/* ---- deliveries ---- */

static void
forget_delivery(Delivery *delivery)
{
	answer_free(&delivery->answer);
	MemoryContextDelete(delivery->context);
}

/* Appends to a list that outlives transactions. */
static List *
remember(List *list, Delivery *delivery)
{
	MemoryContext former = MemoryContextSwitchTo(TopMemoryContext);

	list = lappend(list, delivery);
	MemoryContextSwitchTo(former);
	return list;
}

/* Collects what libcurl has finished. */
static void
collect_answers(void)
{
	Delivery   *delivery;

	while ((delivery = transfer_next_finished()) != NULL)
	{
		in_flight = list_delete_ptr(in_flight, delivery);
		answered = remember(answered, delivery);
	}
}

/* ---- the transaction ---- */

static void
begin_transaction(const char *activity)
{
	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "could not connect to SPI");
	PushActiveSnapshot(GetTransactionSnapshot());
	debug_query_string = activity;
	pgstat_report_activity(STATE_RUNNING, activity);
}

static void
end_transaction(void)
{
	SPI_finish();
	PopActiveSnapshot();
	CommitTransactionCommand();
	debug_query_string = NULL;
	pgstat_report_stat(false);
}

/* Whether there is a ledger to work with; says on the board what is missing. */
static bool
find_ledger(void)
{
	int			protocol;
	char		detail[100];

	switch (outbox_ledger_state(&protocol))
	{
		case LEDGER_READY:
			return true;
		case LEDGER_MISSING:
			board_say(my_slot, "no ledger", NULL);
			return false;
		case LEDGER_UNKNOWN_PROTOCOL:
			snprintf(detail, sizeof(detail), "protocol of the ledger %d, of the library %d", protocol, WORKER_PROTOCOL);
			board_say(my_slot, "other version", detail);
			return false;
	}
	return false;
}

/* The queue of an endpoint may have something to send. */
static void
expect_more(Endpoint *endpoint)
{
	for (; endpoint != NULL; endpoint = endpoint->successor)
		endpoint->may_have_more = true;
}

/* After a step: a delivery that has ended leaves room for another, and one that is delayed is to be looked after in time. */
static void
count_step(Delivery *delivery)
{
	if (delivery->next_try_at != 0)
		look_after_at = Min(look_after_at, delivery->next_try_at);
	if (strcmp(delivery->state, "sending") != 0)
		for (Endpoint *endpoint = delivery->endpoint; endpoint != NULL; endpoint = endpoint->successor)
			endpoint->in_flight--;
}

/* Which of the answers a transaction takes */
typedef enum AnswerKind
{
	ANSWERS_NEW,				/* small ones */
	ANSWERS_HELD,				/* those that met a lock before */
	ANSWERS_LARGE				/* one large one */
} AnswerKind;

static AnswerKind
answer_kind(const Delivery *delivery)
{
	if (delivery->held_since != 0)
		return ANSWERS_HELD;
	return delivery->answer.body_length > LARGE_ANSWER ? ANSWERS_LARGE : ANSWERS_NEW;
}

/* Has the endpoint leave the worker to the others for a while, if they have messages under way. */
static void
rest_after_slow_call(Endpoint *endpoint, int64 took, TimestampTz now)
{
	ListCell   *cell;

	foreach(cell, endpoints_all())
	{
		Endpoint   *other = lfirst(cell);

		if (other != endpoint && other->in_flight > 0)
			endpoint->resting_until = Max(endpoint->resting_until, now + took * REST_AFTER_SLOW_CALL);
	}
}

/* Calls the connector of a delivery and counts its time; returns whether there is something to record. */
static bool
step(Delivery *delivery)
{
	TimestampTz begun = GetCurrentTimestamp();
	bool		to_record = connector_step(delivery);
	TimestampTz ended = GetCurrentTimestamp();

	delivery->endpoint->spent += ended - begun;
	if (ended - begun > SLOW_CALL)
		rest_after_slow_call(delivery->endpoint, ended - begun, ended);
	if (to_record)
		count_step(delivery);
	return to_record;
}

/* Whether a connector of this endpoint may be called in this turn. */
static bool
has_time(const Endpoint *endpoint, TimestampTz now)
{
	return endpoint->spent < SHARE_OF_TURN && endpoint->resting_until <= now;
}

/* An answer goes through its connector; returns whether there is something to record. */
static bool
judge_answer(Delivery *delivery, TimestampTz now)
{
	if (delivery->held_since == 0)
		endpoint_judge(delivery, now);
	delivery->begun = false;
	if (!step(delivery))
		return false;
	/* the next of its ordering key can go */
	if (delivery->ordering_key != NULL && strcmp(delivery->state, "delivered") == 0)
		expect_more(delivery->endpoint);
	return true;
}

/*
 * Answers of the kind go through their connectors as far as there is time.
 * Returns those that are recorded, in a list that outlives the transaction;
 * what meets a lock goes to the end of the queue.
 */
static List *
take_answers(AnswerKind kind, TimestampTz now)
{
	List	   *candidates = list_copy(answered);
	List	   *done = NIL;
	ListCell   *cell;

	foreach(cell, candidates)
	{
		Delivery   *delivery = lfirst(cell);

		if (answer_kind(delivery) != kind || !has_time(delivery->endpoint, now))
			continue;
		answered = list_delete_ptr(answered, delivery);
		if (judge_answer(delivery, now))
			done = remember(done, delivery);
		else
			answered = remember(answered, delivery);
		if (kind == ANSWERS_LARGE)
			break;
	}
	outbox_record(done);
	return done;
}

/* Puts the first large answer of another endpoint than last time before those of that one. */
static void
alternate_large_answers(void)
{
	static Oid	last_server = InvalidOid;
	Delivery   *first = NULL;
	ListCell   *cell;

	foreach(cell, answered)
	{
		Delivery   *delivery = lfirst(cell);

		if (answer_kind(delivery) == ANSWERS_LARGE && (first == NULL || first->endpoint->server_id == last_server))
			first = delivery;
	}
	if (first == NULL)
		return;
	last_server = first->endpoint->server_id;
	answered = list_delete_ptr(answered, first);
	answered = lcons(first, answered);
}

/* How many messages of an endpoint may be begun. */
static int
endpoint_room(Endpoint *endpoint, TimestampTz now, ClaimMode *mode)
{
	int			free = endpoint_free(endpoint, now, mode);
	int			left = MAX_IN_FLIGHT - list_length(in_flight) - list_length(answered);

	/* where the others leave nothing it still has a few of its own */
	return Min(free, Max(left, ALWAYS_FREE - endpoint->in_flight));
}

/*
 * How many messages of each endpoint may be begun; returns of how many
 * endpoints any may.  An even share each, beginning with another one each
 * time.
 */
static int
count_room(List **endpoints, int *room, ClaimMode *modes, TimestampTz now)
{
	static int	turns = 0;
	int			most = list_length(endpoints_all());
	int			number = 0;

	turns++;
	*endpoints = NIL;
	for (int i = 0; i < most; i++)
	{
		Endpoint   *endpoint = list_nth(endpoints_all(), (i + turns) % most);

		if (!endpoint->may_have_more || endpoint->spent >= SHARE_OF_TURN)
			continue;
		room[number] = endpoint_room(endpoint, now, &modes[number]);
		if (room[number] <= 0)
			continue;
		*endpoints = lappend(*endpoints, endpoint);
		number++;
	}
	for (int i = 0; i < number; i++)
		room[i] = Min(room[i], Max(1, MOST_CLAIMED / number));
	return number;
}

/* Notes which queues have been emptied by a claim. */
static void
note_emptied(List *endpoints, const int *room, const ClaimMode *modes, List *claimed, bool ask_again)
{
	for (int i = 0; i < list_length(endpoints) && !ask_again; i++)
	{
		Endpoint   *endpoint = list_nth(endpoints, i);
		ListCell   *cell;
		int			count = 0;

		foreach(cell, claimed)
			count += ((Delivery *) lfirst(cell))->endpoint == endpoint;
		/* what waits behind a pause is still there */
		endpoint->may_have_more = count == room[i] || modes[i] == CLAIM_TESTS;
	}
}

/* Messages that were claimed go through their connectors as far as there is time; the others are let go untouched.  Returns those to record. */
static List *
begin_messages(List *claimed)
{
	List	   *begun = NIL;
	ListCell   *cell;

	foreach(cell, claimed)
	{
		Delivery   *delivery = lfirst(cell);

		if (has_time(delivery->endpoint, GetCurrentTimestamp()))
		{
			delivery->endpoint->in_flight++;
			(void) step(delivery);
			begun = remember(begun, delivery);
		}
		else
		{
			delivery->endpoint->may_have_more = true;
			forget_delivery(delivery);
		}
	}
	return begun;
}

/* Messages are claimed as far as there is room, and go through their connectors; returned as by take_answers(). */
static List *
take_messages(TimestampTz now)
{
	int			most = list_length(endpoints_all());
	int		   *room = palloc(sizeof(int) * Max(most, 1));
	ClaimMode  *modes = palloc(sizeof(ClaimMode) * Max(most, 1));
	List	   *endpoints;
	List	   *claimed;
	bool		ask_again;

	look_at_once = false;
	if (count_room(&endpoints, room, modes, now) == 0)
		return NIL;
	claimed = outbox_claim(endpoints, room, modes, &ask_again);
	look_at_once = ask_again;
	note_emptied(endpoints, room, modes, claimed, ask_again);
	claimed = begin_messages(claimed);
	outbox_record(claimed);
	return claimed;
}

/* Everything may wait anew. */
static void
expect_messages(void)
{
	ListCell   *cell;

	foreach(cell, endpoints_all())
		((Endpoint *) lfirst(cell))->may_have_more = true;
	look_at_once = true;
}

/* Delayed messages, leases, syncs and old messages, when it is time. */
static void
look_after_outbox(TimestampTz now)
{
	TimestampTz due;

	if (now < look_after_at)
		return;
	due = outbox_look_after(list_concat_copy(in_flight, answered));
	look_after_at = due == 0 ? now + LONGEST_SLEEP * INT64CONST(1000) : Max(due, now + LOOK_AFTER_EVERY / 25);
	look_after_at = Min(look_after_at, now + LONGEST_SLEEP * INT64CONST(1000));
	expect_messages();
	if (now >= clean_at)
		clean_at = outbox_clean(CLEAN_ROWS) < CLEAN_ROWS ? now + CLEAN_EVERY : now + LOOK_AFTER_EVERY;
}

/* ---- after the commit ---- */

/* A request that cannot be sent because of its endpoint is answered at once. */
static void
refuse(Delivery *delivery, const char *error, const char *detail)
{
	answer_free(&delivery->answer);
	delivery->answer.error = error;
	delivery->answer.retry_after = -1;
	strlcpy(delivery->answer.detail, detail, sizeof(delivery->answer.detail));
	delivery->has_answer = true;
	answered = remember(answered, delivery);
}

/* Sends the requests of these deliveries and forgets those that have ended. */
static void
send_or_forget(List *deliveries, TimestampTz now)
{
	ListCell   *cell;

	foreach(cell, deliveries)
	{
		Delivery   *delivery = lfirst(cell);
		Endpoint   *endpoint = delivery->endpoint;

		if (strcmp(delivery->state, "sending") != 0)
		{
			forget_delivery(delivery);
			continue;
		}
		endpoint_count_request(endpoint, now);
		if (endpoint->secret_problem != NULL)
		{
			refuse(delivery, "secret", endpoint->secret_problem);
			continue;
		}
		if (!transfer_target_is_allowed(endpoint))
		{
			refuse(delivery, "refused_address", "the address is private or of no single host");
			continue;
		}
		transfer_send(delivery);
		in_flight = remember(in_flight, delivery);
	}
}

/* Whether a queue that may hold more can be taken from now. */
static bool
there_is_room(TimestampTz now)
{
	ListCell   *cell;
	ClaimMode	mode;

	foreach(cell, endpoints_all())
	{
		Endpoint   *endpoint = lfirst(cell);

		if (endpoint->may_have_more && endpoint_room(endpoint, now, &mode) > 0 && mode != CLAIM_TESTS)
			return true;
	}
	return false;
}

/* When the next of the answers that have come can be judged; 0 = not known of. */
static TimestampTz
answers_due_at(void)
{
	TimestampTz due = 0;
	ListCell   *cell;

	if (!ledger_ready)
		return 0;
	foreach(cell, answered)
	{
		TimestampTz rested = Max(((Delivery *) lfirst(cell))->endpoint->resting_until, 1);

		due = due == 0 ? rested : Min(due, rested);
	}
	return due;
}

/* Counts the call that ended the former worker, and commits that before any other connector is called. */
static void
count_fatal_call(void)
{
	outbox_count_fatal_call(fatal_call);
	end_transaction();
	journal_write(0);
	fatal_call = 0;
	begin_transaction("delivering messages");
}

/* Every endpoint has its share of time again. */
static void
give_shares(void)
{
	ListCell   *cell;

	foreach(cell, endpoints_all())
		((Endpoint *) lfirst(cell))->spent = 0;
	foreach(cell, answered)
		((Delivery *) lfirst(cell))->endpoint->spent = 0;
}

/* Appends a list of deliveries that outlives transactions to another one, and gives its memory back. */
static List *
join(List *list, List *more)
{
	ListCell   *cell;

	foreach(cell, more)
		list = remember(list, lfirst(cell));
	list_free(more);
	return list;
}

/* At the first sight of a ledger: whether another server may have delivered its messages. */
static void
note_origin(void)
{
	int64		uncertain;

	if (origin_noted)
		return;
	uncertain = outbox_note_origin();
	origin_noted = true;
	if (uncertain > 0)
		ereport(LOG,
				(errmsg("another server may have sent " INT64_FORMAT " messages of database \"%s\" that are not finished here", uncertain, my_slot->database),
				 errdetail("This server was promoted, or is a copy. The messages are marked uncertain.")));
}

/* Everything that is done with the outbox in a turn; returns deliveries that have been recorded. */
static List *
deliver(TimestampTz now)
{
	List	   *done;
	ListCell   *cell;

	note_origin();
	if (fatal_call != 0)
		count_fatal_call();
	if (endpoints_refresh())
		look_at_once = true;
	foreach(cell, endpoints_all())
		secrets_refresh(lfirst(cell), now);
	look_after_outbox(now);
	give_shares();
	done = take_answers(ANSWERS_NEW, now);
	done = join(done, take_messages(now));
	done = join(done, take_answers(ANSWERS_HELD, GetCurrentTimestamp()));
	outbox_note(endpoints_all());
	return done;
}

/* One transaction, and what follows its commit. */
static void
turn(TimestampTz now)
{
	List	   *done = NIL;

	bool		looks = !ledger_ready || now >= look_after_at;

	begin_transaction("delivering messages");
	if (looks)
		ledger_ready = find_ledger();
	if (ledger_ready)
		done = deliver(now);
	else
	{
		look_after_at = now + LONGEST_SLEEP * INT64CONST(1000);
		origin_noted = false;
	}
	end_transaction();
	/* only now it is known that it does */
	if (looks && ledger_ready)
		board_say(my_slot, "running", NULL);
	send_or_forget(done, GetCurrentTimestamp());
	list_free(done);
}

/* A large answer, if one has come, in a transaction of its own. */
static void
take_large_answer(TimestampTz now)
{
	List	   *done;
	ListCell   *cell;
	bool		any = false;

	foreach(cell, answered)
		any = any || answer_kind(lfirst(cell)) == ANSWERS_LARGE;
	if (!any || !ledger_ready)
		return;
	alternate_large_answers();
	begin_transaction("judging a large answer");
	give_shares();
	done = take_answers(ANSWERS_LARGE, now);
	outbox_note(endpoints_all());
	end_transaction();
	send_or_forget(done, GetCurrentTimestamp());
	list_free(done);
}

/* ---- the loop ---- */

/* How long to wait, in milliseconds. */
static long
time_to_wait(TimestampTz now)
{
	TimestampTz until = Max(look_after_at, now);
	TimestampTz answers_due = answers_due_at();
	long		of_network = transfer_timeout();
	long		wait;
	ListCell   *cell;

	if (ledger_ready && (look_at_once || there_is_room(now)))
		return 0;
	if (answers_due != 0)
		until = Min(until, Max(answers_due, now));
	foreach(cell, endpoints_all())
	{
		Endpoint   *endpoint = lfirst(cell);
		TimestampTz free_at = endpoint->may_have_more ? endpoint_next_free(endpoint, now) : 0;

		if (free_at > now)
			until = Min(until, free_at);
	}
	wait = Min((Max(until - now, 0) + 999) / 1000, LONGEST_SLEEP);
	return of_network >= 0 ? Min(wait, of_network) : wait;
}

/* Whether a turn has something to do. */
static bool
something_is_due(TimestampTz now)
{
	TimestampTz answers_due = answers_due_at();

	return (answers_due != 0 && answers_due <= now) || look_at_once || now >= look_after_at || there_is_room(now);
}

static WaitEventSet *
make_wait_set(void)
{
#if PG_VERSION_NUM >= 170000
	WaitEventSet *set = CreateWaitEventSet(NULL, 3);
#else
	WaitEventSet *set = CreateWaitEventSet(TopMemoryContext, 3);
#endif

	AddWaitEventToSet(set, WL_LATCH_SET, PGINVALID_SOCKET, MyLatch, NULL);
	AddWaitEventToSet(set, WL_EXIT_ON_PM_DEATH, PGINVALID_SOCKET, NULL, NULL);
	AddWaitEventToSet(set, WL_SOCKET_READABLE, transfer_descriptor(), NULL, NULL);
	return set;
}

/* Waits for the network, the latch or the time; returns whether the network has something. */
static bool
wait_for_something(WaitEventSet *set)
{
	WaitEvent	events[3];
	long		wait = time_to_wait(GetCurrentTimestamp());
	bool		readable = false;
	int			count;
	char		activity[64];

	if (wait > 0)
	{
		snprintf(activity, sizeof(activity), "waiting, %d requests out", list_length(in_flight));
		pgstat_report_activity(STATE_IDLE, activity);
		pgstat_report_stat(in_flight == NIL);
	}
	count = WaitEventSetWait(set, wait, events, 3, PG_WAIT_EXTENSION);
	for (int i = 0; i < count; i++)
	{
		if (events[i].events & WL_SOCKET_READABLE)
			readable = true;
		if (events[i].events & WL_LATCH_SET)
		{
			ResetLatch(MyLatch);
			expect_messages();
		}
	}
	return readable;
}

static void
leave_board(int code, Datum argument)
{
	board_leave(my_slot, last_error);
}

/* Keeps what ends the process, for worker_status; errors of connectors do not come here. */
static void
keep_error(ErrorData *error)
{
	if (error->elevel >= ERROR && error->message != NULL)
		strlcpy(last_error, error->message, sizeof(last_error));
	if (former_log_hook)
		former_log_hook(error);
}

/*
 * Settings of the server, the database or the role that would change what the
 * worker does are overruled.  A claim has to be durable before its request
 * goes out, so at least this server's disk is waited for.
 */
static void
force_settings(void)
{
	static const char *const forced[][2] = {
		/* statements here are short and many: compiling them would take longer than they do */
		{"jit", "off"},
		{"lock_timeout", "30s"},
		{"statement_timeout", "0"},
		{"idle_in_transaction_session_timeout", "0"},
#if PG_VERSION_NUM >= 170000
		{"transaction_timeout", "0"},
#endif
		{"default_transaction_isolation", "read committed"},
		{"default_transaction_read_only", "off"},
		{"default_transaction_deferrable", "off"},
		{"DateStyle", "ISO, YMD"},
		{"IntervalStyle", "postgres"},
		{"TimeZone", "UTC"}
	};

	for (int i = 0; i < (int) lengthof(forced); i++)
		SetConfigOption(forced[i][0], forced[i][1], PGC_SUSET, PGC_S_OVERRIDE);
	if (synchronous_commit == SYNCHRONOUS_COMMIT_OFF)
		SetConfigOption("synchronous_commit", "local", PGC_SUSET, PGC_S_OVERRIDE);
}

/* A setting that has changed; ends the process when its database is no longer wanted. */
static void
heed_settings(void)
{
	if (!ConfigReloadPending)
		return;
	ConfigReloadPending = false;
	ProcessConfigFile(PGC_SIGHUP);
	force_settings();
	if (!database_is_wanted(my_slot->database))
		proc_exit(0);
}

/* Connects, and keeps a second worker out. */
static void
start_worker(int slot)
{
	int			holder;

	my_slot = &worker_link.board->slot[slot];
	former_log_hook = emit_log_hook;
	emit_log_hook = keep_error;
	on_shmem_exit(leave_board, (Datum) 0);
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, die);
	BackgroundWorkerUnblockSignals();
	BackgroundWorkerInitializeConnection(my_slot->database, WORKER_ROLE, 0);
	pgstat_report_appname("billing worker");
	force_settings();
	holder = board_enter(my_slot);
	if (holder != 0)
		ereport(FATAL, (errcode(ERRCODE_OBJECT_IN_USE), errmsg("process %d delivers the messages of database \"%s\" already", holder, my_slot->database)));
	fatal_call = journal_open();
	endpoints_watch_catalog();
	transfer_start_engine();
}

/*
 * billing_worker_main(slot)
 *	  The worker's process.
 */
void
billing_worker_main(Datum argument)
{
	WaitEventSet *set;
	bool		readable;

	start_worker(DatumGetInt32(argument));
	set = make_wait_set();
	for (;;)
	{
		CHECK_FOR_INTERRUPTS();
		heed_settings();
		if (something_is_due(GetCurrentTimestamp()))
		{
			look_at_once = false;
			turn(GetCurrentTimestamp());
			take_large_answer(GetCurrentTimestamp());
		}
		readable = wait_for_something(set);
		transfer_progress(readable);
		collect_answers();
	}
}
