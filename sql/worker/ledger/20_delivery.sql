-- What the background worker asks of the database.  Role billing_worker may call these functions and nobody else needs to.
--
-- In one transaction the worker takes messages with worker_claim(), has their connectors say which requests to send, and writes that
-- down with worker_record(); it sends only after the commit.  What comes back goes through the connector and worker_record() again.

CREATE FUNCTION billing.worker_protocol() RETURNS int
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN 1;
COMMENT ON FUNCTION billing.worker_protocol() IS 'Counts the changes of these functions; billing_worker works with a ledger whose number it knows. Immutable.';

CREATE FUNCTION billing.milliseconds(duration interval) RETURNS bigint
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    RETURN pg_catalog.trunc(EXTRACT(epoch FROM duration) OPERATOR(pg_catalog.*) 1000)::bigint;
COMMENT ON FUNCTION billing.milliseconds(interval) IS 'The duration in whole milliseconds. Immutable.';

CREATE VIEW billing.endpoint_setting AS
    SELECT s.oid AS server_id, s.srvname::text AS endpoint, w.fdwname::text AS kind,
           o.options, o.options ->> 'url' AS url, o.options ->> 'connector' AS connector,
           coalesce(o.options ->> 'timeout', '30s')::interval AS timeout,
           coalesce(o.options ->> 'connect_timeout', '5s')::interval AS connect_timeout,
           coalesce(o.options ->> 'max_body', '4194304')::int AS max_body,
           (o.options ->> 'rate_limit')::numeric AS rate_limit,
           coalesce(o.options ->> 'max_parallel', '8')::int AS max_parallel,
           coalesce(o.options ->> 'connector_timeout', '2s')::interval AS connector_timeout,
           coalesce(o.options ->> 'max_attempts', '20')::int AS max_attempts,
           coalesce(o.options ->> 'retry_delay', '5s')::interval AS retry_delay,
           coalesce(o.options ->> 'retry_limit', '1h')::interval AS retry_limit,
           coalesce(o.options ->> 'breaker_failures', '5')::int AS breaker_failures,
           coalesce(o.options ->> 'breaker_pause', '30s')::interval AS breaker_pause,
           coalesce(o.options ->> 'keep_delivered', '30d')::interval AS keep_delivered,
           (o.options ->> 'sync_every')::interval AS sync_every,
           coalesce(o.options ->> 'allow_private', 'false')::boolean AS allow_private
      FROM pg_foreign_server AS s JOIN pg_foreign_data_wrapper AS w ON w.oid = s.srvfdw
     CROSS JOIN LATERAL (SELECT coalesce(jsonb_object_agg(split_part(g.option, '=', 1), substr(g.option, strpos(g.option, '=') + 1)), '{}') AS options
                           FROM unnest(w.fdwoptions || s.srvoptions) AS g (option)) AS o
     WHERE w.fdwname LIKE 'billing\_%';
COMMENT ON VIEW billing.endpoint_setting IS 'Every endpoint with its options, those that were not given with their defaults.';
COMMENT ON COLUMN billing.endpoint_setting.server_id IS 'The foreign server.';
COMMENT ON COLUMN billing.endpoint_setting.endpoint IS 'Name of the endpoint.';
COMMENT ON COLUMN billing.endpoint_setting.kind IS 'The foreign data wrapper: which kind of system it is.';
COMMENT ON COLUMN billing.endpoint_setting.options IS 'Options as given, those of the kind included.';
COMMENT ON COLUMN billing.endpoint_setting.url IS 'Where it is.';
COMMENT ON COLUMN billing.endpoint_setting.connector IS 'Function that builds its requests and reads its answers.';
COMMENT ON COLUMN billing.endpoint_setting.timeout IS 'How long a request may take in all.';
COMMENT ON COLUMN billing.endpoint_setting.connect_timeout IS 'How long it may take to connect.';
COMMENT ON COLUMN billing.endpoint_setting.max_body IS 'Largest answer that is read, in bytes, unpacked.';
COMMENT ON COLUMN billing.endpoint_setting.rate_limit IS 'How many requests a second; null = no limit.';
COMMENT ON COLUMN billing.endpoint_setting.max_parallel IS 'How many requests at once.';
COMMENT ON COLUMN billing.endpoint_setting.connector_timeout IS 'How long one call of the connector may compute.';
COMMENT ON COLUMN billing.endpoint_setting.max_attempts IS 'After how many attempts a message is dead.';
COMMENT ON COLUMN billing.endpoint_setting.retry_delay IS 'Pause after the first failed attempt; it doubles with each.';
COMMENT ON COLUMN billing.endpoint_setting.retry_limit IS 'Longest pause between attempts.';
COMMENT ON COLUMN billing.endpoint_setting.breaker_failures IS 'After how many failures in a row nothing is sent for a while.';
COMMENT ON COLUMN billing.endpoint_setting.breaker_pause IS 'For how long.';
COMMENT ON COLUMN billing.endpoint_setting.keep_delivered IS 'How long delivered and discarded messages are kept.';
COMMENT ON COLUMN billing.endpoint_setting.sync_every IS 'How often a message of kind sync is written; null = never.';
COMMENT ON COLUMN billing.endpoint_setting.allow_private IS 'Whether it may be at a private or loopback address.';

CREATE FUNCTION billing.worker_endpoints(OUT server_id oid, OUT endpoint text, OUT url text, OUT connector text, OUT options jsonb, OUT secret_headers text[],
        OUT ca_file text, OUT proxy text, OUT allow_private boolean, OUT timeout bigint, OUT connect_timeout bigint, OUT max_body int, OUT microseconds_a_request bigint,
        OUT max_parallel int, OUT connector_timeout bigint, OUT max_attempts int, OUT retry_delay bigint, OUT retry_limit bigint, OUT breaker_failures int, OUT breaker_pause bigint,
        OUT failures int, OUT paused_until timestamptz) RETURNS SETOF record
    LANGUAGE sql STABLE PARALLEL SAFE SECURITY DEFINER SET search_path = pg_catalog, billing, pg_temp
AS $$
    SELECT s.server_id, s.endpoint, regexp_replace(s.url, '/+$', ''), s.connector, s.options - '{secret_headers,connector}'::text[],
           ARRAY(SELECT unnest(ARRAY[h.key, h.value]) FROM jsonb_each_text(coalesce(s.options ->> 'secret_headers', '{}')::jsonb) AS h),
           s.options ->> 'ca_file', s.options ->> 'proxy', s.allow_private, milliseconds(s.timeout), milliseconds(s.connect_timeout), s.max_body,
           trunc(1000000 / s.rate_limit)::bigint, s.max_parallel, milliseconds(s.connector_timeout), s.max_attempts, milliseconds(s.retry_delay), milliseconds(s.retry_limit),
           s.breaker_failures, milliseconds(s.breaker_pause), coalesce(e.failures, 0), e.paused_until
      FROM endpoint_setting AS s LEFT JOIN endpoint_state AS e ON e.endpoint = s.endpoint
     ORDER BY s.endpoint
$$;
COMMENT ON FUNCTION billing.worker_endpoints() IS 'The endpoints as the worker needs them: durations in milliseconds, secret_headers as names and templates in turn. Stable.';

CREATE FUNCTION billing.worker_note_origin(system_identifier bigint, timeline int) RETURNS bigint
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, billing, pg_temp
AS $$
DECLARE
    uncertain_now bigint := 0;
BEGIN
    INSERT INTO worker_origin (system_identifier, timeline) VALUES (worker_note_origin.system_identifier, worker_note_origin.timeline) ON CONFLICT DO NOTHING;
    UPDATE worker_origin AS o SET system_identifier = worker_note_origin.system_identifier, timeline = worker_note_origin.timeline, since = clock_timestamp()
     WHERE (o.system_identifier, o.timeline) IS DISTINCT FROM (worker_note_origin.system_identifier, worker_note_origin.timeline);
    IF FOUND THEN
        -- What the other server has sent since this copy was made nobody can see here, also of messages that have not been tried here.
        UPDATE message AS m SET uncertain = true WHERE m.state IN ('waiting', 'queued', 'sending', 'delayed', 'dead') AND NOT m.uncertain;
        GET DIAGNOSTICS uncertain_now = ROW_COUNT;
    END IF;
    RETURN uncertain_now;
END $$;
COMMENT ON FUNCTION billing.worker_note_origin(bigint, int) IS
'Notes which server delivers: its system identifier and the timeline of its write-ahead log. When another one did before, all messages that are not finished become uncertain, because that one may have sent them; returns how many. Volatile.';

CREATE FUNCTION billing.worker_claim(endpoint text[], free int[], mode text[])
        RETURNS TABLE (message_id bigint, to_endpoint text, kind text, payload jsonb, idempotency_key text, ordering_key text, attempts int, excused int, progress jsonb, uncertain boolean, max_attempts int)
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, billing, pg_temp SET enable_seqscan = off SET jit = off
AS $$
DECLARE
    wanted record;
    taken  bigint[] := '{}';
    keys   text[];
    missing int;
    look_at int;     -- how many messages to look at next; grows while they turn out to be behind others
    seen    int;
    first   bigint[];     -- null = whichever come first by priority and number
    fit      bigint[];
    fit_keys text[];
BEGIN
    FOR wanted IN SELECT u.endpoint, u.free, u.mode = 'tests' AS only_tests, u.mode = 'fewest attempts' AS is_careful
                    FROM unnest(worker_claim.endpoint, worker_claim.free, worker_claim.mode) AS u (endpoint, free, mode) LOOP
        missing := wanted.free;
        look_at := missing;
        keys := '{}';
        LOOP
            EXIT WHEN missing <= 0;
            IF look_at > 20000 THEN
                message_id := NULL;
                RETURN NEXT;
                EXIT;
            END IF;
            -- Of a long queue its beginning is enough to find messages that have not failed; which of these fails always nobody knows.
            first := CASE WHEN wanted.is_careful THEN ARRAY(
                SELECT b.message_id FROM (SELECT m.message_id, m.attempts, m.priority FROM message AS m WHERE m.endpoint = wanted.endpoint AND m.state = 'waiting' AND m.message_id <> ALL (taken)
                                           ORDER BY m.priority DESC, m.message_id LIMIT 10000) AS b
                 ORDER BY b.attempts, b.priority DESC, random() LIMIT least(look_at, 2000)) END;
            WITH candidate AS MATERIALIZED (
                SELECT m.message_id, m.ordering_key FROM message AS m
                 WHERE m.endpoint = wanted.endpoint AND m.state = 'waiting' AND (NOT wanted.only_tests OR m.priority > 100) AND m.message_id <> ALL (taken)
                   AND (first IS NULL OR m.message_id = ANY (first))
                 ORDER BY m.priority DESC, m.message_id LIMIT least(look_at, 2000) FOR NO KEY UPDATE SKIP LOCKED),
            judged AS MATERIALIZED (
                SELECT c.message_id, c.ordering_key,
                       c.ordering_key IS NOT NULL AND (
                           c.ordering_key = ANY (keys)
                           OR EXISTS (SELECT FROM message AS b WHERE b.endpoint = wanted.endpoint AND b.ordering_key = c.ordering_key
                                       AND b.message_id < c.message_id AND b.state IN ('waiting', 'queued', 'sending', 'delayed', 'dead'))
                           OR EXISTS (SELECT FROM message AS b WHERE b.endpoint = wanted.endpoint AND b.ordering_key = c.ordering_key AND b.state = 'sending')) AS is_behind
                  FROM candidate AS c),
            parked AS (UPDATE message AS m SET state = 'queued' FROM judged AS j WHERE m.message_id = j.message_id AND j.is_behind),
            chosen AS (SELECT j.message_id, j.ordering_key FROM judged AS j WHERE NOT j.is_behind LIMIT missing)
            SELECT (SELECT count(*) FROM candidate), coalesce(array_agg(c.message_id), '{}'), coalesce(array_agg(c.ordering_key) FILTER (WHERE c.ordering_key IS NOT NULL), '{}')
              INTO seen, fit, fit_keys FROM chosen AS c;
            taken := taken || fit;
            keys := keys || fit_keys;
            missing := missing - cardinality(fit);
            EXIT WHEN seen < least(look_at, 2000);
            look_at := look_at * 4;
        END LOOP;
    END LOOP;
    RETURN QUERY SELECT m.message_id, m.endpoint, m.kind, m.payload, m.idempotency_key, m.ordering_key, m.attempts, m.excused, m.progress, m.uncertain, m.max_attempts
                   FROM unnest(taken) WITH ORDINALITY AS t (message_id, no) JOIN message AS m ON m.message_id = t.message_id ORDER BY t.no;
END $$;
COMMENT ON FUNCTION billing.worker_claim(text[], int[], text[]) IS
'Locks up to free messages of each endpoint that may be sent now, by priority and number, and returns them; those found to be behind another of their ordering key become queued. A row without a number says that there may be more and to ask again. mode: all; fewest attempts, some of those that were tried least often; tests, only those of test_connection(). The caller writes what becomes of them with worker_record() in the same transaction. Volatile.';

CREATE FUNCTION billing.worker_record(message_id bigint[], state text[], begun boolean[], excused int[], progress jsonb[], unsafe boolean[], uncertain boolean[], next_try_at timestamptz[],
        lease_until timestamptz[], status int[], answer text[], reason text[], result jsonb[]) RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, billing, pg_temp SET enable_seqscan = off SET jit = off SET enable_hashjoin = off SET enable_mergejoin = off
AS $$
#variable_conflict use_column
BEGIN
    UPDATE message AS m
       SET state = r.state, attempts = m.attempts + r.begun::int, excused = r.excused,
           step = CASE WHEN r.begun THEN 0 ELSE m.step END + (r.state = 'sending')::int,
           progress = coalesce(r.progress, m.progress), unsafe = r.unsafe, uncertain = r.uncertain, next_try_at = r.next_try_at, lease_until = r.lease_until,
           last_status = CASE WHEN r.state = 'sending' THEN m.last_status ELSE r.status END, last_answer = CASE WHEN r.state = 'sending' THEN m.last_answer ELSE r.answer END,
           reason = CASE WHEN r.state = 'sending' THEN m.reason ELSE r.reason END, result = coalesce(r.result, m.result),
           first_sent_at = CASE WHEN r.state = 'sending' THEN coalesce(m.first_sent_at, clock_timestamp()) ELSE m.first_sent_at END,
           finished_at = CASE WHEN r.state IN ('delivered', 'dead') THEN clock_timestamp() END
      FROM unnest(worker_record.message_id, worker_record.state, worker_record.begun, worker_record.excused, worker_record.progress, worker_record.unsafe, worker_record.uncertain, worker_record.next_try_at,
                  worker_record.lease_until, worker_record.status, worker_record.answer, worker_record.reason, worker_record.result)
           AS r (message_id, state, begun, excused, progress, unsafe, uncertain, next_try_at, lease_until, status, answer, reason, result)
     WHERE m.message_id = r.message_id;
    IF worker_record.state @> '{delivered}' THEN
        PERFORM let_next_go(array_agg(r.message_id)) FROM unnest(worker_record.message_id, worker_record.state) AS r (message_id, state) WHERE r.state = 'delivered';
    END IF;
END $$;
COMMENT ON FUNCTION billing.worker_record(bigint[], text[], boolean[], int[], jsonb[], boolean[], boolean[], timestamptz[], timestamptz[], int[], text[], text[], jsonb[]) IS
'Writes what became of messages, one element each. begun: an attempt has begun with it. The other arguments are columns of message. Volatile.';

CREATE FUNCTION billing.worker_look_after(held bigint[]) RETURNS timestamptz
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, billing, pg_temp SET enable_seqscan = off SET jit = off
AS $$
DECLARE
    now_at   timestamptz := clock_timestamp();
    released bigint[];
BEGIN
    -- What somebody has locked is left for the next look.
    WITH due AS MATERIALIZED (SELECT m.message_id FROM message AS m WHERE m.state = 'delayed' AND m.next_try_at <= now_at FOR NO KEY UPDATE SKIP LOCKED)
    UPDATE message AS m SET state = 'waiting', next_try_at = NULL FROM due AS d WHERE m.message_id = d.message_id;
    WITH lost AS MATERIALIZED (SELECT m.message_id FROM message AS m WHERE m.state = 'sending' AND m.lease_until <= now_at AND m.message_id <> ALL (held) FOR NO KEY UPDATE SKIP LOCKED)
    UPDATE message AS m SET state = 'waiting', lease_until = NULL, unsafe = false, uncertain = m.uncertain OR m.unsafe, reason = 'the worker ended before the answer came'
      FROM lost AS l WHERE m.message_id = l.message_id;
    WITH releasing AS MATERIALIZED (SELECT m.message_id FROM message AS m WHERE m.releases FOR NO KEY UPDATE SKIP LOCKED),
    done AS (UPDATE message AS m SET releases = false FROM releasing AS r WHERE m.message_id = r.message_id RETURNING m.message_id)
    SELECT array_agg(d.message_id) INTO released FROM done AS d;
    IF released IS NOT NULL THEN
        PERFORM let_next_go(released);
    END IF;
    PERFORM write_due_syncs(now_at);
    RETURN least((SELECT min(m.next_try_at) FROM message AS m WHERE m.state = 'delayed' AND m.next_try_at > now_at),
                 (SELECT min(m.lease_until) FROM message AS m WHERE m.state = 'sending' AND m.lease_until > now_at AND m.message_id <> ALL (held)),
                 (SELECT min(coalesce(e.last_sync_at, now_at) + s.sync_every) FROM endpoint_setting AS s LEFT JOIN endpoint_state AS e ON e.endpoint = s.endpoint WHERE s.sync_every IS NOT NULL));
END $$;
COMMENT ON FUNCTION billing.worker_look_after(bigint[]) IS
'Makes messages wait that are due again or whose lease is over, lets those go that were queued behind discarded ones, writes the sync messages that are due, and returns when it has something to do next; null = it does not know of anything. held: messages whose answer the worker still expects. Volatile.';

CREATE FUNCTION billing.write_due_syncs(now_at timestamptz) RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, billing, pg_temp
AS $$
DECLARE
    due text[] := ARRAY(SELECT s.endpoint FROM endpoint_setting AS s LEFT JOIN endpoint_state AS e ON e.endpoint = s.endpoint
                         WHERE s.sync_every IS NOT NULL AND (e.last_sync_at IS NULL OR e.last_sync_at + s.sync_every <= now_at));
BEGIN
    IF due = '{}' THEN
        RETURN;
    END IF;
    INSERT INTO endpoint_state AS e (endpoint, last_sync_at) SELECT d, now_at FROM unnest(due) AS d ON CONFLICT (endpoint) DO UPDATE SET last_sync_at = now_at;
    -- The new one does what a dead one has left undone.
    WITH dead AS MATERIALIZED (SELECT m.message_id FROM message AS m WHERE m.endpoint = ANY (due) AND m.ordering_key = 'sync' AND m.kind = 'sync' AND m.state = 'dead'
                                  FOR NO KEY UPDATE SKIP LOCKED)
    UPDATE message AS m SET state = 'discarded', releases = true, reason = concat_ws(': ', 'a later sync takes its place, it had failed', m.reason)
      FROM dead AS d WHERE m.message_id = d.message_id;
    -- One at a time: while a sync has not ended, the next one would only repeat it.
    INSERT INTO message (endpoint, kind, ordering_key)
    SELECT d, 'sync', 'sync' FROM unnest(due) AS d
     WHERE NOT EXISTS (SELECT FROM message AS m WHERE m.endpoint = d AND m.ordering_key = 'sync' AND m.kind = 'sync'
                          AND m.state IN ('waiting', 'queued', 'sending', 'delayed', 'dead'));
END $$;
COMMENT ON FUNCTION billing.write_due_syncs(timestamptz) IS
'Writes a message of kind sync to each endpoint whose sync_every is over, unless its last one has not ended; one that has died is discarded for it. Volatile.';

CREATE FUNCTION billing.worker_count_fatal_call(message_id bigint) RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, billing, pg_temp
AS $$
BEGIN
    -- Of the first call of an attempt nothing was written down, of a later one that it was begun.
    WITH counted AS MATERIALIZED (
        SELECT m.message_id, m.attempts + (m.state <> 'sending')::int AS attempts, m.excused, coalesce(m.max_attempts, s.max_attempts) AS most, s.retry_delay, s.retry_limit
          FROM message AS m LEFT JOIN endpoint_setting AS s ON s.endpoint = m.endpoint
         WHERE m.message_id = worker_count_fatal_call.message_id AND m.state IN ('waiting', 'queued', 'delayed', 'sending') FOR NO KEY UPDATE OF m),
    judged AS (
        SELECT c.message_id, c.attempts, coalesce(c.attempts - c.excused >= c.most, false) AS dies, coalesce(least(c.retry_delay * power(2, least(c.attempts - 1, 30)), c.retry_limit), '5s') AS pause FROM counted AS c)
    UPDATE message AS m
       SET state = CASE WHEN j.dies THEN 'dead' ELSE 'delayed' END, attempts = j.attempts, next_try_at = CASE WHEN NOT j.dies THEN clock_timestamp() + j.pause END,
           finished_at = CASE WHEN j.dies THEN clock_timestamp() END, lease_until = NULL, unsafe = false, uncertain = m.uncertain OR m.unsafe,
           reason = 'the call of the connector ended the worker''s process; the server''s log says more'
      FROM judged AS j WHERE m.message_id = j.message_id;
END $$;
COMMENT ON FUNCTION billing.worker_count_fatal_call(bigint) IS
'Counts an attempt of a message in which the call of its connector has ended the worker, by a crash or otherwise: it is tried again later, or dead when that was its last attempt. Volatile.';

CREATE FUNCTION billing.worker_clean(row_limit int) RETURNS bigint
    LANGUAGE sql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, billing, pg_temp
AS $$
    WITH old AS (
        SELECT m.message_id FROM message AS m LEFT JOIN endpoint_setting AS s ON s.endpoint = m.endpoint
         WHERE m.finished_at IS NOT NULL AND (m.state IN ('delivered', 'discarded') OR m.kind = 'test') AND NOT m.releases AND m.finished_at < now() - coalesce(s.keep_delivered, '30d')
         ORDER BY m.finished_at LIMIT row_limit FOR UPDATE OF m SKIP LOCKED),
    gone AS (DELETE FROM message AS m USING old AS o WHERE m.message_id = o.message_id RETURNING m.message_id)
    SELECT count(*) FROM gone AS g
$$;
COMMENT ON FUNCTION billing.worker_clean(int) IS 'Deletes up to row_limit messages that were delivered or discarded longer ago than their endpoint keeps them, and returns how many. Dead messages stay, but for connection tests. Volatile.';

CREATE FUNCTION billing.worker_note(endpoint text[], failures int[], paused_until timestamptz[], succeeded boolean[], failure text[]) RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, billing, pg_temp
AS $$
#variable_conflict use_column
BEGIN
    INSERT INTO endpoint_state AS e (endpoint, failures, paused_until, last_success_at, last_failure_at, last_failure)
    SELECT n.endpoint, n.failures, n.paused_until, CASE WHEN n.succeeded THEN clock_timestamp() END, CASE WHEN n.failure IS NOT NULL THEN clock_timestamp() END, n.failure
      FROM unnest(worker_note.endpoint, worker_note.failures, worker_note.paused_until, worker_note.succeeded, worker_note.failure) AS n (endpoint, failures, paused_until, succeeded, failure)
    ON CONFLICT (endpoint) DO UPDATE SET failures = excluded.failures, paused_until = excluded.paused_until,
        last_success_at = coalesce(excluded.last_success_at, e.last_success_at),
        last_failure_at = coalesce(excluded.last_failure_at, e.last_failure_at), last_failure = coalesce(excluded.last_failure, e.last_failure);
END $$;
COMMENT ON FUNCTION billing.worker_note(text[], int[], timestamptz[], boolean[], text[]) IS
'Writes how endpoints have answered since the last call, one element each. succeeded: some request was answered; failure: what the last failure was, null = none. Volatile.';
