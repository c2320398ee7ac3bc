/*-------------------------------------------------------------------------
 *
 * launcher.c
 *	  Keeps one worker running in each database of billing_worker.databases.
 *
 * It compares what should run with what does, every few seconds and after
 * each change of settings, and starts what is missing; so nothing that goes
 * wrong once is for ever.  It is connected to the shared catalogs only.  A
 * worker whose database is no longer wanted ends by itself.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/pg_database.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/proc.h"
#include "tcop/tcopprot.h"
#include "utils/acl.h"
#include "utils/guc.h"
#include "utils/memutils.h"

#include "worker/worker.h"

/* Between two looks, and before a worker that ended is started again */
#define LOOK_EVERY 2000

/* Handles of the workers that this launcher has started, by slot; those of a former one are known by their pid only. */
static BackgroundWorkerHandle *handles[WORKER_SLOTS];

/* Whether the slot's worker runs or is about to. */
static bool
worker_runs(WorkerSlot *slot)
{
	int			number = slot - worker_link.board->slot;
	pid_t		pid;

	if (handles[number] != NULL)
	{
		if (GetBackgroundWorkerPid(handles[number], &pid) != BGWH_STOPPED)
			return true;
		pfree(handles[number]);
		handles[number] = NULL;
	}
	return slot->pid != 0;
}

/* Asks the postmaster for a worker of the slot. */
static void
start_worker(WorkerSlot *slot)
{
	int			number = slot - worker_link.board->slot;
	BackgroundWorker worker = {0};
	MemoryContext former = MemoryContextSwitchTo(TopMemoryContext);

	worker.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker.bgw_restart_time = BGW_NEVER_RESTART;
	worker.bgw_main_arg = Int32GetDatum(number);
	strlcpy(worker.bgw_library_name, "billing_worker", sizeof(worker.bgw_library_name));
	strlcpy(worker.bgw_function_name, "billing_worker_main", sizeof(worker.bgw_function_name));
	snprintf(worker.bgw_name, BGW_MAXLEN, "billing worker %s", slot->database);
	strlcpy(worker.bgw_type, "billing worker", BGW_MAXLEN);
	if (RegisterDynamicBackgroundWorker(&worker, &handles[number]))
	{
		/* of one that fails again and again it stays to be seen why */
		if (strcmp(slot->state, "failing") != 0)
			board_say(slot, "starting", NULL);
	}
	else
	{
		/* once a time that it happens, not every few seconds */
		if (strcmp(slot->state, "no worker slot") != 0)
			ereport(WARNING,
					(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
					 errmsg("no background worker is free for the messages of database \"%s\"", slot->database),
					 errhint("Increase max_worker_processes.")));
		board_say(slot, "no worker slot", NULL);
	}
	MemoryContextSwitchTo(former);
}

/*
 * Whether there is a database of that name.  Read without an index: the
 * launcher belongs to no database, and after a crash the server has yet to
 * learn of the indexes from somebody who does.
 */
static bool
database_exists(const char *name)
{
	Relation	relation = table_open(DatabaseRelationId, AccessShareLock);
	TableScanDesc scan = table_beginscan_catalog(relation, 0, NULL);
	HeapTuple	tuple;
	bool		found = false;

	while (!found && (tuple = heap_getnext(scan, ForwardScanDirection)) != NULL)
		found = strcmp(NameStr(((Form_pg_database) GETSTRUCT(tuple))->datname), name) == 0;
	table_endscan(scan);
	table_close(relation, AccessShareLock);
	return found;
}

/* Starts the worker of a database unless it runs; says on the board what keeps it from that. */
static void
ensure_worker(const char *database)
{
	WorkerSlot *slot = board_take(database);

	if (slot == NULL)
	{
		ereport(WARNING,
				(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
				 errmsg("billing_worker.databases names more than %d databases", WORKER_SLOTS)));
		return;
	}
	if (worker_runs(slot))
		return;
	if (!database_exists(database))
		board_say(slot, "no database", NULL);
	else if (!OidIsValid(get_role_oid(WORKER_ROLE, true)))
		board_say(slot, "no role", NULL);
	else
		start_worker(slot);
}

/* Frees the slots of databases that are no longer wanted and have no worker any more. */
static void
forget_unwanted(void)
{
	for (int i = 0; i < WORKER_SLOTS; i++)
	{
		WorkerSlot *slot = &worker_link.board->slot[i];

		if (slot->database[0] == '\0' || worker_runs(slot) || database_is_wanted(slot->database))
			continue;
		LWLockAcquire(worker_link.lock, LW_EXCLUSIVE);
		memset(slot, 0, sizeof(WorkerSlot));
		LWLockRelease(worker_link.lock);
	}
}

/* One comparison of what should run with what does. */
static void
look(void)
{
	ListCell   *cell;

	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	foreach(cell, databases_wanted())
		ensure_worker((char *) lfirst(cell));
	forget_unwanted();
	CommitTransactionCommand();
}

/*
 * billing_worker_launcher()
 *	  The launcher's process.
 */
void
billing_worker_launcher(Datum argument)
{
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, die);
	BackgroundWorkerUnblockSignals();
	BackgroundWorkerInitializeConnection(NULL, NULL, 0);
	pgstat_report_appname("billing worker launcher");

	for (;;)
	{
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
		if (ConfigReloadPending)
		{
			ConfigReloadPending = false;
			ProcessConfigFile(PGC_SIGHUP);
		}
		look();
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, LOOK_EVERY, PG_WAIT_EXTENSION);
	}
}
