-- Progressive billing (rules 3 and 5): a running period is billed as soon as it owes more than a threshold.
\set ECHO none
\set test_database billing_rating_progressive
\getenv source PG_ABS_SRCDIR
\set include :source /lib/rating.psql
\i :include
SELECT set_seller('northwind', legal_name => 'Northwind GmbH', country => 'DE', currency => 'EUR') \gset
SELECT set_meter('calls', unit => 'call'), set_meter('tokens', unit => 'token'), set_meter('jobs', unit => 'job') \gset
SELECT set_fee('platform', in_advance => true) \gset
\set ECHO all
SELECT set_price('calls', '{"model":"per_unit","currency":"EUR","unit_price":"1"}', valid_from => '2025-01-01'),
       set_price('platform', '{"model":"per_unit","currency":"EUR","unit_price":"31"}', valid_from => '2025-01-01'),
       -- above 100 all tokens cost half: the whole month may become cheaper
       set_price('tokens', '{"model":"volume","currency":"EUR","tiers":[{"up_to":"100","unit_price":"1"},{"unit_price":"0.5"}]}', valid_from => '2025-01-01') \gset

-- acme is billed as soon as a charge owes 50 more than was billed; plain has the same usage and no threshold.
SELECT set_account('acme', time_zone => 'UTC', starts_on => '2025-01-01', progressive_threshold => '50 EUR') \gset
SELECT set_account('plain', time_zone => 'UTC', starts_on => '2025-01-01') \gset
SELECT sum(use(a, 'calls', '2025-01-05', 40)) FROM unnest('{acme,plain}'::text[]) AS a \gset
CALL run_invoicing(through => '2025-01-10') \gset
SELECT count(*) AS lines FROM final_lines;
-- Over the threshold on the 15th: the invoice is final at once, and only acme has one.  Usage after "through" is not in it.
SELECT sum(use(a, 'calls', '2025-01-12', 20)) FROM unnest('{acme,plain}'::text[]) AS a \gset
SELECT sum(use(a, 'calls', '2025-01-20', 5)) FROM unnest('{acme,plain}'::text[]) AS a \gset
SELECT account_key, kind, line_amount FROM preview_invoice('acme', through => '2025-01-15');
CALL run_invoicing(through => '2025-01-15') \gset
SELECT * FROM final_lines;
SELECT count(*) AS drafts FROM drafts;
-- an older day after a newer one takes nothing back, and 15 more are below the next threshold
SELECT sum(use(a, 'calls', '2025-01-14', 15)) FROM unnest('{acme,plain}'::text[]) AS a \gset
CALL run_invoicing(through => '2025-01-10') \gset
CALL run_invoicing(through => '2025-01-25') \gset
SELECT * FROM final_lines;
-- A running period is not pinned: a price fixed now is simply the price.
SELECT set_price('calls', '{"model":"per_unit","currency":"EUR","unit_price":"2"}', valid_from => '2025-01-01') \gset
CALL run_invoicing(through => '2025-01-26') \gset
SELECT * FROM final_lines;
SELECT count(*) AS held FROM held_now;
-- At the end the rest is billed, without any threshold, and both accounts have paid the same.
CALL run_invoicing(through => '2025-02-01') \gset
SELECT * FROM drafts;
SELECT number, payer, total FROM finalize_invoices(through => '2025-02-01');
SELECT account, sum(amount) AS total FROM final_lines GROUP BY account ORDER BY account;
SELECT l.kind, l.amount, e.stage, e.what, e.quantity, e.amount AS part FROM billing.line AS l CROSS JOIN LATERAL explain_line(l.line_id) AS e
 WHERE l.account_key = 'acme' AND e.stage <> 'tax' ORDER BY l.line_id, e.step;
TABLE wrong;

-- An interim line is never below 0: volume crossing down bills nothing while the month runs, and a credit when it has ended.
SELECT use('acme', 'tokens', '2025-02-03', 100) \gset
CALL run_invoicing(through => '2025-02-10') \gset
SELECT use('acme', 'tokens', '2025-02-12', 2) \gset
CALL run_invoicing(through => '2025-02-15') \gset
SELECT invoice, kind, quantity, amount FROM final_lines WHERE item = 'tokens';
CALL run_invoicing(through => '2025-03-01') \gset
SELECT item, kind, quantity, amount, billed_before FROM drafts;
SELECT number, total FROM finalize_invoices(through => '2025-03-01');
TABLE wrong;

-- Voided usage of a running period: the interim stays, the end takes it back.
SELECT use('acme', 'calls', '2025-03-02', 100, id => 'mistake') \gset
CALL run_invoicing(through => '2025-03-10') \gset
SELECT void_usage('acme', 'mistake', reason => 'counted twice') \gset
CALL run_invoicing(through => '2025-03-20') \gset
SELECT invoice, kind, amount FROM final_lines WHERE period = '2025-03-01';
CALL run_invoicing(through => '2025-04-01') \gset
SELECT item, kind, quantity, amount, billed_before FROM drafts;
SELECT number, total FROM finalize_invoices(through => '2025-04-01');
TABLE wrong;

-- Fees have no threshold: due at their start as ever, credited in the middle of a month as ever.
SELECT set_subscription('acme', 'platform', starts_on => '2025-04-01') \gset
CALL run_invoicing(through => '2025-04-02') \gset
SELECT item, kind, amount FROM drafts;
SELECT number, total FROM finalize_invoices(through => '2025-04-02');
SELECT end_subscription('acme', 'platform', ends_on => '2025-04-16') \gset
CALL run_invoicing(through => '2025-04-16') \gset
SELECT item, kind, amount FROM drafts;

-- A threshold is a matter of the agreement: 0 takes it away, from a day on or altogether.
SELECT set_account('acme', progressive_threshold => '0 EUR') \gset
SELECT use('acme', 'calls', '2025-04-05', 1000) \gset
CALL run_invoicing(through => '2025-04-20') \gset
SELECT count(*) AS interim_lines FROM final_lines WHERE period = '2025-04-01' AND kind = 'interim';

-- Interim invoices are never drafts that wait: they cannot be missed by finalize_invoices(), nor billed again by it.
SELECT count(*) AS interim_drafts FROM billing.draft_line WHERE interim;
-- A run through an earlier day does not go back: usage of the days billed meanwhile, recorded late, is billed by it.
SELECT set_account('back', time_zone => 'UTC', starts_on => '2025-04-01', progressive_threshold => '1 EUR') \gset
SELECT use('back', 'calls', '2025-04-05', 3) \gset
CALL run_invoicing(through => '2025-04-20') \gset
SELECT use('back', 'calls', '2025-04-15', 4) \gset
CALL run_invoicing(through => '2025-04-10') \gset
SELECT period, kind, quantity, amount FROM final_lines WHERE account = 'back';
-- Grace: a period that has ended but is not yet due is still interim, and never reaches into the next one.
SELECT set_account('late', time_zone => 'UTC', starts_on => '2025-01-01', grace => '5 days', progressive_threshold => '1 EUR') \gset
SELECT use('late', 'calls', '2025-01-31', 3), use('late', 'calls', '2025-02-02', 100) \gset
CALL run_invoicing(through => '2025-02-03') \gset
SELECT period, kind, quantity, amount FROM final_lines WHERE account = 'late';
CALL run_invoicing(through => '2025-02-06') \gset
SELECT period, kind, quantity, amount FROM final_lines WHERE account = 'late';
SELECT period, kind, quantity, amount FROM drafts WHERE account = 'late';
-- A maximum is that of the whole month while it is running, too: 90 of 100 are billed on the 3rd, the other 10 when it has ended.
-- A flat amount is earned by time: 2 of 30 days.  A minimum is that of a complete month.
SELECT set_meter('capped', unit => 'call'), set_meter('kept', unit => 'call'), set_meter('flat', unit => 'call') \gset
SELECT set_account('capped', time_zone => 'UTC', starts_on => '2025-06-01', progressive_threshold => '0.01 EUR') \gset
SELECT set_price('capped', '{"model":"per_unit","currency":"EUR","unit_price":"1","maximum":"100"}', valid_from => '2025-01-01', account => 'capped'),
       set_price('kept', '{"model":"per_unit","currency":"EUR","unit_price":"1","minimum":"100"}', valid_from => '2025-01-01', account => 'capped'),
       set_price('flat', '{"model":"flat","currency":"EUR","amount":"30"}', valid_from => '2025-01-01', account => 'capped') \gset
SELECT use('capped', 'capped', '2025-06-02', 90), use('capped', 'kept', '2025-06-02', 1), use('capped', 'flat', '2025-06-02', 1), use('capped', 'capped', '2025-06-20', 90) \gset
CALL run_invoicing(through => '2025-06-03') \gset
SELECT item, kind, quantity, amount FROM final_lines WHERE account = 'capped' ORDER BY item;
CALL run_invoicing(through => '2025-07-01') \gset
SELECT item, kind, quantity, amount FROM drafts WHERE account = 'capped' ORDER BY item;
TABLE wrong;
