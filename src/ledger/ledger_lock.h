/*-------------------------------------------------------------------------
 *
 * ledger_lock.h
 *	  Locks of the ledger that only its own functions can take.
 *
 * An advisory lock would do but for one thing: every role that may log in
 * can take any of them, and with it stop all billing.  These are locks of
 * the same manager, shown by pg_locks with the locktype "object", under
 * classes that are no catalogs.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LEDGER_LOCK_H
#define LEDGER_LOCK_H

#include "miscadmin.h"
#include "storage/lock.h"
#include "utils/timestamp.h"

/* The letters "bilg": recorders, by the second in which they began.  recorders() knows it too. */
#define RECORDER_LOCK_CLASS 0x62696c67

/* The letters "bilr": number 0 is held by runs.  The functions and views that look for it know it too. */
#define RUN_LOCK_CLASS 0x62696c72

#define SET_LEDGER_LOCK_TAG(tag, class, number) SET_LOCKTAG_OBJECT(tag, MyDatabaseId, class, number, 2)

/* watermark.c */
extern TimestampTz stamp_after(TimestampTz not_before);

#endif							/* LEDGER_LOCK_H */
