-- Rules of CloudKitty's hashmap kept as rows, quotes, and a chain of modules.
\set ECHO none
\set test_database billing_rating_rules
\getenv source PG_ABS_SRCDIR
\set include :source /lib/rating.psql
\i :include
SELECT set_seller('northwind', legal_name => 'Northwind GmbH', country => 'DE', currency => 'EUR') \gset
SELECT set_account('acme', time_zone => 'UTC', starts_on => '2025-01-01'), set_account('globex', time_zone => 'UTC', starts_on => '2025-01-01') \gset
SELECT set_meter('compute', unit => 'instance-hour'), set_meter('volume.size', unit => 'GiB-hour') \gset
CREATE FUNCTION price(description jsonb, volume text, service text DEFAULT 'compute') RETURNS numeric LANGUAGE sql
    AS $$ SELECT billing.amount(billing.quote(jsonb_build_object('resources', jsonb_build_array(jsonb_build_object('service', service, 'desc', description, 'volume', volume))), at => '2025-01-15')) $$;
\set ECHO all
\pset format unaligned
-- The rules of CloudKitty's own test: a service mapping, flavors and an image rate in group A, vcpus in group B, thresholds of memory.
SELECT fails($$ SELECT set_rating_rule('compute', 1.00, valid_from => '2025-01-01') $$);
SELECT set_rating_rule('compute', 1.00, valid_from => '2025-01-01', force => true) AS whole \gset
SELECT count(set_rating_rule('compute', cost, type, field, value, level, g, valid_from => '2025-01-01', force => true, name => 'test', description => 'from the tests'))
  FROM (VALUES (1.337, 'flat', 'flavor', 'm1.nano', NULL::numeric, 'A'), (1.42, 'flat', 'flavor', 'm1.tiny', NULL, 'A'), (16, 'flat', 'vcpus', '8', NULL, 'B'),
               (1.10, 'rate', 'image_id', 'a41fba37', NULL, 'A'), (0.15, 'flat', 'memory', NULL, 64, 'A'), (0.2, 'flat', 'memory', NULL, 128, 'A')) AS v(cost, type, field, value, level, g);
SELECT price('{"flavor": "m1.nano", "memory": "64", "image_id": "other", "vcpus": 1}', '1') AS nano, price('{"flavor": "m1.tiny", "memory": "512", "image_id": "a41fba37", "vcpus": 1}', '2') AS tiny,
       price('{"flavor": "m1.xlarge", "memory": "16384", "vcpus": 8}', '2') AS xlarge, price('{"flavor": "m1.nano", "memory": "64", "image_id": "a41fba37", "vcpus": 1}', '1') AS nano_image;
SELECT quote('{"resources": [{"service": "compute", "desc": {"flavor": "m1.nano", "memory": "64", "vcpus": 1}, "volume": "1"}, {"service": "compute", "desc": {"flavor": "none"}, "volume": 2}, {"service": "unknown", "volume": 5}]}', at => '2025-01-15');
SELECT quote('[{"meter": "compute", "dimensions": {"flavor": {"name": "x"}}, "quantity": "3"}]', at => '2025-01-15'), quote('{"service": "compute"}', at => '2025-01-15');
-- before the rules there is no price; without rules the price of the meter is asked
SELECT quote('{"service": "compute"}', at => '2024-12-31 23:59:59Z');
SELECT set_price('volume.size', '{"model":"per_unit","currency":"EUR","unit_price":"0.001"}', valid_from => '2025-01-01') \gset
SELECT price('{}', '20', 'volume.size');
-- a tenant's rule stands in for the general one
SELECT set_rating_rule('compute', 2, field => 'flavor', value => 'm1.tiny', rule_group => 'A', tenant => 'acme', valid_from => '2025-01-01', force => true) \gset
SELECT price('{"flavor": "m1.tiny", "tenant_id": "acme"}', '1') AS acme, price('{"flavor": "m1.tiny", "project_id": "acme"}', '1') AS project, price('{"flavor": "m1.tiny"}', '1') AS others;

-- Validity: two rules of one place do not hold at one time; a rule that has begun only ends; the past needs force.
SELECT fails($$ SELECT set_rating_rule('compute', 1.5, field => 'flavor', value => 'm1.nano', rule_group => 'A', valid_from => '2999-01-01') $$);
SELECT rule_id AS nano FROM rating_rules WHERE value = 'm1.nano' \gset
SELECT fails(format($$ SELECT end_rating_rule(%s, '2025-02-01') $$, :nano));
SELECT end_rating_rule(:nano, '2025-02-01', force => true);
SELECT set_rating_rule('compute', 1.5, field => 'flavor', value => 'm1.nano', rule_group => 'A', valid_from => '2025-02-01', force => true) AS later \gset
SELECT fails(format($$ SELECT end_rating_rule(%s, '2025-03-01', force => true) $$, :nano));
SELECT fails(format($$ SELECT end_rating_rule(%s, '2024-12-01', force => true) $$, :nano));
SELECT set_rating_rule('compute', 3, field => 'flavor', value => 'm1.future', valid_from => '2999-01-01', valid_to => '3000-01-01') AS future \gset
SELECT quote('{"service": "compute", "desc": {"flavor": "m1.nano"}}', at => '2025-01-31 23:59:59Z') AS before, quote('{"service": "compute", "desc": {"flavor": "m1.nano"}}', at => '2025-02-01 00:00Z') AS after;
-- Deleting leaves a trace; the place is free again.
SELECT delete_rating_rule(:future);
SELECT fails(format($$ SELECT delete_rating_rule(%s) $$, :future));
SELECT fails(format($$ SELECT end_rating_rule(%s, NULL) $$, :future));
SELECT set_rating_rule('compute', 4, field => 'flavor', value => 'm1.future', valid_from => '2999-06-01') \gset
SELECT service, field, rule_group, tenant, kind, value, level, type, cost, valid_from, valid_to, name, created_by = session_user AS created, updated_by = session_user AS updated, deleted_at IS NOT NULL AS deleted, deleted_by = session_user AS by_us
  FROM rating_rules ORDER BY rule_id;

-- Charges follow the rules once they are applied: a price for each span.
SELECT apply_rating_rules('compute');
SELECT p.valid, p.tariff FROM billing.price AS p JOIN billing.item AS i USING (item_id) WHERE i.key = 'compute' AND upper_inf(p.known) ORDER BY p.valid;
SELECT use('acme', 'compute', '2025-01-10', 10, '{"flavor": "m1.nano"}'), use('acme', 'compute', '2025-02-10', 10, '{"flavor": "m1.nano"}'), use('globex', 'compute', '2025-02-10', 2, '{"flavor": "m1.tiny", "vcpus": "8"}') \gset
SELECT a AS account, c.period_from, c.quantity, c.owed FROM unnest('{acme,globex}'::text[]) AS a, charges(a, '[2025-01-01,2025-03-01)') AS c ORDER BY 1, 2;
SELECT delete_rating_rule(:later) \gset
SELECT apply_rating_rules('compute');
SELECT c.period_from, c.owed FROM charges('acme', '[2025-01-01,2025-03-01)') AS c ORDER BY 1;

-- A tenant's rule is for its usage, whether tenant_id, project_id or only the account says whose it is.
SELECT set_rating_rule('volume.size', 1, valid_from => '2025-04-01', force => true), set_rating_rule('volume.size', 5, tenant => 'acme', valid_from => '2025-04-01', force => true) \gset
SELECT apply_rating_rules('volume.size') \gset
SELECT use('acme', 'volume.size', '2025-04-02', 1), use('acme', 'volume.size', '2025-04-03', 2, '{"project_id": "acme"}'), use('acme', 'volume.size', '2025-04-04', 4, '{"tenant_id": "other", "project_id": "acme"}'), use('globex', 'volume.size', '2025-04-05', 3) \gset
SELECT a AS account, c.quantity, c.owed FROM unnest('{acme,globex}'::text[]) AS a, charges(a, '[2025-04-01,2025-05-01)') AS c WHERE c.item = 'volume.size';

-- Modules: asked by priority, each given the price so far; a function of one's own is one.
SELECT name, priority, enabled, routine FROM rating_modules ORDER BY priority DESC;
CREATE FUNCTION public.surcharge(point jsonb) RETURNS numeric LANGUAGE sql IMMUTABLE AS $$ SELECT CASE WHEN point #>> '{dimensions,gpu}' = 'true' THEN (point ->> 'price')::numeric + 0.5 * (point ->> 'quantity')::numeric END $$;
CREATE FUNCTION public.half(point jsonb) RETURNS numeric LANGUAGE sql IMMUTABLE AS $$ SELECT (point ->> 'price')::numeric / 2 $$;
SELECT set_rating_module('gpu', priority => 0, routine => 'public.surcharge(jsonb)');
SELECT price('{"gpu": true}', '2') AS gpu, price('{}', '2') AS plain;
SELECT set_rating_module('half', priority => -1, routine => 'public.half(jsonb)');
SELECT price('{"gpu": true}', '2') AS added_then_halved;
SELECT set_rating_module('half', priority => 1);     -- before hashmap? equal priorities go by name: half, hashmap
SELECT price('{"gpu": true}', '2') AS halved_first;
SELECT set_rating_module('half', enabled => false), set_rating_module('noop', enabled => true), set_rating_module('hashmap', enabled => false);
SELECT price('{"gpu": true}', '2') AS only_gpu;
SELECT name, priority, enabled, routine, changed_by = session_user AS by_us FROM rating_modules ORDER BY priority DESC, name;
SELECT fails($$ SELECT set_rating_module('mine') $$);
SELECT fails($$ SELECT set_rating_module('mine', routine => 'pg_catalog.length(text)') $$);
SELECT fails($$ SELECT set_rating_module('noop', routine => 'public.half(jsonb)') $$);
-- the function runs with the rights of the ledger's owner, whoever asks
CREATE FUNCTION public.who(point jsonb) RETURNS numeric LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN RAISE EXCEPTION 'asked by %', current_user; END $$;
SELECT set_rating_module('who', routine => 'public.who(jsonb)') \gset
CREATE ROLE billing_rating_rules_reader ROLE CURRENT_USER;
GRANT billing_reader TO billing_rating_rules_reader;
SET ROLE billing_rating_rules_reader;
SELECT fails($$ SELECT billing.quote('{"service": "compute"}') $$);
RESET ROLE;
DROP ROLE billing_rating_rules_reader;

SELECT fails($$ SELECT quote('7') $$);
SELECT fails($$ SELECT quote('"resources"') $$);
SELECT fails($$ SELECT quote('{"service": "compute", "volume": "much"}') $$);
SELECT fails($$ SELECT quote('{"service": "compute"}', price_list => 'none') $$);
SELECT fails($$ SELECT set_rating_rule('compute', 1, field => 'flavor') $$);
SELECT fails($$ SELECT set_rating_rule('compute', 1, value => 'x') $$);
SELECT fails($$ SELECT set_rating_rule('compute', 1, field => 'f', value => 'x', level => 1) $$);
SELECT fails($$ SELECT set_rating_rule('compute', 1, 'factor') $$);
SELECT fails($$ SELECT set_rating_rule('compute', NULL) $$);
SELECT fails($$ SELECT set_rating_rule('compute', 1, level => -1) $$);
SELECT fails($$ SELECT set_rating_rule('compute', 1, price_list => 'none') $$);
SELECT fails($$ SELECT apply_rating_rules('compute', 'none') $$);
