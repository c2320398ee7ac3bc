-- The outbox: messages to outside systems, written in the transaction whose facts they tell, sent by the worker afterwards.
--
-- waiting    may be sent                     queued     behind another message of the same ordering key
-- sending    a request is out                delayed    to be tried again at next_try_at
-- delivered  has had its effect              dead       will not be tried again unless somebody asks; holds back those queued behind it
-- discarded  somebody has said that it need not be sent
--
-- Only the worker queues messages and lets the next one go, so that this is never decided twice from different views of the others;
-- what people discard it finds by the column releases.

CREATE TABLE billing.message (
    message_id      bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    endpoint        text        NOT NULL,
    kind            text        NOT NULL CHECK (kind <> ''),
    payload         jsonb       NOT NULL DEFAULT '{}',
    idempotency_key text        NOT NULL DEFAULT pg_catalog.gen_random_uuid()::text,
    ordering_key    text,
    priority        smallint    NOT NULL DEFAULT 0,
    max_attempts    int         CHECK (max_attempts > 0),
    state           text        NOT NULL DEFAULT 'waiting'
                                CHECK (state IN ('waiting', 'queued', 'sending', 'delayed', 'delivered', 'dead', 'discarded')),
    attempts        int         NOT NULL DEFAULT 0,
    excused         int         NOT NULL DEFAULT 0,
    step            int         NOT NULL DEFAULT 0,
    progress        jsonb,
    unsafe          boolean     NOT NULL DEFAULT false,
    uncertain       boolean     NOT NULL DEFAULT false,
    releases        boolean     NOT NULL DEFAULT false,
    next_try_at     timestamptz,
    lease_until     timestamptz,
    last_status     int,
    last_answer     text,
    reason          text,
    result          jsonb,
    enqueued_at     timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    enqueued_by     text        NOT NULL DEFAULT SESSION_USER,
    first_sent_at   timestamptz,
    finished_at     timestamptz,
    CHECK ((state = 'delayed') = (next_try_at IS NOT NULL)),
    CHECK ((state = 'sending') = (lease_until IS NOT NULL)),
    CHECK ((state IN ('delivered', 'dead', 'discarded')) = (finished_at IS NOT NULL)),
    UNIQUE (endpoint, idempotency_key)
) WITH (autovacuum_vacuum_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.05, fillfactor = 80);
CREATE INDEX message_waiting ON billing.message (endpoint, priority DESC, message_id) WHERE state = 'waiting';
CREATE INDEX message_undone ON billing.message (endpoint, ordering_key, message_id)
    WHERE ordering_key IS NOT NULL AND state IN ('waiting', 'queued', 'sending', 'delayed', 'dead');
CREATE INDEX message_sending ON billing.message (endpoint, ordering_key) WHERE state = 'sending';
CREATE INDEX message_releases ON billing.message (message_id) WHERE releases;
CREATE INDEX message_delayed ON billing.message (next_try_at) WHERE state = 'delayed';
CREATE INDEX message_finished ON billing.message (finished_at) WHERE finished_at IS NOT NULL;
COMMENT ON TABLE billing.message IS 'The outbox: one row a thing that is to be told to an outside system, delivered at least once with effect once.';
COMMENT ON COLUMN billing.message.message_id IS 'Number of the message.';
COMMENT ON COLUMN billing.message.endpoint IS 'Name of the foreign server it goes to.';
COMMENT ON COLUMN billing.message.kind IS 'What is to be done, in the words of the endpoint''s connector.';
COMMENT ON COLUMN billing.message.payload IS 'What it is to be done with.';
COMMENT ON COLUMN billing.message.idempotency_key IS 'The same at every attempt; unique within the endpoint.';
COMMENT ON COLUMN billing.message.ordering_key IS 'Messages of the endpoint with the same key go one after the other in the order of their numbers; null = at any time.';
COMMENT ON COLUMN billing.message.priority IS 'Messages with a greater one go first, from -100 to 100; inside an ordering key it does not count.';
COMMENT ON COLUMN billing.message.max_attempts IS 'After how many attempts it is dead; null = as the endpoint''s option max_attempts says.';
COMMENT ON COLUMN billing.message.state IS 'waiting, queued (behind another of its ordering key), sending, delayed (until next_try_at), delivered, dead or discarded.';
COMMENT ON COLUMN billing.message.attempts IS 'How many attempts were begun.';
COMMENT ON COLUMN billing.message.excused IS 'How many of them do not count towards max_attempts, because nobody could be reached, the credentials were refused or the other side asked to wait.';
COMMENT ON COLUMN billing.message.step IS 'How many requests the present attempt has sent, or the last one had.';
COMMENT ON COLUMN billing.message.progress IS 'What the connector remembers between requests and attempts.';
COMMENT ON COLUMN billing.message.unsafe IS 'While sending: whether the request that is out changes something, being neither GET nor HEAD.';
COMMENT ON COLUMN billing.message.uncertain IS 'Whether a request that changes something went out and its outcome is not known.';
COMMENT ON COLUMN billing.message.releases IS 'Whether the worker has yet to let the one go that is queued behind it, because this one was discarded or that one was locked.';
COMMENT ON COLUMN billing.message.next_try_at IS 'When it will be tried again.';
COMMENT ON COLUMN billing.message.lease_until IS 'While sending: when it counts as lost, should the worker not report before.';
COMMENT ON COLUMN billing.message.last_status IS 'Status of the last answer; null = none came.';
COMMENT ON COLUMN billing.message.last_answer IS 'Beginning of the last answer that was no success, secrets taken out.';
COMMENT ON COLUMN billing.message.reason IS 'Why it is delayed, dead or discarded.';
COMMENT ON COLUMN billing.message.result IS 'What the connector has kept of the outcome.';
COMMENT ON COLUMN billing.message.enqueued_at IS 'When it was written, by the server''s clock.';
COMMENT ON COLUMN billing.message.enqueued_by IS 'Database user who wrote it.';
COMMENT ON COLUMN billing.message.first_sent_at IS 'When its first request went out.';
COMMENT ON COLUMN billing.message.finished_at IS 'When it was delivered, died or was discarded.';

CREATE TABLE billing.endpoint_state (
    endpoint        text        PRIMARY KEY,
    failures        int         NOT NULL DEFAULT 0,
    paused_until    timestamptz,
    last_success_at timestamptz,
    last_failure_at timestamptz,
    last_failure    text,
    last_sync_at    timestamptz
) WITH (fillfactor = 50);
COMMENT ON TABLE billing.endpoint_state IS 'How each endpoint has answered lately: its circuit breaker and its schedule.';
COMMENT ON COLUMN billing.endpoint_state.endpoint IS 'Name of the foreign server.';
COMMENT ON COLUMN billing.endpoint_state.failures IS 'How many requests in a row found no server, one in trouble (5xx), or one that refuses the credentials (401, 403).';
COMMENT ON COLUMN billing.endpoint_state.paused_until IS 'Until when nothing is sent because of that, or because the other side asked for it (429, 503 with Retry-After); null = not paused.';
COMMENT ON COLUMN billing.endpoint_state.last_success_at IS 'When a request was last answered.';
COMMENT ON COLUMN billing.endpoint_state.last_failure_at IS 'When one was last not answered, or with 401, 403, 429 or 5xx.';
COMMENT ON COLUMN billing.endpoint_state.last_failure IS 'What that failure was.';
COMMENT ON COLUMN billing.endpoint_state.last_sync_at IS 'When option sync_every last asked for a message of kind sync.';

CREATE TABLE billing.worker_origin (
    only_row          boolean     PRIMARY KEY DEFAULT true CHECK (only_row),
    system_identifier bigint      NOT NULL,
    timeline          int         NOT NULL,
    since             timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp()
);
COMMENT ON TABLE billing.worker_origin IS 'The server whose worker delivers the messages, so that one which was promoted or is a copy knows that it is another one: one row.';
COMMENT ON COLUMN billing.worker_origin.only_row IS 'Always true: there is one row.';
COMMENT ON COLUMN billing.worker_origin.system_identifier IS 'Identifies the cluster; a base backup keeps it, a restored dump has another one.';
COMMENT ON COLUMN billing.worker_origin.timeline IS 'Timeline of its write-ahead log; a promotion and a restore to a point in time begin another one.';
COMMENT ON COLUMN billing.worker_origin.since IS 'Since when this server delivers.';

CREATE FUNCTION billing.find_endpoint(endpoint text) RETURNS oid
    LANGUAGE plpgsql STABLE PARALLEL SAFE SET search_path = pg_catalog, billing, pg_temp
AS $$
DECLARE
    server oid := (SELECT s.oid FROM pg_foreign_server AS s JOIN pg_foreign_data_wrapper AS w ON w.oid = s.srvfdw
                    WHERE s.srvname = find_endpoint.endpoint AND w.fdwname LIKE 'billing\_%');
BEGIN
    IF server IS NULL THEN
        RAISE undefined_object USING MESSAGE = format('there is no endpoint "%s"', endpoint),
            HINT = 'Make it with CREATE SERVER … FOREIGN DATA WRAPPER billing_custom or another wrapper of billing.';
    END IF;
    RETURN server;
END $$;
COMMENT ON FUNCTION billing.find_endpoint(text) IS 'The foreign server of that name, if a wrapper of billing made it. Errors: 42704 if there is none. Stable.';

CREATE FUNCTION billing.write_message(endpoint text, kind text, payload jsonb DEFAULT '{}', idempotency_key text DEFAULT NULL, ordering_key text DEFAULT NULL,
        priority int DEFAULT 0, not_before timestamptz DEFAULT NULL, max_attempts int DEFAULT NULL) RETURNS bigint
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, billing, pg_temp
AS $$
DECLARE
    this_message bigint;
    former       message;
BEGIN
    PERFORM check_ledger();
    PERFORM find_endpoint(write_message.endpoint);
    IF coalesce(write_message.kind, '') = '' OR write_message.payload IS NULL OR write_message.priority IS NULL THEN
        RAISE null_value_not_allowed USING MESSAGE = 'a message needs a kind, a payload and a priority';
    ELSIF write_message.priority NOT BETWEEN -100 AND 100 THEN
        RAISE invalid_parameter_value USING MESSAGE = format('priority must be between -100 and 100, not %s', write_message.priority);
    ELSIF write_message.max_attempts < 1 THEN
        RAISE invalid_parameter_value USING MESSAGE = format('max_attempts must be at least 1, not %s', write_message.max_attempts);
    ELSIF octet_length(write_message.idempotency_key) > 500 OR octet_length(write_message.ordering_key) > 500 THEN
        RAISE invalid_parameter_value USING MESSAGE = 'idempotency_key and ordering_key have at most 500 bytes';
    END IF;
    INSERT INTO message (endpoint, kind, payload, idempotency_key, ordering_key, priority, max_attempts, state, next_try_at)
        VALUES (write_message.endpoint, write_message.kind, write_message.payload, coalesce(write_message.idempotency_key, gen_random_uuid()::text),
                write_message.ordering_key, write_message.priority, write_message.max_attempts,
                CASE WHEN write_message.not_before > clock_timestamp() THEN 'delayed' ELSE 'waiting' END,
                CASE WHEN write_message.not_before > clock_timestamp() THEN write_message.not_before END)
        ON CONFLICT ON CONSTRAINT message_endpoint_idempotency_key_key DO NOTHING
        RETURNING message.message_id INTO this_message;
    IF this_message IS NOT NULL THEN
        PERFORM wake_worker();
        RETURN this_message;
    END IF;
    SELECT m.* INTO former FROM message AS m WHERE m.endpoint = write_message.endpoint AND m.idempotency_key = write_message.idempotency_key;
    IF former.kind <> write_message.kind OR former.payload <> write_message.payload THEN
        RAISE unique_violation USING MESSAGE = format('message %s to "%s" has idempotency key "%s" already and says something else', former.message_id, former.endpoint, former.idempotency_key);
    END IF;
    RETURN former.message_id;
END $$;
COMMENT ON FUNCTION billing.write_message(text, text, jsonb, text, text, int, timestamptz, int) IS
'What enqueue_message() does, to any endpoint; for the ledger''s own functions. Errors: as there, without 42501. Volatile.';

CREATE FUNCTION billing.check_open_endpoint(endpoint text) RETURNS void
    LANGUAGE plpgsql STABLE PARALLEL SAFE SET search_path = pg_catalog, billing, pg_temp
AS $$
DECLARE
    shipped text := (SELECT w.fdwname FROM pg_foreign_server AS s JOIN pg_foreign_data_wrapper AS w ON w.oid = s.srvfdw
                      WHERE s.oid = find_endpoint(check_open_endpoint.endpoint) AND EXISTS (SELECT FROM unnest(w.fdwoptions) AS o WHERE starts_with(o, 'connector=')));
BEGIN
    -- What such a message may say is decided by the functions that write it, each with the right that it needs.
    IF shipped IS NOT NULL THEN
        RAISE insufficient_privilege USING MESSAGE = format('messages to "%s" are written by the functions of %s alone', check_open_endpoint.endpoint, shipped),
            HINT = 'Call the function for what shall be done, such as billing.killbill_push_usage().';
    END IF;
END $$;
COMMENT ON FUNCTION billing.check_open_endpoint(text) IS 'Raises 42501 for an endpoint of a kind that brings its connector, 42704 when there is none of that name. Stable.';

CREATE FUNCTION billing.enqueue_message(endpoint text, kind text, payload jsonb DEFAULT '{}', idempotency_key text DEFAULT NULL, ordering_key text DEFAULT NULL,
        priority int DEFAULT 0, not_before timestamptz DEFAULT NULL, max_attempts int DEFAULT NULL) RETURNS bigint
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, billing, pg_temp
AS $$
BEGIN
    PERFORM check_open_endpoint(enqueue_message.endpoint);
    IF starts_with(enqueue_message.idempotency_key, 'billing:') THEN
        RAISE reserved_name USING MESSAGE = format('idempotency key "%s" begins with billing: as only the ledger''s own do', enqueue_message.idempotency_key);
    END IF;
    RETURN write_message(enqueue_message.endpoint, enqueue_message.kind, enqueue_message.payload, enqueue_message.idempotency_key, enqueue_message.ordering_key,
                         enqueue_message.priority, enqueue_message.not_before, enqueue_message.max_attempts);
END $$;
COMMENT ON FUNCTION billing.enqueue_message(text, text, jsonb, text, text, int, timestamptz, int) IS
'Writes a message to an endpoint in the caller''s transaction and returns its number; the worker sends it after the commit. Endpoints of a kind that brings its connector, such as billing_killbill, have functions of their own for that. kind and payload: what the endpoint''s connector understands. idempotency_key: a message with a key that the endpoint has had is not written again, and the former one''s number is returned (null = a new key); those of the ledger itself begin with billing: and others must not. ordering_key: messages of one key go one after the other. priority: -100 to 100, greater first. not_before: not to be sent earlier. max_attempts: instead of the endpoint''s option. Errors: 42704 unknown endpoint, 42501 an endpoint with functions of its own, 42939 a key of the ledger, 22004, 22023 bad argument, 23505 the key belongs to another kind or payload. Volatile.';

CREATE FUNCTION billing.check_connector_call(endpoint text) RETURNS void
    LANGUAGE plpgsql STABLE PARALLEL RESTRICTED SET search_path = pg_catalog, billing, pg_temp
AS $$
BEGIN
    IF called_endpoint() IS DISTINCT FROM check_connector_call.endpoint AND NOT pg_has_role(session_user, current_user, 'MEMBER') THEN
        RAISE insufficient_privilege USING MESSAGE = format('messages to "%s" are put before its connector by the worker alone', check_connector_call.endpoint);
    END IF;
END $$;
COMMENT ON FUNCTION billing.check_connector_call(text) IS
'Raises 42501 unless the worker is just calling the connector of that endpoint, or the session is the ledger owner''s. A connector with the ledger''s rights begins with it: other connectors run in the same process, under the same role, and could put messages and answers of their own making before it. Stable.';

CREATE FUNCTION billing.endpoint_is_used(endpoint text) RETURNS boolean
    LANGUAGE plpgsql STABLE PARALLEL SAFE SECURITY DEFINER SET search_path = pg_catalog, billing, pg_temp
AS $$
DECLARE
    holder  name;
    is_used boolean;
BEGIN
    IF NOT EXISTS (SELECT FROM pg_foreign_server AS s JOIN pg_foreign_data_wrapper AS w ON w.oid = s.srvfdw WHERE s.srvname = endpoint_is_used.endpoint AND w.fdwname LIKE 'billing\_%') THEN
        RETURN false;
    END IF;
    FOR holder IN SELECT c.relname FROM pg_class AS c JOIN pg_attribute AS a ON a.attrelid = c.oid
                   WHERE c.relnamespace = 'billing'::regnamespace AND c.relkind = 'r' AND a.attname = 'endpoint' AND a.atttypid = 'text'::regtype AND NOT a.attisdropped LOOP
        EXECUTE format('SELECT EXISTS (SELECT FROM billing.%I AS t WHERE t.endpoint = $1)', holder) INTO is_used USING endpoint_is_used.endpoint;
        EXIT WHEN is_used;
    END LOOP;
    RETURN coalesce(is_used, false);
END $$;
COMMENT ON FUNCTION billing.endpoint_is_used(text) IS
'Whether any table of the ledger has something of the endpoint of that name: messages, keys, or what a connector remembers. Such an endpoint cannot be renamed. Stable.';

CREATE FUNCTION billing.endpoint_is_needed(endpoint text) RETURNS boolean
    LANGUAGE plpgsql STABLE PARALLEL SAFE SECURITY DEFINER SET search_path = pg_catalog, billing, pg_temp
AS $$
DECLARE
    holder    name;
    is_needed boolean;
BEGIN
    IF NOT endpoint_is_used(endpoint_is_needed.endpoint) THEN
        RETURN false;
    END IF;
    is_needed := EXISTS (SELECT FROM message AS m WHERE m.endpoint = endpoint_is_needed.endpoint AND m.state NOT IN ('delivered', 'discarded'));
    -- What is kept of accounts by endpoint; settings that only name one, such as budgets, live on without it.
    FOR holder IN SELECT c.relname FROM pg_class AS c JOIN pg_index AS i ON i.indrelid = c.oid AND i.indisprimary
                    JOIN pg_attribute AS e ON e.attrelid = c.oid AND e.attnum = i.indkey[0] JOIN pg_attribute AS a ON a.attrelid = c.oid
                   WHERE c.relnamespace = 'billing'::regnamespace AND c.relkind = 'r' AND e.attname = 'endpoint' AND e.atttypid = 'text'::regtype AND a.attname = 'account_id' LOOP
        EXIT WHEN is_needed;
        EXECUTE format('SELECT EXISTS (SELECT FROM billing.%I AS t WHERE t.endpoint = $1)', holder) INTO is_needed USING endpoint_is_needed.endpoint;
    END LOOP;
    RETURN is_needed;
END $$;
COMMENT ON FUNCTION billing.endpoint_is_needed(text) IS
'Whether the endpoint of that name has messages that are neither delivered nor discarded, or the ledger remembers accounts on it. Such an endpoint cannot be dropped: one that is made later under its name would get its messages, and be taken for the one that was told everything. Stable.';

CREATE FUNCTION billing.let_next_go(message_id bigint[]) RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, billing, pg_temp
AS $$
BEGIN
    -- A message that somebody is changing is let go later: nobody who keeps a transaction open may hold up the others.
    WITH next AS MATERIALIZED (
        SELECT m.message_id AS behind, (SELECT n.message_id FROM message AS n
                          WHERE n.endpoint = m.endpoint AND n.ordering_key = m.ordering_key AND n.state = 'queued'
                          ORDER BY n.message_id LIMIT 1) AS message_id
          FROM message AS m WHERE m.message_id = ANY (let_next_go.message_id) AND m.ordering_key IS NOT NULL),
    free AS MATERIALIZED (
        SELECT m.message_id FROM message AS m WHERE m.message_id IN (SELECT n.message_id FROM next AS n) FOR NO KEY UPDATE SKIP LOCKED),
    gone AS (UPDATE message AS m SET state = 'waiting' FROM free AS f WHERE m.message_id = f.message_id)
    UPDATE message AS m SET releases = true FROM next AS n
     WHERE m.message_id = n.behind AND n.message_id IS NOT NULL AND NOT EXISTS (SELECT FROM free AS f WHERE f.message_id = n.message_id);
END $$;
COMMENT ON FUNCTION billing.let_next_go(bigint[]) IS
'Makes the first message that is queued behind any of these wait to be sent, once these are delivered or discarded. Only the worker calls it. Volatile.';

CREATE FUNCTION billing.change_dead_message(message_id bigint, state text, reason text) RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, billing, pg_temp
AS $$
DECLARE
    former message;
BEGIN
    PERFORM check_ledger();
    SELECT m.* INTO former FROM message AS m WHERE m.message_id = change_dead_message.message_id FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RAISE undefined_object USING MESSAGE = format('there is no message %s', coalesce(change_dead_message.message_id::text, 'null'));
    ELSIF former.state IN ('delivered', 'discarded') THEN
        RAISE object_not_in_prerequisite_state USING MESSAGE = format('message %s is %s', former.message_id, former.state);
    ELSIF former.state = 'sending' THEN
        RAISE object_in_use USING MESSAGE = format('message %s is being sent', former.message_id), HINT = 'Try again when its answer has come.';
    END IF;
    UPDATE message AS m
       SET state = change_dead_message.state, reason = coalesce(change_dead_message.reason, m.reason), next_try_at = NULL,
           attempts = CASE WHEN change_dead_message.state = 'waiting' THEN 0 ELSE m.attempts END,
           excused = CASE WHEN change_dead_message.state = 'waiting' THEN 0 ELSE m.excused END,
           finished_at = CASE WHEN change_dead_message.state = 'discarded' THEN clock_timestamp() END,
           releases = change_dead_message.state = 'discarded' AND m.ordering_key IS NOT NULL
     WHERE m.message_id = former.message_id;
    PERFORM wake_worker();
END $$;
COMMENT ON FUNCTION billing.change_dead_message(bigint, text, text) IS
'Sets the state of a message that is neither finished nor being sent to waiting or discarded. Used by retry_message() and discard_message(). Errors: 42704 no such message, 55000 delivered or discarded already, 55006 being sent. Volatile.';

CREATE FUNCTION billing.retry_message(message_id bigint) RETURNS void
    LANGUAGE sql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, billing, pg_temp
    AS $$ SELECT change_dead_message(retry_message.message_id, 'waiting', NULL) $$;
COMMENT ON FUNCTION billing.retry_message(bigint) IS
'Has a dead or delayed message tried again at once, with all its attempts before it. Errors: 42704 no such message, 55000 delivered or discarded already, 55006 being sent. Volatile.';

CREATE FUNCTION billing.discard_message(message_id bigint, reason text) RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, billing, pg_temp
AS $$
BEGIN
    IF coalesce(discard_message.reason, '') = '' THEN
        RAISE null_value_not_allowed USING MESSAGE = format('why should message %s not be sent?', discard_message.message_id), HINT = 'Say reason =>.';
    END IF;
    PERFORM change_dead_message(discard_message.message_id, 'discarded', discard_message.reason);
END $$;
COMMENT ON FUNCTION billing.discard_message(bigint, text) IS
'Says that a message need not be sent; it is kept with the reason, and what is queued behind it goes. Errors: 22004 without a reason, 42704 no such message, 55000 delivered or discarded already, 55006 being sent. Volatile.';
