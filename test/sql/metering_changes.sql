-- Corrections of recorded usage are new facts; what was recorded stays.
\set test_database billing_metering_changes
\getenv source PG_ABS_SRCDIR
\set include :source /lib/ledger.psql
\i :include

SELECT set_seller('northwind', legal_name => 'Northwind GmbH', country => 'DE', currency => 'EUR') IS NOT NULL;
SELECT set_account('acme', currency => 'EUR', time_zone => 'UTC') IS NOT NULL;
SELECT set_account('globex', currency => 'EUR', time_zone => 'UTC') IS NOT NULL;
SELECT set_meter('tokens', unit => 'token', aggregation => 'sum') IS NOT NULL;
CREATE VIEW recorded AS
    SELECT a.key AS account, u.revision, starts_at(u.consumed), u.ends_at, quantity(u.consumed), u.dimensions, c.kind AS superseded_by
      FROM usage AS u JOIN account AS a USING (account_id)
      LEFT JOIN usage_change AS c ON c.account_id = u.account_id AND c.key = u.key AND c.revision = u.revision ORDER BY a.key, u.key, u.revision, u.ends_at;
SELECT count(*) FROM record_usage('[
    {"id": "u1", "account": "acme", "meter": "tokens", "at": "2026-10-03T10:00:00Z", "quantity": 100, "dimensions": {"region": "eu"}},
    {"id": "u2", "source": "api", "account": "acme", "meter": "tokens", "start": "2026-10-04T10:00:00Z", "end": "2026-10-04T11:00:00Z", "quantity": 50},
    {"id": "u3", "account": "acme", "meter": "tokens", "start": "2026-08-10T00:00:00Z", "end": "2026-11-10T00:00:00Z", "quantity": 92}]');

-- a corrected quantity; then its time, keeping the rest
SELECT correct_usage('acme', 'u1', quantity => 90, reason => 'counted twice');
SELECT correct_usage('acme', 'u1', ends_at => '2026-11-05T10:00:00Z');
SELECT * FROM recorded WHERE dimensions IS NOT NULL;
-- what was recorded first stays a duplicate, in the month it has left too; other content a conflict
SELECT outcome FROM record_usage('[
    {"id": "u1", "account": "acme", "meter": "tokens", "at": "2026-10-03T10:00:00Z", "quantity": 100, "dimensions": {"region": "eu"}},
    {"id": "u1", "account": "acme", "meter": "tokens", "at": "2026-11-05T10:00:00Z", "quantity": 90, "dimensions": {"region": "eu"}}]');
SELECT open_usage_batch();
BEGIN;
INSERT INTO usage_batch (id, account, meter, ends_at, quantity, dimensions) VALUES ('u1', 'acme', 'tokens', '2026-10-03T10:00:00Z', '100.0', '{"region": "eu"}');
SELECT * FROM load_usage_batch();
ROLLBACK;
-- an interval of several months, stored in parts, is corrected as one
SELECT correct_usage('acme', 'u3', quantity => 184);
SELECT revision, superseded_by, count(*), sum(quantity), min(starts_at), max(ends_at) FROM recorded
 WHERE ends_at - starts_at > interval '2 hours' GROUP BY revision, superseded_by ORDER BY revision;
-- a source is part of the identity
SELECT fails($$SELECT correct_usage('acme', 'u2', quantity => 1)$$);
SELECT correct_usage('acme', 'u2', source => 'api', quantity => 51, dimensions => '{"region": "us"}');

-- to another account, under the same id, and back
SELECT move_usage('acme', 'u1', 'globex', reason => 'wrong customer');
SELECT fails($$SELECT correct_usage('acme', 'u1', quantity => 1)$$);
SELECT correct_usage('globex', 'u1', quantity => 80);
SELECT move_usage('globex', 'u1', 'acme');
SELECT account, revision, quantity, superseded_by FROM recorded WHERE ends_at IN ('2026-10-03T10:00:00Z', '2026-11-05T10:00:00Z') ORDER BY revision;
SELECT count(*) FROM record_usage('{"id": "x", "account": "globex", "meter": "tokens", "at": "2026-10-03T10:00:00Z", "quantity": 1}');
SELECT count(*) FROM record_usage('{"id": "x", "account": "acme", "meter": "tokens", "at": "2026-10-03T10:00:00Z", "quantity": 1}');
SELECT fails($$SELECT move_usage('acme', 'x', 'globex')$$);
SELECT fails($$SELECT move_usage('acme', 'x', 'acme')$$);
SELECT fails($$SELECT move_usage('acme', 'x', 'nobody')$$);

-- taken back; its id stays used
SELECT void_usage('acme', 'u2', source => 'api', reason => 'test traffic');
SELECT fails($$SELECT void_usage('acme', 'u2', source => 'api')$$);
SELECT outcome FROM record_usage('{"id": "u2", "source": "api", "account": "acme", "meter": "tokens", "start": "2026-10-04T10:00:00Z", "end": "2026-10-04T11:00:00Z", "quantity": 50}');
SELECT account, day, usage_rows, quantity FROM usage_by_day ORDER BY account, day;

-- bad values
SELECT fails($$SELECT correct_usage('acme', 'u1')$$);
SELECT fails($$SELECT correct_usage('acme', 'u1', quantity => 'NaN')$$);
SELECT fails($$SELECT correct_usage('acme', 'u1', quantity => 0.0000000000000001)$$);
-- what recording refuses is no correction either
SELECT fails($$SELECT correct_usage('globex', 'u1', dimensions => '[1, 2]')$$);
SELECT fails($$SELECT correct_usage('globex', 'u1', dimensions => '{"region": {"name": "eu"}}')$$);
SELECT fails($$SELECT correct_usage('globex', 'u1', resource => '')$$);
SELECT fails($$SELECT correct_usage('globex', 'u1', resource => repeat('x', 1001))$$);
SELECT fails($$SELECT correct_usage('acme', 'u3', starts_at => '2027-01-01T00:00:00Z')$$);
SELECT fails($$SELECT correct_usage('acme', 'never', quantity => 1)$$);
SELECT fails($$SELECT correct_usage('acme', 'u1', dimensions => '[1]')$$);
SELECT fails($$SELECT correct_usage('acme', 'u1', dimensions => '{"a": {"b": [1]}}')$$);
SELECT fails(format($$SELECT correct_usage('acme', 'u1', dimensions => '{"a": "%s"}')$$, repeat('x', 9000)));
SELECT fails($$SELECT correct_usage('acme', 'u1', resource => '')$$);
SELECT fails(format($$SELECT correct_usage('acme', 'u1', resource => '%s')$$, repeat('x', 1001)));
SELECT fails($$SELECT correct_usage('acme', 'u1', ends_at => '20266-11-05T10:00:00Z')$$);
SELECT fails($$SELECT correct_usage('acme', 'u3', starts_at => '0206-08-10T00:00:00Z')$$);
SELECT fails($$SELECT correct_usage('acme', 'u3', starts_at => '2006-08-10T00:00:00Z')$$);
SELECT revision, quantity FROM recorded WHERE superseded_by IS NULL AND account = 'acme' ORDER BY 1, 2;
