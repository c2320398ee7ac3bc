-- What SQL connectors build and read: requests, answers, steps.  Needs no ledger and no worker.
SET search_path = billing, public;
\pset format unaligned
\pset tuples_only on
\pset null null

-- parts of URLs
SELECT url_encode('a-z_0.9~ /?&=%ü€'), url_encode(''), url_encode(NULL);
SELECT url_query('{"externalKey": "acme & sons", "limit": 10, "audit": true, "skip": null, "tag": ["a", "b/c"]}');
SELECT url_query('{}'), url_query(NULL);

-- requests
SELECT r.* FROM http_request('GET', '/accounts') AS r;
SELECT r.* FROM http_request('POST', '/catalog', '<catalog/>', '{"Content-Type": "text/xml"}', '1 min') AS r;
SELECT r.* FROM json_request('GET', '/accounts') AS r;
SELECT r.* FROM json_request('POST', '/accounts', '{"key": 1}', '{"X-Request-Id": "7", "Accept": "text/html"}') AS r;
SELECT r.* FROM raw_request('PUT', '/files/1', '\x00ff', '{"Content-Type": "application/pdf"}') AS r;

-- steps
SELECT s.action, (s.request).method, s.progress, s.result, s.reason, s.retry_after
  FROM (VALUES (step_send(json_request('GET', '/'), '{"looking": true}')),
               (step_delivered('{"id": 1}')), (step_delivered()),
               (step_retry('busy')), (step_retry('busy', '1 min', '{"at": 2}')),
               (step_failed('no such account', '{"code": 3003}'))) AS v (step) CROSS JOIN LATERAL (SELECT (v.step).*) AS s;

-- answers: bodies that are no JSON are null, numbers keep their digits
SELECT json_or_null('{"amount": 12.340, "balance": 0E-9}'), json_or_null('<html>'), json_or_null(''), json_or_null('{"a": "\u0000"}'), json_or_null('1e999999');

CREATE FUNCTION pg_temp.answer(status int, error text DEFAULT NULL) RETURNS http_answer LANGUAGE sql
    AS $$ SELECT ROW(status, '{}'::jsonb, '', NULL::bytea, error, CASE WHEN error IS NOT NULL THEN 'why' END, true, NULL::interval, '5 ms'::interval)::billing.http_answer $$;
SELECT s.status, succeeded(pg_temp.answer(s.status)), (judge_answer(pg_temp.answer(s.status))).action, (judge_answer(pg_temp.answer(s.status))).reason
  FROM unnest('{200,201,204,299,301,302,400,401,403,404,408,409,422,425,429,500,501,502,503,504}'::int[]) AS s (status);
SELECT e.error, succeeded(pg_temp.answer(NULL, e.error)), (judge_answer(pg_temp.answer(NULL, e.error))).action, (judge_answer(pg_temp.answer(NULL, e.error))).reason
  FROM unnest('{resolve,connect,tls,refused_address,timeout,cut,too_large,protocol,secret,bad_request}'::text[]) AS e (error);
SELECT succeeded(pg_temp.answer(201, 'cut')), succeeded(NULL);
