/*-------------------------------------------------------------------------
 *
 * transfer.c
 *	  Sends requests and collects answers, many at once on one thread, with
 *	  libcurl's multi interface.
 *
 * libcurl's sockets are members of one private epoll set, whose descriptor
 * the worker waits for together with its latch.  Callbacks run inside
 * libcurl, where nothing may raise: they use malloc and note what is wrong.
 * Signals are blocked while libcurl runs, so that the threads which it makes
 * to resolve names never handle the server's.
 *
 * No redirect is followed, and libcurl's habit of sending a request again
 * over a new connection when an old one turns out to be closed is stopped for
 * requests that change something: nobody could say whether they had arrived.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <arpa/inet.h>
#include <curl/curl.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "miscadmin.h"
#include "storage/fd.h"
#include "utils/memutils.h"

#include "worker/worker.h"

/* Header fields of an answer, all together, in bytes and in lines */
#define MAX_HEADERS 65536
#define MAX_HEADER_LINES 500

/* An unused connection older than this is not taken again, in seconds: less than what servers commonly wait. */
#define MAX_IDLE_CONNECTION 15

#define EVENTS_AT_ONCE 64

/* A request that is out. */
typedef struct Transfer
{
	Delivery   *delivery;
	CURL	   *easy;
	struct curl_slist *headers;
	bool		may_repeat;		/* GET and HEAD */
	bool		started;		/* the request went out, or began to */
	bool		repeated;		/* libcurl wanted to send it again */
	bool		address_refused;
	bool		out_of_memory;
	const char *too_large;		/* what there is too much of in the answer, or NULL */
	int			header_lines;
	size_t		body_room;
	size_t		headers_room;
	char		error[CURL_ERROR_SIZE];
} Transfer;

static CURLM *multi = NULL;
static int	epoll_descriptor = -1;
static TimestampTz timer_at = 0;	/* when libcurl wants to be called; 0 = no timer */
static List *idle_handles = NIL;	/* CURL * */

/* Runs a call of libcurl with all signals blocked. */
#define WITHOUT_SIGNALS(call) \
	do { \
		sigset_t former_, all_; \
		sigfillset(&all_); \
		sigdelset(&all_, SIGSEGV); \
		sigdelset(&all_, SIGBUS); \
		sigdelset(&all_, SIGFPE); \
		sigdelset(&all_, SIGILL); \
		sigdelset(&all_, SIGABRT); \
		sigprocmask(SIG_SETMASK, &all_, &former_); \
		call; \
		sigprocmask(SIG_SETMASK, &former_, NULL); \
	} while (0)

/* ---- callbacks of libcurl: must not raise ---- */

/* Appends bytes to a malloc'ed buffer that doubles; false when there is no memory. */
static bool
append_bytes(char **buffer, size_t *length, size_t *room, const char *bytes, size_t count)
{
	if (*length + count + 1 > *room)
	{
		size_t		wanted = Max(*room * 2, *length + count + 1024);
		char	   *larger = realloc(*buffer, wanted);

		if (larger == NULL)
			return false;
		*buffer = larger;
		*room = wanted;
	}
	memcpy(*buffer + *length, bytes, count);
	*length += count;
	(*buffer)[*length] = '\0';
	return true;
}

static size_t
on_body(char *bytes, size_t size, size_t count, void *data)
{
	Transfer   *transfer = data;
	Answer	   *answer = &transfer->delivery->answer;

	if (answer->body_length + size * count > (size_t) transfer->delivery->endpoint->max_body)
	{
		transfer->too_large = "the answer is larger than max_body allows";
		return 0;
	}
	if (!append_bytes(&answer->body, &answer->body_length, &transfer->body_room, bytes, size * count))
	{
		transfer->out_of_memory = true;
		return 0;
	}
	return size * count;
}

static size_t
on_header(char *bytes, size_t size, size_t count, void *data)
{
	Transfer   *transfer = data;
	Answer	   *answer = &transfer->delivery->answer;

	/* a status line begins the fields anew: those of 100 Continue are of no interest */
	if (size * count > 5 && memcmp(bytes, "HTTP/", 5) == 0)
		answer->headers_length = transfer->header_lines = 0;
	if (answer->headers_length + size * count > MAX_HEADERS)
		transfer->too_large = "the header fields of the answer are larger than 64 kB";
	/* the status line and the empty one at the end are lines too */
	else if (++transfer->header_lines > MAX_HEADER_LINES + 2)
		transfer->too_large = "the answer has more than 500 header fields";
	if (transfer->too_large != NULL)
		return 0;
	if (!append_bytes(&answer->headers, &answer->headers_length, &transfer->headers_room, bytes, size * count))
	{
		transfer->out_of_memory = true;
		return 0;
	}
	return size * count;
}

/* Whether the address, in numbers, is one that the endpoint may be at. */
static bool
numeric_address_is_allowed(const char *text, bool allow_private)
{
	struct sockaddr_in v4 = {.sin_family = AF_INET};
	struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};

	if (inet_pton(AF_INET, text, &v4.sin_addr) == 1)
		return address_is_allowed((struct sockaddr *) &v4, allow_private);
	if (inet_pton(AF_INET6, text, &v6.sin6_addr) == 1)
		return address_is_allowed((struct sockaddr *) &v6, allow_private);
	return false;
}

/*
 * Called with a connection at hand, right before the request is sent over it.
 * The connection may have been opened for another endpoint, to which other
 * addresses are allowed.
 */
static int
on_sending(void *data, char *remote_address, char *local_address, int remote_port, int local_port)
{
	Transfer   *transfer = data;

	if (!numeric_address_is_allowed(remote_address, transfer->delivery->endpoint->allow_private))
	{
		transfer->address_refused = true;
		return CURL_PREREQFUNC_ABORT;
	}
	if (transfer->started && !transfer->may_repeat)
	{
		transfer->repeated = true;
		return CURL_PREREQFUNC_ABORT;
	}
	transfer->started = true;
	return CURL_PREREQFUNC_OK;
}

static curl_socket_t
on_open_socket(void *data, curlsocktype purpose, struct curl_sockaddr *address)
{
	Transfer   *transfer = data;

	if (!address_is_allowed(&address->addr, transfer->delivery->endpoint->allow_private))
	{
		transfer->address_refused = true;
		return CURL_SOCKET_BAD;
	}
	return socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

/* Keeps the epoll set as libcurl wants it. */
static int
on_socket(CURL *easy, curl_socket_t descriptor, int what, void *data, void *known)
{
	struct epoll_event event = {0};

	event.data.fd = descriptor;
	if (what == CURL_POLL_REMOVE)
		(void) epoll_ctl(epoll_descriptor, EPOLL_CTL_DEL, descriptor, &event);
	else
	{
		event.events = (what & CURL_POLL_IN ? EPOLLIN : 0) | (what & CURL_POLL_OUT ? EPOLLOUT : 0);
		if (epoll_ctl(epoll_descriptor, EPOLL_CTL_MOD, descriptor, &event) != 0)
			(void) epoll_ctl(epoll_descriptor, EPOLL_CTL_ADD, descriptor, &event);
	}
	return 0;
}

static int
on_timer(CURLM *of, long timeout, void *data)
{
	timer_at = timeout < 0 ? 0 : GetCurrentTimestamp() + timeout * INT64CONST(1000);
	return 0;
}

/* ---- the engine ---- */

/* Starts libcurl in this process.  Called once, never in the postmaster. */
void
transfer_start_engine(void)
{
	if (curl_global_init(CURL_GLOBAL_ALL) != CURLE_OK || (multi = curl_multi_init()) == NULL)
		ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("libcurl could not be started")));
	if ((curl_version_info(CURLVERSION_NOW)->features & CURL_VERSION_ASYNCHDNS) == 0)
		ereport(WARNING,
				(errmsg("this libcurl resolves names one at a time"),
				 errhint("A slow name server will hold up all requests; use a libcurl with AsynchDNS.")));
	ReserveExternalFD();
	epoll_descriptor = epoll_create1(EPOLL_CLOEXEC);
	if (epoll_descriptor < 0)
		ereport(ERROR, (errcode_for_socket_access(), errmsg("could not create an epoll set: %m")));
	curl_multi_setopt(multi, CURLMOPT_SOCKETFUNCTION, on_socket);
	curl_multi_setopt(multi, CURLMOPT_TIMERFUNCTION, on_timer);
	curl_multi_setopt(multi, CURLMOPT_MAXCONNECTS, (long) 2 * MAX_IN_FLIGHT);
	curl_multi_setopt(multi, CURLMOPT_PIPELINING, (long) CURLPIPE_NOTHING);
}

/* The descriptor that becomes readable when transfer_progress() has something to do. */
int
transfer_descriptor(void)
{
	return epoll_descriptor;
}

/* Milliseconds until transfer_progress() has to be called anyway; -1 = no need. */
long
transfer_timeout(void)
{
	TimestampTz now;

	if (timer_at == 0)
		return -1;
	now = GetCurrentTimestamp();
	return timer_at <= now ? 0 : (timer_at - now + 999) / 1000;
}

/* A handle of libcurl without settings: one that was used before if there is one. */
static CURL *
take_handle(void)
{
	CURL	   *easy;

	if (idle_handles != NIL)
	{
		easy = llast(idle_handles);
		idle_handles = list_delete_last(idle_handles);
		return easy;
	}
	easy = curl_easy_init();
	if (easy == NULL)
		ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("libcurl could not make a handle")));
	return easy;
}

static void
give_handle_back(CURL *easy)
{
	MemoryContext former = MemoryContextSwitchTo(TopMemoryContext);

	curl_easy_reset(easy);
	idle_handles = lappend(idle_handles, easy);
	MemoryContextSwitchTo(former);
}

static void
add_header(Transfer *transfer, const char *header)
{
	struct curl_slist *longer = curl_slist_append(transfer->headers, header);

	if (longer == NULL)
		ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("libcurl could not take a header field")));
	transfer->headers = longer;
}

/* The header fields of the request: the connector's, the endpoint's, and none that libcurl would add by itself. */
static void
set_headers(Transfer *transfer)
{
	const Request *request = &transfer->delivery->request;
	bool		has_content_type = false;
	ListCell   *cell;

	foreach(cell, request->headers)
	{
		add_header(transfer, lfirst(cell));
		has_content_type = has_content_type || pg_strncasecmp(lfirst(cell), "Content-Type:", 13) == 0;
	}
	foreach(cell, transfer->delivery->endpoint->headers)
		add_header(transfer, lfirst(cell));
	if (!has_content_type)
		add_header(transfer, "Content-Type:");
	add_header(transfer, "Expect:");
	curl_easy_setopt(transfer->easy, CURLOPT_HTTPHEADER, transfer->headers);
}

static void
set_method(Transfer *transfer)
{
	const Request *request = &transfer->delivery->request;

	transfer->may_repeat = strcmp(request->method, "GET") == 0 || strcmp(request->method, "HEAD") == 0;
	if (strcmp(request->method, "HEAD") == 0)
		curl_easy_setopt(transfer->easy, CURLOPT_NOBODY, 1L);
	else if (request->has_body || strcmp(request->method, "POST") == 0)
	{
		curl_easy_setopt(transfer->easy, CURLOPT_POSTFIELDS, request->has_body ? request->body : "");
		curl_easy_setopt(transfer->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t) request->body_length);
	}
	if (strcmp(request->method, "HEAD") != 0)
		curl_easy_setopt(transfer->easy, CURLOPT_CUSTOMREQUEST, request->method);
}

/* What is the same for all requests, and what the endpoint's options say. */
static void
set_policy(Transfer *transfer)
{
	const Endpoint *endpoint = transfer->delivery->endpoint;
	CURL	   *easy = transfer->easy;
	int64		timeout = transfer->delivery->request.timeout;

	curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
#if LIBCURL_VERSION_NUM >= 0x075500
	curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
#else
	curl_easy_setopt(easy, CURLOPT_PROTOCOLS, (long) (CURLPROTO_HTTP | CURLPROTO_HTTPS));
#endif
	curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long) CURL_HTTP_VERSION_1_1);
	curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
	curl_easy_setopt(easy, CURLOPT_PATH_AS_IS, 1L);
	curl_easy_setopt(easy, CURLOPT_PROXY, endpoint->proxy ? endpoint->proxy : "");
	curl_easy_setopt(easy, CURLOPT_NOPROXY, "");
	/* a proxy that makes a tunnel is shown no secrets */
	curl_easy_setopt(easy, CURLOPT_HEADEROPT, (long) CURLHEADER_SEPARATE);
	curl_easy_setopt(easy, CURLOPT_SSLVERSION, (long) CURL_SSLVERSION_TLSv1_2);
	curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 1L);
	curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 2L);
	if (endpoint->ca_pem != NULL)
	{
		struct curl_blob blob = {endpoint->ca_pem, strlen(endpoint->ca_pem), CURL_BLOB_COPY};

		curl_easy_setopt(easy, CURLOPT_CAINFO_BLOB, &blob);
	}
	curl_easy_setopt(easy, CURLOPT_ACCEPT_ENCODING, "gzip");
	curl_easy_setopt(easy, CURLOPT_USERAGENT, "billing/" BILLING_VERSION);
	curl_easy_setopt(easy, CURLOPT_MAXAGE_CONN, (long) MAX_IDLE_CONNECTION);
	curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L);
	curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long) endpoint->connect_timeout);
	curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long) (timeout > 0 ? timeout : endpoint->timeout));
}

static void
set_callbacks(Transfer *transfer)
{
	CURL	   *easy = transfer->easy;

	curl_easy_setopt(easy, CURLOPT_PRIVATE, transfer);
	curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, transfer->error);
	curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
	curl_easy_setopt(easy, CURLOPT_WRITEDATA, transfer);
	curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
	curl_easy_setopt(easy, CURLOPT_HEADERDATA, transfer);
	curl_easy_setopt(easy, CURLOPT_PREREQFUNCTION, on_sending);
	curl_easy_setopt(easy, CURLOPT_PREREQDATA, transfer);
	curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, on_open_socket);
	curl_easy_setopt(easy, CURLOPT_OPENSOCKETDATA, transfer);
}

/*
 * transfer_target_is_allowed(endpoint)
 *	  Behind a proxy only the proxy's address is seen when a connection is
 *	  made.  What the url itself says of the target is checked here: numbers
 *	  in any form, and this machine's own name; other names are the proxy's
 *	  to resolve.
 */
bool
transfer_target_is_allowed(const Endpoint *endpoint)
{
	CURLU	   *url;
	char	   *host = NULL;
	bool		allowed = true;
	unsigned char address[16];

	if (endpoint->proxy == NULL)
		return true;
	url = curl_url();
	if (url == NULL || curl_url_set(url, CURLUPART_URL, endpoint->url, 0) != CURLUE_OK || curl_url_get(url, CURLUPART_HOST, &host, 0) != CURLUE_OK)
		allowed = false;
	else if (host[0] == '[')
	{
		host[strlen(host) - 1] = '\0';
		allowed = numeric_address_is_allowed(host + 1, endpoint->allow_private);
	}
	else if (inet_pton(AF_INET, host, address) == 1)
		allowed = numeric_address_is_allowed(host, endpoint->allow_private);
	else if (pg_strcasecmp(host, "localhost") == 0 || pg_strcasecmp(host, "localhost.") == 0)
		allowed = endpoint->allow_private;
	curl_free(host);
	curl_url_cleanup(url);
	return allowed;
}

/*
 * transfer_send(delivery)
 *	  Sends the delivery's request.  Its answer is cleared first; the delivery
 *	  comes out of transfer_next_finished() in any case.
 */
void
transfer_send(Delivery *delivery)
{
	Transfer   *transfer = MemoryContextAllocZero(delivery->context, sizeof(Transfer));
	MemoryContext former = MemoryContextSwitchTo(delivery->step_context);

	answer_free(&delivery->answer);
	transfer->delivery = delivery;
	transfer->easy = take_handle();
	delivery->transfer = transfer;
	curl_easy_setopt(transfer->easy, CURLOPT_URL, psprintf("%s%s", delivery->endpoint->url, delivery->request.path));
	set_policy(transfer);
	set_method(transfer);
	set_headers(transfer);
	set_callbacks(transfer);
	MemoryContextSwitchTo(former);
	WITHOUT_SIGNALS(curl_multi_add_handle(multi, transfer->easy));
}

/*
 * transfer_progress(readable)
 *	  Lets libcurl read, write and count time.  readable: whether the
 *	  descriptor was.
 */
void
transfer_progress(bool readable)
{
	struct epoll_event events[EVENTS_AT_ONCE];
	int			running;
	int			count = readable ? epoll_wait(epoll_descriptor, events, EVENTS_AT_ONCE, 0) : 0;

	for (int i = 0; i < count; i++)
	{
		int			what = (events[i].events & (EPOLLIN | EPOLLHUP) ? CURL_CSELECT_IN : 0) |
			(events[i].events & EPOLLOUT ? CURL_CSELECT_OUT : 0) | (events[i].events & EPOLLERR ? CURL_CSELECT_ERR : 0);

		WITHOUT_SIGNALS(curl_multi_socket_action(multi, events[i].data.fd, what, &running));
	}
	if (timer_at != 0 && timer_at <= GetCurrentTimestamp())
	{
		timer_at = 0;
		WITHOUT_SIGNALS(curl_multi_socket_action(multi, CURL_SOCKET_TIMEOUT, 0, &running));
	}
}

/* The word for a failure of libcurl, see http_answer.error. */
static const char *
error_word(const Transfer *transfer, CURLcode code)
{
	if (transfer->address_refused && !transfer->started)
		return "refused_address";
	if (transfer->too_large != NULL)
		return "too_large";
	switch (code)
	{
		case CURLE_COULDNT_RESOLVE_HOST:
		case CURLE_COULDNT_RESOLVE_PROXY:
			return "resolve";
		case CURLE_COULDNT_CONNECT:
			return "connect";
		case CURLE_SSL_CONNECT_ERROR:
		case CURLE_PEER_FAILED_VERIFICATION:
		case CURLE_SSL_CACERT_BADFILE:
		case CURLE_SSL_CERTPROBLEM:
		case CURLE_SSL_CIPHER:
		case CURLE_SSL_ISSUER_ERROR:
		case CURLE_USE_SSL_FAILED:
			return "tls";
		case CURLE_OPERATION_TIMEDOUT:
			return "timeout";
		case CURLE_URL_MALFORMAT:
			return "bad_request";
		case CURLE_UNSUPPORTED_PROTOCOL:
			/* also what came back instead of HTTP */
			return transfer->started ? "protocol" : "bad_request";
		case CURLE_GOT_NOTHING:
		case CURLE_PARTIAL_FILE:
		case CURLE_RECV_ERROR:
		case CURLE_SEND_ERROR:
		case CURLE_ABORTED_BY_CALLBACK:
			/* before anything was sent it was a proxy that makes no tunnel */
			return transfer->started || transfer->repeated ? "cut" : "connect";
		default:
			return "protocol";
	}
}

/* Fills in what is known of the answer once libcurl is done. */
static void
finish_answer(Transfer *transfer, CURLcode code)
{
	Answer	   *answer = &transfer->delivery->answer;
	long		status = 0;
	curl_off_t	number = 0;

	curl_easy_getinfo(transfer->easy, CURLINFO_RESPONSE_CODE, &status);
	answer->status = status;
	curl_easy_getinfo(transfer->easy, CURLINFO_TOTAL_TIME_T, &number);
	answer->duration = number;
	number = 0;
	curl_easy_getinfo(transfer->easy, CURLINFO_RETRY_AFTER, &number);
	answer->retry_after = number > 0 ? Min(number, LONGEST_PAUSE / 1000) : -1;
	answer->sent = transfer->started;
	if (code == CURLE_OK && status > 0)
		return;
	/* libcurl has no other word for a line that is longer than it takes */
	if (code == CURLE_OUT_OF_MEMORY && status > 0 && answer->body_length == 0 && !transfer->out_of_memory)
		transfer->too_large = "the answer has a header field of more than 100 kB";
	answer->error = code == CURLE_OK ? "protocol" : error_word(transfer, code);
	strlcpy(answer->detail,
			transfer->address_refused && !transfer->started ? "the address is private or of no single host" :
			transfer->repeated ? "the connection had been closed by the other side" :
			transfer->too_large != NULL ? transfer->too_large :
			transfer->out_of_memory ? "no memory for the answer" :
			transfer->error[0] != '\0' ? transfer->error : curl_easy_strerror(code),
			sizeof(answer->detail));
}

/* A delivery whose request has ended, well or not; NULL when there is none at the moment. */
Delivery *
transfer_next_finished(void)
{
	CURLMsg    *message;
	int			left;

	while ((message = curl_multi_info_read(multi, &left)) != NULL)
	{
		Transfer   *transfer;
		CURL	   *easy = message->easy_handle;
		CURLcode	code = message->data.result;
		Delivery   *delivery;

		if (message->msg != CURLMSG_DONE)
			continue;
		curl_easy_getinfo(easy, CURLINFO_PRIVATE, &transfer);
		finish_answer(transfer, code);
		WITHOUT_SIGNALS(curl_multi_remove_handle(multi, easy));
		curl_slist_free_all(transfer->headers);
		give_handle_back(easy);
		delivery = transfer->delivery;
		delivery->transfer = NULL;
		delivery->has_answer = true;
		pfree(transfer);
		return delivery;
	}
	return NULL;
}

/* Forgets an answer and gives its memory back. */
void
answer_free(Answer *answer)
{
	free(answer->headers);
	free(answer->body);
	memset(answer, 0, sizeof(Answer));
}
