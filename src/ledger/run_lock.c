/*-------------------------------------------------------------------------
 *
 * run_lock.c
 *	  The lock that a billing run holds across its commits.
 *
 * A run commits step by step, so the lock must outlive a transaction; but an
 * ordinary session-level lock would also outlive a run that failed, for as
 * long as its session lives.  This one is released when the run's
 * transaction aborts.  Other work of the ledger that must not be done twice
 * at once takes locks that end with its transaction.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "fmgr.h"
#include "ledger_lock.h"

/* Whether this backend holds the lock, and whether its callback is there. */
static bool run_lock_held = false;
static bool callback_registered = false;

PG_FUNCTION_INFO_V1(acquire_run_lock);
PG_FUNCTION_INFO_V1(release_run_lock);
PG_FUNCTION_INFO_V1(lock_until_commit);

static void
release_if_held(void)
{
	LOCKTAG		tag;

	if (!run_lock_held)
		return;
	run_lock_held = false;
	SET_LEDGER_LOCK_TAG(tag, RUN_LOCK_CLASS, 0);
	(void) LockRelease(&tag, ExclusiveLock, true);
}

/* A run that fails gives its lock back with the transaction that failed. */
static void
release_run_lock_at_abort(XactEvent event, void *arg)
{
	if (event == XACT_EVENT_ABORT)
		release_if_held();
}

/*
 * acquire_run_lock() raises inside a transaction block.  Otherwise it waits
 * until no other session runs billing in this database; lock_timeout and cancellation work as for every lock.
 */
Datum
acquire_run_lock(PG_FUNCTION_ARGS)
{
	LOCKTAG		tag;

	if (IsTransactionBlock())
		ereport(ERROR,
				(errcode(ERRCODE_ACTIVE_SQL_TRANSACTION),
				 errmsg("this procedure commits step by step and cannot run inside a transaction block"),
				 errhint("Call it outside of BEGIN and COMMIT; billing.bill_account() bills one account inside a transaction.")));
	if (!callback_registered)
	{
		RegisterXactCallback(release_run_lock_at_abort, NULL);
		callback_registered = true;
	}
	if (!run_lock_held)
	{
		SET_LEDGER_LOCK_TAG(tag, RUN_LOCK_CLASS, 0);
		(void) LockAcquire(&tag, ExclusiveLock, true, false);
		run_lock_held = true;
	}
	PG_RETURN_VOID();
}

/* release_run_lock() ends the exclusion; does nothing if it is not held. */
Datum
release_run_lock(PG_FUNCTION_ARGS)
{
	release_if_held();
	PG_RETURN_VOID();
}

/*
 * lock_until_commit(class, number) waits until no other transaction holds the
 * lock of that class and number, and holds it to the end of this one.
 */
Datum
lock_until_commit(PG_FUNCTION_ARGS)
{
	LOCKTAG		tag;

	SET_LEDGER_LOCK_TAG(tag, (uint32) PG_GETARG_INT32(0), (uint32) PG_GETARG_INT32(1));
	(void) LockAcquire(&tag, ExclusiveLock, false, false);
	PG_RETURN_VOID();
}
