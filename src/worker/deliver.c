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

static WorkerSlot *my_slot;
static List *in_flight = NIL;	/* Delivery *, recorded as being sent */
static List *answered = NIL;	/* Delivery *, whose answer is not recorded yet */
static TimestampTz look_after_at = 0;
static TimestampTz clean_at = 0;
static bool look_at_once = true;	/* something may wait that was not seen yet */
static bool ledger_ready = false;
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
			board_say(my_slot, "running", NULL);
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

/* Answers go through their connectors. */
static void
take_answers(void)
{
	ListCell   *cell;
	TimestampTz now = GetCurrentTimestamp();

	foreach(cell, answered)
	{
		Delivery   *delivery = lfirst(cell);

		endpoint_judge(delivery->endpoint, &delivery->answer, now);
		delivery->begun = false;
		connector_step(delivery);
		count_step(delivery);
		/* the next of its ordering key can go */
		if (delivery->ordering_key != NULL && strcmp(delivery->state, "delivered") == 0)
			expect_more(delivery->endpoint);
	}
	outbox_record(answered);
}

/* How many messages of each endpoint may be begun; returns of how many endpoints any may. */
static int
count_room(List **endpoints, int *room, bool *only_tests, TimestampTz now)
{
	int			left = MAX_IN_FLIGHT - list_length(in_flight);
	ListCell   *cell;

	*endpoints = NIL;
	foreach(cell, answered)
		if (strcmp(((Delivery *) lfirst(cell))->state, "sending") == 0)
			left--;
	foreach(cell, endpoints_all())
	{
		Endpoint   *endpoint = lfirst(cell);
		int			number = list_length(*endpoints);
		int			free;

		if (!endpoint->may_have_more)
			continue;
		free = endpoint_free(endpoint, now, &only_tests[number]);
		if (free <= 0)
			continue;
		room[number] = free;
		*endpoints = lappend(*endpoints, endpoint);
	}
	/* an even share each of what is left over all endpoints, so that none can take all */
	for (int i = 0; i < list_length(*endpoints); i++)
		room[i] = Min(room[i], Max(1, left / list_length(*endpoints)));
	return left > 0 ? list_length(*endpoints) : 0;
}

/* Notes which queues have been emptied by a claim. */
static void
note_emptied(List *endpoints, const int *room, const bool *only_tests, List *claimed, bool ask_again)
{
	for (int i = 0; i < list_length(endpoints) && !ask_again; i++)
	{
		Endpoint   *endpoint = list_nth(endpoints, i);
		ListCell   *cell;
		int			count = 0;

		foreach(cell, claimed)
			count += ((Delivery *) lfirst(cell))->endpoint == endpoint;
		/* what waits behind a pause or a probe is still there */
		endpoint->may_have_more = count == room[i] || only_tests[i];
	}
}

/* Messages are claimed as far as there is room, and go through their connectors. */
static List *
take_messages(TimestampTz now)
{
	int			most = list_length(endpoints_all());
	int		   *room = palloc(sizeof(int) * Max(most, 1));
	bool	   *only_tests = palloc(sizeof(bool) * Max(most, 1));
	List	   *endpoints;
	List	   *claimed;
	ListCell   *cell;
	bool		ask_again;

	look_at_once = false;
	if (count_room(&endpoints, room, only_tests, now) == 0)
		return NIL;
	claimed = outbox_claim(endpoints, room, only_tests, &ask_again);
	look_at_once = ask_again;
	note_emptied(endpoints, room, only_tests, claimed, ask_again);
	foreach(cell, claimed)
	{
		Delivery   *delivery = lfirst(cell);

		delivery->endpoint->in_flight++;
		connector_step(delivery);
		count_step(delivery);
	}
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
	bool		only_tests;

	if (list_length(in_flight) >= MAX_IN_FLIGHT)
		return false;
	foreach(cell, endpoints_all())
	{
		Endpoint   *endpoint = lfirst(cell);

		if (endpoint->may_have_more && endpoint_free(endpoint, now, &only_tests) > 0 && !only_tests)
			return true;
	}
	return false;
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

/* One transaction, and what follows its commit. */
static void
turn(TimestampTz now)
{
	List	   *done = answered;
	List	   *claimed = NIL;
	ListCell   *cell;
	MemoryContext former;

	begin_transaction("delivering messages");
	if (!ledger_ready || now >= look_after_at)
		ledger_ready = find_ledger();
	if (ledger_ready)
	{
		if (fatal_call != 0)
			count_fatal_call();
		if (endpoints_refresh())
			look_at_once = true;
		foreach(cell, endpoints_all())
			secrets_refresh(lfirst(cell), now);
		look_after_outbox(now);
		take_answers();
		claimed = take_messages(now);
		outbox_note(endpoints_all());
		former = MemoryContextSwitchTo(TopMemoryContext);
		claimed = list_copy(claimed);
		MemoryContextSwitchTo(former);
	}
	else
		look_after_at = now + LONGEST_SLEEP * INT64CONST(1000);
	end_transaction();
	if (!ledger_ready)
		return;
	answered = NIL;
	now = GetCurrentTimestamp();
	send_or_forget(done, now);
	send_or_forget(claimed, now);
	list_free(done);
	list_free(claimed);
}

/* ---- the loop ---- */

/* How long to wait, in milliseconds. */
static long
time_to_wait(TimestampTz now)
{
	TimestampTz until = Max(look_after_at, now);
	long		of_network = transfer_timeout();
	long		wait;
	ListCell   *cell;

	if (answered != NIL || (ledger_ready && (look_at_once || there_is_room(now))))
		return 0;
	foreach(cell, endpoints_all())
	{
		Endpoint   *endpoint = lfirst(cell);
		TimestampTz free_at = endpoint->may_have_more ? endpoint_next_free(endpoint, now) : 0;

		if (free_at != 0 && list_length(in_flight) < MAX_IN_FLIGHT)
			until = Min(until, free_at);
	}
	wait = Min((until - now + 999) / 1000, LONGEST_SLEEP);
	return of_network >= 0 ? Min(wait, of_network) : wait;
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
	board_leave(my_slot);
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
	bool		alone;

	my_slot = &worker_link.board->slot[slot];
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, die);
	BackgroundWorkerUnblockSignals();
	BackgroundWorkerInitializeConnection(my_slot->database, WORKER_ROLE, 0);
	pgstat_report_appname("billing worker");
	force_settings();
	begin_transaction("looking for another worker");
	alone = outbox_lock_database();
	end_transaction();
	if (!alone)
		ereport(FATAL, (errcode(ERRCODE_OBJECT_IN_USE), errmsg("another worker delivers the messages of database \"%s\"", my_slot->database)));
	fatal_call = journal_open();
	board_enter(my_slot);
	before_shmem_exit(leave_board, (Datum) 0);
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
		if (answered != NIL || look_at_once || GetCurrentTimestamp() >= look_after_at || there_is_room(GetCurrentTimestamp()))
		{
			look_at_once = false;
			turn(GetCurrentTimestamp());
		}
		readable = wait_for_something(set);
		transfer_progress(readable);
		collect_answers();
	}
}
