-- The unit price of a line: there where all that is rated has the same one, whether the price says it or the cell of a matrix.
\set ECHO none
\set test_database billing_rating_unit_price
\getenv source PG_ABS_SRCDIR
\set include :source /lib/rating.psql
\i :include
SET client_min_messages = warning;
SELECT set_seller('northwind', legal_name => 'Northwind GmbH', country => 'DE', currency => 'EUR'), set_account('acme', time_zone => 'UTC', starts_on => '2025-01-01') \gset
\set cells '{"match":{"tier":"ssd"},"unit_price":"0.20"},{"match":{"tier":"nvme"},"tariff":{"model":"per_unit","unit_price":"0.2"}},{"match":{"tier":"hdd"},"unit_price":"0.05"},{"match":{"tier":"tape"},"tariff":{"model":"package","amount":"1","size":"100"}}'
SELECT set_meter('one_cell', unit => 'GB'), set_meter('two_cells', unit => 'GB'), set_meter('by_tier', unit => 'GB', dimensions => '{tier}'), set_meter('default', unit => 'GB'),
       set_meter('rounded', unit => 'GB'), set_meter('least', unit => 'GB'), set_meter('changed', unit => 'GB'), set_meter('plain', unit => 'GB'), set_meter('tiers', unit => 'GB') \gset
SELECT count(set_price(m, format('{"model":"matrix","currency":"EUR","dimensions":["tier"],"cells":[%s]}', :'cells')::tariff, valid_from => '2025-01-01')) FROM unnest('{one_cell,two_cells,by_tier}'::text[]) AS m \gset
SELECT set_price('default', '{"model":"matrix","currency":"EUR","dimensions":["tier"],"cells":[{"match":{"tier":"ssd"},"unit_price":"9"}],"default":{"unit_price":"2"}}', valid_from => '2025-01-01'),
       set_price('rounded', '{"model":"matrix","currency":"EUR","dimensions":["tier"],"rounding":"line","cells":[{"match":{"tier":"ssd"},"unit_price":"0.333"},{"match":{"tier":"nvme"},"unit_price":"0.333"}]}', valid_from => '2025-01-01'),
       set_price('least', '{"model":"matrix","currency":"EUR","dimensions":["tier"],"minimum":"5","cells":[{"match":{"tier":"ssd"},"unit_price":"1"}]}', valid_from => '2025-01-01'),
       set_price('changed', '{"model":"matrix","currency":"EUR","dimensions":["tier"],"cells":[{"match":{"tier":"ssd"},"unit_price":"1"},{"match":{"tier":"hdd"},"unit_price":"3"}]}', valid_from => '2025-01-01', valid_to => '2025-01-16'),
       set_price('changed', '{"model":"matrix","currency":"EUR","dimensions":["tier"],"cells":[{"match":{"tier":"ssd"},"unit_price":"1"},{"match":{"tier":"hdd"},"unit_price":"4"}]}', valid_from => '2025-01-16'),
       set_price('plain', '{"model":"per_unit","currency":"EUR","unit_price":"0.5"}', valid_from => '2025-01-01'),
       set_price('tiers', '{"model":"graduated","currency":"EUR","tiers":[{"up_to":"10","unit_price":"1"},{"unit_price":"0.5"}]}', valid_from => '2025-01-01') \gset
RESET client_min_messages;
\set ECHO all
-- one cell; two cells of the same price and two of different ones; a group each, one of them a package; what no cell takes
SELECT use('acme', 'one_cell', '2025-01-05', 100, '{"tier":"ssd"}'), use('acme', 'one_cell', '2025-01-06', 20.5, '{"tier":"ssd"}'), use('acme', 'default', '2025-01-05', 100),
       use('acme', 'two_cells', '2025-01-05', 100, '{"tier":"ssd"}'), use('acme', 'two_cells', '2025-01-06', 10, '{"tier":"nvme"}') \gset
SELECT count(use('acme', 'by_tier', '2025-01-05', 150, jsonb_build_object('tier', t))) FROM unnest('{ssd,hdd,tape}'::text[]) AS t \gset
SELECT use('acme', 'rounded', '2025-01-05', 10, '{"tier":"ssd"}'), use('acme', 'rounded', '2025-01-05', 1, '{"tier":"nvme"}'), use('acme', 'least', '2025-01-05', 100, '{"tier":"ssd"}'),
       use('acme', 'changed', '2025-01-05', 10, '{"tier":"ssd"}'), use('acme', 'changed', '2025-01-20', 10, '{"tier":"ssd"}'),
       use('acme', 'plain', '2025-01-05', 3), use('acme', 'tiers', '2025-01-05', 3) \gset
SELECT item, charge_group, quantity, unit_price, owed FROM charges('acme', '[2025-01-01,2025-02-01)') ORDER BY item, charge_group;
SELECT item, charge_group, quantity, unit_price, amount FROM preview_invoice('acme', '2025-02-01') WHERE item IN ('by_tier', 'one_cell') ORDER BY item, charge_group;
CALL run_invoicing(through => '2025-02-01') \gset
SELECT item, charge_group, quantity, unit_price, amount FROM draft_lines ORDER BY item, charge_group;
-- usage that no cell takes is not billed, and takes no unit price away from the rest
SELECT use('acme', 'one_cell', '2025-01-07', 5, '{"tier":"paper"}') \gset
CALL run_invoicing(through => '2025-02-01') \gset
SELECT item, quantity, unit_price, amount FROM draft_lines WHERE item = 'one_cell';
-- a second cell of another price does, and so does a price that changes
SELECT use('acme', 'two_cells', '2025-01-07', 1, '{"tier":"hdd"}'), use('acme', 'changed', '2025-01-07', 1, '{"tier":"hdd"}') \gset
CALL run_invoicing(through => '2025-02-01') \gset
SELECT item, quantity, unit_price, amount FROM draft_lines WHERE item IN ('two_cells', 'changed') ORDER BY item;
-- the one pass over usage finds the same
SET billing.one_pass_above = 0;
SELECT use('acme', 'one_cell', '2025-01-08', 1, '{"tier":"ssd"}') \gset
CALL run_invoicing(through => '2025-02-01') \gset
RESET billing.one_pass_above;
SELECT item, quantity, unit_price, amount FROM draft_lines WHERE item IN ('one_cell', 'plain') ORDER BY item;
-- final lines, the printed invoice, and FOCUS: by unit, with the cost before it was rounded, where the price says so
SELECT invoice_id FROM finalize_invoices(through => '2025-02-01', issue_date => '2025-02-01') \gset
SELECT item, charge_group, quantity, unit_price, amount FROM invoice_lines ORDER BY item, charge_group;
SELECT line FROM regexp_split_to_table(invoice_text(:invoice_id), E'\n') WITH ORDINALITY AS t(line, no) WHERE line ~ '^ *\d+ ' ORDER BY no;
SELECT c ->> 'SkuId' AS item, c -> 'Tags' AS tags, c ->> 'PricingQuantity' AS quantity, c ->> 'PricingUnit' AS unit, c ->> 'ListUnitPrice' AS list_price, c ->> 'ContractedUnitPrice' AS contracted_price,
       c ->> 'ListCost' AS list, c ->> 'ContractedCost' AS contracted, c ->> 'BilledCost' AS billed
  FROM focus_of_charges('[2025-02-01,2025-03-01)') AS c ORDER BY 1, 2;
SELECT * FROM wrong;
