/*-------------------------------------------------------------------------
 *
 * module.c
 *	  Loading of billing_worker.so: settings, shared memory, the launcher.
 *
 * Without shared_preload_libraries nothing happens here; the rest of billing
 * works all the same and worker_status says what is missing.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "postmaster/bgworker.h"
#include "storage/ipc.h"
#include "utils/guc.h"

#include "worker/worker.h"

#ifdef PG_MODULE_MAGIC_EXT
PG_MODULE_MAGIC_EXT(.name = "billing_worker", .version = BILLING_VERSION);
#else
PG_MODULE_MAGIC;
#endif

char	   *worker_databases = NULL;
char	   *worker_secret_directory = NULL;

/* What billing.so finds behind the rendezvous variable. */
WorkerLink	worker_link = {WORKER_LINK_LAYOUT, BILLING_VERSION, NULL, NULL, NULL};

static shmem_request_hook_type former_shmem_request_hook = NULL;
static shmem_startup_hook_type former_shmem_startup_hook = NULL;

void		_PG_init(void);

/* A list that cannot be read would end every worker without a word. */
static bool
check_databases(char **value, void **extra, GucSource source)
{
	const char *problem;

	if (databases_can_be_read(*value, &problem))
		return true;
	GUC_check_errdetail("%s", problem);
	return false;
}

static void
define_settings(void)
{
	DefineCustomStringVariable("billing_worker.databases",
							   "Databases whose messages are delivered.",
							   "Names separated by commas, each quoted if it is no plain identifier.",
							   &worker_databases, "", PGC_SIGHUP, GUC_LIST_INPUT, check_databases, NULL, NULL);
	DefineCustomStringVariable("billing_worker.secret_directory",
							   "Folder of the files that options like password_file name.",
							   "Only the worker reads them; nothing outside this folder is read.",
							   &worker_secret_directory, "", PGC_SIGHUP, GUC_SUPERUSER_ONLY, NULL, NULL, NULL);
	MarkGUCPrefixReserved("billing_worker");
}

static void
request_shared_memory(void)
{
	if (former_shmem_request_hook)
		former_shmem_request_hook();
	board_request_memory();
}

static void
start_shared_memory(void)
{
	if (former_shmem_startup_hook)
		former_shmem_startup_hook();
	board_create();
}

/* One launcher; started again a second after it ends, whatever the reason. */
static void
register_launcher(void)
{
	BackgroundWorker launcher = {0};

	launcher.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	launcher.bgw_start_time = BgWorkerStart_RecoveryFinished;
	launcher.bgw_restart_time = 1;
	strlcpy(launcher.bgw_library_name, "billing_worker", sizeof(launcher.bgw_library_name));
	strlcpy(launcher.bgw_function_name, "billing_worker_launcher", sizeof(launcher.bgw_function_name));
	strlcpy(launcher.bgw_name, "billing worker launcher", BGW_MAXLEN);
	strlcpy(launcher.bgw_type, "billing worker launcher", BGW_MAXLEN);
	RegisterBackgroundWorker(&launcher);
}

void
_PG_init(void)
{
	define_settings();
	if (!process_shared_preload_libraries_in_progress)
		return;

	*(WorkerLink **) find_rendezvous_variable(WORKER_LINK_NAME) = &worker_link;
	former_shmem_request_hook = shmem_request_hook;
	shmem_request_hook = request_shared_memory;
	former_shmem_startup_hook = shmem_startup_hook;
	shmem_startup_hook = start_shared_memory;
	register_launcher();
}
