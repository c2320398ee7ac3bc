-- Recording usage: what goes in, what does not, and that saying it twice changes nothing.
\set test_database billing_metering_record
\getenv source PG_ABS_SRCDIR
\set include :source /lib/ledger.psql
\i :include

SELECT set_seller('northwind', legal_name => 'Northwind GmbH', country => 'DE', currency => 'EUR') IS NOT NULL;
SELECT set_account('acme', currency => 'EUR', time_zone => 'Europe/Berlin') IS NOT NULL;
SELECT set_account('globex', currency => 'EUR', time_zone => 'UTC') IS NOT NULL;
SELECT set_meter('tokens', unit => 'token', aggregation => 'sum') IS NOT NULL;
CREATE VIEW recorded AS
    SELECT a.key AS account, starts_at(u.consumed), u.ends_at, quantity(u.consumed), u.revision, r.key AS resource, u.dimensions
      FROM usage AS u JOIN account AS a USING (account_id) LEFT JOIN resource AS r USING (account_id, resource_id) ORDER BY 1, 3, 5;

-- one fact, or many; a point in time or an interval; numbers as numbers or strings
SELECT * FROM record_usage('{"id": "a1", "account": "acme", "meter": "tokens", "at": "2026-10-03T10:00:00Z", "quantity": "1200"}');
SELECT * FROM record_usage('[{"id": "a2", "account": "acme", "meter": "tokens", "start": "2026-10-03T10:00:00+02:00", "end": "2026-10-03T11:00:00+02:00", "quantity": 0.125},
                             {"id": "a3", "account": "acme", "meter": "tokens", "at": "2026-10-04T00:00:00Z", "quantity": 5, "resource": "vm-1", "dimensions": {"region": "eu", "big": true}}]');
-- CloudEvents 1.0: type is the meter, subject the account, further members of data are dimensions
SELECT * FROM record_usage('{"specversion": "1.0", "id": "e1", "source": "/api", "type": "tokens", "subject": "globex", "time": "2026-10-05T12:00:00Z", "data": {"quantity": 7, "region": "us"}}');
TABLE recorded;

-- the same again is a duplicate, however it is written; another payload is a conflict, and neither changes a total
SELECT * FROM record_usage('[{"id": "a1", "account": "acme", "meter": "tokens", "at": "2026-10-03T12:00:00+02:00", "quantity": 1200.0},
                             {"id": "a1", "account": "acme", "meter": "tokens", "at": "2026-10-03T10:00:00Z", "quantity": 1201},
                             {"id": "a1", "account": "acme", "meter": "tokens", "at": "2026-10-03T10:00:01Z", "quantity": 1200},
                             {"id": "n1", "account": "acme", "meter": "tokens", "at": "2026-10-06T10:00:00Z", "quantity": 1},
                             {"id": "n1", "account": "acme", "meter": "tokens", "at": "2026-10-06T10:00:00Z", "quantity": 2}]');
SELECT account, count(*), sum(quantity) FROM recorded GROUP BY account ORDER BY account;
SELECT account, payload ->> 'quantity' FROM conflicting_usage ORDER BY conflict_id;
-- an id belongs to an account: the same id of another account is another fact
SELECT * FROM record_usage('{"id": "a1", "account": "globex", "meter": "tokens", "at": "2026-10-03T10:00:00Z", "quantity": 3}');

-- what cannot be taken is kept with the reason, and the rest goes in
SELECT r.* FROM record_usage('[
    {"id": "b01", "account": "nobody", "meter": "tokens", "at": "2026-10-03T10:00:00Z", "quantity": 1},
    {"id": "b02", "account": "acme", "meter": "watts", "at": "2026-10-03T10:00:00Z", "quantity": 1},
    {"id": "b03", "account": "acme", "meter": "tokens", "at": "2026-10-03T10:00:00Z", "quantity": "many"},
    {"id": "b04", "account": "acme", "meter": "tokens", "at": "2026-10-03T10:00:00Z", "quantity": "NaN"},
    {"id": "b05", "account": "acme", "meter": "tokens", "at": "2026-10-03T10:00:00Z", "quantity": 1e400},
    {"id": "b06", "account": "acme", "meter": "tokens", "at": "2026-10-03T10:00:00Z", "quantity": true},
    {"id": "b07", "account": "acme", "meter": "tokens", "at": "2026-10-03T10:00:00", "quantity": 1},
    {"id": "b07y", "account": "acme", "meter": "tokens", "at": "0206-10-03T10:00:00Z", "quantity": 1},
    {"id": "b08", "account": "acme", "meter": "tokens", "at": "2026-13-03T10:00:00Z", "quantity": 1},
    {"id": "b09", "account": "acme", "meter": "tokens", "start": "2026-10-03T10:00:00Z", "end": "2026-10-03T09:00:00Z", "quantity": 1},
    {"id": "b10", "account": "acme", "meter": "tokens", "start": "2006-10-03T10:00:00Z", "end": "2026-10-03T09:00:00Z", "quantity": 1},
    {"id": "b11", "account": "acme", "meter": "tokens", "at": "2026-10-03T10:00:00Z", "end": "2026-10-03T09:00:00Z", "quantity": 1},
    {"account": "acme", "meter": "tokens", "at": "2026-10-03T10:00:00Z", "quantity": 1},
    {"id": "b13", "account": "acme", "meter": "tokens", "at": "2026-10-03T10:00:00Z"},
    {"id": "b14", "account": "acme", "meter": "tokens", "at": "2026-10-03T10:00:00Z", "quantiy": 1},
    {"id": "b15", "account": "acme", "meter": "tokens", "at": "2026-10-03T10:00:00Z", "quantity": 1, "dimensions": ["eu"]},
    {"id": "b16", "account": "acme", "meter": "tokens", "at": "2026-10-03T10:00:00Z", "quantity": 1, "dimensions": {"a": {"b": 1}}},
    {"id": 17, "account": "acme", "meter": "tokens", "at": "2026-10-03T10:00:00Z", "quantity": 1},
    {"specversion": "0.3", "id": "b18", "source": "x", "type": "tokens", "subject": "acme", "time": "2026-10-05T12:00:00Z", "data": {"quantity": 7}},
    "usage",
    {"id": "good", "account": "acme", "meter": "tokens", "at": "2026-10-07T10:00:00Z", "quantity": 1}]') AS r;
SELECT reason, count(*), min(payload ->> 'id') FROM rejected_usage GROUP BY reason ORDER BY reason;
SELECT count(*) FROM recorded WHERE account = 'acme';
-- a rejected id is free
SELECT * FROM record_usage('{"id": "b03", "account": "acme", "meter": "tokens", "at": "2026-10-03T10:00:00Z", "quantity": "1"}');

-- no usage at all
SELECT fails('SELECT * FROM record_usage(NULL)');
SELECT fails('SELECT * FROM record_usage(''"x"'')');
SELECT count(*) FROM record_usage('[]');

-- the time of a call grows with the number of objects, not with its square: a third is new, a third there twice, a third rejected
BEGIN;
SET LOCAL statement_timeout = '10s';
SELECT outcome, count(*), count(detail)
  FROM record_usage((SELECT jsonb_agg(jsonb_build_object('id', 'many-' || n - n % 3 / 2, 'account', CASE n % 3 WHEN 0 THEN 'nobody' ELSE 'globex' END, 'meter', 'tokens',
                                                         'at', '2026-12-07T10:00:00Z', 'quantity', 1) ORDER BY n) FROM generate_series(1, 20000) AS n)) GROUP BY outcome ORDER BY outcome;
SELECT count(*) FROM usage WHERE ends_at = '2026-12-07T10:00:00Z';
ROLLBACK;

-- hostile input: a name with quotes and a newline, a megabyte, deep nesting
SELECT * FROM record_usage(jsonb_build_object('id', 'h1', 'account', E'ac"me\n''; DROP TABLE usage', 'meter', 'tokens', 'at', '2026-10-03T10:00:00Z', 'quantity', 1));
SELECT outcome, left(detail, 60) FROM record_usage(jsonb_build_object('id', repeat('x', 1000000), 'account', 'acme', 'meter', 'tokens', 'at', '2026-10-03T10:00:00Z', 'quantity', 1));
SELECT outcome, left(detail, 60) FROM record_usage(jsonb_build_object('id', 'h3', 'account', 'acme', 'meter', 'tokens', 'at', '2026-10-03T10:00:00Z', 'quantity', 1,
                                                                      'dimensions', (repeat('{"a":', 500) || '1' || repeat('}', 500))::jsonb));

-- an interval longer than a month is stored in parts that add up
SELECT outcome FROM record_usage('{"id": "long", "account": "globex", "meter": "tokens", "start": "2026-08-10T00:00:00Z", "end": "2026-11-10T00:00:00Z", "quantity": "100"}');
SELECT count(*), sum(quantity), min(starts_at), max(ends_at) FROM recorded WHERE account = 'globex' AND starts_at < ends_at;

-- a closed account takes usage of the time before it was closed only
SELECT set_account('acme', status => 'closed', from_date => '2026-11-01') IS NOT NULL;
SELECT * FROM record_usage('[{"id": "c1", "account": "acme", "meter": "tokens", "at": "2026-10-31T10:00:00Z", "quantity": 1},
                             {"id": "c2", "account": "acme", "meter": "tokens", "at": "2026-11-02T10:00:00Z", "quantity": 1}]');

-- all facts of a transaction carry one stamp, and a rollback to a savepoint takes its facts along
BEGIN;
SELECT outcome FROM record_usage('{"id": "s1", "account": "globex", "meter": "tokens", "at": "2026-10-08T10:00:00Z", "quantity": 1}');
SAVEPOINT before;
SELECT outcome FROM record_usage('{"id": "s2", "account": "globex", "meter": "tokens", "at": "2026-10-08T10:00:00Z", "quantity": 1}');
ROLLBACK TO before;
SELECT outcome FROM record_usage('{"id": "s3", "account": "globex", "meter": "tokens", "at": "2026-10-08T10:00:00Z", "quantity": 1}');
SELECT count(DISTINCT recorded_at), bool_and(recorded_at = own_stamp()) FROM usage WHERE ends_at = '2026-10-08T10:00:00Z';
COMMIT;
SELECT count(*) FROM recorded WHERE ends_at = '2026-10-08T10:00:00Z';

-- a look at it all
SELECT severity, code, account, sum(usage_rows) FROM validate_usage() WHERE code <> 'no_partition' GROUP BY severity, code, account ORDER BY code;

-- a single call inserts at once what is sound and known; whatever needs more goes the general way, and both record the same
SELECT set_account('initech', currency => 'EUR', time_zone => 'UTC') IS NOT NULL;
SELECT outcome FROM record_usage('{"id": "vm-1", "account": "initech", "meter": "tokens", "at": "2026-10-08T10:00:00Z", "quantity": 1, "resource": "vm-1"}');
SELECT set_account('closed', currency => 'EUR', time_zone => 'UTC') IS NOT NULL;
SELECT set_account('closed', status => 'closed', from_date => '2026-11-01') IS NOT NULL;
CREATE TABLE single (no int, says text, usage jsonb);
INSERT INTO single
SELECT no, says, jsonb_strip_nulls('{"account": "initech", "meter": "tokens", "at": "2026-10-09T10:00:00Z", "quantity": 1}'::jsonb || jsonb_build_object('id', 'single-' || no) || changes_json)
  FROM (VALUES (1, 'sound', '{}'), (2, 'with a resource that is there', '{"resource": "vm-1"}'), (3, 'with a new resource', '{"resource": "vm-2"}'),
               (4, 'an interval', '{"at": null, "start": "2026-10-09T10:00:00Z", "end": "2026-10-09T11:00:00Z"}'),
               (5, 'more than 31 days', '{"at": null, "start": "2026-10-09T10:00:00Z", "end": "2026-11-09T11:00:00Z"}'),
               (6, 'unknown account', '{"account": "nobody"}'), (7, 'unknown meter', '{"meter": "nothing"}'), (8, 'of another account', '{"account": "globex", "resource": "vm-1"}'),
               (9, 'account closed later', '{"account": "closed"}'), (10, 'account closed', '{"account": "closed", "at": "2026-11-02T10:00:00Z"}'),
               (11, 'a sample', '{"sample_type": "delta"}'), (12, 'bad number', '{"quantity": "1e"}'), (13, 'unknown member', '{"quantiy": 1}'), (14, 'dimensions', '{"dimensions": {"b": 1, "a": "x"}}')) AS c (no, says, changes)
 CROSS JOIN LATERAL (SELECT c.changes::jsonb) AS j (changes_json);
INSERT INTO single VALUES (15, 'an event', '{"specversion": "1.0", "id": "single-15", "source": "/api", "type": "tokens", "subject": "initech", "time": "2026-10-09T12:00:00Z", "data": {"quantity": 7, "resource": "vm-1", "region": "us"}}'),
                          (16, 'no object', '[]'), (17, 'empty', '{}');
SELECT s.no, s.says, f.id IS NOT NULL AS at_once, f.account_id = a.account_id AS of_account, f.key = r.key AS same_key, f.resource_id IS NOT NULL AS resource, f.dimensions,
       f.payload = usage_payload(f.meter_id, r.consumed, r.resource, r.dimensions) AS same_payload, f.recorded_at = own_stamp() AS stamped
  FROM single AS s
  LEFT JOIN LATERAL read_usage(s.usage) AS r ON true
  LEFT JOIN account AS a ON a.key = r.account
 CROSS JOIN LATERAL recordable_usage(s.usage, extension_version()) AS f ORDER BY s.no;
SELECT recordable_usage(s.usage, '0.0.0') IS NULL AS other_version FROM single AS s WHERE s.no = 1;
SELECT s.no, s.says, r.outcome, r.detail FROM single AS s CROSS JOIN LATERAL record_usage(s.usage) AS r WHERE s.no < 16 ORDER BY s.no;
SELECT s.no, r.outcome FROM single AS s CROSS JOIN LATERAL record_usage(s.usage || '{"at": "2026-10-09T10:00:01Z"}') AS r WHERE s.no = 1;
SELECT a.key AS account, r.key AS resource, u.starts_at, u.ends_at, u.quantity, u.dimensions
  FROM (SELECT *, starts_at(consumed) AS starts_at, quantity(consumed) FROM usage) AS u
  JOIN account AS a USING (account_id) LEFT JOIN resource AS r USING (account_id, resource_id)
  JOIN single AS s ON u.key = usage_key_of(s.usage ->> 'id', s.usage ->> 'source') ORDER BY s.no, u.ends_at;
-- without the indexes it looks through the tables, or leaves the object to the general way
BEGIN;
ALTER INDEX account_key_key RENAME TO account_by_key;
SELECT f.id FROM recordable_usage((SELECT s.usage FROM single AS s WHERE s.no = 1), extension_version()) AS f;
DROP INDEX account_setting_closed;
SELECT f.id FROM recordable_usage((SELECT s.usage FROM single AS s WHERE s.no = 1), extension_version()) AS f;
SELECT outcome FROM record_usage('{"id": "single-18", "account": "initech", "meter": "tokens", "at": "2026-10-09T10:00:00Z", "quantity": 1}');
ROLLBACK;
