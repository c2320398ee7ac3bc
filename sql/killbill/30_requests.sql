-- Requests to Kill Bill and its answers, as its connector needs them.

CREATE FUNCTION billing.killbill_operation_id(name text) RETURNS uuid
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT encode(set_byte(set_byte(h, 6, get_byte(h, 6) & 15 | 128), 8, get_byte(h, 8) & 63 | 128), 'hex')::uuid
      FROM substring(sha256(convert_to(name, 'UTF8')) FOR 16) AS h
$$;
COMMENT ON FUNCTION billing.killbill_operation_id(text) IS
'A UUID (version 8, RFC 9562) that is always the same for a name: the first 128 bits of its SHA-256. Sent as X-Request-Id, which the server keeps as userToken in its audit log. Immutable.';

CREATE FUNCTION billing.killbill_request(method text, path text, body jsonb DEFAULT NULL, operation text DEFAULT NULL, timeout interval DEFAULT '30s') RETURNS billing.http_request
    LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, billing, pg_temp
AS $$
    SELECT billing.json_request(method, '/1.0/kb' || path, body,
        jsonb_strip_nulls(jsonb_build_object('X-Killbill-CreatedBy', 'billing', 'Content-Type', CASE WHEN method IN ('POST', 'PUT') THEN 'application/json' END,
                                             'X-Request-Id', CASE WHEN method <> 'GET' THEN billing.killbill_operation_id(operation) END)), timeout)
$$;
COMMENT ON FUNCTION billing.killbill_request(text, text, jsonb, text, interval) IS
'A request to a Kill Bill server. path: after /1.0/kb, with the query. Who asks, and for POST and PUT the type of the body, are said even where there is nothing to say them of: so were the requests that servers of 0.24 are known to answer. operation: what makes the X-Request-Id. timeout: the server waits up to 5 s for the lock of an account, and longer when many wait. Immutable.';

CREATE FUNCTION billing.killbill_error(answer billing.http_answer) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, billing, pg_temp
AS $$
    SELECT CASE WHEN answer.error IS NOT NULL THEN concat_ws(': ', answer.error, answer.detail)
                ELSE concat_ws(' ', 'status', answer.status::text,
                     '(code ' || (j.body ->> 'code') || ')', CASE WHEN jsonb_typeof(j.body) = 'object' THEN left(j.body ->> 'message', 300) END) END
      FROM (SELECT billing.json_or_null(answer.body) AS body) AS j
$$;
COMMENT ON FUNCTION billing.killbill_error(billing.http_answer) IS 'What went wrong, in a line: status, code and message of the server. HTML and empty answers give the status alone. Immutable.';

CREATE FUNCTION billing.killbill_code(answer billing.http_answer) RETURNS int
    LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, billing, pg_temp
AS $$ SELECT CASE WHEN jsonb_typeof(j.body -> 'code') = 'number' THEN (j.body ->> 'code')::int END FROM (SELECT billing.json_or_null(answer.body) AS body) AS j $$;
COMMENT ON FUNCTION billing.killbill_code(billing.http_answer) IS 'The code of the server''s error message; null when it gave none. Immutable.';

CREATE FUNCTION billing.killbill_succeeded(answer billing.http_answer) RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, billing, pg_temp
AS $$
    SELECT billing.succeeded(answer) AND CASE WHEN answer.body IS NULL THEN answer.raw_body IS NULL ELSE btrim(answer.body, E' \t\r\n') = '' OR billing.json_or_null(answer.body) IS NOT NULL END
$$;
COMMENT ON FUNCTION billing.killbill_succeeded(billing.http_answer) IS
'Whether the server has done what was asked: a status from 200 to 299 with JSON or nothing in it. HTML with such a status comes from something before the server. Immutable.';

CREATE FUNCTION billing.killbill_refused(answer billing.http_answer) RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, billing, pg_temp
AS $$
    SELECT answer.error IS NULL AND answer.status BETWEEN 400 AND 499
       AND (coalesce(jsonb_typeof(j.body) = 'object' AND j.body ? 'className', false) OR answer.status = 400 AND btrim(coalesce(answer.body, 'raw'), E' \t\r\n') = '')
      FROM (SELECT billing.json_or_null(answer.body) AS body) AS j
$$;
COMMENT ON FUNCTION billing.killbill_refused(billing.http_answer) IS
'Whether the server itself has said no: 4xx with an error in its own form, or the empty 400 that some of its routes give. Pages of HTML come from a servlet container in which it is only starting, or from a proxy. Immutable.';

CREATE FUNCTION billing.killbill_is_list(body jsonb, VARIADIC members text[]) RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE WHEN jsonb_typeof(body) = 'array'
                THEN NOT EXISTS (SELECT FROM jsonb_array_elements(body) AS e WHERE jsonb_typeof(e) <> 'object' OR NOT e ?& members) ELSE false END
$$;
COMMENT ON FUNCTION billing.killbill_is_list(jsonb, text[]) IS 'Whether a body is a list of objects that all have these members, as the server''s lists do. Immutable.';

CREATE FUNCTION billing.killbill_judge(answer billing.http_answer) RETURNS billing.delivery_step
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, billing, pg_temp
AS $$
DECLARE
    said text := billing.killbill_error(answer);
BEGIN
    IF answer.error IN ('refused_address', 'too_large', 'bad_request') OR answer.status = 501 THEN
        RETURN billing.step_failed(said);
    -- No answer: the server may still be at it, and a repetition beside it would count twice.
    ELSIF answer.error IS NOT NULL THEN
        RETURN billing.step_retry(said, CASE WHEN answer.sent THEN interval '30 seconds' END);
    -- Such a refusal is of all requests, and ends when somebody mends the endpoint or the tenant.
    ELSIF answer.status IN (401, 403) THEN
        RETURN billing.step_retry(said || CASE WHEN answer.status = 403 THEN ': the user may not do that' WHEN answer.headers ? 'www-authenticate' THEN ': user or password is wrong'
                                               ELSE ': api_key or api_secret is wrong, or the tenant is missing' END);
    ELSIF answer.status IN (408, 425, 429) OR answer.status >= 500 THEN
        RETURN billing.step_retry(said);
    ELSIF NOT billing.killbill_refused(answer) THEN
        -- A server that is only starting, a proxy, a login page, half an answer.
        RETURN billing.step_retry(said || ', but not what a Kill Bill server answers');
    ELSIF answer.status = 400 AND (billing.killbill_code(answer) = 4 OR said LIKE '%failed to acquire lock%') THEN
        RETURN billing.step_retry(said);
    END IF;
    RETURN billing.step_failed(said);
END $$;
COMMENT ON FUNCTION billing.killbill_judge(billing.http_answer) IS
'What to do with an answer that the connector has no use for: failed only where the server itself refuses, see killbill_refused(). Whatever else comes is tried again: pages of HTML, redirects, a success that the connector cannot read, a lock that the server could not get (400, code 4), and 401 and 403, which say what is wrong. Some 5xx are permanent errors of data; the attempts of the endpoint end those. Immutable.';

CREATE FUNCTION billing.killbill_located(answer billing.http_answer) RETURNS uuid
    LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$ SELECT substring(answer.headers ->> 'location' FROM '([0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})/?$')::uuid $$;
COMMENT ON FUNCTION billing.killbill_located(billing.http_answer) IS 'The id in header Location of an answer, null when there is none. Immutable.';

CREATE FUNCTION billing.killbill_text_length(value text) RETURNS int
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$ SELECT char_length(value) + regexp_count(value, '[\U00010000-\U0010ffff]') $$;
COMMENT ON FUNCTION billing.killbill_text_length(text) IS 'The length of a text as the server, a program in Java, counts it: characters beyond U+FFFF are two. Immutable.';

CREATE FUNCTION billing.killbill_cut_text(value text, longest int) RETURNS text
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE WHEN billing.killbill_text_length(value) <= longest THEN value
                ELSE left(value, (SELECT max(n) FROM generate_series(0, longest - 1) AS n WHERE billing.killbill_text_length(left(value, n)) < longest)) || '…' END
$$;
COMMENT ON FUNCTION billing.killbill_cut_text(text, int) IS 'A text that the server can keep: what is longer is cut, never inside a character, and ends in …. Immutable.';

CREATE FUNCTION billing.killbill_check_text(what text, value text, longest int) RETURNS text
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF billing.killbill_text_length(value) > longest THEN
        RAISE string_data_right_truncation USING MESSAGE = format('%s has %s characters, Kill Bill takes %s: "%s…"', what, billing.killbill_text_length(value), longest, left(value, 40));
    END IF;
    RETURN value;
END $$;
COMMENT ON FUNCTION billing.killbill_check_text(text, text, int) IS
'The text itself. Errors: 22001 when it has more characters than the server takes, which it would answer with 500; those beyond U+FFFF count twice. Immutable.';

CREATE FUNCTION billing.killbill_split_amount(amount numeric) RETURNS SETOF numeric
    LANGUAGE sql IMMUTABLE PARALLEL SAFE ROWS 1 SET search_path = pg_catalog, pg_temp
AS $$
    SELECT 999999 * sign(amount) FROM generate_series(1, div(abs(amount), 999999)::bigint)
     UNION ALL
    SELECT sign(amount) * mod(abs(amount), 999999) WHERE amount = 0 OR mod(abs(amount), 999999) <> 0
$$;
COMMENT ON FUNCTION billing.killbill_split_amount(numeric) IS 'An amount in parts below 1,000,000, the most that a line of the server can hold; they add up to it. Immutable.';
