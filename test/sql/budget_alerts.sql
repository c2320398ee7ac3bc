-- Budgets: what counts, periods, levels told once, restated periods, the tree, blocking.
\set ECHO none
\set test_database billing_budget_alerts
\getenv source PG_ABS_SRCDIR
\set include :source /lib/cost.psql
\i :include
\set ECHO all
SELECT set_cost_center('department', 'product') \g /dev/null
SELECT set_cost_center('department', 'search', parent => 'product'), set_cost_center('department', 'ads', parent => 'product') \g /dev/null
SELECT set_allocation_scheme('department');
SELECT set_allocation_rule('department', 'team', 1, '{"target_from": "tag:team"}', '{"tag": "team", "exists": true}', pools => '{cost,tax,credit}');
SELECT stage('A', 'compute', 70, 10, tags => '{"team": "search"}', starts => '2026-10-02Z'), stage('A', 'compute', 20, tags => '{"team": "ads"}', starts => '2026-10-05Z'),
       stage('A', 'tax', 19, tags => '{"team": "ads"}', category => 'Tax'), stage('A', 'credit', -9, tags => '{"team": "ads"}', category => 'Credit'), stage('B', 'compute', 10, tags => '{"team": "ads"}', currency => 'USD');
SELECT take();
CALL allocate('[2026-10-01,2026-11-01)');

-- the tree rolls up; net of tax and credits; effective cost; a tag; a year that begins in October; a currency without a rate
SELECT set_budget('product', 110, 'EUR', scheme => 'department', cost_center => 'product', action => 'block');
SELECT set_budget('product net', 110, 'EUR', scheme => 'department', cost_center => 'product', with_tax => false, with_credits => false);
SELECT set_budget('search', 100, 'EUR', scheme => 'department', cost_center => 'search', measure => 'effective');
SELECT set_budget('tagged', 1000, 'EUR', tag => 'Team', value => 'ads', every => 'quarter');
SELECT set_budget('year', 5000, 'EUR', scheme => 'department', cost_center => 'ads', every => 'year', fiscal_start => 10);
SELECT set_budget('nothing', 0, 'EUR', scheme => 'department', cost_center => 'web');
SELECT set_budget('total', 90, 'EUR', scheme => 'department', cost_center => 'search', every => 'total', valid_from => '2026-09-15', valid_to => '2026-12-15');
SELECT budget, period, "limit", actual, percent, forecast, method, limit_reached_on, days_until_limit, level, uncounted FROM budget_status('2026-10-10') ORDER BY budget;
SELECT set_exchange_rate('USD', 'EUR', '2026-10-01', '2026-11-01', 0.5);
SELECT budget, actual, level, uncounted FROM budget_status('2026-10-10') WHERE budget LIKE 'product%' ORDER BY budget;

-- told once; a jump over both levels tells critical and notes the warning
SELECT may_create(scheme => 'department', cost_center => 'search', day => '2026-10-10');
SELECT check_budgets('2026-10-10');
SELECT budget, period, level, kind, actual, "limit", forecast, method FROM budget_alerts ORDER BY 1, 3;
SELECT check_budgets('2026-10-11');
SELECT may_create(scheme => 'department', cost_center => 'search', day => '2026-10-11'), may_create(scheme => 'department', cost_center => 'web', day => '2026-10-11'),
       may_create(scheme => 'department', cost_center => 'search', day => '2026-11-11');

-- a higher limit from now on; armed again only on request
SELECT set_budget_limit('product', 200);
SELECT check_budgets('2026-10-12');
SELECT reset_alert('product', day => '2026-10-12');
SELECT may_create(scheme => 'department', cost_center => 'search', day => '2026-10-12');
SELECT check_budgets('2026-10-12');
SELECT set_budget_limit('product', 120);
SELECT check_budgets('2026-10-12');
SELECT budget, level, kind, "limit", reset_at IS NOT NULL AS reset FROM budget_alerts WHERE budget = 'product' ORDER BY alert;

-- a month that is over is restated
SELECT check_budgets('2026-11-02');
SELECT stage('A', 'compute', 99, 99, tags => '{"team": "search"}', starts => '2026-10-02Z');
SELECT take();
CALL allocate('[2026-10-01,2026-11-01)');
SELECT check_budgets('2026-11-05');
SELECT budget, period, level, kind, actual FROM budget_alerts WHERE kind = 'restated' ORDER BY 1, 3;
SELECT check_budgets('2026-11-05');

-- charges of an account and of all below it
SELECT set_seller('s', legal_name => 'S', country => 'DE', currency => 'EUR'), set_account('acme', starts_on => '2026-10-01') \g /dev/null
SELECT set_account('team', parent => 'acme', starts_on => '2026-10-01'), set_meter('calls', unit => 'call') \g /dev/null
SELECT set_price('calls', '{"model": "per_unit", "currency": "EUR", "unit_price": "2"}', valid_from => '2026-10-01') \g /dev/null
SELECT outcome FROM record_usage('[{"id": "1", "account": "team", "meter": "calls", "at": "2026-10-05T10:00:00Z", "quantity": "6"}, {"id": "2", "account": "acme", "meter": "calls", "at": "2026-10-05T10:00:00Z", "quantity": "1"}]');
CALL run_invoicing('2026-11-01', NULL) \g /dev/null
SELECT set_budget('acme', 10, 'EUR', account => 'acme'), set_budget('calls of team', 20, 'EUR', account => 'team', meter => 'calls', action => 'block') \g /dev/null
SELECT budget, actual, level FROM budget_status('2026-10-31') WHERE budget IN ('acme', 'calls of team') ORDER BY 1;

-- a level is reached, not passed: exactly so many percent, and a limit that is a cent higher
SELECT set_budget('at warning', 20, 'EUR', account => 'acme', warning => 70), set_budget('below warning', 20.01, 'EUR', account => 'acme', warning => 70),
       set_budget('at critical', 16, 'EUR', account => 'acme', critical => 87.5), set_budget('below critical', 16.01, 'EUR', account => 'acme', critical => 87.5) \g /dev/null
SELECT budget, round(actual / "limit" * 100, 6) AS percent, level FROM budget_status('2026-10-31') WHERE budget LIKE 'at %' OR budget LIKE 'below %' ORDER BY 1;

-- what is refused
SELECT fails($$ SELECT set_budget('x', 1, 'EUR') $$);
SELECT fails($$ SELECT set_budget('x', 1, 'EUR', tag => 'team') $$);
SELECT fails($$ SELECT set_budget('x', 1, 'EUR', account => 'acme', measure => 'billed') $$);
SELECT fails($$ SELECT set_budget('x', -1, 'EUR', account => 'acme') $$);
SELECT fails($$ SELECT set_budget('x', 1, 'EUR', account => 'acme', every => 'total') $$);
SELECT fails($$ SELECT set_budget('x', 1, 'EUR', account => 'acme', action => 'shout') $$);
SELECT fails($$ SELECT reset_alert('x') $$);
