-- Batches: COPY into a table of text, then one load; and the same through a permanent inbox.
\set test_database billing_metering_batch
\getenv source PG_ABS_SRCDIR
\set include :source /lib/ledger.psql
\i :include

SELECT set_seller('northwind', legal_name => 'Northwind GmbH', country => 'DE', currency => 'EUR') IS NOT NULL;
SELECT count(set_account('a' || n, currency => 'EUR', time_zone => 'UTC')) FROM generate_series(1, 3) AS n;
SELECT set_meter('tokens', unit => 'token', aggregation => 'sum') IS NOT NULL;

CALL maintain_partitions('[2026-08-01,2026-12-01)');
SELECT fails('SELECT * FROM load_usage_batch()');
BEGIN;
SELECT open_usage_batch();
COPY usage_batch (id, account, meter, ends_at, quantity) FROM STDIN WITH (DELIMITER ',');
u1,a1,tokens,2026-10-03T10:00:00Z,10
u2,a2,tokens,2026-10-03T10:00:00+02:00,0.5
u1,a1,tokens,2026-10-03T10:00:00Z,10.0
u1,a1,tokens,2026-10-03T10:00:00Z,11
u3,nobody,tokens,2026-10-03T10:00:00Z,1
u4,a1,watts,2026-10-03T10:00:00Z,1
u5,a1,tokens,yesterday,1
u6,a1,tokens,2026-10-03T10:00:00Z,one
u7,a1,tokens,2026-10-03T10:00:00,1
\.
INSERT INTO usage_batch (source, id, account, meter, starts_at, ends_at, quantity, resource, dimensions)
VALUES ('api', 'u8', 'a3', 'tokens', '2026-10-03T10:00:00Z', '2026-10-03T11:00:00Z', '4', 'vm-1', '{"region": "eu"}'), ('api', 'u9', 'a3', 'tokens', NULL, '2026-10-03T11:00:00Z', '4', NULL, '[1]');
SELECT * FROM load_usage_batch();
-- the batch is empty again, and may be filled again
SELECT * FROM load_usage_batch();
COPY usage_batch (id, account, meter, ends_at, quantity) FROM STDIN WITH (DELIMITER ',');
u2,a2,tokens,2026-10-03T08:00:00Z,0.50
u10,a2,tokens,2026-10-03T08:00:00Z,2
\.
SELECT * FROM load_usage_batch();
COMMIT;
SELECT a.key, count(*), total(u.consumed), min(r.key), min(u.dimensions ->> 'region') FROM usage AS u JOIN account AS a USING (account_id) LEFT JOIN resource AS r USING (account_id, resource_id) GROUP BY a.key ORDER BY a.key;
SELECT reason, detail FROM rejected_usage ORDER BY payload ->> 'id';
SELECT account, payload ->> 'quantity' FROM conflicting_usage;

-- a batch that is rolled back leaves nothing, not even its keys
BEGIN;
SELECT open_usage_batch();
INSERT INTO usage_batch (id, account, meter, ends_at, quantity) SELECT 'r' || n, 'a1', 'tokens', '2026-10-09T10:00:00Z', n::text FROM generate_series(1, 1000) AS n;
SELECT * FROM load_usage_batch();
ROLLBACK;
SELECT count(*) FROM usage WHERE ends_at = '2026-10-09T10:00:00Z';
SELECT count(*) FROM usage_key AS k WHERE k.key = usage_key_of('r1');

-- records one way and the other are the same facts
SELECT outcome FROM record_usage('{"id": "u10", "account": "a2", "meter": "tokens", "at": "2026-10-03T08:00:00Z", "quantity": 2}');

-- a way of joining that is switched off costs 10^10, which would have each call compiled by the JIT: half a second for an empty batch
SELECT p.proname FROM pg_proc AS p WHERE p.pronamespace = 'billing'::regnamespace AND p.proconfig::text ~ 'enable_\w+=off' AND NOT 'jit=off' = ANY (p.proconfig) ORDER BY 1;

-- somebody else's relation in the place of the batch is not touched
DISCARD TEMP;
CREATE TEMPORARY VIEW usage_batch AS SELECT NULL::text AS source;
SELECT fails('SELECT open_usage_batch()');
SELECT fails('SELECT load_usage_batch()');
DROP VIEW usage_batch;

-- the inbox: rows are taken exactly once
INSERT INTO usage_inbox (id, account, meter, ends_at, quantity) SELECT 'i' || n, 'a1', 'tokens', '2026-10-10T10:00:00Z', '1' FROM generate_series(1, 5) AS n;
INSERT INTO usage_inbox (id, account, meter, ends_at, quantity) VALUES ('i1', 'a1', 'tokens', '2026-10-10T10:00:00Z', '1'), ('i6', 'a1', 'tokens', 'never', '1');
SELECT code, usage_rows FROM validate_usage() WHERE code = 'waiting';
SELECT * FROM load_usage_inbox(3);
SELECT * FROM load_usage_inbox();
SELECT * FROM load_usage_inbox();
SELECT count(*) FROM usage WHERE ends_at = '2026-10-10T10:00:00Z';
-- the longest usage was an hour, in the first batch: points in time leave it alone
SELECT longest_usage FROM ledger_state;
SELECT fails('SELECT load_usage_inbox(0)');

-- an operator can do all of this without rights on the tables
SET client_min_messages = warning;
DROP ROLE IF EXISTS billing_test_operator;
CREATE ROLE billing_test_operator IN ROLE billing_operator;
SET ROLE billing_test_operator;
BEGIN;
SELECT open_usage_batch();
INSERT INTO usage_batch (id, account, meter, ends_at, quantity) VALUES ('o1', 'a1', 'tokens', '2026-10-11T10:00:00Z', '1');
SELECT * FROM load_usage_batch();
COMMIT;
SELECT outcome FROM record_usage('{"id": "o2", "account": "a1", "meter": "tokens", "at": "2026-10-11T10:00:00Z", "quantity": 2}');
INSERT INTO usage_inbox (id, account, meter, ends_at, quantity) VALUES ('o3', 'a1', 'tokens', '2026-10-11T10:00:00Z', '1');
SELECT * FROM load_usage_inbox();
SELECT fails($$INSERT INTO usage (account_id) VALUES (1)$$);
SELECT fails($$DELETE FROM usage_key$$);
RESET ROLE;
DISCARD TEMP;
DROP ROLE billing_test_operator;

-- a batch that is taken for new: with what is cut at months and what is closed, with one known key in the middle, and as a repetition
SELECT set_account('a3', status => 'closed', from_date => '2026-11-01') IS NOT NULL;
BEGIN;
SELECT open_usage_batch();
INSERT INTO usage_batch (id, account, meter, starts_at, ends_at, quantity)
SELECT 'n' || n, 'a' || 1 + n % 3, 'tokens', NULL, CASE WHEN n > 100 THEN '2026-11-20T00:00:00Z' ELSE '2026-10-20T00:00:00Z' END, '1'
  FROM generate_series(11, 110) AS n UNION ALL VALUES ('long', 'a1', 'tokens', '2026-08-20T00:00:00Z', '2026-10-20T00:00:00Z', '61');
SELECT * FROM load_usage_batch();
INSERT INTO usage_batch (id, account, meter, ends_at, quantity) SELECT 'n' || n, 'a' || 1 + n % 3, 'tokens', '2026-10-20T00:00:00Z', '1' FROM generate_series(60, 150) AS n WHERE n NOT BETWEEN 61 AND 110;
SELECT * FROM load_usage_batch();
INSERT INTO usage_batch (id, account, meter, ends_at, quantity) SELECT 'n' || n, 'a' || 1 + n % 3, 'tokens', '2026-10-20T00:00:00Z', CASE n WHEN 77 THEN '2' ELSE '1' END FROM generate_series(60, 80) AS n;
SELECT * FROM load_usage_batch();
COMMIT;
SELECT a.key, count(*), total(u.consumed) FROM usage AS u JOIN account AS a USING (account_id)
 WHERE u.ends_at BETWEEN '2026-08-20' AND '2026-10-31' AND billing.usage_key_of('long') = u.key OR u.ends_at IN ('2026-10-20T00:00:00Z', '2026-11-20T00:00:00Z') GROUP BY a.key ORDER BY a.key;
SELECT (SELECT count(*) FROM usage_key) = (SELECT count(DISTINCT (u.account_id, u.key)) FROM usage AS u) AS every_key_has_its_usage;

-- months: made ahead, and strays are brought home
SELECT count(*) FROM record_usage('[{"id": "old1", "account": "a1", "meter": "tokens", "at": "2023-05-03T10:00:00Z", "quantity": 1}, {"id": "old2", "account": "a1", "meter": "tokens", "at": "2023-06-03T10:00:00Z", "quantity": 1}]');
SELECT code, usage_rows FROM validate_usage() WHERE code = 'no_partition' ORDER BY detail;
CALL maintain_partitions('[2023-05-01,2023-07-01)');
SELECT count(*) FROM usage_default;
SELECT tableoid::regclass::text ~ '^(billing\.)?usage_2023_0[56]_\d$', count(*) FROM usage WHERE ends_at < '2024-01-01' GROUP BY 1;
SELECT outcome FROM record_usage('{"id": "old1", "account": "a1", "meter": "tokens", "at": "2023-05-03T10:00:00Z", "quantity": 1}');
