-- What SQL connectors speak with the worker: requests, answers, messages and steps as composite types, and functions that make them.
--
-- A connector is one function of (outgoing_message, http_answer) that returns a delivery_step.  The worker calls it with a null
-- answer to begin, sends what it asks for, and calls it again with each answer until it says that the message is delivered, is to be
-- tried again, or has failed.

CREATE TYPE billing.http_request AS (
    method   text,
    path     text,
    headers  jsonb,
    body     text,
    raw_body bytea,
    timeout  interval
);
COMMENT ON TYPE billing.http_request IS 'A request that a connector asks the worker to send; made by http_request(), json_request() and raw_request().';
COMMENT ON COLUMN billing.http_request.method IS 'GET, HEAD, POST, PUT, PATCH or DELETE.';
COMMENT ON COLUMN billing.http_request.path IS 'What follows the url of the endpoint, from the slash on, with its query: /accounts?externalKey=acme. Never a whole URL, no segment . or .., no fragment.';
COMMENT ON COLUMN billing.http_request.headers IS 'Header fields: {"Accept": "text/xml"}; null = none. Those that prove who we are come from the endpoint.';
COMMENT ON COLUMN billing.http_request.body IS 'Body as text, sent in UTF-8; null = none.';
COMMENT ON COLUMN billing.http_request.raw_body IS 'Body as bytes; null = body counts.';
COMMENT ON COLUMN billing.http_request.timeout IS 'How long the whole request may take; null = option timeout of the endpoint.';

CREATE TYPE billing.http_answer AS (
    status      int,
    headers     jsonb,
    body        text,
    raw_body    bytea,
    error       text,
    detail      text,
    sent        boolean,
    retry_after interval,
    duration    interval
);
COMMENT ON TYPE billing.http_answer IS 'What came back of a request, or why nothing did.';
COMMENT ON COLUMN billing.http_answer.status IS 'Status of HTTP, such as 201; null = no answer came.';
COMMENT ON COLUMN billing.http_answer.headers IS 'Header fields by name in lower case: {"location": "…"}; several of one name are joined by a comma and a space.';
COMMENT ON COLUMN billing.http_answer.body IS 'Body as text; null when it is no valid text of the database''s encoding or holds a zero byte, see raw_body.';
COMMENT ON COLUMN billing.http_answer.raw_body IS 'Body as it came when it cannot be text; otherwise null.';
COMMENT ON COLUMN billing.http_answer.error IS 'Null = a whole answer came. Otherwise resolve, connect, tls, refused_address, timeout, cut, too_large, protocol, secret or bad_request.';
COMMENT ON COLUMN billing.http_answer.detail IS 'The error in words, without secrets.';
COMMENT ON COLUMN billing.http_answer.sent IS 'Whether the request may have reached the other side. With an error and sent nobody knows whether it was carried out.';
COMMENT ON COLUMN billing.http_answer.retry_after IS 'What header Retry-After asks for; null = nothing.';
COMMENT ON COLUMN billing.http_answer.duration IS 'How long the request took.';

CREATE TYPE billing.outgoing_message AS (
    message_id      bigint,
    endpoint        text,
    kind            text,
    payload         jsonb,
    idempotency_key text,
    ordering_key    text,
    attempt         int,
    step            int,
    progress        jsonb,
    uncertain       boolean,
    options         jsonb
);
COMMENT ON TYPE billing.outgoing_message IS 'A message of the outbox as its connector sees it.';
COMMENT ON COLUMN billing.outgoing_message.message_id IS 'Number of the message.';
COMMENT ON COLUMN billing.outgoing_message.endpoint IS 'Name of the endpoint, a foreign server.';
COMMENT ON COLUMN billing.outgoing_message.kind IS 'What is to be done, in the connector''s words; sync and test are asked by the worker and by test_connection().';
COMMENT ON COLUMN billing.outgoing_message.payload IS 'What it is to be done with.';
COMMENT ON COLUMN billing.outgoing_message.idempotency_key IS 'The same at every attempt and different for every message of the endpoint.';
COMMENT ON COLUMN billing.outgoing_message.ordering_key IS 'Messages of one key go one after the other; null = at any time.';
COMMENT ON COLUMN billing.outgoing_message.attempt IS 'Counts the attempts from 1.';
COMMENT ON COLUMN billing.outgoing_message.step IS 'How many requests this attempt has sent.';
COMMENT ON COLUMN billing.outgoing_message.progress IS 'What the connector has last returned as progress; null at first. Kept over attempts and crashes.';
COMMENT ON COLUMN billing.outgoing_message.uncertain IS 'Whether a request other than GET and HEAD went out and its outcome is not known: look up before repeating it.';
COMMENT ON COLUMN billing.outgoing_message.options IS 'Options of the endpoint by name, without secrets.';

CREATE TYPE billing.delivery_step AS (
    action      text,
    request     billing.http_request,
    progress    jsonb,
    result      jsonb,
    reason      text,
    retry_after interval
);
COMMENT ON TYPE billing.delivery_step IS 'What a connector wants to happen next with a message; made by step_send(), step_delivered(), step_retry(), step_failed() and judge_answer().';
COMMENT ON COLUMN billing.delivery_step.action IS 'send, delivered, retry or failed.';
COMMENT ON COLUMN billing.delivery_step.request IS 'With send: the request.';
COMMENT ON COLUMN billing.delivery_step.progress IS 'What to remember, before the request goes out and for further attempts; null = what was remembered stays.';
COMMENT ON COLUMN billing.delivery_step.result IS 'With delivered and failed: what is kept with the message, such as the other side''s id.';
COMMENT ON COLUMN billing.delivery_step.reason IS 'With retry and failed: why, for people.';
COMMENT ON COLUMN billing.delivery_step.retry_after IS 'With retry: wait at least so long; null = as the endpoint''s options and Retry-After say.';

-- ---------------------------------------------------------------- requests

CREATE FUNCTION billing.url_encode(part text) RETURNS text
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'url_encode';
COMMENT ON FUNCTION billing.url_encode(text) IS
'The text as a part of a path or query: every byte of its UTF-8 form but letters, digits and -._~ becomes %XX (RFC 3986). Immutable.';

CREATE FUNCTION billing.url_query(parameters jsonb) RETURNS text
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, billing, pg_temp
AS $$
BEGIN
    RETURN (SELECT string_agg(url_encode(p.key) || '=' || url_encode(v.value), '&' ORDER BY p.no, v.no)
              FROM jsonb_each(parameters) WITH ORDINALITY AS p (key, value, no)
             CROSS JOIN LATERAL jsonb_array_elements_text(CASE jsonb_typeof(p.value) WHEN 'array' THEN p.value WHEN 'null' THEN '[]' ELSE jsonb_build_array(p.value) END)
                             WITH ORDINALITY AS v (value, no));
END $$;
COMMENT ON FUNCTION billing.url_query(jsonb) IS
'The members of an object as the query of a URL, without the question mark: {"externalKey": "acme", "tag": ["a", "b"]} gives externalKey=acme&tag=a&tag=b. Members that are null are left out. Immutable.';

CREATE FUNCTION billing.http_request(method text, path text, body text DEFAULT NULL, headers jsonb DEFAULT NULL, timeout interval DEFAULT NULL) RETURNS billing.http_request
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN ROW(http_request.method, http_request.path, http_request.headers, http_request.body, NULL::pg_catalog.bytea, http_request.timeout)::billing.http_request;
COMMENT ON FUNCTION billing.http_request(text, text, text, jsonb, interval) IS
'A request with a body of text, or none. path: from the slash on, with the query. headers: {"Content-Type": "text/xml"}. timeout: for the whole request; null = as the endpoint says. Immutable.';

CREATE FUNCTION billing.json_request(method text, path text, body jsonb DEFAULT NULL, headers jsonb DEFAULT NULL, timeout interval DEFAULT NULL) RETURNS billing.http_request
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN ROW(json_request.method, json_request.path,
        CASE WHEN json_request.body IS NULL THEN '{"Accept": "application/json"}'::pg_catalog.jsonb ELSE '{"Accept": "application/json", "Content-Type": "application/json"}'::pg_catalog.jsonb END
            OPERATOR(pg_catalog.||) COALESCE(json_request.headers, '{}'::pg_catalog.jsonb),
        json_request.body::pg_catalog.text, NULL::pg_catalog.bytea, json_request.timeout)::billing.http_request;
COMMENT ON FUNCTION billing.json_request(text, text, jsonb, jsonb, interval) IS
'A request that asks for JSON and, with a body, sends JSON. headers are added, or replace Accept and Content-Type. Immutable.';

CREATE FUNCTION billing.raw_request(method text, path text, body bytea, headers jsonb DEFAULT NULL, timeout interval DEFAULT NULL) RETURNS billing.http_request
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN ROW(raw_request.method, raw_request.path, raw_request.headers, NULL::pg_catalog.text, raw_request.body, raw_request.timeout)::billing.http_request;
COMMENT ON FUNCTION billing.raw_request(text, text, bytea, jsonb, interval) IS 'A request with a body of bytes, such as a document. Immutable.';

-- ---------------------------------------------------------------- steps

CREATE FUNCTION billing.step_send(request billing.http_request, progress jsonb DEFAULT NULL) RETURNS billing.delivery_step
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN ROW('send'::pg_catalog.text, step_send.request, step_send.progress, NULL::pg_catalog.jsonb, NULL::pg_catalog.text, NULL::pg_catalog.interval)::billing.delivery_step;
COMMENT ON FUNCTION billing.step_send(billing.http_request, jsonb) IS
'Send this request and call again with the answer. progress is committed before the request goes out; null keeps what was there. Immutable.';

CREATE FUNCTION billing.step_delivered(result jsonb DEFAULT NULL) RETURNS billing.delivery_step
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN ROW('delivered'::pg_catalog.text, NULL::billing.http_request, NULL::pg_catalog.jsonb, step_delivered.result, NULL::pg_catalog.text, NULL::pg_catalog.interval)::billing.delivery_step;
COMMENT ON FUNCTION billing.step_delivered(jsonb) IS 'The message has had its effect. result is kept with it. Immutable.';

CREATE FUNCTION billing.step_retry(reason text, retry_after interval DEFAULT NULL, progress jsonb DEFAULT NULL) RETURNS billing.delivery_step
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN ROW('retry'::pg_catalog.text, NULL::billing.http_request, step_retry.progress, NULL::pg_catalog.jsonb, step_retry.reason, step_retry.retry_after)::billing.delivery_step;
COMMENT ON FUNCTION billing.step_retry(text, interval, jsonb) IS
'Try again later: after retry_after at the earliest, otherwise as the endpoint''s options and the answer''s Retry-After say; after max_attempts it becomes a dead letter. progress null keeps what was there. Immutable.';

CREATE FUNCTION billing.step_failed(reason text, result jsonb DEFAULT NULL) RETURNS billing.delivery_step
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN ROW('failed'::pg_catalog.text, NULL::billing.http_request, NULL::pg_catalog.jsonb, step_failed.result, step_failed.reason, NULL::pg_catalog.interval)::billing.delivery_step;
COMMENT ON FUNCTION billing.step_failed(text, jsonb) IS 'Trying again would not help: the message becomes a dead letter with this reason. Immutable.';

-- ---------------------------------------------------------------- answers

CREATE FUNCTION billing.json_or_null(body text) RETURNS jsonb
    LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN body::jsonb;
EXCEPTION WHEN data_exception OR program_limit_exceeded OR untranslatable_character THEN
    RETURN NULL;
END $$;
COMMENT ON FUNCTION billing.json_or_null(text) IS 'The text as JSON, or null when it is none; numbers keep all their digits. Immutable.';

CREATE FUNCTION billing.succeeded(answer billing.http_answer) RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN COALESCE((answer).error IS NULL AND (answer).status OPERATOR(pg_catalog.>=) 200 AND (answer).status OPERATOR(pg_catalog.<) 300, false);
COMMENT ON FUNCTION billing.succeeded(billing.http_answer) IS 'Whether a whole answer with a status from 200 to 299 came. Immutable.';

CREATE FUNCTION billing.judge_answer(answer billing.http_answer) RETURNS billing.delivery_step
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, billing, pg_temp
AS $$
BEGIN
    IF answer.error IN ('refused_address', 'too_large', 'bad_request') THEN
        RETURN billing.step_failed(concat_ws(': ', answer.error, answer.detail));
    ELSIF answer.error IS NOT NULL THEN
        RETURN billing.step_retry(concat_ws(': ', answer.error, answer.detail));
    ELSIF answer.status BETWEEN 200 AND 299 THEN
        RETURN billing.step_delivered();
    ELSIF answer.status IN (401, 403, 408, 425, 429) OR answer.status >= 500 AND answer.status <> 501 THEN
        RETURN billing.step_retry(format('status %s', answer.status));
    END IF;
    RETURN billing.step_failed(format('status %s', answer.status));
END $$;
COMMENT ON FUNCTION billing.judge_answer(billing.http_answer) IS
'What to do with an answer by its status alone: 2xx delivered; 401, 403 (the credentials are not what they should be), 408, 425, 429, 5xx but 501, and no whole answer: retry; everything else, redirects too: failed. Connectors use it for what they do not handle themselves. Immutable.';
