-- A chain of rating modules prices charges as it prices quotes: each usage row by itself.
\set ECHO none
\set test_database billing_rating_modules
\getenv source PG_ABS_SRCDIR
\set include :source /lib/rating.psql
\i :include
SELECT set_seller('northwind', legal_name => 'Northwind GmbH', country => 'DE', currency => 'EUR') \gset
SELECT set_account('acme', time_zone => 'UTC', starts_on => '2025-01-01'), set_account('berlin', time_zone => 'Europe/Berlin', starts_on => '2025-01-01') \gset
SELECT set_meter('compute', unit => 'instance-hour'), set_meter('image', unit => 'GiB-hour', dimensions => '{project}', factor => '1/4'), set_meter('calls', unit => 'call', aggregation => 'count'),
       set_meter('disk', unit => 'GiB', aggregation => 'max') \gset
-- What quote() says of the usage rows that were recorded, one by one, as they lie in the account's time.
CREATE FUNCTION public.quoted(account text, meter text) RETURNS monetary LANGUAGE sql AS $$
    SELECT sum(quote(jsonb_build_object('service', meter, 'volume', CASE meter WHEN 'calls' THEN '1' ELSE quantity(u.consumed)::text END,
                                        'desc', CASE WHEN r.key IS NULL THEN '{}' ELSE jsonb_build_object('resource', r.key) END || u.dimensions), at => starts_at(u.consumed)))
      FROM billing.usage AS u JOIN billing.account AS a USING (account_id) JOIN billing.item AS i ON i.item_id = u.meter_id LEFT JOIN billing.resource AS r ON r.account_id = u.account_id AND r.resource_id = u.resource_id
     WHERE a.key = account AND i.key = meter $$;
CREATE FUNCTION public.charged(account text, meter text) RETURNS TABLE (exact monetary, problem text) LANGUAGE sql AS $$
    SELECT sum(c.owed_exact), min(c.problem) FROM charges(account, '[2025-01-01,2026-01-01)') AS c WHERE c.item = meter $$;
SET client_min_messages = error;     -- lint() warns of the cliff of the threshold
\set ECHO all
-- hashmap with a threshold of the quantity, which each row reaches or not; then a night rate, then a surcharge.
SELECT set_rating_rule('compute', 1, field => 'flavor', value => 'small', valid_from => '2025-01-01', force => true),
       set_rating_rule('compute', 3, field => 'flavor', value => 'large', valid_from => '2025-01-01', force => true),
       set_rating_rule('compute', 0.9, 'rate', level => 10, valid_from => '2025-01-01', force => true) \gset
CREATE SCHEMA shop;
CREATE FUNCTION shop.night(point jsonb) RETURNS numeric LANGUAGE sql IMMUTABLE
    AS $$ SELECT CASE WHEN substr(point ->> 'local_at', 12, 5) >= '22:00' THEN (point ->> 'price')::numeric / 2 END $$;
CREATE FUNCTION shop.gpu(point jsonb) RETURNS numeric LANGUAGE sql IMMUTABLE
    AS $$ SELECT CASE WHEN point #>> '{dimensions,gpu}' = 'true' THEN (point ->> 'price')::numeric + 0.5 * (point ->> 'quantity')::numeric END $$;
SELECT fails($$ SELECT set_rating_module('night', routine => 'shop.night(jsonb)') $$);
GRANT USAGE ON SCHEMA shop TO billing_owner;
SELECT set_rating_module('night', priority => 0, routine => 'shop.night(jsonb)'), set_rating_module('gpu', priority => -1, routine => 'shop.gpu(jsonb)'), set_rating_module('noop', enabled => true) \gset
SELECT apply_rating_rules('compute');
SELECT c ->> 'module' AS module, c ->> 'routine' AS routine, length(c ->> 'digest') AS digest FROM prices AS p, jsonb_array_elements(p.chain) AS c WHERE item = 'compute';
SELECT sum(use(a, 'compute', '2025-01-03 12:00', 10, '{"flavor": "small"}')), sum(use(a, 'compute', '2025-01-03 13:00', 9, '{"flavor": "large"}', resource => 'vm-1')), sum(use(a, 'compute', '2025-01-03 22:30', 4, '{"flavor": "large", "gpu": "true"}')),
       sum(use(a, 'compute', '2025-01-03 21:00', 12.5, '{"flavor": "small", "gpu": "true"}')), sum(use(a, 'compute', '2025-01-04', 7, '{"flavor": "unknown"}'))
  FROM unnest('{acme,berlin}'::text[]) AS a \gset
SELECT c.exact, quoted('acme', 'compute') AS quoted, c.problem FROM charged('acme', 'compute') AS c;
-- 22:00 is an hour earlier there
SELECT c.exact, c.problem FROM charged('berlin', 'compute') AS c;
SELECT item, quantity, unit_price, line_amount FROM preview_invoice('acme', through => '2025-02-01');
CALL run_invoicing(through => '2025-02-01') \gset
SELECT number, payer, total FROM finalize_invoices(through => '2025-02-01');
SELECT e.stage, e.what, e.quantity, e.amount FROM billing.line AS l CROSS JOIN LATERAL explain_line(l.line_id) AS e WHERE l.account_key = 'acme' AND e.stage <> 'tax' ORDER BY e.step;
SELECT count(*), sum(u.counted) FROM billing.line AS l CROSS JOIN LATERAL line_usage(l.line_id) AS u WHERE l.account_key = 'acme';
TABLE wrong;

-- Without functions rules are rated as before, by what rows add up to; each_row does it as CloudKitty.
SELECT set_rating_module('night', enabled => false), set_rating_module('gpu', enabled => false) \gset
SELECT quote('[{"service": "compute", "desc": {"flavor": "small"}, "volume": "6"}, {"service": "compute", "desc": {"flavor": "small"}, "volume": "4"}]', at => '2025-03-01');
SELECT set_account('plain', time_zone => 'UTC', starts_on => '2025-01-01') \gset
SELECT use('plain', 'compute', '2025-01-03', 6, '{"flavor": "small"}'), use('plain', 'compute', '2025-01-05', 4, '{"flavor": "small"}') \gset
SELECT fails($$ SELECT apply_rating_rules('compute') $$);
SELECT apply_rating_rules('compute', applies_to => 'open');
SELECT chain FROM prices WHERE item = 'compute';
SELECT c.exact FROM charged('plain', 'compute') AS c;
SELECT apply_rating_rules('compute', applies_to => 'open', each_row => true);
SELECT jsonb_path_query_array(chain, '$[*].module') AS chain FROM prices WHERE item = 'compute';
SELECT c.exact, quoted('plain', 'compute') AS quoted FROM charged('plain', 'compute') AS c;
-- alike or not, without the field, of a resource: each as quote prices it; a row that names another service costs nothing here
SELECT use('plain', 'compute', '2025-01-06', 6, '{"flavor": "small"}'), use('plain', 'compute', '2025-01-07', 6, '{"flavor": "small", "zone": "b"}', resource => 'vm'), use('plain', 'compute', '2025-01-08', 6.5, '{"flavor": "large"}'),
       use('plain', 'compute', '2025-01-09', 5), use('plain', 'compute', '2025-01-10', 12, '{"flavor": "small"}') \gset
SELECT c.exact, quoted('plain', 'compute') AS quoted FROM charged('plain', 'compute') AS c;
SELECT use('plain', 'compute', '2025-01-11', 6, '{"flavor": "small", "service": "storage"}') \gset
SELECT c.exact FROM charged('plain', 'compute') AS c;
-- what was closed keeps its chain: late usage is priced by it, and what the new price would change is held
SELECT use('acme', 'compute', '2025-01-05 23:00', 4, '{"flavor": "large"}') \gset
CALL run_invoicing(through => '2025-02-01') \gset
SELECT account, quantity, amount, billed_before, causes FROM drafts WHERE account = 'acme';
SELECT account, cause, correction FROM held_now ORDER BY account;
TABLE wrong;

-- A module holds from a day on, and charges are cut there; its function can be another one.
SELECT set_rating_module('night', enabled => true, valid_from => '2025-03-15') \gset
CREATE FUNCTION shop.night_2(point jsonb) RETURNS numeric LANGUAGE sql IMMUTABLE BEGIN ATOMIC SELECT (point ->> 'price')::numeric / 4; END;
SELECT set_rating_module('night', routine => 'shop.night_2(jsonb)', valid_from => '2025-03-20', valid_to => '2025-03-25') \gset
SELECT name, enabled, routine, valid_from, valid_to FROM rating_modules WHERE name = 'night' ORDER BY valid_from NULLS FIRST;
SELECT apply_rating_rules('compute', applies_to => 'open');
SELECT lower(p.valid), upper(p.valid), jsonb_path_query_array(chain, '$[*].routine') AS chain FROM billing.price AS p WHERE upper_inf(p.known) AND p.chain IS NOT NULL ORDER BY 1;
SELECT sum(use('acme', 'compute', d + time '22:30', 1, '{"flavor": "large"}')) FROM unnest('{2025-03-14,2025-03-15,2025-03-20,2025-03-25}'::date[]) AS d \gset
SELECT use('acme', 'compute', '2025-03-19 12:00', 4, '{"flavor": "large"}', to_at => '2025-03-21 12:00') \gset
SELECT c.period_from, c.quantity, c.owed FROM charges('acme', '[2025-03-01,2025-04-01)') AS c;

-- A function that was replaced is no other amount but an error, until the rules are applied again; the other charges are billed.
SELECT set_account('other', time_zone => 'UTC', starts_on => '2025-03-01') \gset
SELECT use('other', 'compute', '2025-03-16 23:00', 2, '{"flavor": "large"}'), use('other', 'compute', '2025-03-02', 2, '{"flavor": "large"}') \gset
SELECT owed, problem FROM charges('other', '[2025-03-01,2025-04-01)');
CREATE OR REPLACE FUNCTION shop.night(point jsonb) RETURNS numeric LANGUAGE sql IMMUTABLE AS $$ SELECT 0.01 $$;
SELECT owed, problem FROM charges('other', '[2025-03-01,2025-04-01)');
CALL run_invoicing(through => '2025-04-01') \gset
SELECT sqlstate, detail FROM run_errors WHERE account = 'other';
SELECT apply_rating_rules('compute', applies_to => 'open') \gset
SELECT owed, problem FROM charges('other', '[2025-03-01,2025-04-01)');
CREATE OR REPLACE FUNCTION shop.night(point jsonb) RETURNS numeric LANGUAGE sql STABLE AS $$ SELECT 0.01 $$;
SELECT problem FROM charges('other', '[2025-03-01,2025-04-01)');
SELECT fails($$ SELECT apply_rating_rules('compute', applies_to => 'open') $$);
DROP FUNCTION shop.night(jsonb);
SELECT problem FROM charges('other', '[2025-03-01,2025-04-01)');
SELECT fails($$ SELECT apply_rating_rules('compute', applies_to => 'open') $$);
SELECT fails($$ SELECT quote('{"service": "compute", "desc": {"flavor": "small"}}', at => '2025-03-16') $$);
-- so is what a function raises, or a number that is no amount
CREATE FUNCTION shop.night(point jsonb) RETURNS numeric LANGUAGE sql IMMUTABLE AS $$ SELECT 1 / (point ->> 'quantity')::numeric::int $$;
SELECT apply_rating_rules('compute', applies_to => 'open') \gset
SELECT use('other', 'compute', '2025-03-17', 0.2, '{"flavor": "large"}') \gset
SELECT problem FROM charges('other', '[2025-03-01,2025-04-01)');
CREATE OR REPLACE FUNCTION shop.night(point jsonb) RETURNS numeric LANGUAGE sql IMMUTABLE AS $$ SELECT 'NaN'::numeric $$;
SELECT apply_rating_rules('compute', applies_to => 'open') \gset
SELECT problem FROM charges('other', '[2025-03-01,2025-04-01)');
CREATE OR REPLACE FUNCTION shop.night(point jsonb) RETURNS numeric LANGUAGE sql IMMUTABLE AS $$ SELECT 1e15 $$;
SELECT apply_rating_rules('compute', applies_to => 'open') \gset
SELECT problem FROM charges('other', '[2025-03-01,2025-04-01)');

-- A meter without rules: the chain goes with its prices, of one row each.  Groups, conversion, counted rows.
SELECT set_rating_module('night', enabled => false), set_rating_module('gpu', enabled => true) \gset
SELECT set_price('image', '{"model":"per_unit","currency":"EUR","unit_price":"0.2"}', valid_from => '2025-02-01'), set_price('calls', '{"model":"per_unit","currency":"EUR","unit_price":"0.03"}', valid_from => '2025-02-01'),
       set_price('disk', '{"model":"per_unit","currency":"EUR","unit_price":"1"}', valid_from => '2025-02-01') \gset
SELECT apply_rating_rules('image'), apply_rating_rules('calls') \gset
SELECT use('plain', 'image', '2025-02-01', 8, '{"project": "a", "gpu": "true"}'), use('plain', 'image', '2025-02-01', 4, '{"project": "b"}'), use('plain', 'image', '2025-02-02', 6, '{"project": "a"}'),
       use('plain', 'calls', '2025-02-01', 9, '{"gpu": "true"}'), use('plain', 'calls', '2025-02-01', 1) \gset
SELECT item, charge_group, quantity, owed_exact FROM charges('plain', '[2025-02-01,2025-03-01)');
SELECT quoted('plain', 'calls');
SELECT fails($$ SELECT apply_rating_rules('disk') $$);
SELECT set_price('calls', '{"model":"graduated","currency":"EUR","tiers":[{"up_to":"10","unit_price":"1"},{"unit_price":"0.5"}]}', valid_from => '2025-06-01') \gset
SELECT fails($$ SELECT apply_rating_rules('calls') $$);
-- a meter that no longer adds up cannot be rated by rows
SELECT set_meter('image', aggregation => 'max') \gset
SELECT problem FROM charges('plain', '[2025-02-01,2025-03-01)') WHERE item = 'image';
-- without hashmap only functions say prices
SELECT set_rating_module('hashmap', enabled => false) \gset
SELECT set_price('calls', '{"model":"per_unit","currency":"EUR","unit_price":"0.03"}', valid_from => '2025-06-01'), apply_rating_rules('calls') \gset
SELECT item, owed_exact, quoted('plain', 'calls') FROM charges('plain', '[2025-02-01,2025-03-01)') WHERE item = 'calls';

-- What can be a module: immutable, and no code of somebody with fewer rights than the ledger's owner, as whom charges are rated.
CREATE FUNCTION shop.now(point jsonb) RETURNS numeric LANGUAGE sql STABLE AS $$ SELECT extract(epoch FROM now()) $$;
CREATE FUNCTION shop.mine(point jsonb) RETURNS numeric LANGUAGE sql IMMUTABLE AS $$ SELECT 1.0 $$;
CREATE ROLE billing_rating_modules_clerk;
ALTER FUNCTION shop.mine(jsonb) OWNER TO billing_rating_modules_clerk;
SELECT fails($$ SELECT set_rating_module('mine', routine => 'shop.now(jsonb)') $$);
SELECT fails($$ SELECT set_rating_module('mine', routine => 'shop.mine(jsonb)') $$);
SELECT fails($$ SELECT set_rating_module('mine', routine => 'shop.none(jsonb)') $$);
ALTER FUNCTION shop.mine(jsonb) SECURITY DEFINER;
SELECT fails($$ SELECT set_rating_module('mine', routine => 'shop.mine(jsonb)') $$);
-- a quote asks nothing that charges would not ask: its caller's rights are lent to nobody
SELECT quote('{"service": "compute", "desc": {"flavor": "small"}}', at => '2025-08-01') IS NOT NULL AS quoted;
ALTER FUNCTION shop.mine(jsonb) SECURITY INVOKER;
SELECT fails($$ SELECT quote('{"service": "compute", "desc": {"flavor": "small"}}', at => '2025-08-01') $$);
ALTER FUNCTION shop.mine(jsonb) SECURITY DEFINER;
REVOKE EXECUTE ON FUNCTION shop.mine(jsonb) FROM PUBLIC;
SELECT fails($$ SELECT set_rating_module('mine', routine => 'shop.mine(jsonb)') $$);
DROP OWNED BY billing_rating_modules_clerk;
DROP ROLE billing_rating_modules_clerk;
