-- Tax rates, cost centers, resources and tags, keys of other systems, custom fields, correction policies.
\set ECHO none
\set test_database billing_ledger_references
\getenv source PG_ABS_SRCDIR
\set include :source /lib/ledger.psql
\i :include
SELECT set_seller('northwind', legal_name => 'Northwind GmbH', country => 'DE', currency => 'EUR');
SELECT set_account('acme', time_zone => 'Europe/Berlin'), set_account('other');
CREATE FUNCTION public.rates(code text) RETURNS SETOF text LANGUAGE sql AS $$
    SELECT concat_ws(' ', t.category, t.meaning, t.rate, t.exemption_code, t.exemption_reason, coalesce(t.valid_from::text, '-'), coalesce(t.valid_to::text, '-'))
      FROM billing.tax_rates AS t WHERE t.tax_code = $1 ORDER BY t.valid_from NULLS FIRST $$;
\set ECHO all

-- tax rates over time
SELECT writes($$ SELECT set_tax_rate('DE19', 19) $$);
SELECT writes($$ SELECT set_tax_rate('DE19', 19.0) $$);
SELECT writes($$ SELECT set_tax_rate('DE19', 16, valid_from => '2020-07-01', valid_to => '2021-01-01') $$);
SELECT writes($$ SELECT set_tax_rate('DE19', 16, valid_from => '2020-07-01', valid_to => '2021-01-01') $$);
SELECT rates('DE19');
SELECT set_tax_rate('DE19', 19), set_tax_rate('DE19', 19);
SELECT rates('DE19');
-- what categories imply
SELECT set_tax_rate('RC', category => 'AE'), set_tax_rate('EU', category => 'K'), set_tax_rate('EX', category => 'G'), set_tax_rate('OUT', category => 'O'), set_tax_rate('ZERO', category => 'Z');
SELECT set_tax_rate('CARE', category => 'E', exemption_reason => 'Medical care', exemption_code => 'VATEX-EU-132-1C');
SELECT rates('RC'), rates('EU'), rates('EX'), rates('OUT'), rates('ZERO'), rates('CARE');
-- bad input
SELECT fails($$ SELECT set_tax_rate('', 19) $$);
SELECT fails($$ SELECT set_tax_rate('X') $$);
SELECT fails($$ SELECT set_tax_rate('X', -1) $$);
SELECT fails($$ SELECT set_tax_rate('X', 'NaN') $$);
SELECT fails($$ SELECT set_tax_rate('X', 0) $$);
SELECT fails($$ SELECT set_tax_rate('X', 19, 'AE') $$);
SELECT fails($$ SELECT set_tax_rate('X', 19, 'Q') $$);
SELECT fails($$ SELECT set_tax_rate('X', category => 'E') $$);
SELECT fails($$ SELECT set_tax_rate('X', 19, exemption_reason => 'why') $$);
SELECT fails($$ SELECT set_tax_rate('X', 19, valid_from => '2026-01-01', valid_to => '2025-01-01') $$);
SELECT fails($$ SELECT set_tax_rate('X', 19, seller => 'nobody') $$);
-- a code that exists can be used
SELECT writes($$ SELECT set_account('acme', tax_code => 'RC') $$);

-- cost centers
SELECT writes($$ SELECT set_cost_center('department', 'it', name => 'IT') $$);
SELECT writes($$ SELECT set_cost_center('department', 'dev', parent => 'it') $$);
SELECT writes($$ SELECT set_cost_center('department', 'dev', parent => 'it') $$);
SELECT writes($$ SELECT set_cost_center('project', 'it') $$);
SELECT kind, cost_center, name, parent FROM cost_centers ORDER BY 1, 2;
SELECT fails($$ SELECT set_cost_center('department', 'it', parent => 'dev') $$);
SELECT fails($$ SELECT set_cost_center('department', 'it', parent => 'it') $$);
SELECT fails($$ SELECT set_cost_center('project', 'x', parent => 'dev') $$);
SELECT fails($$ SELECT set_cost_center('', 'x') $$);
SELECT fails($$ SELECT set_cost_center('project', NULL) $$);
SELECT writes($$ SELECT set_cost_center('department', 'dev', parent => '') $$);
SELECT kind, cost_center, parent FROM cost_centers WHERE cost_center = 'dev';

-- resources and tags
SELECT writes($$ SELECT set_resource('acme', 'vm-1', 'virtual machine') $$);
SELECT writes($$ SELECT set_resource('acme', 'vm-1') $$);
SELECT writes($$ SELECT set_tags('acme', 'vm-1', '{"team": "search", "stage": "test"}') $$);
SELECT writes($$ SELECT set_tags('acme', 'vm-1', '{"team": "search"}') $$);
SELECT set_tags('acme', 'vm-1', '{"team": "search"}'), set_tags('acme', 'vm-1', '{}');
SELECT account, resource, kind, tags FROM resources;
-- a day of local time: 1 May 2026 in Berlin begins at 22:00 UTC
SELECT writes($$ SELECT set_tags('acme', 'vm-1', '{"team": "ads"}', '2026-05-01', '2026-05-02') $$);
SELECT tag, value, valid FROM resource_tag WHERE tag = 'team' AND upper_inf(known) ORDER BY valid;
SELECT writes($$ SELECT set_tags('acme', 'vm-1', '{"team": null, "nothing": null}') $$);
SELECT account, resource, kind, tags FROM resources;
SELECT fails($$ SELECT set_resource('acme', '') $$);
SELECT fails($$ SELECT set_tags('acme', 'vm-2', '{"a": "b"}') $$);
SELECT fails($$ SELECT set_tags('acme', 'vm-1', '[1]') $$);
SELECT fails($$ SELECT set_tags('acme', 'vm-1', '{"a": ["b"]}') $$);
SELECT fails($$ SELECT set_tags('acme', 'vm-1', '{"": "b"}') $$);
SELECT fails($$ SELECT set_tags('acme', 'vm-1', '{"a": "b"}', '2026-05-02', '2026-05-01') $$);

-- keys of other systems
SELECT writes($$ SELECT set_external_key('account', find_account('acme'), 'sap', '4711') $$);
SELECT writes($$ SELECT set_external_key('account', find_account('acme'), 'sap', '4711') $$);
SELECT writes($$ SELECT set_external_key('account', find_account('acme'), 'sap', '4712') $$);
SELECT fails($$ SELECT set_external_key('account', find_account('other'), 'sap', '4712') $$);
SELECT writes($$ SELECT set_external_key('seller', find_seller('northwind'), 'sap', '4712') $$);
SELECT writes($$ SELECT set_external_key('account', find_account('other'), 'kill bill', '4712') $$);
SELECT object_type, system, key FROM external_key ORDER BY object_type, system;
SELECT set_external_key('account', find_account('acme'), 'sap', ''), set_external_key('account', find_account('acme'), 'sap', '');
SELECT set_external_key('account', find_account('other'), 'sap', '4712');
SELECT fails($$ SELECT set_external_key('customer', 1, 'sap', '1') $$);
SELECT fails($$ SELECT set_external_key('meter', 1, 'sap', '1') $$);
SELECT fails($$ SELECT set_external_key('account', NULL, 'sap', '1') $$);
SELECT fails($$ SELECT set_external_key('account', 1, '', '1') $$);

-- custom fields
SELECT writes($$ SELECT set_custom_field('account', find_account('acme'), 'segment', '"large"') $$);
SELECT writes($$ SELECT set_custom_field('account', find_account('acme'), 'segment', '"large"') $$);
SELECT writes($$ SELECT set_custom_field('account', find_account('acme'), 'segment', '{"size": 3}') $$);
SELECT name, value, upper_inf(known) FROM custom_field ORDER BY known;
SELECT writes($$ SELECT set_custom_field('account', find_account('acme'), 'segment', NULL) $$);
SELECT writes($$ SELECT set_custom_field('account', find_account('acme'), 'segment', 'null') $$);
SELECT name, value, upper_inf(known) FROM custom_field ORDER BY known;
SELECT fails($$ SELECT set_custom_field('account', 999, 'segment', '1') $$);
SELECT fails($$ SELECT set_custom_field('account', find_account('acme'), '', '1') $$);

-- correction policies
SELECT writes($$ SELECT set_correction_policy('price', 'bill', greatest_age => '3 months', greatest_amount => '100 EUR') $$);
SELECT writes($$ SELECT set_correction_policy('price', 'bill', greatest_age => '3 months', greatest_amount => '100 EUR') $$);
SELECT writes($$ SELECT set_correction_policy('price', 'hold', account => 'acme') $$);
SELECT seller, account, cause, action, greatest_age, greatest_amount, limit_amount, limit_currency FROM correction_policies ORDER BY account NULLS FIRST;
SELECT writes($$ SELECT set_correction_policy('price', 'bill') $$);
SELECT set_correction_policy('price', 'default'), set_correction_policy('price', 'default'), set_correction_policy('tax', 'default');
SELECT seller, account, cause, action, greatest_age FROM correction_policies;
SELECT fails($$ SELECT set_correction_policy('usage', 'hold') $$);
SELECT fails($$ SELECT set_correction_policy('weather', 'bill') $$);
SELECT fails($$ SELECT set_correction_policy('price', 'drop') $$);
SELECT fails($$ SELECT set_correction_policy('price', NULL) $$);
SELECT fails($$ SELECT set_correction_policy('price', 'bill', greatest_age => '-1 day') $$);
SELECT fails($$ SELECT set_correction_policy('price', 'bill', greatest_amount => '-1 EUR') $$);
SELECT fails($$ SELECT set_correction_policy('price', 'bill', seller => 'northwind', account => 'acme') $$);

\set QUIET on
\c contrib_regression
DROP DATABASE billing_ledger_references;
