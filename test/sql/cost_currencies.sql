-- Cost in one currency with its rates, months confirmed without cost, what nobody bears, and what was known before, for readers too.
\set ECHO none
\set test_database billing_cost_currencies
\getenv source PG_ABS_SRCDIR
\set include :source /lib/cost.psql
\i :include
\set ECHO all
SELECT stage('A', 'a', 10, tags => '{"team": "search"}', starts => '2026-10-02 00:00Z'), stage('A', 'a', 1, tags => '{"team": "ads"}'), stage('A', 'untagged', 3), stage('A', 'support', 7),
       stage('B', 'b', 100, tags => '{"team": "search"}', currency => 'USD', starts => '2026-10-02 00:00Z'), stage('B', 'b', 50, tags => '{"team": "search"}', currency => 'USD', starts => '2026-10-20 23:00Z'),
       stage('B', 'b', 9, tags => '{"team": "ads"}', currency => 'GBP') \g /dev/null
SELECT take();
SELECT set_allocation_scheme('department');
SELECT set_allocation_rule('department', 'support', 1, '{"exclude": true}', '{"column": "ServiceName", "equals": "support"}');
SELECT set_allocation_rule('department', 'team', 2, '{"target_from": "tag:team"}', '{"tag": "team", "exists": true}');
CALL allocate('[2026-10-01,2026-11-01)') \g /dev/null
SELECT department, currency, billed, direct_billed, shared_billed, unallocated_billed, excluded_billed FROM cost_by_department ORDER BY 1, 2;

SELECT cost_center, currency, billed_now, billed_then, nobody FROM what_if('department', '[2026-10-01,2026-11-01)', '[{"key": "support"}]');

-- the rate of each day stays on the row; what has none is there without
SELECT set_exchange_rate('USD', 'EUR', '2026-10-01', '2026-10-11', 0.5), set_exchange_rate('USD', 'EUR', '2026-10-11', '2026-11-01', 0.6) \g /dev/null
SET timezone = 'Asia/Shanghai';
SELECT scheme, cost_center, outcome, from_currency, rate_valid, rate, billed, converted_billed FROM cost_in_currency('[2026-10-01,2026-11-01)', 'EUR');
SET timezone = 'UTC';
SELECT fails($$ SELECT * FROM cost_in_currency('[2026-10-01,2026-11-01)', 'eur') $$);

-- a month without cost is confirmed like any other, once
SELECT confirm_month('[2026-08-01,2026-09-01)', 'EUR', 'USD');
SELECT fails($$ SELECT confirm_month('[2026-08-01,2026-09-01)', 'USD') $$);
SELECT fails($$ SELECT confirm_month('[2026-08-01,2026-09-01)', 'euro') $$);
SELECT period, currency, rows FROM confirmed_months ORDER BY 2;

-- what was known before, as a reader
SELECT clock_timestamp() AS before_restatement \gset
SELECT stage('A', 'a', 11, tags => '{"team": "search"}', starts => '2026-10-02 00:00Z') \g /dev/null
SELECT take();
SET ROLE billing_reader;
SELECT sum(billed), count(*) FROM costs_as_known('[2026-10-01,2026-11-01)', :'before_restatement') WHERE billing_account = 'A';
SELECT sum(billed), count(*) FROM costs_as_known('[2026-10-01,2026-11-01)') WHERE billing_account = 'A';
RESET ROLE;
