/*-------------------------------------------------------------------------
 *
 * secret.c
 *	  Secrets of endpoints, and the header fields that are made of them.
 *
 * A secret NAME is what the file holds that option NAME_file names, directly
 * under billing_worker.secret_directory, or else option NAME of the user
 * mapping for the worker's role.  Header templates of the wrapper or server
 * say where it goes: {NAME}, or {base64 A:B} for two of them together.
 *
 * Secrets live in the worker's memory only.  They are overwritten before it
 * is given back, and taken out of everything that is written down.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "access/reloptions.h"
#include "catalog/pg_user_mapping.h"
#include "common/base64.h"
#include "common/hashfn.h"
#include "foreign/foreign.h"
#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/jsonfuncs.h"
#include "utils/memutils.h"
#include "utils/syscache.h"

#include "worker/worker.h"

/* Largest secret, which a certificate chain has to fit in as well */
#define MAX_SECRET 262144

/* How long secrets are kept before their files are looked at again, and how long it is taken that they are missing, in microseconds */
#define SECRETS_GOOD_FOR INT64CONST(10000000)
#define SECRETS_BAD_FOR INT64CONST(1000000)

/* A secret shorter than this is not looked for in texts: too much else would be hidden. */
#define SHORTEST_REDACTED 4

/* Why a file may not be used, or NULL. */
static const char *
file_problem(const struct stat *status)
{
	if (!S_ISREG(status->st_mode))
		return "is not a file";
	if ((status->st_mode & (S_IRWXO | S_IWGRP)) != 0)
		return "can be read by everybody or changed by its group; use chmod 600";
	if (status->st_size > MAX_SECRET)
		return "is too large";
	return NULL;
}

/*
 * The contents of a file of the secret directory, palloc'ed, without line
 * ends after it; NULL with *problem set when it cannot be had.  The name is
 * checked again here: whatever the validator says, nothing outside is read.
 */
static char *
read_secret_file(const char *name, char **problem)
{
	struct stat status;
	const char *wrong = NULL;
	char	   *buffer = palloc0(MAX_SECRET + 1);
	char	   *contents = NULL;
	int			folder,
				file = -1;
	ssize_t		length;

	if (worker_secret_directory == NULL || worker_secret_directory[0] == '\0')
	{
		*problem = psprintf("file \"%s\" cannot be read because billing_worker.secret_directory is not set", name);
		return NULL;
	}
	folder = open(worker_secret_directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (folder >= 0 && strchr(name, '/') == NULL && name[0] != '.')
		file = openat(folder, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (file < 0 || fstat(file, &status) != 0)
		wrong = "cannot be opened";
	else if ((wrong = file_problem(&status)) == NULL)
	{
		length = read(file, buffer, MAX_SECRET);
		if (length < 0)
			wrong = "cannot be read";
		while (length > 0 && (buffer[length - 1] == '\n' || buffer[length - 1] == '\r'))
			buffer[--length] = '\0';
		/* a file that is being written anew is empty for a moment, and libcurl leaves out a field without content */
		if (wrong == NULL && strspn(buffer, " \t") == (size_t) length)
			wrong = "is empty";
		else if (wrong == NULL && strlen(buffer) < (size_t) length)
			wrong = "has a zero byte";
		else
			contents = pstrdup(buffer);
		explicit_bzero(buffer, MAX_SECRET);
	}
	pfree(buffer);
	if (file >= 0)
		close(file);
	if (folder >= 0)
		close(folder);
	if (wrong == NULL)
		return contents;
	*problem = psprintf("file \"%s\" of billing_worker.secret_directory %s", name, wrong);
	return NULL;
}

/* An option of the user mapping for the worker's role, or else for PUBLIC; NULL when there is none. */
static char *
mapping_option(Oid server_id, const char *name)
{
	Oid			users[2] = {GetUserId(), InvalidOid};

	for (int i = 0; i < 2; i++)
	{
		HeapTuple	tuple = SearchSysCache2(USERMAPPINGUSERSERVER, ObjectIdGetDatum(users[i]), ObjectIdGetDatum(server_id));
		char	   *value = NULL;
		bool		is_null;
		Datum		options;
		ListCell   *cell;

		if (!HeapTupleIsValid(tuple))
			continue;
		options = SysCacheGetAttr(USERMAPPINGUSERSERVER, tuple, Anum_pg_user_mapping_umoptions, &is_null);
		if (!is_null)
			foreach(cell, untransformRelOptions(options))
			{
				DefElem    *element = lfirst(cell);

				if (strcmp(element->defname, name) == 0)
					value = strVal(element->arg);
			}
		ReleaseSysCache(tuple);
		if (value != NULL)
			return value;
	}
	return NULL;
}

/* An option of the server as text, palloc'ed, or NULL. */
static char *
server_option(const Endpoint *endpoint, const char *name)
{
	JsonbValue	key;
	JsonbValue *found;

	key.type = jbvString;
	key.val.string.val = unconstify(char *, name);
	key.val.string.len = strlen(name);
	found = findJsonbValueFromContainer(&DatumGetJsonbP(endpoint->options)->root, JB_FOBJECT, &key);
	if (found == NULL || found->type != jbvString)
		return NULL;
	return pnstrdup(found->val.string.val, found->val.string.len);
}

/* What stands for {name} in a template, and a note of it if it is a secret; NULL with secret_problem set when there is nothing. */
static char *
template_value(Endpoint *endpoint, const char *name)
{
	char	   *value = server_option(endpoint, name);
	char	   *file = server_option(endpoint, psprintf("%s_file", name));

	if (value != NULL)
		return value;
	if (file != NULL)
		value = read_secret_file(file, &endpoint->secret_problem);
	else if ((value = mapping_option(endpoint->server_id, name)) == NULL)
		endpoint->secret_problem = psprintf("there is neither option \"%s_file\" nor a user mapping with option \"%s\" for role %s", name, name, WORKER_ROLE);
	if (value != NULL && strpbrk(value, "\r\n") != NULL)
	{
		endpoint->secret_problem = psprintf("secret \"%s\" has more than one line", name);
		value = NULL;
	}
	if (value != NULL && strlen(value) >= SHORTEST_REDACTED)
		endpoint->secrets = lappend(endpoint->secrets, value);
	return value;
}

/* Appends what {inside} of a template stands for; false when a secret is missing. */
static bool
append_placeholder(Endpoint *endpoint, StringInfo header, char *inside)
{
	bool		encode = strncmp(inside, "base64 ", 7) == 0;
	StringInfoData plain;
	char	   *rest = NULL;

	initStringInfo(&plain);
	for (char *name = strtok_r(encode ? inside + 7 : inside, ":", &rest); name != NULL; name = strtok_r(NULL, ":", &rest))
	{
		char	   *value = template_value(endpoint, name);

		if (value == NULL)
			return false;
		if (plain.len > 0)
			appendStringInfoChar(&plain, ':');
		appendStringInfoString(&plain, value);
	}
	if (encode)
	{
		int			room = pg_b64_enc_len(plain.len) + 1;
		char	   *encoded = palloc0(room);

		if (pg_b64_encode((void *) plain.data, plain.len, encoded, room - 1) < 0)
			elog(ERROR, "could not encode a header field");
		endpoint->secrets = lappend(endpoint->secrets, encoded);
		appendStringInfoString(header, encoded);
	}
	else
		appendStringInfoString(header, plain.data);
	explicit_bzero(plain.data, plain.len);
	return true;
}

/* One header field from its template; NULL when a secret is missing. */
static char *
make_header(Endpoint *endpoint, const char *name, const char *template)
{
	StringInfoData header;

	initStringInfo(&header);
	appendStringInfo(&header, "%s: ", name);
	for (const char *at = template; *at != '\0'; at++)
	{
		const char *end = *at == '{' ? strchr(at, '}') : NULL;

		if (end == NULL)
			appendStringInfoChar(&header, *at);
		else
		{
			if (!append_placeholder(endpoint, &header, pnstrdup(at + 1, end - at - 1)))
				return NULL;
			at = end;
		}
	}
	if (strpbrk(header.data, "\r\n") != NULL)
	{
		endpoint->secret_problem = pstrdup("secret_headers has a field with more than one line");
		return NULL;
	}
	return header.data;
}

/* Overwrites a list of secrets. */
static void
wipe(List *secrets)
{
	ListCell   *cell;

	foreach(cell, secrets)
		explicit_bzero(lfirst(cell), strlen(lfirst(cell)));
}

/*
 * secrets_refresh(endpoint, now)
 *	  Reads the endpoint's secrets unless that was done a moment ago, and makes
 *	  its header fields.  Sets secret_problem when something is missing; does
 *	  not raise then.  Called in a transaction.
 */
void
secrets_refresh(Endpoint *endpoint, TimestampTz now)
{
	MemoryContext former;
	ListCell   *cell;
	int64		good_for = endpoint->secret_problem == NULL && !endpoint->refused ? SECRETS_GOOD_FOR : SECRETS_BAD_FOR;
	uint32		fingerprint = 0;

	if (endpoint->secrets_read_at != 0 && now - endpoint->secrets_read_at < good_for)
		return;
	wipe(endpoint->secrets);
	wipe(endpoint->headers);
	MemoryContextReset(endpoint->secret_context);
	endpoint->secrets = endpoint->headers = NIL;
	endpoint->secret_problem = endpoint->ca_pem = NULL;
	endpoint->secrets_read_at = now;
	former = MemoryContextSwitchTo(endpoint->secret_context);
	if (endpoint->ca_file != NULL)
		endpoint->ca_pem = read_secret_file(endpoint->ca_file, &endpoint->secret_problem);
	for (cell = list_head(endpoint->secret_headers); cell != NULL; cell = lnext(endpoint->secret_headers, cell))
	{
		char	   *name = lfirst(cell);
		char	   *header;

		cell = lnext(endpoint->secret_headers, cell);
		header = make_header(endpoint, name, lfirst(cell));
		if (header == NULL)
			break;
		endpoint->headers = lappend(endpoint->headers, header);
		fingerprint = hash_combine(fingerprint, hash_bytes((unsigned char *) header, strlen(header)));
	}
	MemoryContextSwitchTo(former);
	/* other credentials than those that were refused: no need to wait longer before they are tried */
	if (endpoint->refused && fingerprint != endpoint->fingerprint)
	{
		endpoint->refused = false;
		endpoint->paused_until = 0;
		endpoint->noted = endpoint->urgent = true;
	}
	endpoint->fingerprint = fingerprint;
}

/* How a secret may be written where somebody quotes it. */
typedef enum Spelling
{
	SPELLED_AS_IS,
	SPELLED_IN_JSON,
	SPELLED_IN_URL,
	SPELLINGS
} Spelling;

/* The number that so many hexadecimal digits say, or -1 when they are none. */
static int
hex_number(const char *digits, int count)
{
	int			number = 0;

	for (int i = 0; i < count; i++)
	{
		char		digit = digits[i];

		if (digit >= '0' && digit <= '9')
			number = number * 16 + digit - '0';
		else if ((digit | 0x20) >= 'a' && (digit | 0x20) <= 'f')
			number = number * 16 + (digit | 0x20) - 'a' + 10;
		else
			return -1;
	}
	return number;
}

/* Reads \uXXXX, or two of them that are one character; returns how many bytes they take, 0 when it is none. */
static int
read_json_number(const char *text, char *bytes)
{
	int			code = hex_number(text + 2, 4);
	int			low;

	if (code <= 0)
		return 0;
	if (code >= 0xD800 && code <= 0xDBFF && text[6] == '\\' && text[7] == 'u' &&
		(low = hex_number(text + 8, 4)) >= 0xDC00 && low <= 0xDFFF)
	{
		unicode_to_utf8(surrogate_pair_to_codepoint(code, low), (unsigned char *) bytes);
		return 12;
	}
	unicode_to_utf8(code, (unsigned char *) bytes);
	return 6;
}

/*
 * What stands first in the text when it is read in that spelling: bytes, with
 * room for four and a zero byte after them, is what it means.  Returns how
 * many bytes of the text that takes, 0 when it is nothing.
 */
static int
read_spelled(const char *text, Spelling spelling, char *bytes)
{
	int			code;

	memset(bytes, 0, 5);
	bytes[0] = text[0];
	if (spelling == SPELLED_IN_JSON && text[0] == '\\')
	{
		if (text[1] == 'u')
			return read_json_number(text, bytes);
		bytes[0] = text[1] == 't' ? '\t' : text[1];
		return text[1] == '\0' ? 0 : 2;
	}
	if (spelling == SPELLED_IN_URL && text[0] == '%' && (code = hex_number(text + 1, 2)) > 0)
	{
		bytes[0] = (char) code;
		return 3;
	}
	return text[0] == '\0' ? 0 : 1;
}

/* How many bytes the secret takes up where the text begins with it in that spelling; 0 = it does not. */
static int
spelled_length(const char *text, const char *secret, Spelling spelling)
{
	const char *at = text;

	while (*secret != '\0')
	{
		char		bytes[5];
		int			taken = read_spelled(at, spelling, bytes);

		if (spelling == SPELLED_IN_URL && *at == '+' && *secret == ' ')
			bytes[0] = ' ';
		if (taken == 0 || strncmp(secret, bytes, strlen(bytes)) != 0)
			return 0;
		at += taken;
		secret += strlen(bytes);
	}
	return at - text;
}

/* How many bytes the longest secret takes up that the text begins with, however it is spelled; 0 = none does. */
static int
secret_length(const Endpoint *endpoint, const char *text)
{
	ListCell   *cell;
	int			longest = 0;

	foreach(cell, endpoint->secrets)
	{
		const char *secret = lfirst(cell);

		if (*text != *secret && *text != '\\' && *text != '%' && *text != '+')
			continue;
		for (Spelling spelling = 0; spelling < SPELLINGS; spelling++)
			longest = Max(longest, spelled_length(text, secret, spelling));
	}
	return longest;
}

/*
 * secrets_redact(endpoint, text, limit) -> the first bytes of the text with
 *	  every secret of the endpoint replaced by ***, palloc'ed.  Secrets are
 *	  also found as JSON and URLs write them; where one is part of another the
 *	  longer one goes.
 */
char *
secrets_redact(const Endpoint *endpoint, const char *text, int limit)
{
	StringInfoData clean;

	initStringInfo(&clean);
	while (*text != '\0' && clean.len < limit)
	{
		int			hidden = secret_length(endpoint, text);

		if (hidden == 0)
			appendStringInfoChar(&clean, *text++);
		else
		{
			appendStringInfoString(&clean, "***");
			text += hidden;
		}
	}
	return clean.data;
}

static text *
redact_string(void *endpoint, char *value, int length)
{
	return cstring_to_text(secrets_redact(endpoint, pnstrdup(value, length), INT_MAX));
}

/*
 * secrets_redact_json(endpoint, json) -> the same with every secret in its
 *	  strings replaced by ***; 0 stays 0.  Names of members stay as they are.
 */
Datum
secrets_redact_json(Endpoint *endpoint, Datum json)
{
	if (json == 0 || endpoint->secrets == NIL)
		return json;
	return JsonbPGetDatum(transform_jsonb_string_values(DatumGetJsonbP(json), endpoint, redact_string));
}
