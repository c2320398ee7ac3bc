-- A line explained: levels carried into a period, tiers that go on from the price before, and what cannot be reproduced, by cause.
\set ECHO none
\set test_database billing_rating_explain
\getenv source PG_ABS_SRCDIR
\set include :source /lib/rating.psql
\i :include
CREATE FUNCTION explained(account text, period date, OUT stage text, OUT what text, OUT tier_from numeric, OUT tier_to numeric, OUT quantity numeric, OUT unit_price numeric, OUT amount billing.monetary)
    RETURNS SETOF record LANGUAGE sql STABLE
    AS $$ SELECT e.stage, e.what, trim_scale(e.tier_from), trim_scale(e.tier_to), e.quantity, e.unit_price, e.amount
            FROM billing.line AS l CROSS JOIN LATERAL billing.explain_line(l.line_id) AS e WHERE l.account_key = $1 AND l.period_from = $2 AND e.stage <> 'tax' ORDER BY l.line_id, e.step $$;
CREATE FUNCTION behind(account text, period date, OUT amount billing.monetary, OUT usage text, OUT recorded numeric, OUT counted numeric, OUT resource text, OUT standing text)
    RETURNS SETOF record LANGUAGE sql STABLE
    AS $$ SELECT l.amount, to_char(u.ends_at, 'MM-DD HH24:MI'), trim_scale(u.recorded), trim_scale(u.counted), u.resource, u.standing
            FROM billing.line AS l CROSS JOIN LATERAL billing.line_usage(l.line_id) AS u WHERE l.account_key = $1 AND l.period_from = $2 ORDER BY l.line_id, u.ends_at, u.key $$;
SELECT set_seller('northwind', legal_name => 'Northwind GmbH', country => 'DE', currency => 'EUR') \gset
SELECT set_meter('volume', unit => 'GB-hour', aggregation => 'time_weighted', dimensions => '{resource}'), set_meter('shared', unit => 'GB-hour', aggregation => 'time_weighted'), set_meter('calls', unit => 'call') \gset
SELECT count(set_price(m, '{"model":"per_unit","currency":"EUR","unit_price":"0.01"}', valid_from => '2025-01-01')) FROM unnest('{volume,shared}'::text[]) AS m \gset
SELECT set_price('calls', '{"model":"graduated","currency":"EUR","carry":true,"tiers":[{"up_to":"100","unit_price":"0.03"},{"unit_price":"0.01"}]}', valid_from => '2025-01-01') \gset
SELECT set_price('calls', '{"model":"graduated","currency":"EUR","carry":true,"tiers":[{"up_to":"100","unit_price":"0.04"},{"up_to":"200","unit_price":"0.02"},{"unit_price":"0.01"}]}', valid_from => '2025-02-11') \gset
SELECT count(set_account(a, time_zone => 'UTC', starts_on => '2025-01-01')) FROM unnest('{levels,shared,carry,left}'::text[]) AS a \gset
\set ECHO all

-- Levels: 100 GB from 10 January on, 40 from 21 February on; another volume from 11 March on, and one of 0 since.
SELECT use('levels', 'volume', '2025-01-10', 100, id => 'first', resource => 'disk'), use('levels', 'volume', '2025-02-21', 40, id => 'second', resource => 'disk'),
       use('levels', 'volume', '2025-03-11', 1, id => 'other', resource => 'tape'), use('levels', 'volume', '2025-03-31 12:00', 0, id => 'gone', resource => 'tape') \gset
-- Without dimensions the levels of all resources add up, each held until that resource reports another.
SELECT use('shared', 'shared', '2025-01-31', 5, resource => 'a'), use('shared', 'shared', '2025-01-31', 2, resource => 'b'), use('shared', 'shared', '2025-02-02', 1, resource => 'b') \gset
-- 80 calls at the first price and 150 at the second, which goes on from 80.
SELECT use('carry', 'calls', '2025-02-05', 80), use('carry', 'calls', '2025-02-15', 150, id => 'c-2') \gset
CALL run_invoicing(through => '2025-04-01') \gset
SELECT count(*) FROM finalize_invoices(through => '2025-04-01', issue_date => '2025-04-01');

SELECT * FROM behind('levels', '2025-01-01');
SELECT * FROM behind('levels', '2025-02-01');
SELECT * FROM behind('levels', '2025-03-01');
SELECT * FROM explained('levels', '2025-02-01');
SELECT id, period_from, line_amount FROM unnest('{first,second,other,gone}'::text[]) AS id CROSS JOIN LATERAL usage_lines('levels', id) ORDER BY id, line_id;
SELECT * FROM behind('shared', '2025-02-01');
SELECT count(*) AS lines_whose_usage_is_not_their_quantity
  FROM (SELECT min(l.quantity) AS quantity, sum(u.counted) AS counted FROM billing.line AS l CROSS JOIN LATERAL line_usage(l.line_id) AS u GROUP BY l.line_id) AS x WHERE quantity <> counted;
SELECT * FROM explained('carry', '2025-02-01');
-- a level taken back is no longer behind the line, and its successor says so
SELECT void_usage('levels', 'second', reason => 'wrong') \gset
CALL run_invoicing(through => '2025-04-01') \gset
SELECT count(*) FROM finalize_invoices(through => '2025-04-01', issue_date => '2025-04-01');
SELECT * FROM behind('levels', '2025-02-01');
TABLE wrong;

-- What a correction changed, part by part: from 230 calls to 30 the second tier is left, and the first has fewer units; a gift is a part of its own.
SELECT correct_usage('carry', u.id, quantity => 30) FROM (SELECT 'c-2' AS id) AS u \gset
SELECT decide(l.charge_number, '-0.10 EUR', 'goodwill', 'outage') FROM (SELECT charge AS charge_number FROM charges('carry', '[2025-02-01,2025-03-01)')) AS l \gset
CALL run_invoicing(through => '2025-04-01') \gset
SELECT count(*) FROM finalize_invoices(through => '2025-04-01', issue_date => '2025-04-01');
SELECT l.chain_no, l.amount AS line, e.stage, e.what, trim_scale(e.tier_from) AS tier_from, trim_scale(e.tier_to) AS tier_to, e.quantity, e.unit_price, e.amount
  FROM billing.line AS l CROSS JOIN LATERAL explain_change(l.line_id) AS e WHERE l.account_key = 'carry' ORDER BY l.line_id, e.step;
-- taken back, a line has but one part; what is billed after it is a change of the line before
SELECT cancel_invoice(l.invoice_id, 'wrong address', issue_date => '2025-04-01') FROM billing.line AS l WHERE l.account_key = 'carry' AND l.chain_no = 2 \gset
CALL run_invoicing(through => '2025-04-01') \gset
SELECT count(*) FROM finalize_invoices(through => '2025-04-01', issue_date => '2025-04-01');
SELECT l.chain_no, l.kind, l.amount AS line, e.stage, e.what, e.quantity, e.amount FROM billing.line AS l CROSS JOIN LATERAL explain_change(l.line_id) AS e WHERE l.account_key = 'carry' AND l.chain_no > 2 ORDER BY l.line_id, e.step;
-- the first invoice taken back while its correction stays: all is billed again, less what the correction has left
SELECT cancel_invoice(l.invoice_id, 'wrong address', issue_date => '2025-04-01') FROM billing.line AS l WHERE l.account_key = 'carry' AND l.chain_no = 1 \gset
CALL run_invoicing(through => '2025-04-01') \gset
SELECT count(*) FROM finalize_invoices(through => '2025-04-01', issue_date => '2025-04-01');
SELECT l.chain_no, l.kind, l.amount AS line, e.stage, e.what, e.quantity, e.amount FROM billing.line AS l CROSS JOIN LATERAL explain_change(l.line_id) AS e WHERE l.account_key = 'carry' AND l.chain_no > 4 ORDER BY l.line_id, e.step;
SELECT count(*) AS lines_whose_parts_do_not_add_up
  FROM billing.line AS l CROSS JOIN LATERAL (SELECT billing.sum(e.amount) AS total FROM explain_change(l.line_id) AS e) AS x WHERE NOT is_zero(l.amount) AND x.total IS DISTINCT FROM l.amount;
SELECT fails($$ SELECT explain_change(0) $$);
TABLE wrong;

SELECT fails($$ SELECT usage_lines('levels', 'never') $$);
SELECT fails($$ SELECT usage_lines('nobody', 'first') $$);

-- What cannot be reproduced, by cause.  A defect: usage that nobody recorded has come into the period.
SELECT use('left', 'calls', '2025-01-15', 10) \gset
CALL run_invoicing(through => '2025-02-01') \gset
SELECT count(*) FROM finalize_invoices(through => '2025-02-01', issue_date => '2025-04-01');
SELECT stage, what, amount FROM explained('left', '2025-01-01');
SET ROLE billing_owner;
INSERT INTO billing.usage (account_id, ends_at, consumed, recorded_at, key, meter_id, load_id)
SELECT u.account_id, u.ends_at, usage_interval(u.ends_at, 5), u.recorded_at, md5('stray')::uuid, u.meter_id, u.load_id FROM billing.usage AS u JOIN billing.account AS a USING (account_id) WHERE a.key = 'left';
SELECT stage, regexp_replace(what, '\(\d+\)', '(n)', 'g') AS what, amount FROM explained('left', '2025-01-01');
RESET ROLE;
SELECT regexp_replace(wrong, 'line \d+', 'line n') AS wrong FROM wrong WHERE wrong LIKE 'line %';
SET ROLE billing_owner;
-- another version of the rating rules
CREATE OR REPLACE FUNCTION billing.rating_version() RETURNS int LANGUAGE sql IMMUTABLE PARALLEL SAFE AS 'SELECT 2';
SELECT stage, what, amount FROM explained('left', '2025-01-01');
CREATE OR REPLACE FUNCTION billing.rating_version() RETURNS int LANGUAGE sql IMMUTABLE PARALLEL SAFE AS 'SELECT 1';
RESET ROLE;
DELETE FROM billing.usage WHERE key = md5('stray')::uuid;
TABLE wrong;
-- usage that was dropped when its periods had been sealed
SET billing.seal_wait = '0';
CALL run_invoicing(through => '2025-04-01') \gset
CALL seal_period('2025-03-01') \gset
SELECT count(*) FROM drop_sealed_usage() \gset
SELECT stage, what, amount FROM explained('left', '2025-01-01');
SELECT count(*) FROM wrong WHERE wrong LIKE 'line %';
-- What a dimension holds is no word of the query.
SELECT set_account('odd', time_zone => 'UTC', starts_on => '2025-01-01'), set_meter('odd', unit => 'x', dimensions => '{k}'), set_price('odd', '{"model":"per_unit","currency":"EUR","unit_price":"1"}', '2025-01-01') \gset
SELECT sum(use('odd', 'odd', '2025-01-05', 1, jsonb_build_object('k', k))) FROM unnest(ARRAY['{subscription_id}', '{known_at}', '{batch}', '''%L']) AS k \gset
SELECT bill_account('odd', '2025-02-01') > 0 AS billed \gset
SELECT count(*) FROM finalize_invoices('2025-02-01', account => 'odd');
SELECT l.charge_group ->> 'k' AS k, count(u.key) AS line_usage, (SELECT sum(e.amount) FROM explain_line(l.line_id) AS e WHERE e.stage <> 'tax') = l.amount AS explained
  FROM billing.line AS l LEFT JOIN LATERAL line_usage(l.line_id) AS u ON true WHERE l.account_key = 'odd' GROUP BY l.line_id, 1, l.amount ORDER BY 1;
