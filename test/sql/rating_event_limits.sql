-- Prices that look at single events: each usage row is rated by itself, in time order, with the limits of the period.
\set test_database billing_rating_event_limits
\getenv source PG_ABS_SRCDIR
\set include :source /lib/ledger.psql
\i :include

SELECT set_seller('northwind', legal_name => 'Northwind Inc', country => 'US', currency => 'USD') IS NOT NULL;
SELECT set_tax_rate('standard', 0, category => 'O', seller => 'northwind', exemption_reason => 'outside the scope') IS NOT NULL;
SELECT set_account('acme', currency => 'USD', time_zone => 'UTC', starts_on => '2024-01-16') IS NOT NULL;
SELECT set_account('globex', currency => 'USD', time_zone => 'UTC', starts_on => '2024-01-01') IS NOT NULL;
SELECT set_meter('payments', unit => 'USD', aggregation => 'sum', dimensions => '{"card"}') IS NOT NULL;
SELECT set_meter('transfers', unit => 'transfer', aggregation => 'count') IS NOT NULL;
-- one free event, 0.50 an event, 1 %, at most 2 an event, 10 a month at least
SELECT set_price('payments', tariff_from('lago', '{"charge_model": "percentage", "min_amount_cents": 1000, "properties": {"rate": "1", "fixed_amount": "0.5", "free_units_per_events": 1, "per_transaction_max_amount": "2"}}', 'USD'), valid_from => '2024-01-01') IS NOT NULL;
SELECT set_price('transfers', '{"model": "percentage", "currency": "USD", "percent": "0", "per_event": "0.25", "free_events": 2}', valid_from => '2024-01-01') IS NOT NULL;
CALL maintain_partitions('[2024-01-01,2024-04-01)');
SELECT r.outcome, count(*) FROM generate_series(1, 40) AS n
 CROSS JOIN LATERAL record_usage(jsonb_build_object('id', 'a' || n, 'account', CASE WHEN n <= 3 THEN 'acme' ELSE 'globex' END, 'meter', 'payments', 'quantity', (n * 7919) % 400,
                                                    'at', timestamptz '2024-01-16T00:00:00Z' + n * interval '7 hours', 'dimensions', jsonb_build_object('card', CASE WHEN n % 3 = 0 THEN 'visa' ELSE 'amex' END))) AS r GROUP BY 1;
SELECT r.outcome, count(*) FROM generate_series(1, 5) AS n
 CROSS JOIN LATERAL record_usage(jsonb_build_object('id', 't' || n, 'account', 'globex', 'meter', 'transfers', 'quantity', 100, 'at', timestamptz '2024-01-16T00:00:00Z' + n * interval '7 hours')) AS r GROUP BY 1;

-- as the aggregate alone; a minimum is due for the part of the month that the account was there, and for a month without an event
SELECT c.item, c.charge_group, c.quantity, c.owed_exact, c.problem, c.owed_exact = e.amount AS as_rate_each
  FROM charges('globex', '[2024-01-01,2024-02-01)') AS c
  LEFT JOIN (SELECT i.key AS item, CASE i.key WHEN 'payments' THEN u.dimensions ELSE '{}' END AS charge_group,
                    rate_each(p.tariff, CASE i.key WHEN 'payments' THEN quantity(u.consumed) ELSE 1 END, u.ends_at, 1) AS amount
               FROM usage AS u JOIN account AS a USING (account_id) JOIN item AS i ON i.item_id = u.meter_id JOIN price AS p ON p.item_id = i.item_id WHERE a.key = 'globex' GROUP BY 1, 2, p.tariff) AS e USING (item, charge_group)
 ORDER BY c.item, c.charge_group;
SELECT c.item, c.charge_group, c.quantity, c.owed_exact, c.problem FROM charges('acme', '[2024-01-01,2024-03-01)') AS c ORDER BY c.item, c.charge_group, c.quantity;

-- billed, explained, and the same again after a cheaper event came first, which takes the free place
CALL run_invoicing('2024-02-01');
SELECT number, payer, total FROM finalize_invoices('2024-02-01');
SELECT e.stage, e.what, e.quantity, e.amount FROM invoice_lines AS l CROSS JOIN LATERAL explain_line(l.line_id) AS e WHERE l.item = 'transfers';
SELECT outcome FROM record_usage('{"id": "t0", "account": "globex", "meter": "transfers", "quantity": 100, "at": "2024-01-02T00:00:00Z"}');
SELECT outcome FROM record_usage('{"id": "v0", "account": "globex", "meter": "payments", "quantity": 1, "at": "2024-01-02T00:00:00Z", "dimensions": {"card": "visa"}}');
SELECT correct_usage('globex', 'a39', quantity => 3) IS NOT NULL;
CALL run_invoicing('2024-02-01');
SELECT item, charge_group, booked_before, amount, owed, causes FROM draft_lines ORDER BY item, charge_group;
-- in one pass over all accounts the same
SET billing.one_pass_above = 0;
CALL run_invoicing('2024-02-01');
SELECT item, charge_group, booked_before, amount, owed, causes FROM draft_lines ORDER BY item, charge_group;
-- a meter that adds nothing up has no events to look at
SELECT set_meter('peak', unit => 'USD', aggregation => 'max') IS NOT NULL;
SELECT set_price('peak', '{"model": "percentage", "currency": "USD", "percent": "1", "free_events": 2}', valid_from => '2024-01-01') IS NOT NULL;
SELECT outcome FROM record_usage('{"id": "p0", "account": "globex", "meter": "peak", "quantity": 1, "at": "2024-01-02T00:00:00Z"}');
SELECT c.item, c.problem FROM charges('globex', '[2024-01-01,2024-02-01)') AS c WHERE c.problem IS NOT NULL;
