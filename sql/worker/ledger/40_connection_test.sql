-- Trying out an endpoint: a message of kind test, whose connector says what it has found, check by check.

CREATE VIEW billing.connection_checks AS
    SELECT m.endpoint, m.message_id, m.enqueued_at AS tested_at, c.no::int AS check_no, c.value ->> 'name' AS name, c.value ->> 'outcome' AS outcome,
           c.value ->> 'detail' AS detail, c.value ->> 'advice' AS advice
      FROM billing.message AS m
     CROSS JOIN LATERAL jsonb_array_elements(CASE WHEN jsonb_typeof(m.result -> 'checks') = 'array' THEN m.result -> 'checks' ELSE '[]' END) WITH ORDINALITY AS c (value, no)
     WHERE m.kind = 'test';
COMMENT ON VIEW billing.connection_checks IS 'What test_connection() has found: one row a check.';
COMMENT ON COLUMN billing.connection_checks.tested_at IS 'When the test was asked for.';
COMMENT ON COLUMN billing.connection_checks.check_no IS 'Counts the checks of the test from 1.';
COMMENT ON COLUMN billing.connection_checks.name IS 'What was looked at.';
COMMENT ON COLUMN billing.connection_checks.outcome IS 'ok, warning, failed or skipped.';
COMMENT ON COLUMN billing.connection_checks.detail IS 'What was found.';
COMMENT ON COLUMN billing.connection_checks.advice IS 'What to do about it; null = nothing.';

CREATE FUNCTION billing.connection_checks(answer billing.http_answer) RETURNS jsonb
    LANGUAGE plpgsql STABLE PARALLEL SAFE SET search_path = pg_catalog, billing, pg_temp
AS $$
DECLARE
    checks     jsonb := '[]';
    difference interval;
    sent_at    timestamptz;
    connected  CONSTANT boolean := answer.status IS NOT NULL OR answer.sent;
BEGIN
    IF answer.error = 'secret' THEN
        RETURN jsonb_build_array(jsonb_build_object('name', 'secrets', 'outcome', 'failed', 'detail', answer.detail,
            'advice', 'Put the file into billing_worker.secret_directory, owned by the server''s user, mode 600.'));
    END IF;
    checks := checks || jsonb_build_object('name', 'reachable', 'outcome', CASE WHEN connected OR answer.error = 'tls' THEN 'ok' ELSE 'failed' END,
        'detail', CASE WHEN connected THEN format('answered in %s ms', trunc(extract(epoch FROM answer.duration) * 1000)) ELSE concat_ws(': ', answer.error, answer.detail) END,
        'advice', CASE answer.error WHEN 'resolve' THEN 'Check the host in option url, and the name service of this machine.'
                                    WHEN 'connect' THEN 'Check host and port in option url, the firewall, and whether the server runs.'
                                    WHEN 'refused_address' THEN 'The address is private. If that is intended, ALTER SERVER … OPTIONS (ADD allow_private ''true'').'
                                    WHEN 'timeout' THEN 'Check the network, or increase option timeout.' END);
    IF answer.error = 'tls' THEN
        RETURN checks || jsonb_build_object('name', 'tls', 'outcome', 'failed', 'detail', answer.detail,
            'advice', 'Check that the certificate is of the host in option url; for a private authority name its certificate with option ca_file.');
    ELSIF NOT connected THEN
        RETURN checks;
    END IF;
    checks := checks || jsonb_build_object('name', 'tls', 'outcome', 'ok', 'detail', 'the connection is as option url asks');
    BEGIN
        sent_at := (answer.headers ->> 'date')::timestamptz;
    EXCEPTION WHEN data_exception THEN
        NULL;
    END;
    IF sent_at IS NULL THEN
        RETURN checks || jsonb_build_object('name', 'clock', 'outcome', 'skipped', 'detail', 'the answer has no date');
    END IF;
    difference := sent_at - clock_timestamp();
    RETURN checks || jsonb_build_object('name', 'clock', 'outcome', CASE WHEN abs(extract(epoch FROM difference)) <= 60 THEN 'ok' ELSE 'warning' END,
        'detail', format('its clock differs by %s s', round(extract(epoch FROM difference))),
        'advice', CASE WHEN abs(extract(epoch FROM difference)) > 60 THEN 'Usage near the end of a period may be billed in the wrong one; set the clocks.' END);
END $$;
COMMENT ON FUNCTION billing.connection_checks(billing.http_answer) IS
'What an answer says about the connection: secrets, reachable, tls, clock, as an array of {name, outcome, detail, advice}. Connectors begin the result of a test with it. Stable.';

CREATE FUNCTION billing.begin_connection_test(endpoint text) RETURNS bigint
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, billing, pg_temp
AS $$
DECLARE
    worker       record;
    this_message bigint;
BEGIN
    PERFORM check_ledger();
    PERFORM find_endpoint(begin_connection_test.endpoint);
    SELECT s.state, s.advice INTO worker FROM worker_status AS s;
    IF worker.state <> 'running' THEN
        RAISE object_not_in_prerequisite_state USING MESSAGE = format('no worker delivers the messages of this database: %s', worker.state), HINT = worker.advice;
    END IF;
    INSERT INTO message (endpoint, kind, priority, max_attempts) VALUES (begin_connection_test.endpoint, 'test', 101, 1) RETURNING message_id INTO this_message;
    PERFORM wake_worker();
    RETURN this_message;
END $$;
COMMENT ON FUNCTION billing.begin_connection_test(text) IS
'Writes the message of a connection test and returns its number; it goes before all others, and also while the endpoint is paused. Used by test_connection(). Errors: 42704 unknown endpoint, 55000 no worker. Volatile.';

CREATE FUNCTION billing.connection_test_state(message_id bigint, OUT state text, OUT reason text) RETURNS record
    LANGUAGE sql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, billing, pg_temp
AS $$ SELECT m.state, m.reason FROM message AS m WHERE m.message_id = connection_test_state.message_id $$;
COMMENT ON FUNCTION billing.connection_test_state(bigint) IS 'Where the message of a connection test stands. Used by test_connection(). Volatile, because it looks at what others have just written.';

CREATE PROCEDURE billing.test_connection(endpoint text)
    LANGUAGE plpgsql
AS $$
DECLARE
    this_message pg_catalog.int8;
    give_up_at   CONSTANT pg_catalog.timestamptz := pg_catalog.clock_timestamp() OPERATOR(pg_catalog.+) '30 s'::pg_catalog.interval;
    test         record;
    found_check  record;
BEGIN
    this_message := billing.begin_connection_test(test_connection.endpoint);
    LOOP
        COMMIT;
        SELECT t.state, t.reason INTO test FROM billing.connection_test_state(this_message) AS t;
        EXIT WHEN test.state OPERATOR(pg_catalog.=) ANY ('{delivered,dead,discarded}'::pg_catalog.text[]) OR pg_catalog.clock_timestamp() OPERATOR(pg_catalog.>) give_up_at;
        PERFORM pg_catalog.pg_sleep(0.05);
    END LOOP;
    FOR found_check IN
        SELECT c.name, c.outcome, c.detail, c.advice FROM billing.connection_checks AS c WHERE c.message_id OPERATOR(pg_catalog.=) this_message ORDER BY c.check_no
    LOOP
        RAISE NOTICE '%: %', found_check.name, pg_catalog.concat_ws(', ', found_check.outcome, found_check.detail, found_check.advice);
    END LOOP;
    IF test.state OPERATOR(pg_catalog.=) 'delivered'::pg_catalog.text THEN
        RAISE NOTICE 'endpoint "%" works', test_connection.endpoint;
    ELSIF test.state OPERATOR(pg_catalog.=) 'dead'::pg_catalog.text THEN
        RAISE WARNING 'endpoint "%" does not work: %', test_connection.endpoint, test.reason;
    ELSE
        RAISE WARNING 'the test of endpoint "%" has not ended within 30 s', test_connection.endpoint
            USING HINT = pg_catalog.format('It goes on; look at billing.connection_checks for message %s later.', this_message);
    END IF;
END $$;
COMMENT ON PROCEDURE billing.test_connection(text) IS
'Tries out an endpoint: writes a message of kind test, commits, waits up to 30 s for the worker, and prints each check as a NOTICE with what to do; connection_checks keeps them. Commits, so it cannot be called in a transaction block. Errors: 42704 unknown endpoint, 55000 no worker.';
