/*
 * kill.c
 *	  Kills the worker, the server or the whole cluster when the worker comes
 *	  to a certain point.  Not part of the product: check.py compiles it and
 *	  starts its server with it in LD_PRELOAD.
 *
 * File $BILLING_KILL holds "POINT VICTIM NUMBER"; the NUMBER-th time that the
 * worker comes to the point, the file goes and the victim is killed.  Points:
 *
 *	 unsent		 committed as being sent, libcurl not told yet
 *	 answered	 the whole answer is there, its connector not called yet
 *	 unwritten	 before a commit, or what leads to it, is written to the WAL
 *	 written	 after that, before the worker knows
 *
 * and those for which SQL calls hit_point(): in connectors and in triggers.
 * Victims: worker (this process), server (the postmaster alone, so that the
 * worker goes on until it notices), cluster (all processes at once).
 */
#include "postgres.h"

#include <curl/curl.h>
#include <dirent.h>
#include <dlfcn.h>
#include <signal.h>
#include <unistd.h>

#include "fmgr.h"

PG_MODULE_MAGIC;
PG_FUNCTION_INFO_V1(hit_point);

static int	hits = 0;
static bool is_worker = false;

/* Parent and state of a process; 0 if it is gone. */
static pid_t
parent_of(const char *process, char *state)
{
	char		path[300];
	char		line[400];
	FILE	   *file;
	int			parent = 0;

	snprintf(path, sizeof(path), "/proc/%s/stat", process);
	file = fopen(path, "r");
	if (file == NULL)
		return 0;
	if (fgets(line, sizeof(line), file) != NULL && strrchr(line, ')') != NULL && sscanf(strrchr(line, ')'), ") %c %d", state, &parent) != 2)
		parent = 0;
	fclose(file);
	return parent;
}

/* Kills the children of a stopped postmaster but this process; returns whether there were any. */
static bool
kill_children(pid_t postmaster)
{
	DIR		   *processes = opendir("/proc");
	struct dirent *entry;
	char		state;
	bool		any = false;

	while ((entry = readdir(processes)) != NULL)
	{
		if (entry->d_name[0] < '1' || entry->d_name[0] > '9' || atoi(entry->d_name) == getpid())
			continue;
		if (parent_of(entry->d_name, &state) != postmaster || state == 'Z')
			continue;
		kill(atoi(entry->d_name), SIGKILL);
		any = true;
	}
	closedir(processes);
	return any;
}

/*
 * All at once means all: a backend that the postmaster was just making would
 * wait for ever for locks that the others held, and keep the shared memory.
 * So the postmaster stands still first, and then nobody is left.
 */
static void
kill_cluster(pid_t postmaster)
{
	char		name[20];
	char		state = ' ';

	snprintf(name, sizeof(name), "%d", (int) postmaster);
	kill(postmaster, SIGSTOP);
	while (parent_of(name, &state) != 0 && state != 'T')
		usleep(100);
	while (kill_children(postmaster))
		usleep(100);
	kill(postmaster, SIGKILL);
	kill(getpid(), SIGKILL);
}

/* The postmaster of the data folder, which is the worker's current one; 0 = not known. */
static pid_t
postmaster_of_folder(void)
{
	FILE	   *file = fopen("postmaster.pid", "r");
	int			process = 0;

	if (file == NULL)
		return 0;
	if (fscanf(file, "%d", &process) != 1)
		process = 0;
	fclose(file);
	return process;
}

static void
come_to(const char *point)
{
	const char *path = getenv("BILLING_KILL");
	pid_t		postmaster = postmaster_of_folder();
	char		wanted[40] = "";
	char		victim[40] = "";
	int			number = 0;
	FILE	   *file = path == NULL ? NULL : fopen(path, "r");

	if (file == NULL)
		return;
	if (fscanf(file, "%39s %39s %d", wanted, victim, &number) != 3)
		number = 0;
	fclose(file);
	/* a worker that has lost its postmaster has another parent, which is nobody's victim */
	if (number == 0 || strcmp(wanted, point) != 0 || postmaster != getppid() || ++hits < number || unlink(path) != 0)
		return;
	hits = 0;
	if (strcmp(victim, "cluster") == 0)
		kill_cluster(postmaster);
	kill(strcmp(victim, "server") == 0 ? postmaster : getpid(), SIGKILL);
}

/* hit_point(cstring) -> void, for SQL */
Datum
hit_point(PG_FUNCTION_ARGS)
{
	if (is_worker)
		come_to(PG_GETARG_CSTRING(0));
	PG_RETURN_VOID();
}

/* The real function of that name, in libcurl under either of its names or in libc. */
static void *
real(const char *name)
{
	static const char *const libraries[] = {"libcurl.so.4", "libcurl-gnutls.so.4", "libc.so.6"};
	void	   *found = NULL;

	for (int i = 0; i < 3 && found == NULL; i++)
	{
		void	   *library = dlopen(libraries[i], RTLD_LAZY | RTLD_NOLOAD);

		if (library != NULL)
			found = dlsym(library, name);
	}
	return found;
}

CURLMcode
curl_multi_add_handle(CURLM *multi, CURL *easy)
{
	is_worker = true;
	come_to("unsent");
	return ((CURLMcode (*) (CURLM *, CURL *)) real("curl_multi_add_handle")) (multi, easy);
}

CURLMsg *
curl_multi_info_read(CURLM *multi, int *left)
{
	CURLMsg    *message = ((CURLMsg *(*) (CURLM *, int *)) real("curl_multi_info_read")) (multi, left);

	is_worker = true;
	if (message != NULL && message->msg == CURLMSG_DONE)
		come_to("answered");
	return message;
}

ssize_t
pwrite(int descriptor, const void *bytes, size_t count, off_t offset)
{
	static ssize_t (*real_pwrite) (int, const void *, size_t, off_t) = NULL;
	char		link[64];
	char		path[1024] = "";
	bool		to_wal = false;
	ssize_t		written;

	if (real_pwrite == NULL)
		real_pwrite = (ssize_t (*) (int, const void *, size_t, off_t)) real("pwrite");
	if (is_worker)
	{
		snprintf(link, sizeof(link), "/proc/self/fd/%d", descriptor);
		to_wal = readlink(link, path, sizeof(path) - 1) > 0 && strstr(path, "/pg_wal/") != NULL;
	}
	if (to_wal)
		come_to("unwritten");
	written = real_pwrite(descriptor, bytes, count, offset);
	if (to_wal)
		come_to("written");
	return written;
}
