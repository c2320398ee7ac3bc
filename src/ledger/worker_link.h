/*-------------------------------------------------------------------------
 *
 * worker_link.h
 *	  What billing.so and billing_worker.so share: a board in shared memory
 *	  on which the worker of each database says how it is.
 *
 * The two libraries must not need each other: billing_worker.so leaves a
 * WorkerLink behind a rendezvous variable when it is preloaded, and
 * billing.so looks whether there is one.
 *
 *-------------------------------------------------------------------------
 */
#ifndef BILLING_WORKER_LINK_H
#define BILLING_WORKER_LINK_H

#include "storage/latch.h"
#include "storage/lwlock.h"
#include "utils/timestamp.h"

#define WORKER_LINK_NAME "billing_worker"

/* Changes whenever one of the structures below does */
#define WORKER_LINK_LAYOUT 2

#define WORKER_SLOTS 32

/* One database of billing_worker.databases */
typedef struct WorkerSlot
{
	char		database[NAMEDATALEN];	/* empty = the slot is free */
	Oid			database_oid;	/* invalid until the worker has connected */
	int			pid;			/* 0 = no worker runs */
	Latch	   *latch;			/* the worker's; valid while pid is set */
	TimestampTz since;			/* when state changed */
	char		state[24];
	char		detail[256];
} WorkerSlot;

typedef struct WorkerBoard
{
	int			launcher_pid;
	WorkerSlot	slot[WORKER_SLOTS];
} WorkerBoard;

typedef struct WorkerLink
{
	int			layout;			/* WORKER_LINK_LAYOUT of who made it */
	const char *library_version;
	WorkerBoard *board;			/* NULL until shared memory is there */
	LWLock	   *lock;			/* protects the board */
	const char *called;			/* in a worker: the endpoint whose connector it is calling */
} WorkerLink;

#endif							/* BILLING_WORKER_LINK_H */
