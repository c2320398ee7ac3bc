/*-------------------------------------------------------------------------
 *
 * watermark.c
 *	  The stamp of recorded facts.
 *
 * A fact's timestamp alone cannot say what a billing run has seen: a row
 * stamped before a cut-off and committed after it would appear in the past.
 * So everybody who records facts takes a shared lock, kept to the
 * end of the transaction, whose key is the second at which it was taken.  A
 * run reads the clock and then the smallest key held by others, and counts
 * only facts stamped before both.  Nobody ever waits for this lock.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "fmgr.h"
#include "storage/proc.h"
#include "utils/timestamp.h"

#include "ledger_lock.h"

#if PG_VERSION_NUM >= 170000
#define CURRENT_LXID (MyProc->vxid.lxid)
#else
#define CURRENT_LXID (MyProc->lxid)
#endif

/*
 * The stamp of the transaction that is running, and the subtransaction whose
 * end releases its lock.  Stale as soon as the local transaction id differs.
 */
static TimestampTz stamp = 0;
static LocalTransactionId stamp_lxid = InvalidLocalTransactionId;
static SubTransactionId stamp_subid = InvalidSubTransactionId;
static bool callback_registered = false;

PG_FUNCTION_INFO_V1(recording_stamp);
PG_FUNCTION_INFO_V1(own_stamp);

/*
 * Rolling back to a savepoint releases the locks taken since; the stamp must
 * go with its lock.  The facts that carry it were rolled back too.
 */
static void
forget_stamp_of_aborted_subxact(SubXactEvent event, SubTransactionId subid,
								SubTransactionId parent_subid, void *arg)
{
	if (stamp_subid != subid)
		return;
	if (event == SUBXACT_EVENT_ABORT_SUB)
		stamp_lxid = InvalidLocalTransactionId;
	else if (event == SUBXACT_EVENT_COMMIT_SUB)
		stamp_subid = parent_subid;
}

/*
 * Take the recorder's lock with the present second as its key.  The clock is
 * read before the lock is taken: a run that does not see the lock has read
 * its own clock before the stamp that follows.
 */
static void
lock_as_recorder(void)
{
	LOCKTAG		tag;
	int64		second = timestamptz_to_time_t(GetCurrentTimestamp());

	SET_LEDGER_LOCK_TAG(tag, RECORDER_LOCK_CLASS, (uint32) second);
	(void) LockAcquire(&tag, ShareLock, false, false);
}

/*
 * The stamp of this transaction's facts, later than an instant (DT_NOBEGIN:
 * than none).  The same for the rest of the transaction.
 */
TimestampTz
stamp_after(TimestampTz not_before)
{
	if (stamp_lxid != CURRENT_LXID)
	{
		if (!callback_registered)
		{
			RegisterSubXactCallback(forget_stamp_of_aborted_subxact, NULL);
			callback_registered = true;
		}
		lock_as_recorder();
		stamp = GetCurrentTimestamp();
		stamp_subid = GetCurrentSubTransactionId();
		stamp_lxid = CURRENT_LXID;
	}
	if (stamp <= not_before)
		stamp = not_before + 1;
	return stamp;
}

/* recording_stamp(not_before): the same; null is no bound. */
Datum
recording_stamp(PG_FUNCTION_ARGS)
{
	PG_RETURN_TIMESTAMPTZ(stamp_after(PG_ARGISNULL(0) ? DT_NOBEGIN : PG_GETARG_TIMESTAMPTZ(0)));
}

/* own_stamp() returns the stamp of this transaction's facts, or null. */
Datum
own_stamp(PG_FUNCTION_ARGS)
{
	if (stamp_lxid != CURRENT_LXID)
		PG_RETURN_NULL();
	PG_RETURN_TIMESTAMPTZ(stamp);
}
