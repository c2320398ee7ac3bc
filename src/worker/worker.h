/*-------------------------------------------------------------------------
 *
 * worker.h
 *	  What the files of billing_worker.so share.
 *
 * The launcher starts one worker a database.  A worker takes messages from
 * the outbox, has SQL connectors turn them into requests, sends these, and
 * writes down what came back:
 *
 *	 outbox.c	  the database's side: claim, record, look after
 *	 connector.c  one call of a connector
 *	 journal.c	  which connector is being called, should it end the process
 *	 endpoint.c	  options, rate limit and circuit breaker of each endpoint
 *	 secret.c	  secrets and the header fields made of them
 *	 transfer.c	  requests and answers, on libcurl
 *	 address.c	  which addresses may be connected to
 *	 deliver.c	  the loop that ties them together
 *
 *-------------------------------------------------------------------------
 */
#ifndef BILLING_WORKER_H
#define BILLING_WORKER_H

#include "fmgr.h"
#include "nodes/pg_list.h"
#include "utils/timestamp.h"

#include "ledger/worker_link.h"

/* Messages under way at once, over all endpoints of a database; and how many any endpoint may have whatever the others do */
#define MAX_IN_FLIGHT 256
#define ALWAYS_FREE 4

/* Longest pause that Retry-After or a connector can ask for, in milliseconds */
#define LONGEST_PAUSE INT64CONST(604800000)

/* Number of worker_protocol() that this library speaks */
#define WORKER_PROTOCOL 1

#define WORKER_ROLE "billing_worker"

extern char *worker_databases;
extern char *worker_secret_directory;
extern WorkerLink worker_link;

/* Which of an endpoint's messages may be begun */
typedef enum ClaimMode
{
	CLAIM_ALL,
	CLAIM_FEWEST_ATTEMPTS,		/* those first that have failed least often */
	CLAIM_TESTS					/* those of test_connection() alone */
} ClaimMode;

/* An endpoint as the worker knows it; lives until its options change. */
typedef struct Endpoint
{
	MemoryContext context;
	Oid			server_id;
	char	   *name;
	char	   *url;
	char	   *connector;
	Datum		options;		/* jsonb */
	List	   *secret_headers; /* names and templates in turn, char * */
	char	   *ca_file;		/* name in the secret directory, or NULL */
	char	   *proxy;
	bool		allow_private;
	int64		timeout;		/* this and the following in milliseconds */
	int64		connect_timeout;
	int64		connector_timeout;
	int64		retry_delay;
	int64		retry_limit;
	int64		breaker_pause;
	int64		microseconds_a_request; /* 0 = no rate limit */
	int			max_body;
	int			max_parallel;
	int			max_attempts;
	int			breaker_failures;

	/* how it is doing */
	int			in_flight;
	int			failures;		/* in a row */
	TimestampTz paused_until;	/* 0 = not paused */
	bool		asked_to_wait;	/* paused because the other side wants that, not because of failures */
	bool		refused;		/* it does not take our credentials */
	TimestampTz careful_until;	/* it has failed lately: messages that have not failed go first */
	TimestampTz resting_until;	/* a connector has met a lock: none is called before */
	int64		spent;			/* time of its connectors in this turn, in microseconds */
	TimestampTz next_request_at;	/* rate limit: the time that the requests so far have used up */
	bool		may_have_more;	/* the last claim did not empty its queue */
	bool		noted;			/* something of this is to be written down */
	bool		urgent;			/* and at once, not within a second */
	TimestampTz noted_at;		/* when it last was */
	bool		succeeded;
	char		failure[200];	/* empty = none since it was written down */
	struct Endpoint *successor; /* read anew while requests were out */

	/* secrets, read again after a while */
	MemoryContext secret_context;
	TimestampTz secrets_read_at;
	List	   *headers;		/* char *, ready to be sent */
	List	   *secrets;		/* char *, to be taken out of what is written down */
	char	   *ca_pem;
	char	   *secret_problem; /* why they could not be read, or NULL */
	uint32		fingerprint;	/* of the header fields made of them */
} Endpoint;

/* What to send, as the connector gave it. */
typedef struct Request
{
	char	   *method;
	char	   *path;
	List	   *headers;		/* char *, "Name: value" */
	char	   *body;
	size_t		body_length;
	bool		has_body;
	int64		timeout;		/* milliseconds; 0 = the endpoint's */
} Request;

/* What came back.  The buffers are malloc'ed, because libcurl's callbacks fill them and must not raise. */
typedef struct Answer
{
	int			status;			/* 0 = none */
	char	   *headers;
	size_t		headers_length;
	char	   *body;
	size_t		body_length;
	const char *error;			/* NULL = a whole answer */
	char		detail[400];
	bool		sent;
	int64		retry_after;	/* seconds; -1 = not said */
	int64		duration;		/* microseconds */
} Answer;

/* One message between claim and outcome. */
typedef struct Delivery
{
	MemoryContext context;
	Endpoint   *endpoint;
	int64		message_id;
	char	   *kind;
	Datum		payload;		/* jsonb */
	char	   *idempotency_key;
	char	   *ordering_key;	/* NULL = none */
	int			attempt;
	int			excused;		/* how many of the attempts do not count towards the most */
	int			step;
	int			max_attempts;	/* 0 = as the endpoint says */
	Datum		progress;		/* jsonb; 0 = none */
	bool		uncertain;
	bool		has_effects;	/* this attempt has changed something there, or may have */
	bool		begun;			/* this attempt is not recorded yet */
	bool		unsafe;			/* the request that went out last was neither GET nor HEAD */
	MemoryContext step_context; /* the request and what belongs to it */
	Request		request;
	Answer		answer;
	bool		has_answer;
	TimestampTz held_since;		/* the answer waits for a lock that the connector needs; 0 = it does not */
	struct Transfer *transfer;	/* while the request is out */

	/* what to record */
	const char *state;
	Datum		new_progress;	/* jsonb; 0 = as it was */
	Datum		result;			/* jsonb; 0 = none */
	char	   *reason;
	TimestampTz next_try_at;
	TimestampTz lease_until;
} Delivery;

/* board.c */
extern void board_request_memory(void);
extern void board_create(void);
extern WorkerSlot *board_find(const char *database);
extern WorkerSlot *board_take(const char *database);
extern void board_say(WorkerSlot *slot, const char *state, const char *detail);
extern int	board_enter(WorkerSlot *slot);
extern void board_leave(WorkerSlot *slot, const char *error);
extern bool databases_can_be_read(const char *names, const char **problem);
extern List *databases_wanted(void);
extern bool database_is_wanted(const char *database);

/* outbox.c */
typedef enum LedgerState
{
	LEDGER_READY,
	LEDGER_MISSING,
	LEDGER_UNKNOWN_PROTOCOL
} LedgerState;

extern LedgerState outbox_ledger_state(int *protocol);
extern List *outbox_read_endpoints(void);
extern List *outbox_claim(List *endpoints, const int *free, const ClaimMode *modes, bool *ask_again);
extern void outbox_record(List *deliveries);
extern TimestampTz outbox_look_after(List *in_flight);
extern int64 outbox_clean(int row_limit);
extern void outbox_count_fatal_call(int64 message_id);
extern void outbox_note(List *endpoints);
extern int64 outbox_note_origin(void);

/* journal.c */
extern int64 journal_open(void);
extern void journal_write(int64 message_id);

/* connector.c */
extern bool connector_step(Delivery *delivery);

/* endpoint.c */
extern void endpoints_watch_catalog(void);
extern bool endpoints_refresh(void);
extern List *endpoints_all(void);
extern Endpoint *endpoint_by_name(const char *name);
extern int	endpoint_free(Endpoint *endpoint, TimestampTz now, ClaimMode *mode);
extern TimestampTz endpoint_next_free(Endpoint *endpoint, TimestampTz now);
extern void endpoint_count_request(Endpoint *endpoint, TimestampTz now);
extern bool answer_asks_to_wait(const Answer *answer);
extern bool endpoint_refuses_us(const Delivery *delivery);
extern void endpoint_judge(const Delivery *delivery, TimestampTz now);
extern int64 endpoint_retry_delay(const Endpoint *endpoint, int attempt);

/* secret.c */
extern void secrets_refresh(Endpoint *endpoint, TimestampTz now);
extern char *secrets_redact(const Endpoint *endpoint, const char *text, int limit);
extern Datum secrets_redact_json(Endpoint *endpoint, Datum json);

/* transfer.c */
extern void transfer_start_engine(void);
extern int	transfer_descriptor(void);
extern long transfer_timeout(void);
extern bool transfer_target_is_allowed(const Endpoint *endpoint);
extern void transfer_send(Delivery *delivery);
extern void transfer_progress(bool readable);
extern Delivery *transfer_next_finished(void);
extern void answer_free(Answer *answer);

/* address.c */
struct sockaddr;
extern bool address_is_allowed(const struct sockaddr *address, bool allow_private);

/* deliver.c, launcher.c: where the processes begin */
extern PGDLLEXPORT void billing_worker_launcher(Datum argument);
extern PGDLLEXPORT void billing_worker_main(Datum argument);

#endif							/* BILLING_WORKER_H */
