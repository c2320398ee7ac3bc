-- The outbox: what is written, and what the worker may take when.
\set ECHO none
\set test_database billing_worker_outbox
\getenv source PG_ABS_SRCDIR
\set include :source /lib/ledger.psql
\i :include
\set ECHO all
CREATE SERVER a FOREIGN DATA WRAPPER billing_custom OPTIONS (url 'https://a.example', connector 'x.y', keep_delivered '1h');
CREATE SERVER b FOREIGN DATA WRAPPER billing_custom OPTIONS (url 'https://b.example', connector 'x.y');

-- take(n): the worker claims up to n messages of each endpoint and sends them; settle(): what becomes of messages
CREATE FUNCTION public.settle(ids bigint[], new_state text, answer_status int DEFAULT NULL) RETURNS void LANGUAGE sql AS $$
    SELECT billing.worker_record(array_agg(i), array_agg(new_state), array_agg(new_state = 'sending'), array_agg(0), array_agg(NULL::jsonb), array_agg(new_state = 'sending'), array_agg(false),
               array_agg(CASE WHEN new_state = 'delayed' THEN clock_timestamp() + '1 h' END), array_agg(CASE WHEN new_state = 'sending' THEN clock_timestamp() + '1 h' END),
               array_agg(answer_status), array_agg(NULL::text), array_agg(CASE WHEN new_state IN ('delayed', 'dead') THEN 'why' END), array_agg(NULL::jsonb)) FROM unnest(ids) AS i $$;
CREATE FUNCTION public.take(n int) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    ids bigint[] := ARRAY(SELECT c.message_id FROM billing.worker_claim('{a,b}', ARRAY[n, n], '{all,all}') AS c);
BEGIN
    PERFORM public.settle(ids, 'sending');
    RETURN ids::text;
END $$;
CREATE VIEW public.states AS SELECT string_agg(format('%s %s', message_id, state), ', ' ORDER BY message_id) FROM message;

-- arguments
SELECT fails($$ SELECT enqueue_message('c', 'order') $$);
SELECT fails($$ SELECT enqueue_message('a', '') $$);
SELECT fails($$ SELECT enqueue_message('a', 'order', NULL) $$);
SELECT fails($$ SELECT enqueue_message('a', 'order', priority => 101) $$);
SELECT fails($$ SELECT enqueue_message('a', 'order', max_attempts => 0) $$);

-- the same key is the same message; with other content it is an error
SELECT enqueue_message('a', 'order', '{"item": 1}', 'k1') = enqueue_message('a', 'order', '{"item": 1}', 'k1');
SELECT fails($$ SELECT enqueue_message('a', 'order', '{"item": 2}', 'k1') $$);
SELECT fails($$ SELECT enqueue_message('a', 'report', '{}', 'billing:report-1') $$);
SELECT enqueue_message('b', 'order', '{"item": 2}', 'k1') > 0;
SELECT endpoint, kind, payload, state, attempts, priority, idempotency_key FROM messages ORDER BY message_id;
-- what is rolled back is not sent
BEGIN; SELECT count(enqueue_message('a', 'order')); ROLLBACK;
SELECT count(*) FROM messages;

-- by priority, then by number; as many as asked for
TRUNCATE message RESTART IDENTITY;
SELECT count(enqueue_message('a', 'order', priority => p)) FROM unnest('{0,0,5,-5,0}'::int[]) AS p;
SELECT public.take(2);
SELECT public.take(2);
SELECT public.take(2);
SELECT public.take(2);
SELECT message_id, state, attempts, step, unsafe, lease_until > now() AS leased FROM message ORDER BY 1;

-- one after the other within an ordering key, past failures too; other keys and endpoints go on
TRUNCATE message RESTART IDENTITY;
SELECT count(enqueue_message(e, 'order', ordering_key => k)) FROM unnest('{a,a,a,a,b}'::text[], '{x,x,x,y,x}'::text[]) AS o (e, k);
SELECT public.take(10);
SELECT * FROM public.states;
SELECT public.take(10);
SELECT public.settle('{1}', 'delayed');
SELECT public.take(10);
UPDATE message SET next_try_at = now() WHERE state = 'delayed';
SELECT worker_look_after('{}') IS NOT NULL;
SELECT public.take(10);
SELECT public.settle('{1}', 'dead');
SELECT public.take(10);
SELECT message_id, holds_back FROM dead_letters;
SELECT retry_message(1);
SELECT public.take(10);
SELECT public.settle('{1}', 'delivered', 201);
SELECT * FROM public.states;
SELECT public.take(10);
SELECT public.settle('{2}', 'dead');
SELECT fails($$ SELECT discard_message(2, '') $$);
SELECT discard_message(2, 'was ordered by telephone');
SELECT * FROM public.states;
SELECT worker_look_after('{}') IS NOT NULL;
SELECT public.take(10);
SELECT message_id, state, reason, attempts FROM messages WHERE message_id = 2;

-- what cannot be retried or discarded
SELECT fails($$ SELECT retry_message(1) $$);
SELECT fails($$ SELECT retry_message(2) $$);
SELECT fails($$ SELECT retry_message(3) $$);
SELECT fails($$ SELECT discard_message(99, 'why') $$);

-- one that is committed late, with a smaller number than one that is being sent, waits for that one
TRUNCATE message RESTART IDENTITY;
SELECT enqueue_message('a', 'order', ordering_key => 'x'), enqueue_message('a', 'order', ordering_key => 'x');
UPDATE message SET state = 'discarded', finished_at = now() WHERE message_id = 1;
SELECT public.take(10);
UPDATE message SET state = 'waiting', finished_at = NULL WHERE message_id = 1;
SELECT public.take(10);
SELECT * FROM public.states;
SELECT public.settle('{2}', 'delivered');
SELECT public.take(10);

-- many of one key: a claim looks past them
TRUNCATE message RESTART IDENTITY;
SELECT count(enqueue_message('a', 'order', ordering_key => 'x')) FROM generate_series(1, 3000);
SELECT enqueue_message('a', 'order', ordering_key => 'y');
SELECT public.take(2);
SELECT state, count(*) FROM message GROUP BY 1 ORDER BY 1;

-- not before its time; the lease of a worker that has gone; what the worker still holds
TRUNCATE message RESTART IDENTITY;
SELECT enqueue_message('a', 'order', not_before => now() + '1 h'), enqueue_message('a', 'order'), enqueue_message('a', 'order');
SELECT public.take(10);
UPDATE message SET lease_until = now() WHERE state = 'sending';
SELECT worker_look_after('{3}') <= now() + '1 h';
SELECT message_id, state, attempts, uncertain, reason FROM message ORDER BY 1;

-- a sync message an endpoint and period, and no second one while the first has not ended
TRUNCATE message RESTART IDENTITY;
ALTER SERVER b OPTIONS (ADD sync_every '1h');
SELECT worker_look_after('{}') BETWEEN now() + '59 min' AND now() + '61 min';
SELECT worker_look_after('{}') IS NOT NULL;
SELECT endpoint, kind, ordering_key, state FROM messages;
UPDATE endpoint_state SET last_sync_at = now() - interval '2 h';
SELECT worker_look_after('{}') IS NOT NULL;
SELECT count(*) FROM messages;
SELECT public.settle('{1}', 'delivered');
UPDATE endpoint_state SET last_sync_at = now() - interval '2 h';
SELECT worker_look_after('{}') IS NOT NULL;
SELECT count(*) FROM messages;

-- what is kept how long: delivered and discarded as the endpoint says, dead for ever
TRUNCATE message RESTART IDENTITY;
SELECT count(enqueue_message(e, 'order')) FROM unnest('{a,a,b,a}'::text[]) AS e;
SELECT public.settle('{1,2,3}', 'delivered'), public.settle('{4}', 'dead');
UPDATE message SET finished_at = now() - interval '2 h' WHERE message_id <> 2;
SELECT worker_clean(10), worker_clean(10);
SELECT * FROM public.states;

-- what people see
SELECT count(enqueue_message('a', 'order')) FROM generate_series(1, 3);
SELECT public.take(1);
SELECT public.settle(ARRAY(SELECT message_id FROM message WHERE state = 'waiting' LIMIT 1), 'delayed', 503);
SELECT worker_note('{a}', '{6}', ARRAY[now() + '1 min'], '{f}', '{status 503}');
SELECT endpoint, state, waiting, queued, sending, delayed, dead, oldest_age > '0', delivered_last_minute, delivered_last_hour, failures_in_row, last_failure FROM outbox ORDER BY 1;
SELECT endpoint, kind, reason, last_status, messages, dead, most_attempts FROM delivery_errors ORDER BY dead;
UPDATE message SET endpoint = 'gone' WHERE state = 'waiting';
SELECT endpoint, state, waiting FROM outbox ORDER BY 1;

-- a name is kept while anything is stored under it
SELECT fails($$ ALTER SERVER a RENAME TO other $$);
CREATE SERVER unused FOREIGN DATA WRAPPER billing_custom OPTIONS (url 'https://a.example', connector 'x.y');
ALTER SERVER unused RENAME TO other;
ALTER SERVER a OPTIONS (ADD rate_limit '5');
-- whoever owns a foreign server of another kind has nothing to do with this
CREATE ROLE stranger;
CREATE FOREIGN DATA WRAPPER elsewhere;
CREATE SERVER theirs FOREIGN DATA WRAPPER elsewhere;
GRANT USAGE ON FOREIGN DATA WRAPPER elsewhere TO stranger;
ALTER SERVER theirs OWNER TO stranger;
SET ROLE stranger;
ALTER SERVER theirs RENAME TO theirs_too;
RESET ROLE;
DROP FOREIGN DATA WRAPPER elsewhere CASCADE;
DROP ROLE stranger;
DROP SERVER other;

-- another server than the one that delivered before: it may have sent anything that is not finished here
SELECT worker_note_origin(1, 1);
SELECT enqueue_message('a', 'order') > 0 AS ok;
SELECT worker_note_origin(1, 1), (SELECT count(*) FROM message WHERE uncertain) AS uncertain;
SELECT worker_note_origin(1, 2) = (SELECT count(*) FROM message WHERE state NOT IN ('delivered', 'discarded')) AS all_of_them;
SELECT state, bool_and(uncertain), bool_or(uncertain) FROM message GROUP BY 1 ORDER BY 1;
SELECT worker_note_origin(1, 2), worker_note_origin(2, 2);
SELECT system_identifier, timeline FROM worker_origin;

-- who may do what
CREATE FUNCTION public.may(role_name text, statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    outcome text;
BEGIN
    PERFORM set_config('role', role_name, true);
    outcome := public.fails(statement);
    PERFORM set_config('role', 'none', true);
    RETURN format('%s: %s', role_name, outcome);
END $$;
SELECT public.may(r, $$ SELECT billing.enqueue_message('a', 'order') $$) FROM unnest('{billing_reader,billing_operator,billing_worker}'::text[]) AS r;
SELECT public.may(r, $$ SELECT billing.retry_message(4) $$) FROM unnest('{billing_operator,billing_admin}'::text[]) AS r;
SELECT public.may(r, $$ SELECT * FROM billing.worker_claim('{a}', '{1}', '{all}') $$) FROM unnest('{billing_admin,billing_worker}'::text[]) AS r;
SELECT public.may('billing_worker', $$ SELECT * FROM billing.message $$);
SELECT public.may('billing_reader', $$ SELECT * FROM billing.outbox, billing.messages, billing.worker_status $$);
\c postgres
DROP DATABASE billing_worker_outbox;
