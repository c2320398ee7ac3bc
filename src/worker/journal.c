/*-------------------------------------------------------------------------
 *
 * journal.c
 *	  Which message's connector is being called, in a file.
 *
 * A connector may take the process along: a crash in a function of C, no
 * memory left to the machine, a statement that ends the session.  Its
 * attempt, whose transaction is lost, would then be made again for ever.  So
 * the message's number is written down before each call, outside of any
 * transaction, and the worker that comes next counts the attempt.
 *
 * Eight bytes in the directory for temporary statistics, which no backup
 * copies.  They need not outlive a crash of the machine and are never
 * flushed, so that the two writes of a call cost microseconds.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <fcntl.h>
#include <unistd.h>

#include "miscadmin.h"
#include "pgstat.h"
#include "storage/fd.h"

#include "worker/worker.h"

#define JOURNAL_FORMAT "pg_stat_tmp/billing_worker_%u"

static int	journal = -1;

/*
 * journal_open() -> number of the message whose connector was being called
 *	  when a former worker of this database ended, 0 = none.  Called once.
 */
int64
journal_open(void)
{
	char		path[MAXPGPATH];
	int64		message_id = 0;

	snprintf(path, sizeof(path), JOURNAL_FORMAT, MyDatabaseId);
	ReserveExternalFD();
	journal = BasicOpenFile(path, O_RDWR | O_CREAT | PG_BINARY);
	if (journal < 0)
		ereport(ERROR, (errcode_for_file_access(), errmsg("could not open file \"%s\": %m", path)));
	if (pread(journal, &message_id, sizeof(message_id), 0) != sizeof(message_id))
		message_id = 0;
	return message_id;
}

/* Writes down that the connector of this message is being called; 0 = none is. */
void
journal_write(int64 message_id)
{
	if (pwrite(journal, &message_id, sizeof(message_id), 0) != sizeof(message_id))
		ereport(ERROR, (errcode_for_file_access(), errmsg("could not write down which message is being delivered: %m")));
}
