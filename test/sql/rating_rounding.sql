-- Where a bill rounds (sum, line, detail) and how a fee is charged for part of a period, through charges() and runs: as each product does.
\set ECHO none
\set test_database billing_rating_rounding
\getenv source PG_ABS_SRCDIR
\set include :source /lib/rating.psql
\i :include
SELECT set_seller('northwind', legal_name => 'Northwind GmbH', country => 'DE', currency => 'EUR') \gset
CREATE VIEW why AS
    SELECT l.line_id, l.item_key AS item, e.stage, e.what, trim_scale(e.quantity) AS quantity, e.amount
      FROM billing.line AS l CROSS JOIN LATERAL billing.explain_line(l.line_id) AS e WHERE e.stage <> 'tax' ORDER BY l.invoice_id, l.line_no, e.step;
-- what every line's explanation must come to
CREATE VIEW unexplained AS
    SELECT l.item_key FROM billing.line AS l WHERE l.amount <> (SELECT sum(e.amount) FROM billing.explain_line(l.line_id) AS e);
\set ECHO all
SET client_min_messages = warning;
-- Three tiers of a unit at 0.004 each: the sum is 0.012; rounded tier by tier it is nothing; a line is rounded alone.
SELECT set_account('acme', time_zone => 'UTC', starts_on => '2025-01-01') \gset
SELECT count(set_meter(rule, unit => 'call')) FROM unnest('{plain,line,detail,openmeter,waldur,lago}'::text[]) AS rule \gset
SELECT count(set_price(p.meter, ('{"model":"graduated","currency":"EUR","tiers":[{"up_to":"1","unit_price":"0.004"},{"up_to":"2","unit_price":"0.004"},{"unit_price":"0.004"}]}'::jsonb || p.more)::tariff, valid_from => '2025-01-01'))
  FROM (VALUES ('plain', '{}'::jsonb), ('line', '{"rounding":"line"}'), ('detail', '{"rounding":"detail"}'), ('openmeter', '{"dialect":"openmeter"}'), ('waldur', '{"dialect":"waldur"}'), ('lago', '{"dialect":"lago","rounding":"sum"}')) AS p(meter, more) \gset
SELECT count(use('acme', meter, '2025-01-10', 3)) FROM unnest('{plain,line,detail,openmeter,waldur,lago}'::text[]) AS meter \gset
SELECT item, owed_exact, owed FROM charges('acme', '[2025-01-01,2025-02-01)');
-- A price that changes inside the period is two lines of the other product, each rounded; ours are one sum.
SELECT set_account('beta', time_zone => 'UTC', starts_on => '2025-01-01') \gset
SELECT count(set_meter(meter, unit => 'call')) FROM unnest('{two_lines,one_sum}'::text[]) AS meter \gset
SELECT count(set_price(p.meter, ('{"model":"per_unit","currency":"EUR"}'::jsonb || jsonb_build_object('unit_price', p.price, 'rounding', p.rule))::tariff, valid_from => p.day::date))
  FROM (VALUES ('two_lines', '0.005', 'line', '2025-01-01'), ('two_lines', '0.0051', 'line', '2025-01-16'), ('one_sum', '0.005', 'sum', '2025-01-01'), ('one_sum', '0.0051', 'sum', '2025-01-16'),
               -- from one rule to the other
               ('one_sum', '0.004', 'line', '2025-02-14')) AS p(meter, price, rule, day) \gset
SELECT count(use('beta', meter, at::timestamp, 1)) FROM unnest('{two_lines,one_sum}'::text[]) AS meter, unnest('{2025-01-05,2025-01-20,2025-02-05,2025-02-20}'::text[]) AS at \gset
SELECT item, period_from, owed_exact, owed FROM charges('beta', '[2025-01-01,2025-03-01)');
-- Windows and groups of one price are added before the line is rounded; their parts are not.
SELECT set_account('gamma', time_zone => 'UTC', starts_on => '2025-01-01') \gset
SELECT count(set_meter(rule, unit => 'call')) FROM unnest('{day_line,day_detail}'::text[]) AS rule \gset
SELECT count(set_price(p.meter, ('{"model":"per_unit","currency":"EUR","unit_price":"0.004","window":"day"}'::jsonb || jsonb_build_object('rounding', p.rule))::tariff, valid_from => '2025-01-01'))
  FROM (VALUES ('day_line', 'line'), ('day_detail', 'detail')) AS p(meter, rule) \gset
SELECT count(use('gamma', meter, at::timestamp, 1)) FROM unnest('{day_line,day_detail}'::text[]) AS meter, unnest('{2025-01-05,2025-01-20,2025-01-25}'::text[]) AS at \gset
SELECT item, owed_exact, owed FROM charges('gamma', '[2025-01-01,2025-02-01)');
-- Tiers that go on over a price change, part by part.
SELECT set_meter('carried', unit => 'call') \gset
SELECT count(set_price('carried', ('{"model":"graduated","currency":"EUR","tiers":[{"up_to":"1","unit_price":"0.006"},{"unit_price":"0.006"}],"carry":true,"rounding":"detail"}'::jsonb || p.more)::tariff, valid_from => p.day::date))
  FROM (VALUES ('{}'::jsonb, '2025-01-01'), ('{"minimum":"0.001"}', '2025-01-16')) AS p(more, day) \gset
SELECT use('gamma', 'carried', '2025-01-05', 1), use('gamma', 'carried', '2025-01-20', 1) \gset
SELECT item, owed_exact, owed FROM charges('gamma', '[2025-01-01,2025-02-01)') WHERE item = 'carried';
-- Later usage in the period makes each tier's part larger; what was billed and what is corrected add up to the rounded whole.
CALL run_invoicing(through => '2025-02-01') \gset
SELECT count(*) FROM finalize_invoices(through => '2025-02-01', issue_date => '2025-02-01');
SELECT count(use('acme', meter, '2025-01-20', 6)) FROM unnest('{plain,line,detail,openmeter,waldur,lago}'::text[]) AS meter \gset
CALL run_invoicing(through => '2025-02-01') \gset
SELECT count(*) FROM finalize_invoices(through => '2025-02-01', issue_date => '2025-02-02');
SELECT item, chain_no, rounding, quantity, amount, owed, booked_after FROM invoice_lines WHERE account = 'acme' ORDER BY item, chain_no;
SELECT item, owed_exact, owed FROM charges('acme', '[2025-01-01,2025-02-01)');
SELECT stage, what, quantity, amount FROM why WHERE item = 'openmeter';
SELECT * FROM unexplained;

-- Fees by each rule: a subscription from 10 to 20 March in Berlin, where 30 March has 23 hours, and a whole month.
SELECT set_account('delta', time_zone => 'Europe/Berlin', starts_on => '2025-03-01'), set_account('whole', time_zone => 'Europe/Berlin', starts_on => '2025-03-01') \gset
SELECT count(set_fee(rule, proration => rule)) FROM unnest('{day_half_open,day_inclusive,second,month,half_month,day,hour}'::text[]) AS rule \gset
SELECT set_fee('vm', proration => 'month') \gset
SELECT count(set_price(rule, '{"model":"per_unit","currency":"EUR","unit_price":"10"}', valid_from => '2025-01-01')) FROM unnest('{day_half_open,day_inclusive,second,month,half_month,day,hour}'::text[]) AS rule \gset
SELECT set_price('vm', tariff_from('waldur', '{"unit":"month","unit_price":"10.003"}'::jsonb, 'EUR'), valid_from => '2025-01-01') \gset
SELECT fee, proration FROM fees ORDER BY fee;
SELECT count(set_subscription('delta', fee, starts_on => '2025-03-10', ends_on => '2025-03-20')) FROM fees \gset
SELECT count(set_subscription('whole', fee, starts_on => '2025-03-01', ends_on => '2025-04-01')) FROM fees WHERE fee <> 'day_inclusive' \gset
SELECT item, quantity, owed_exact, owed FROM charges('delta', '[2025-03-01,2025-04-01)');
SELECT item, quantity, owed_exact, owed FROM charges('whole', '[2025-03-01,2025-04-01)');
CALL run_invoicing(through => '2025-04-01') \gset
SELECT item, rounding, proration, amount FROM draft_lines WHERE account = 'delta' ORDER BY item;
SELECT count(*) FROM finalize_invoices(through => '2025-04-01', issue_date => '2025-04-01');
SELECT item, rounding, proration, amount FROM invoice_lines WHERE account = 'delta' ORDER BY item;
SELECT item, what, amount FROM why WHERE stage IN ('proration', 'rounding') AND line_id IN (SELECT line_id FROM invoice_lines WHERE account = 'delta') ORDER BY item, stage;
SELECT * FROM unexplained;
-- The day on which a subscription ends is charged once: not where its quantity changes, and in the next period when it ends with one.
SELECT set_account('last', time_zone => 'UTC', starts_on => '2025-03-01') \gset
SELECT set_subscription('last', 'day_inclusive', quantity => 1, starts_on => '2025-03-01', ends_on => '2025-04-01') \gset
SELECT set_subscription('last', 'day_inclusive', quantity => 2, starts_on => '2025-03-16') \gset
SELECT period_from, quantity, owed FROM charges('last', '[2025-03-01,2025-05-01)');
-- A month rule counts each calendar month by itself, also where periods lie across.
SELECT set_account('across', time_zone => 'UTC', starts_on => '2025-01-15', cycle_day => 15) \gset
SELECT set_subscription('across', 'month', starts_on => '2025-01-15') \gset
SELECT period_from, quantity, owed FROM charges('across', '[2025-01-15,2025-02-15)');
SELECT * FROM wrong;
-- A price list names the rule for tariffs that say nothing else than their dialect's default; prices that were set before keep theirs.
SELECT set_price_list('lined', rounding => 'line'), set_account('lined', time_zone => 'UTC', starts_on => '2025-03-01', price_list => 'lined'), set_meter('calls', unit => 'call') \gset
SELECT set_price('calls', '{"model":"per_unit","currency":"EUR","unit_price":"0.004"}', valid_from => '2025-01-01', valid_to => '2025-03-10', price_list => 'lined'),
       set_price('calls', '{"model":"per_unit","currency":"EUR","unit_price":"0.0045"}', valid_from => '2025-03-10', price_list => 'lined') \gset
SELECT sum(use('lined', 'calls', d, 1)) FROM unnest('{2025-03-05,2025-03-15}'::date[]) AS d \gset
SELECT p.rounding, x.tariff FROM price_lists AS p JOIN prices AS x USING (seller, price_list) WHERE price_list = 'lined' ORDER BY valid_from;
-- 0.00 and 0.00, not 0.0085 rounded; then as without a rule; a rule of its own stays
SELECT owed, owed_exact FROM charges('lined', '[2025-03-01,2025-04-01)');
SELECT set_price('calls', '{"model":"per_unit","currency":"EUR","unit_price":"0.006","rounding":"detail"}', valid_from => '2025-03-10', price_list => 'lined') \gset
SELECT set_price_list('lined', rounding => ''), set_price('calls', '{"model":"per_unit","currency":"EUR","unit_price":"0.004"}', valid_from => '2025-01-01', valid_to => '2025-03-10', price_list => 'lined') \gset
SELECT p.rounding, x.tariff FROM price_lists AS p JOIN prices AS x USING (seller, price_list) WHERE price_list = 'lined' ORDER BY valid_from;
SELECT fails($$SELECT set_price_list('lined', rounding => 'up')$$);
-- what cannot be
SELECT fails($$SELECT set_fee('x', proration => 'moon')$$);
SELECT fails($$SELECT tariff('{"model":"matrix","currency":"EUR","dimensions":["d"],"cells":[{"match":{"d":1},"tariff":{"model":"flat","amount":"1","rounding":"line"}}]}')$$);
SELECT fails($$SELECT tariff('{"model":"flat","currency":"EUR","amount":"1","rounding":"up"}')$$);
-- the tariff alone: the default of its dialect is not printed
SELECT t.tariff, tariff_rounding(t.tariff), (try_bill(t.tariff, 2)).amount AS billed, round_line(t.tariff, '0.0149 EUR')
  FROM (SELECT ('{"model":"per_unit","currency":"EUR","unit_price":"0.0042"}'::jsonb || x)::tariff AS tariff
          FROM unnest(ARRAY['{}', '{"rounding":"sum"}', '{"rounding":"line"}', '{"rounding":"detail"}', '{"dialect":"stripe","rounding":"line"}', '{"dialect":"stripe","rounding":"sum"}',
                            '{"dialect":"cloudkitty","rounding":"detail"}', '{"dialect":"waldur"}', '{"dialect":"openmeter","rounding":"detail"}']::jsonb[]) AS x) AS t;
SELECT try_bill('{"model":"package","currency":"EUR","size":"2","amount":"1"}', -1), fails($$SELECT round_line('{"model":"flat","currency":"EUR","amount":"1"}', '1 USD')$$);
