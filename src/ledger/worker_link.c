/*-------------------------------------------------------------------------
 *
 * worker_link.c
 *	  What ordinary sessions know of the background worker: wake_worker()
 *	  and worker_slots(); and what a connector can ask of it.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "storage/proc.h"
#include "utils/builtins.h"

#include "ledger/worker_link.h"

/* Whether the transaction that is running is to wake the worker. */
static bool wake_at_commit = false;
static bool callback_registered = false;

PG_FUNCTION_INFO_V1(wake_worker);
PG_FUNCTION_INFO_V1(worker_slots);
PG_FUNCTION_INFO_V1(worker_library_version);
PG_FUNCTION_INFO_V1(called_endpoint);

/* The link of the preloaded library, or NULL when there is none that fits. */
static WorkerLink *
find_worker_link(void)
{
	WorkerLink *link = *(WorkerLink **) find_rendezvous_variable(WORKER_LINK_NAME);

	if (link == NULL || link->layout != WORKER_LINK_LAYOUT || link->board == NULL)
		return NULL;
	return link;
}

/* Sets the latch of this database's worker, if it runs.  Must not raise. */
static void
set_worker_latch(void)
{
	WorkerLink *link = find_worker_link();

	if (link == NULL)
		return;
	LWLockAcquire(link->lock, LW_SHARED);
	for (int i = 0; i < WORKER_SLOTS; i++)
	{
		WorkerSlot *slot = &link->board->slot[i];

		if (slot->pid != 0 && slot->latch != NULL && slot->database_oid == MyDatabaseId)
			SetLatch(slot->latch);
	}
	LWLockRelease(link->lock);
}

/* The worker looks when the messages can be seen, so it is woken after the commit. */
static void
wake_at_end_of_transaction(XactEvent event, void *arg)
{
	if (event == XACT_EVENT_COMMIT && wake_at_commit)
		set_worker_latch();
	if (event == XACT_EVENT_COMMIT || event == XACT_EVENT_ABORT || event == XACT_EVENT_PREPARE)
		wake_at_commit = false;
}

/*
 * wake_worker()
 *	  Notes that this transaction has something for the worker.
 */
Datum
wake_worker(PG_FUNCTION_ARGS)
{
	if (!callback_registered)
	{
		RegisterXactCallback(wake_at_end_of_transaction, NULL);
		callback_registered = true;
	}
	wake_at_commit = true;
	PG_RETURN_VOID();
}

/* One row of worker_slots(). */
static void
put_slot(ReturnSetInfo *result, const WorkerLink *link, const WorkerSlot *slot)
{
	Datum		values[6];
	bool		nulls[6] = {false};
	NameData	database;

	namestrcpy(&database, slot->database);
	values[0] = NameGetDatum(&database);
	values[1] = Int32GetDatum(slot->pid);
	nulls[1] = slot->pid == 0;
	values[2] = CStringGetTextDatum(slot->state);
	nulls[3] = slot->detail[0] == '\0';
	values[3] = nulls[3] ? (Datum) 0 : CStringGetTextDatum(slot->detail);
	values[4] = TimestampTzGetDatum(slot->since);
	values[5] = CStringGetTextDatum(link->library_version);
	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

/*
 * worker_slots() -> setof (database, pid, state, detail, since, library_version)
 *	  The board as it is now.  No row when billing_worker is not preloaded.
 */
Datum
worker_slots(PG_FUNCTION_ARGS)
{
	WorkerLink *link = find_worker_link();
	WorkerBoard board;

	InitMaterializedSRF(fcinfo, 0);
	if (link == NULL)
		return (Datum) 0;

	LWLockAcquire(link->lock, LW_SHARED);
	board = *link->board;
	LWLockRelease(link->lock);

	for (int i = 0; i < WORKER_SLOTS; i++)
		if (board.slot[i].database[0] != '\0')
			put_slot((ReturnSetInfo *) fcinfo->resultinfo, link, &board.slot[i]);
	return (Datum) 0;
}

/*
 * worker_library_version() -> text
 *	  Null when billing_worker is not preloaded.
 */
Datum
worker_library_version(PG_FUNCTION_ARGS)
{
	WorkerLink *link = find_worker_link();

	if (link == NULL)
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text(link->library_version));
}

/*
 * called_endpoint() -> text
 *	  The endpoint whose connector the worker, in whose process this is, is
 *	  calling; null anywhere else.  No SQL can change it.
 */
Datum
called_endpoint(PG_FUNCTION_ARGS)
{
	WorkerLink *link = find_worker_link();

	if (link == NULL || link->called == NULL)
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text(link->called));
}
