/*-------------------------------------------------------------------------
 *
 * endpoint.c
 *	  The endpoints of the database: their options, read again when one
 *	  changes, and for each a rate limit and a circuit breaker.
 *
 * An endpoint that changes while requests to it are out is replaced; its old
 * form stays until they have ended.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "common/pg_prng.h"
#include "utils/inval.h"
#include "utils/memutils.h"
#include "utils/syscache.h"

#include "worker/worker.h"

/* For so many breaker pauses after the breaker was open the endpoint counts as one that has failed lately. */
#define CAREFUL_PAUSES 10

/* An endpoint that asks to be left alone is tried again after an hour at the latest, in milliseconds. */
#define LONGEST_WAIT_ASKED_FOR INT64CONST(3600000)

static List *endpoints = NIL;	/* Endpoint * */
static List *replaced = NIL;	/* Endpoint *, with requests still out */
static bool must_read = true;

static void
on_catalog_change(Datum argument, int cache_id, uint32 hash)
{
	must_read = true;
}

/* Has endpoints_refresh() notice changes of servers, wrappers and user mappings. */
void
endpoints_watch_catalog(void)
{
	CacheRegisterSyscacheCallback(FOREIGNSERVEROID, on_catalog_change, (Datum) 0);
	CacheRegisterSyscacheCallback(FOREIGNDATAWRAPPEROID, on_catalog_change, (Datum) 0);
	CacheRegisterSyscacheCallback(USERMAPPINGOID, on_catalog_change, (Datum) 0);
}

List *
endpoints_all(void)
{
	return endpoints;
}

Endpoint *
endpoint_by_name(const char *name)
{
	ListCell   *cell;

	foreach(cell, endpoints)
		if (strcmp(((Endpoint *) lfirst(cell))->name, name) == 0)
			return lfirst(cell);
	return NULL;
}

/* Gives back what is no longer used. */
static void
forget_replaced(void)
{
	ListCell   *cell;

	foreach(cell, replaced)
	{
		Endpoint   *old = lfirst(cell);

		if (old->in_flight > 0)
			continue;
		replaced = foreach_delete_current(replaced, cell);
		MemoryContextDelete(old->context);
	}
}

/* How an endpoint was doing goes over to its new form. */
static void
take_over(Endpoint *fresh, Endpoint *old)
{
	fresh->in_flight = old->in_flight;
	fresh->failures = old->failures;
	fresh->paused_until = old->paused_until;
	fresh->asked_to_wait = old->asked_to_wait;
	fresh->refused = old->refused;
	fresh->careful_until = old->careful_until;
	fresh->resting_until = old->resting_until;
	fresh->fingerprint = old->fingerprint;
	fresh->next_request_at = old->next_request_at;
	old->successor = fresh;
}

/*
 * endpoints_refresh() -> whether something may have changed
 *	  Reads the endpoints again after a change.  Called in a transaction.
 */
bool
endpoints_refresh(void)
{
	List	   *fresh;
	ListCell   *cell;
	MemoryContext former;

	forget_replaced();
	if (!must_read)
		return false;
	must_read = false;
	fresh = outbox_read_endpoints();
	former = MemoryContextSwitchTo(TopMemoryContext);
	foreach(cell, fresh)
	{
		Endpoint   *old = endpoint_by_name(((Endpoint *) lfirst(cell))->name);

		if (old != NULL)
			take_over(lfirst(cell), old);
	}
	replaced = list_concat(replaced, endpoints);
	list_free(endpoints);
	endpoints = list_copy(fresh);
	MemoryContextSwitchTo(former);
	return true;
}

/*
 * endpoint_free(endpoint, now, mode) -> how many messages may be begun
 *	  While the endpoint is paused only those of test_connection() may; when
 *	  the pause was because of failures, one message has to succeed before
 *	  others follow.  That one, and those of some time afterwards, are taken
 *	  from those that have failed least often: messages which always fail
 *	  would otherwise close the breaker again and again.
 */
int
endpoint_free(Endpoint *endpoint, TimestampTz now, ClaimMode *mode)
{
	int			free = endpoint->max_parallel - endpoint->in_flight;
	bool		probing = endpoint->failures >= endpoint->breaker_failures;

	*mode = endpoint->paused_until > now ? CLAIM_TESTS : probing || endpoint->careful_until > now ? CLAIM_FEWEST_ATTEMPTS : CLAIM_ALL;
	if (endpoint->resting_until > now)
		return 0;
	if (*mode == CLAIM_TESTS)
		return Min(free, 1);
	if (probing)
		free = endpoint->in_flight == 0 ? 1 : 0;
	if (endpoint->microseconds_a_request > 0 && free > 0)
	{
		/* up to one second's worth may go at once */
		int64		allowed = (now + INT64CONST(1000000) - Max(endpoint->next_request_at, now)) / endpoint->microseconds_a_request;

		if (endpoint->next_request_at <= now)
			allowed = Max(allowed, 1);
		free = Min(free, allowed);
	}
	return Max(free, 0);
}

/* When an endpoint that may not begin anything now may again; 0 = once a request has ended. */
TimestampTz
endpoint_next_free(Endpoint *endpoint, TimestampTz now)
{
	if (endpoint->paused_until > now || endpoint->resting_until > now)
		return Max(endpoint->paused_until, endpoint->resting_until);
	if (endpoint->microseconds_a_request > 0 && endpoint->in_flight < endpoint->max_parallel)
		return Max(now, endpoint->next_request_at - INT64CONST(1000000)) + endpoint->microseconds_a_request;
	return 0;
}

/* Counts a request for the rate limit. */
void
endpoint_count_request(Endpoint *endpoint, TimestampTz now)
{
	if (endpoint->microseconds_a_request > 0)
		endpoint->next_request_at = Max(endpoint->next_request_at, now) + endpoint->microseconds_a_request;
}

/* Whether the other side is well and wants to be left alone for a while: 429, or 503 with Retry-After. */
bool
answer_asks_to_wait(const Answer *answer)
{
	return answer->status == 429 || (answer->status == 503 && answer->retry_after > 0);
}

/* The endpoint of a delivery as it is now. */
static Endpoint *
endpoint_of(const Delivery *delivery)
{
	Endpoint   *endpoint = delivery->endpoint;

	while (endpoint->successor != NULL)
		endpoint = endpoint->successor;
	return endpoint;
}

/*
 * endpoint_refuses_us(delivery) -> bool
 *	  Whether the answer says nothing of the message, because the other side
 *	  does not take our credentials: 401; or 403 while the breaker is open, so
 *	  that no other request is let in either.  A 403 among answers of another
 *	  kind is about what this message wants.
 */
bool
endpoint_refuses_us(const Delivery *delivery)
{
	const Endpoint *endpoint = endpoint_of(delivery);

	return delivery->answer.status == 401 || (delivery->answer.status == 403 && endpoint->failures >= endpoint->breaker_failures);
}

/* It wants to be left alone. */
static void
count_wish(Endpoint *endpoint, const Answer *answer, TimestampTz now)
{
	int64		pause = answer->retry_after > 0 ? answer->retry_after * 1000 : endpoint->retry_delay;

	endpoint->failures = 0;
	endpoint->paused_until = Max(endpoint->paused_until, now + Min(pause, LONGEST_WAIT_ASKED_FOR) * 1000);
	endpoint->asked_to_wait = true;
	snprintf(endpoint->failure, sizeof(endpoint->failure), "status %d, asks to wait", answer->status);
}

/* It has failed.  Where our credentials are refused no other message needs to try. */
static void
count_failure(Endpoint *endpoint, const Answer *answer, TimestampTz now)
{
	endpoint->failures++;
	if (answer->status == 401)
		endpoint->failures = Max(endpoint->failures, endpoint->breaker_failures);
	if (answer->status == 401 || answer->status == 403)
	{
		/* they are read again at once, see secrets_refresh() */
		endpoint->refused = true;
		endpoint->secrets_read_at = 0;
	}
	if (answer->status == 0 && answer->error != NULL)
		snprintf(endpoint->failure, sizeof(endpoint->failure), "%s: %s", answer->error, answer->detail);
	else
		snprintf(endpoint->failure, sizeof(endpoint->failure), "status %d", answer->status);
	if (endpoint->failures < endpoint->breaker_failures)
		return;
	endpoint->paused_until = now + endpoint->breaker_pause * 1000;
	endpoint->careful_until = endpoint->paused_until + CAREFUL_PAUSES * endpoint->breaker_pause * 1000;
	endpoint->asked_to_wait = false;
}

/*
 * endpoint_judge(delivery, now)
 *	  What the answer that has come for this message, or is missing, says of
 *	  its endpoint.
 */
void
endpoint_judge(const Delivery *delivery, TimestampTz now)
{
	const Answer *answer = &delivery->answer;
	Endpoint   *endpoint = endpoint_of(delivery);
	bool		failed = (answer->error != NULL && answer->status == 0) || (answer->status >= 500 && answer->status != 501) ||
		answer->status == 401 || answer->status == 403;

	endpoint->noted = true;
	endpoint->urgent = endpoint->urgent || failed || endpoint->failures > 0;
	if (answer_asks_to_wait(answer))
		count_wish(endpoint, answer, now);
	else if (failed)
		count_failure(endpoint, answer, now);
	else
	{
		/* what was answered before the wish to be left alone says nothing of it; a connection test is made for that */
		if (!endpoint->asked_to_wait || endpoint->paused_until <= now || strcmp(delivery->kind, "test") == 0)
		{
			endpoint->paused_until = 0;
			endpoint->asked_to_wait = false;
		}
		endpoint->failures = 0;
		endpoint->refused = false;
		endpoint->succeeded = true;
	}
	endpoint->urgent = endpoint->urgent || endpoint->asked_to_wait;
}

/*
 * endpoint_retry_delay(endpoint, attempt) -> milliseconds
 *	  Pause after that attempt: it doubles with each, up to a limit, and is
 *	  between three and five quarters of that, so that messages which failed
 *	  together do not come back together.
 */
int64
endpoint_retry_delay(const Endpoint *endpoint, int attempt)
{
	int64		delay = endpoint->retry_delay;

	for (int i = 1; i < attempt && delay < endpoint->retry_limit; i++)
		delay *= 2;
	delay = Min(delay, endpoint->retry_limit);
	return delay * 3 / 4 + (int64) pg_prng_uint64_range(&pg_global_prng_state, 0, delay / 2 + 1);
}
