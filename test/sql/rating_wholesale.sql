-- Who is charged for whose usage: wholesale and retail of the same usage, trees of accounts, several sellers, agreements over time.
\set ECHO none
\set test_database billing_rating_wholesale
\getenv source PG_ABS_SRCDIR
\set include :source /lib/rating.psql
\i :include
SELECT set_seller('carrier', legal_name => 'Carrier SE', country => 'DE', currency => 'EUR', time_zone => 'Europe/Berlin') \gset
SELECT set_seller('reseller', legal_name => 'Reseller Ltd', country => 'GB', currency => 'GBP', time_zone => 'Europe/London') \gset
CREATE VIEW billed AS
    SELECT v.number AS invoice, s.key AS seller, p.key AS payer, l.account_key AS buyer, NULLIF(l.consumer_key, l.account_key) AS consumer, l.item_key AS item, l.kind, l.quantity, l.amount
      FROM billing.line AS l JOIN billing.invoice AS v USING (invoice_id) JOIN billing.seller AS s ON s.seller_id = v.seller_id JOIN billing.account AS p ON p.account_id = v.payer_id
     ORDER BY v.invoice_id, l.line_no;
\set ECHO all
-- With several sellers an account says whose customer it is; without that nothing can be sold to it.
SELECT fails($$ SELECT set_account('nobody') $$);
SELECT set_account('reseller-de', time_zone => 'Europe/Berlin', seller => 'carrier', starts_on => '2025-01-01') \gset
SELECT set_account('customer', currency => 'GBP', time_zone => 'Europe/London', seller => 'reseller', parent => 'reseller-de', starts_on => '2025-01-01') \gset
SELECT set_account('team-a', currency => 'GBP', time_zone => 'Europe/London', seller => 'reseller', parent => 'customer', starts_on => '2025-01-01') \gset
SELECT set_account('team-b', currency => 'GBP', time_zone => 'Europe/London', seller => 'reseller', parent => 'customer', starts_on => '2025-01-01') \gset
-- One seller owns a meter, any seller may price it.
SELECT set_meter('minutes', unit => 'MIN', seller => 'carrier') \gset
SELECT set_price('minutes', '{"model":"graduated","currency":"EUR","tiers":[{"up_to":"100","unit_price":"0.02"},{"unit_price":"0.01"}]}', valid_from => '2025-01-01', seller => 'carrier') \gset
SELECT set_price('minutes', '{"model":"per_unit","currency":"GBP","unit_price":"0.05"}', valid_from => '2025-01-01', seller => 'reseller') \gset
-- The carrier charges the reseller for the customer and everybody below it, each on a line with tiers of its own.
SELECT set_agreement('reseller-de', seller => 'carrier', key => 'wholesale', consumer => 'customer', with_descendants => true) \gset

SELECT use('customer', 'minutes', '2025-01-10', 150), use('team-a', 'minutes', '2025-01-11', 150), use('team-b', 'minutes', '2025-01-12', 10), use('reseller-de', 'minutes', '2025-01-13', 1) \gset
-- The period is the buyer's: 23:30 UTC on 31 January is February in Berlin, January in London.
SELECT use('customer', 'minutes', '2025-01-31 23:30', 1000) \gset
CALL run_invoicing(through => '2025-02-01') \gset
SELECT count(*) AS invoices FROM finalize_invoices(through => '2025-02-01', issue_date => '2025-02-01');
SELECT * FROM billed;
TABLE wrong;
SELECT count(*) AS unbilled FROM unbilled_usage('[2025-01-01,2025-02-01)') WHERE reason <> 'not_due';
-- One usage row, two lines: wholesale and retail.
SELECT use('team-a', 'minutes', '2025-01-20', 50, id => 'call-1') \gset
CALL run_invoicing(through => '2025-02-01') \gset
SELECT count(*) AS invoices FROM finalize_invoices(through => '2025-02-01', issue_date => '2025-02-01');
SELECT s.key AS seller, u.line_amount, u.kind FROM usage_lines('team-a', 'call-1') AS u JOIN billing.line AS l USING (line_id) JOIN billing.seller AS s USING (seller_id);

-- An account that moves away in the tree takes its usage with it, back to the first day, as a correction for the one who paid.
-- Where an account belongs is a plan: of a closed period that is held.
SELECT set_account('team-b', parent => 'reseller-de') \gset
CALL run_invoicing(through => '2025-02-01') \gset
SELECT account, item, "of", kind, amount FROM drafts;
SELECT * FROM held_now;
-- A policy of the seller says that plan changes are billed: the next run does.
SELECT set_correction_policy('plan', 'bill', seller => 'carrier') \gset
CALL run_invoicing(through => '2025-02-01') \gset
SELECT account, item, "of", kind, amount, causes FROM drafts;
TABLE wrong;

-- An agreement that ends in the middle of a period charges to its last day; what comes after it is nobody's.
SELECT set_account('leaver', time_zone => 'Europe/Berlin', seller => 'carrier', starts_on => '2025-01-01') \gset
SELECT use('leaver', 'minutes', '2025-01-10', 10), use('leaver', 'minutes', '2025-01-20', 20) \gset
SELECT end_agreement('leaver', valid_to => '2025-01-15', seller => 'carrier') \gset
CALL run_invoicing(through => '2025-02-01') \gset
SELECT item, quantity, amount FROM drafts WHERE account = 'leaver';
SELECT account_key, starts_at, quantity, reason FROM unbilled_usage('[2025-01-01,2025-02-01)', account => 'leaver');

-- Another price list in the middle of the period: the key stays one, its segments have two prices.
SELECT set_price_list('gold', seller => 'carrier') \gset
SELECT set_price('minutes', '{"model":"per_unit","currency":"EUR","unit_price":"0.005"}', valid_from => '2025-01-01', price_list => 'gold', seller => 'carrier') \gset
SELECT set_account('upgraded', time_zone => 'Europe/Berlin', seller => 'carrier', starts_on => '2025-01-01') \gset
SELECT set_agreement('upgraded', seller => 'carrier', price_list => 'gold', valid_from => '2025-01-16') \gset
SELECT use('upgraded', 'minutes', '2025-01-10', 100), use('upgraded', 'minutes', '2025-01-20', 100) \gset
CALL run_invoicing(through => '2025-02-01') \gset
SELECT item, quantity, amount FROM drafts WHERE account = 'upgraded';
-- A term that changes something else, from a day inside the period, cuts nothing: tiers go on over it.
SELECT set_account('renamed', time_zone => 'Europe/Berlin', seller => 'carrier', starts_on => '2025-01-01') \gset
SELECT set_invoice_group('renamed', 'project') \gset
SELECT set_agreement('renamed', seller => 'carrier', invoice_group => 'project', valid_from => '2025-01-16') \gset
SELECT use('renamed', 'minutes', '2025-01-10', 100), use('renamed', 'minutes', '2025-01-20', 100) \gset
CALL run_invoicing(through => '2025-02-01') \gset
SELECT item, quantity, amount FROM drafts WHERE account = 'renamed';

-- A price list in another currency than the account charges nothing, and says so.
SELECT fails($$ SELECT set_agreement('customer', seller => 'carrier', key => 'wrong') $$);
SELECT fails($$ SELECT set_agreement('customer', seller => 'carrier', key => 'wrong', price_list => 'gold') $$);

-- Who pays is decided on the issue date, for all drafts: the parent pays for its teams, on one invoice.
SELECT set_bill_to('team-a', 'customer'), set_bill_to('team-b', 'customer') \gset
SELECT use('team-a', 'minutes', '2025-02-10', 100), use('team-b', 'minutes', '2025-02-10', 100) \gset
SELECT account_key, seller, item, line_amount FROM preview_invoice('customer', through => '2025-03-01') WHERE seller = 'reseller';
CALL run_invoicing(through => '2025-03-01') \gset
SELECT count(*) AS invoices FROM finalize_invoices(through => '2025-03-01', issue_date => '2025-03-01');
SELECT invoice, payer, buyer, consumer, item, kind, amount FROM billed WHERE payer = 'customer';
TABLE wrong;

-- A buyer that has no usage but that of its customers is shown before the first run as the run will bill it.
SELECT set_account('chain', time_zone => 'UTC', seller => 'carrier') \gset
SELECT set_account('branch', time_zone => 'UTC', parent => 'chain', seller => 'carrier') \gset
SELECT set_agreement('chain', seller => 'carrier', with_descendants => true), end_agreement('branch', '2025-01-01', seller => 'carrier') \gset
SELECT use('branch', 'minutes', '2025-02-20', 10) \gset
SELECT account_key, consumer, item, line_amount FROM preview_invoice('chain', through => '2025-03-01');
SELECT item, period_from, quantity, owed FROM charges('chain', '[2025-02-01,2025-03-01)');
CALL run_invoicing(through => '2025-03-01') \gset
SELECT account, consumer, item, amount FROM draft_lines WHERE account = 'chain';

-- A period has one currency.
SELECT set_price_list('default-USD', currency => 'USD', seller => 'carrier') \gset
SELECT fails($$ SELECT set_account('chain', seller => 'carrier', currency => 'USD', price_list => 'default-USD', from_date => '2025-03-18') $$);
SELECT set_account('chain', seller => 'carrier', currency => 'USD', price_list => 'default-USD', from_date => '2025-04-01') IS NOT NULL;
