/*-------------------------------------------------------------------------
 *
 * board.c
 *	  The board in shared memory on which each worker says how it is, and
 *	  the list of databases that should have one.
 *
 * A worker's slot outlives it, so that worker_status can say why it is not
 * there.  Nothing here keeps pointers into a process's memory.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "storage/ipc.h"
#include "storage/proc.h"
#include "storage/shmem.h"
#include "utils/builtins.h"
#include "utils/varlena.h"

#include "worker/worker.h"

#define BOARD_NAME "billing_worker"

void
board_request_memory(void)
{
	RequestAddinShmemSpace(MAXALIGN(sizeof(WorkerBoard)));
	RequestNamedLWLockTranche(BOARD_NAME, 1);
}

/* Called in the postmaster, again after a crash: the board is then empty. */
void
board_create(void)
{
	bool		found;

	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	worker_link.lock = &GetNamedLWLockTranche(BOARD_NAME)->lock;
	worker_link.board = ShmemInitStruct(BOARD_NAME, sizeof(WorkerBoard), &found);
	if (!found)
		memset(worker_link.board, 0, sizeof(WorkerBoard));
	LWLockRelease(AddinShmemInitLock);
}

/* The slot of a database, or NULL.  The caller holds the lock. */
static WorkerSlot *
find_slot(const char *database)
{
	for (int i = 0; i < WORKER_SLOTS; i++)
		if (strcmp(worker_link.board->slot[i].database, database) == 0)
			return &worker_link.board->slot[i];
	return NULL;
}

/* The slot of a database, or NULL when it has none. */
WorkerSlot *
board_find(const char *database)
{
	WorkerSlot *slot;

	LWLockAcquire(worker_link.lock, LW_SHARED);
	slot = find_slot(database);
	LWLockRelease(worker_link.lock);
	return slot;
}

/* The slot of a database, a free one if it has none yet; NULL when all are taken. */
WorkerSlot *
board_take(const char *database)
{
	WorkerSlot *slot;

	LWLockAcquire(worker_link.lock, LW_EXCLUSIVE);
	slot = find_slot(database);
	if (slot == NULL && (slot = find_slot("")) != NULL)
	{
		memset(slot, 0, sizeof(WorkerSlot));
		strlcpy(slot->database, database, NAMEDATALEN);
		slot->since = GetCurrentTimestamp();
	}
	LWLockRelease(worker_link.lock);
	return slot;
}

/* Says how the worker of a slot is; detail may be NULL. */
void
board_say(WorkerSlot *slot, const char *state, const char *detail)
{
	LWLockAcquire(worker_link.lock, LW_EXCLUSIVE);
	if (strcmp(slot->state, state) != 0)
		slot->since = GetCurrentTimestamp();
	strlcpy(slot->state, state, sizeof(slot->state));
	strlcpy(slot->detail, detail ? detail : "", sizeof(slot->detail));
	LWLockRelease(worker_link.lock);
}

/*
 * board_enter(slot) -> 0, or the process that delivers this database's
 *	  messages already.  This process is the worker of the slot from now on.
 *	  The board itself keeps a second one out: unlike a lock of SQL, nobody
 *	  but a worker can be on it.
 */
int
board_enter(WorkerSlot *slot)
{
	int			holder = 0;

	LWLockAcquire(worker_link.lock, LW_EXCLUSIVE);
	for (int i = 0; i < WORKER_SLOTS; i++)
	{
		WorkerSlot *other = &worker_link.board->slot[i];

		if (other->pid != 0 && other->pid != MyProcPid && (other == slot || other->database_oid == MyDatabaseId))
			holder = other->pid;
	}
	if (holder == 0)
	{
		slot->pid = MyProcPid;
		slot->latch = MyLatch;
		slot->database_oid = MyDatabaseId;
	}
	LWLockRelease(worker_link.lock);
	return holder;
}

/* This process is no longer the worker of the slot, if it was; error: what has ended it, empty = it was to end. */
void
board_leave(WorkerSlot *slot, const char *error)
{
	LWLockAcquire(worker_link.lock, LW_EXCLUSIVE);
	if (slot->pid == MyProcPid)
	{
		slot->pid = 0;
		slot->latch = NULL;
	}
	if (slot->pid == 0 && error[0] != '\0')
	{
		if (strcmp(slot->state, "failing") != 0)
			slot->since = GetCurrentTimestamp();
		strlcpy(slot->state, "failing", sizeof(slot->state));
		strlcpy(slot->detail, error, sizeof(slot->detail));
	}
	LWLockRelease(worker_link.lock);
}

/* Whether the value of billing_worker.databases is a list of names that there is room for; *problem says why not. */
bool
databases_can_be_read(const char *names, const char **problem)
{
	char	   *copy = pstrdup(names);
	List	   *databases = NIL;

	*problem = NULL;
	if (!SplitIdentifierString(copy, ',', &databases))
		*problem = "Names are separated by commas, each quoted if it is no plain identifier.";
	else if (list_length(databases) > WORKER_SLOTS)
		*problem = "There are more names than workers.";
	list_free(databases);
	pfree(copy);
	return *problem == NULL;
}

/* The names in billing_worker.databases, palloc'ed. */
List *
databases_wanted(void)
{
	char	   *names = pstrdup(worker_databases ? worker_databases : "");
	List	   *databases = NIL;

	if (!SplitIdentifierString(names, ',', &databases))
		return NIL;
	return databases;
}

bool
database_is_wanted(const char *database)
{
	List	   *databases = databases_wanted();
	bool		wanted = false;
	ListCell   *cell;

	foreach(cell, databases)
		wanted = wanted || strcmp((char *) lfirst(cell), database) == 0;
	list_free(databases);
	return wanted;
}
