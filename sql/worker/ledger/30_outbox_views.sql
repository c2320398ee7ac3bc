-- The outbox and the worker for people.

CREATE VIEW billing.messages AS
    SELECT m.message_id, m.endpoint, m.kind, m.state, m.attempts, m.reason, m.last_status, m.next_try_at, m.uncertain, m.ordering_key, m.priority, m.idempotency_key,
           m.payload, m.result, m.last_answer, m.enqueued_at, m.enqueued_by, m.first_sent_at, m.finished_at
      FROM billing.message AS m;
COMMENT ON VIEW billing.messages IS 'Every message with where it stands.';

CREATE VIEW billing.dead_letters AS
    SELECT m.message_id, m.endpoint, m.kind, m.reason, m.last_status, m.last_answer, m.attempts, m.payload, m.ordering_key,
           (SELECT count(*) FROM billing.message AS b
             WHERE b.endpoint = m.endpoint AND b.ordering_key = m.ordering_key AND b.state = 'queued' AND b.message_id > m.message_id) AS holds_back,
           m.enqueued_at, m.finished_at
      FROM billing.message AS m WHERE m.state = 'dead' AND m.kind <> 'test';
COMMENT ON VIEW billing.dead_letters IS 'Messages that were given up. Mend the cause, then retry_message(); or discard_message() with a reason.';
COMMENT ON COLUMN billing.dead_letters.holds_back IS 'How many messages of the same ordering key wait behind it.';

CREATE VIEW billing.outbox AS
    SELECT e.endpoint, s.kind, s.url,
           CASE WHEN s.endpoint IS NULL THEN 'no such endpoint'
                WHEN t.paused_until > clock_timestamp() THEN 'paused'
                WHEN t.failures >= s.breaker_failures THEN 'being tried'
                ELSE 'open' END AS state,
           coalesce(c.waiting, 0) AS waiting, coalesce(c.queued, 0) AS queued, coalesce(c.sending, 0) AS sending, coalesce(c.delayed, 0) AS delayed, coalesce(c.dead, 0) AS dead,
           c.oldest, clock_timestamp() - c.oldest AS oldest_age,
           d.delivered_last_minute, d.delivered_last_hour,
           t.failures AS failures_in_row, t.paused_until, t.last_success_at, t.last_failure_at, t.last_failure, t.last_sync_at
      FROM (SELECT m.endpoint FROM billing.endpoint_setting AS m UNION SELECT m.endpoint FROM billing.message AS m WHERE m.finished_at IS NULL) AS e
      LEFT JOIN billing.endpoint_setting AS s ON s.endpoint = e.endpoint
      LEFT JOIN billing.endpoint_state AS t ON t.endpoint = e.endpoint
      LEFT JOIN (SELECT m.endpoint, count(*) FILTER (WHERE m.state = 'waiting') AS waiting, count(*) FILTER (WHERE m.state = 'queued') AS queued,
                        count(*) FILTER (WHERE m.state = 'sending') AS sending, count(*) FILTER (WHERE m.state = 'delayed') AS delayed,
                        count(*) FILTER (WHERE m.state = 'dead' AND m.kind <> 'test') AS dead, min(m.enqueued_at) FILTER (WHERE m.state <> 'dead') AS oldest
                   FROM billing.message AS m WHERE m.state IN ('waiting', 'queued', 'sending', 'delayed', 'dead') GROUP BY m.endpoint) AS c ON c.endpoint = e.endpoint
      CROSS JOIN LATERAL (
            SELECT count(*) FILTER (WHERE m.finished_at > clock_timestamp() - interval '1 minute') AS delivered_last_minute, count(*) AS delivered_last_hour
              FROM billing.message AS m
             WHERE m.finished_at > now() - interval '1 hour' AND m.state = 'delivered' AND m.endpoint = e.endpoint) AS d;
COMMENT ON VIEW billing.outbox IS 'One row an endpoint: how many messages are in which state, since when the oldest waits, how fast they go, and how the other side answers.';
COMMENT ON COLUMN billing.outbox.kind IS 'The foreign data wrapper: which kind of system it is.';
COMMENT ON COLUMN billing.outbox.url IS 'Where it is.';
COMMENT ON COLUMN billing.outbox.state IS 'open; paused until paused_until, after failures in a row or because the other side asked to wait; being tried with one message after failures; or no such endpoint.';
COMMENT ON COLUMN billing.outbox.waiting IS 'Messages that may be sent.';
COMMENT ON COLUMN billing.outbox.queued IS 'Messages behind another of their ordering key.';
COMMENT ON COLUMN billing.outbox.sending IS 'Messages whose request is out.';
COMMENT ON COLUMN billing.outbox.delayed IS 'Messages to be tried again later.';
COMMENT ON COLUMN billing.outbox.dead IS 'Messages that were given up, see dead_letters.';
COMMENT ON COLUMN billing.outbox.oldest IS 'When the oldest that is neither finished nor dead was written.';
COMMENT ON COLUMN billing.outbox.oldest_age IS 'How long ago that was.';
COMMENT ON COLUMN billing.outbox.delivered_last_minute IS 'Messages delivered within the last minute.';
COMMENT ON COLUMN billing.outbox.delivered_last_hour IS 'Messages delivered within the last hour.';
COMMENT ON COLUMN billing.outbox.failures_in_row IS 'How many requests in a row found no server, one in trouble (5xx), or one that refuses the credentials (401, 403).';

CREATE VIEW billing.delivery_errors AS
    SELECT m.endpoint, m.kind, m.reason, m.last_status, count(*) AS messages, count(*) FILTER (WHERE m.state = 'dead') AS dead,
           max(m.attempts) AS most_attempts, min(m.enqueued_at) AS oldest, min(m.next_try_at) AS next_try_at, min(m.message_id) AS example_id
      FROM billing.message AS m WHERE m.state IN ('delayed', 'dead', 'waiting', 'sending') AND m.reason IS NOT NULL AND m.kind <> 'test'
     GROUP BY m.endpoint, m.kind, m.reason, m.last_status;
COMMENT ON VIEW billing.delivery_errors IS 'Why messages that are not delivered are not: one row an endpoint, kind and reason.';
COMMENT ON COLUMN billing.delivery_errors.messages IS 'How many messages.';
COMMENT ON COLUMN billing.delivery_errors.dead IS 'How many of them were given up.';
COMMENT ON COLUMN billing.delivery_errors.most_attempts IS 'How often one of them was tried at most.';
COMMENT ON COLUMN billing.delivery_errors.oldest IS 'When the oldest of them was written.';
COMMENT ON COLUMN billing.delivery_errors.next_try_at IS 'When the next of them is tried.';
COMMENT ON COLUMN billing.delivery_errors.example_id IS 'Number of one of them.';

CREATE VIEW billing.worker_status AS
    SELECT current_database()::text AS database, w.pid, coalesce(w.state, a.state) AS state, w.since, w.library_version,
           coalesce(w.detail, CASE WHEN w.state = 'running' THEN r.refused END) AS detail, a.advice
      FROM (SELECT) AS always
      LEFT JOIN billing.worker_slots() AS w ON w.database = current_database()
     CROSS JOIN (
        SELECT string_agg(format('%s: %s', e.endpoint, e.last_failure), ', ' ORDER BY e.endpoint) AS refused
          FROM billing.endpoint_state AS e JOIN billing.endpoint_setting AS s ON s.endpoint = e.endpoint
         WHERE e.failures >= s.breaker_failures AND e.last_failure IN ('status 401', 'status 403')) AS r
     CROSS JOIN LATERAL (
        SELECT CASE WHEN w.state IS NULL AND NOT l.loaded THEN 'not preloaded' WHEN w.state IS NULL AND pg_is_in_recovery() THEN 'standby' WHEN w.state IS NULL THEN 'not wanted' END AS state,
               CASE WHEN w.state = 'running' THEN CASE WHEN w.library_version <> billing.extension_version()
                                                       THEN format('The library is of version %s, the extension of %s: restart the server, or ALTER EXTENSION billing UPDATE.', w.library_version, billing.extension_version())
                                                       WHEN r.refused IS NOT NULL
                                                       THEN 'The endpoints in column detail refuse our credentials, and their messages wait: mend their secrets, or our rights there. Both are tried again by themselves.'
                                                       WHEN NOT EXISTS (SELECT FROM pg_event_trigger AS t WHERE t.evtname = 'billing_endpoint_guard')
                                                       THEN 'Nothing keeps endpoints in use from being renamed: have a superuser run CALL billing.create_ledger_guard().' END
                    WHEN w.state = 'starting' THEN 'Wait a few seconds; if it stays so, the server''s log says why the worker ends: perhaps role billing_worker may not connect to this database.'
                    WHEN w.state = 'failing' THEN 'The worker ends with the error in column detail and is started again every two seconds: mend its cause. The server''s log says more.'
                    WHEN w.state = 'no database' THEN 'billing_worker.databases names a database that does not exist.'
                    WHEN w.state = 'no role' THEN 'Role billing_worker is missing: CREATE ROLE billing_worker LOGIN IN ROLE billing_reader, then CALL billing.grant_ledger().'
                    WHEN w.state = 'no worker slot' THEN 'Increase max_worker_processes and restart the server.'
                    WHEN w.state = 'no ledger' THEN 'CREATE EXTENSION billing, then CALL billing.create_ledger().'
                    WHEN w.state = 'other version' THEN 'ALTER EXTENSION billing UPDATE and CALL billing.upgrade_ledger(), or restart the server if its library is the older one.'
                    WHEN NOT l.loaded THEN 'Add billing_worker to shared_preload_libraries and restart the server.'
                    WHEN pg_is_in_recovery() THEN 'Nothing: the messages are delivered by the first server, and here once this one is promoted and this database is in billing_worker.databases.'
                    ELSE format('Add %I to billing_worker.databases and SELECT pg_reload_conf().', current_database()) END AS advice
          FROM (SELECT billing.worker_library_version() IS NOT NULL AS loaded) AS l) AS a;
COMMENT ON VIEW billing.worker_status IS 'How the background worker of this database is, and what to do when it does not run: always one row.';
COMMENT ON COLUMN billing.worker_status.database IS 'This database.';
COMMENT ON COLUMN billing.worker_status.pid IS 'Process of the worker; null = it does not run.';
COMMENT ON COLUMN billing.worker_status.state IS 'running, starting, failing, standby, not preloaded, not wanted, no database, no role, no worker slot, no ledger or other version.';
COMMENT ON COLUMN billing.worker_status.since IS 'Since when.';
COMMENT ON COLUMN billing.worker_status.library_version IS 'Version of the library that the server has loaded.';
COMMENT ON COLUMN billing.worker_status.detail IS 'What belongs to the state, such as the error that ends the worker, or which endpoints refuse its credentials; null = nothing.';
COMMENT ON COLUMN billing.worker_status.advice IS 'What to do about it; null = nothing.';
