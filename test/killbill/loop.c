/*
 * loop.c
 *	  The bare libcurl loop that the worker is measured against: sends the
 *	  requests of a file to a server, so many at once, and says how long that
 *	  took.
 *
 *	  cc -O2 -o loop loop.c -lcurl
 *	  loop URL CONCURRENCY HEADER ... < requests
 *
 * A request is a line "METHOD PATH LENGTH" and a body of LENGTH bytes.  Prints
 * the seconds from the first request to the last answer, the number of answers
 * from 200 to 299, and that of all others.
 */
#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

typedef struct Request
{
	char		method[8];
	char		url[400];
	char	   *body;
	size_t		length;
} Request;

static Request *requests = NULL;
static size_t count = 0;

static void
read_requests(const char *url)
{
	char		path[300];
	Request		request;

	while (scanf("%7s %299s %zu", request.method, path, &request.length) == 3)
	{
		getchar();
		snprintf(request.url, sizeof(request.url), "%s%s", url, path);
		request.body = malloc(request.length + 1);
		if (fread(request.body, 1, request.length, stdin) != request.length)
			exit(2);
		if (count % 1000 == 0)
			requests = realloc(requests, (count + 1000) * sizeof(Request));
		requests[count++] = request;
	}
}

static size_t
ignore(char *bytes, size_t size, size_t number, void *data)
{
	(void) bytes;
	(void) data;
	return size * number;
}

static void
begin(CURLM *multi, CURL *easy, Request *request, struct curl_slist *headers)
{
	curl_easy_reset(easy);
	curl_easy_setopt(easy, CURLOPT_URL, request->url);
	curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, request->method);
	if (strcmp(request->method, "GET") != 0)
	{
		curl_easy_setopt(easy, CURLOPT_POSTFIELDS, request->body);
		curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t) request->length);
	}
	curl_easy_setopt(easy, CURLOPT_HTTPHEADER, headers);
	curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, ignore);
	curl_multi_add_handle(multi, easy);
}

int
main(int argc, char **argv)
{
	CURLM	   *multi;
	struct curl_slist *headers = NULL;
	struct timespec from,
				to;
	size_t		begun = 0,
				good = 0,
				bad = 0;
	int			running;

	if (argc < 3)
		return 2;
	read_requests(argv[1]);
	curl_global_init(CURL_GLOBAL_ALL);
	multi = curl_multi_init();
	for (int i = 3; i < argc; i++)
		headers = curl_slist_append(headers, argv[i]);
	clock_gettime(CLOCK_MONOTONIC, &from);
	for (int i = 0; i < atoi(argv[2]) && begun < count; i++)
		begin(multi, curl_easy_init(), &requests[begun++], headers);
	while (good + bad < count)
	{
		CURLMsg    *message;
		int			left;

		curl_multi_perform(multi, &running);
		while ((message = curl_multi_info_read(multi, &left)) != NULL)
		{
			CURL	   *easy = message->easy_handle;
			long		status = 0;

			curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
			*(status >= 200 && status <= 299 ? &good : &bad) += 1;
			curl_multi_remove_handle(multi, easy);
			if (begun < count)
				begin(multi, easy, &requests[begun++], headers);
		}
		curl_multi_poll(multi, NULL, 0, 1000, NULL);
	}
	clock_gettime(CLOCK_MONOTONIC, &to);
	printf("%.3f %zu %zu\n", to.tv_sec - from.tv_sec + (to.tv_nsec - from.tv_nsec) / 1e9, good, bad);
	return 0;
}
