-- Sums that nothing can hold fail for the charge or the invoice they belong to, and stop nobody else (rule 8).
\set ECHO none
\set test_database billing_rating_extremes
\getenv source PG_ABS_SRCDIR
\set include :source /lib/rating.psql
\i :include
SELECT set_seller('northwind', legal_name => 'Northwind GmbH', country => 'DE', currency => 'EUR') \gset
SELECT set_meter('calls', unit => 'call'), set_meter('jobs', unit => 'job'), set_fee('lease', proration => 'second') \gset
SELECT count(set_price(m, '{"model":"per_unit","currency":"EUR","unit_price":"1"}', valid_from => '2025-01-01')) FROM unnest('{calls,jobs}'::text[]) AS m \gset
\set ECHO all
SELECT count(set_account(a, time_zone => 'UTC', starts_on => '2025-01-01')) FROM unnest('{huge,below,large,plain}'::text[]) AS a \gset
-- huge and below: quantities whose sum is more than a quantity can be; large: two lines whose sum is more than an amount can be
SELECT id, outcome FROM record_usage((SELECT jsonb_agg(jsonb_build_object('id', 'r' || n, 'account', a, 'meter', m, 'at', '2025-01-10T00:00:00Z', 'quantity', q)) FROM (VALUES
    (1, 'huge', 'calls', '150000000000000000000000'), (2, 'huge', 'calls', '150000000000000000000000'), (3, 'huge', 'calls', '5'),
    (4, 'below', 'calls', '-150000000000000000000000'), (5, 'below', 'calls', '-150000000000000000000000'),
    (6, 'large', 'calls', '900000000000000'), (7, 'large', 'jobs', '900000000000000'), (8, 'plain', 'calls', '7')) AS r(n, a, m, q)));
SELECT account, meter, usage_rows, quantity FROM usage_by_day ORDER BY account, meter;
-- a fee by seconds, whose seconds times its price are more than an amount can be; cells of a matrix that are too much together
SELECT set_price_list('default-IDR', currency => 'IDR', seller => 'northwind') \gset
SELECT set_account('islands', time_zone => 'UTC', starts_on => '2025-01-01', currency => 'IDR') \gset
SELECT set_price('lease', '{"model":"flat","currency":"IDR","amount":"50000000000"}', valid_from => '2025-01-01', price_list => 'default-IDR'), set_subscription('islands', 'lease', fee => 'lease', starts_on => '2025-01-11') \gset
SELECT set_meter('cells', unit => 'call') \gset
SELECT set_price('cells', '{"model":"matrix","currency":"EUR","dimensions":["region"],"cells":[{"match":{"region":"eu"},"unit_price":"9000000000000000"},{"match":{"region":"us"},"unit_price":"9000000000000000"}]}', valid_from => '2025-01-01') \gset
SELECT use('below', 'cells', '2025-01-10', 1, dimensions => '{"region":"eu"}'), use('below', 'cells', '2025-01-10', 1, dimensions => '{"region":"us"}') \gset
-- one account at a time, and all in one pass
SELECT item, quantity, owed, problem FROM charges('huge', '[2025-01-01,2025-02-01)') WHERE item = 'calls';
CALL run_invoicing(through => '2025-02-01') \gset
SELECT state, errors FROM runs WHERE run_id = :run_id;
SELECT account, item, sqlstate, detail FROM run_errors WHERE run_id = :run_id ORDER BY account;
SELECT account, item, amount FROM drafts;
TRUNCATE billing.draft_line;
UPDATE billing.charge_period SET looked_known_at = NULL;
SET billing.one_pass_above = 0;
CALL run_invoicing(through => '2025-02-01') \gset
SELECT account, item, sqlstate, detail FROM run_errors WHERE run_id = :run_id ORDER BY account;
SELECT account, item, amount FROM drafts;
RESET billing.one_pass_above;
-- An invoice that is too large waits; nobody else does.
SELECT payer, lines, total_without_tax, total, too_large FROM draft_invoices ORDER BY payer;
SELECT payer, total FROM finalize_invoices(through => '2025-02-01', issue_date => '2025-02-01');
SELECT account, item, reason, sqlstate, detail FROM run_errors WHERE reason = 'invoice_too_large' ORDER BY item;
-- Taken out again, what is left is what it was.
SELECT void_usage('huge', 'r1', reason => 'test'), void_usage('large', 'r6', reason => 'test'), void_usage('below', 'r5', reason => 'test') \gset
SET billing.one_pass_above = 0;
CALL run_invoicing(through => '2025-02-01') \gset
SELECT account, item, sqlstate, detail FROM run_errors WHERE run_id = :run_id ORDER BY account;
SELECT void_usage('huge', 'r2', reason => 'test') \gset
CALL run_invoicing(through => '2025-02-01') \gset
SELECT account, item, amount FROM drafts;
SELECT * FROM wrong;
-- The fee by seconds is explained.
SELECT e.stage, e.what, e.amount FROM invoice_lines AS l CROSS JOIN LATERAL explain_line(l.line_id) AS e WHERE l.item = 'lease' ORDER BY e.step;
-- Decisions that no charge can come to are refused, together as well as each: the run adds them up.
SELECT decide(c.charge, '-500000000000000 EUR', 'goodwill', 'test') FROM charges_now AS c WHERE c.account = 'plain' \gset
SELECT fails(format($$ SELECT decide(%s, '500000000000001 EUR', 'dispute', 'test') $$, c.charge)) FROM charges_now AS c WHERE c.account = 'plain';
SELECT decide(c.charge, '500000000000000 EUR', 'goodwill', 'test') FROM charges_now AS c WHERE c.account = 'plain' \gset
SELECT fails(format($$ SELECT decide(%s, '-10000000000000000 EUR', 'goodwill', 'test') $$, c.charge)) FROM charges_now AS c WHERE c.account = 'plain';
CALL run_invoicing(through => '2025-02-01') \gset
SELECT state FROM runs WHERE run_id = :run_id;
SELECT * FROM wrong;
-- A group whose value is too long for a key: lines of their own nevertheless, even where values differ at their end only.
SELECT set_meter('pages', unit => 'page', dimensions => '{url}'), set_price('pages', '{"model":"per_unit","currency":"EUR","unit_price":"2"}', valid_from => '2025-01-01') \gset
SELECT string_agg(md5(n::text), '') AS long FROM generate_series(1, 120) AS n \gset
SELECT use('plain', 'pages', '2025-02-10', 1, dimensions => jsonb_build_object('url', :'long' || 'a')), use('plain', 'pages', '2025-02-10', 2, dimensions => jsonb_build_object('url', :'long' || 'b')),
       use('plain', 'pages', '2025-02-10', 4, dimensions => jsonb_build_object('url', :'long' || 'b')), use('plain', 'pages', '2025-02-10', 8, dimensions => '{"url": "short"}') \gset
CALL run_invoicing(through => '2025-03-01') \gset
SELECT state, errors FROM runs WHERE run_id = :run_id;
SELECT length(number) > 0 AS final FROM finalize_invoices(through => '2025-03-01', account => 'plain', issue_date => '2025-03-01');
SELECT l.charge_group, l.quantity, l.amount, (SELECT sum(u.counted) FROM line_usage(l.line_id) AS u) AS usage FROM invoice_lines AS l WHERE l.item = 'pages' ORDER BY l.quantity;
SELECT count(*) FROM unbilled_usage('[2025-02-01,2025-03-01)', account => 'plain') WHERE meter = 'pages';
SELECT fails($$ SELECT set_meter('pages', dimensions => '{a,b,c,d,e,f,g,h,i}') $$);
SELECT fails(format($$ SELECT set_meter('pages', dimensions => '{%s}') $$, repeat('x', 64)));
