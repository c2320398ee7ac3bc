-- Meters and fees: set_meter(), set_fee().
\set ECHO none
\set test_database billing_ledger_meters
\getenv source PG_ABS_SRCDIR
\set include :source /lib/ledger.psql
\i :include
\set ECHO all
SELECT set_seller('northwind', legal_name => 'Northwind GmbH', country => 'DE', currency => 'EUR') > 0;

SELECT writes($$ SELECT set_meter('tokens', unit => 'token') $$);
SELECT meter, name, seller, unit, aggregation, dimensions, filter, rounding, decimals, enabled FROM meters;
SELECT writes($$ SELECT set_meter('tokens', unit => 'token') $$);
SELECT writes($$ SELECT set_meter('tokens', name => 'Tokens', dimensions => '{model,resource}', filter => '{"region": ["eu", "us"]}', rounding => 'half_up', decimals => 2) $$);
SELECT meter, name, unit, aggregation, dimensions, filter, rounding, decimals, enabled FROM meters;
SELECT writes($$ SELECT set_meter('tokens', enabled => false) $$);
SELECT writes($$ SELECT set_meter('tokens', name => '', dimensions => '{}', filter => '{}', rounding => '', enabled => true) $$);
SELECT meter, name, unit, aggregation, dimensions, filter, rounding, decimals, enabled FROM meters;
-- former definitions stay on record, and one is known at any instant
SELECT count(*), count(*) FILTER (WHERE upper_inf(known)) FROM meter_definition;

-- aggregations and what they need
SELECT writes($$ SELECT set_meter('p95', unit => 'Mbit/s', aggregation => 'percentile', percentile => 0.95) $$);
SELECT writes($$ SELECT set_meter('users', unit => 'user', aggregation => 'unique_count', unique_dimension => 'user') $$);
SELECT meter, aggregation, percentile, unique_dimension FROM meters WHERE meter <> 'tokens' ORDER BY meter;
SELECT writes($$ SELECT set_meter('p95', aggregation => 'max') $$);
SELECT writes($$ SELECT set_meter('users', aggregation => 'count') $$);
SELECT meter, aggregation, percentile, unique_dimension FROM meters WHERE meter <> 'tokens' ORDER BY meter;

-- bad input
SELECT fails($$ SELECT set_meter('', unit => 'token') $$);
SELECT fails($$ SELECT set_meter('new') $$);
SELECT fails($$ SELECT set_meter('new', unit => '') $$);
SELECT fails($$ SELECT set_meter('new', unit => 'token', aggregation => 'median') $$);
SELECT fails($$ SELECT set_meter('new', unit => 'token', aggregation => 'percentile') $$);
SELECT fails($$ SELECT set_meter('new', unit => 'token', percentile => 0.5) $$);
SELECT fails($$ SELECT set_meter('new', unit => 'token', aggregation => 'percentile', percentile => 95) $$);
SELECT fails($$ SELECT set_meter('new', unit => 'token', aggregation => 'percentile', percentile => 'NaN') $$);
SELECT fails($$ SELECT set_meter('new', unit => 'token', unique_dimension => 'user') $$);
SELECT fails($$ SELECT set_meter('new', unit => 'token', rounding => 'up') $$);
SELECT fails($$ SELECT set_meter('new', unit => 'token', decimals => 2) $$);
SELECT fails($$ SELECT set_meter('new', unit => 'token', rounding => 'sideways', decimals => 2) $$);
SELECT fails($$ SELECT set_meter('new', unit => 'token', rounding => 'up', decimals => 21) $$);
SELECT fails($$ SELECT set_meter('new', unit => 'token', rounding => 'up', decimals => 100000) $$);
SELECT fails($$ SELECT set_meter('new', unit => 'token', dimensions => '{model,model}') $$);
SELECT fails($$ SELECT set_meter('new', unit => 'token', dimensions => '{model,NULL}') $$);
SELECT fails($$ SELECT set_meter('new', unit => 'token', filter => '["region"]') $$);
SELECT fails($$ SELECT set_meter('new', unit => 'token', filter => '{"region": "eu"}') $$);
SELECT fails($$ SELECT set_meter('new', unit => 'token', filter => '{"region": []}') $$);
SELECT fails($$ SELECT set_meter('new', unit => 'token', filter => '{"region": [{"eu": 1}]}') $$);
SELECT count(*) FROM meters WHERE meter = 'new';

-- fees
SELECT writes($$ SELECT set_fee('support', name => 'Support', in_advance => true) $$);
SELECT writes($$ SELECT set_fee('support', in_advance => true) $$);
SELECT writes($$ SELECT set_fee('support', name => '', unit => 'seat') $$);
SELECT fee, name, seller, unit, in_advance FROM fees;
SELECT fails($$ SELECT set_fee('') $$);
SELECT fails($$ SELECT set_fee('new', unit => '') $$);
SELECT count(*), count(*) FILTER (WHERE upper_inf(known)) FROM fee_definition;

-- one seller owns a key
SELECT set_seller('southwind', legal_name => 'Southwind Ltd', country => 'GB', currency => 'GBP') > 0;
SELECT fails($$ SELECT set_meter('new', unit => 'token') $$);
SELECT fails($$ SELECT set_meter('tokens', seller => 'southwind') $$);
SELECT fails($$ SELECT set_fee('support', seller => 'southwind') $$);
SELECT writes($$ SELECT set_meter('tokens', name => 'Tokens') $$);
SELECT writes($$ SELECT set_meter('calls', unit => 'call', seller => 'southwind') $$);
-- a meter and a fee may share a key
SELECT writes($$ SELECT set_fee('calls', seller => 'southwind') $$);
SELECT fails($$ SELECT find_item('calls') $$);
SELECT find_item('calls', 'fee') <> find_item('calls', 'meter');
SELECT fails($$ SELECT find_item('calls', 'plan') $$);

\set QUIET on
\c contrib_regression
DROP DATABASE billing_ledger_meters;
