-- Budgets: charges are net, and a forecast counts once what does not grow with the days.
\set ECHO none
\set test_database billing_budget_forecast
\getenv source PG_ABS_SRCDIR
\set include :source /lib/cost.psql
\i :include
\set ECHO all
SELECT set_seller('s', legal_name => 'S', country => 'DE', currency => 'EUR') \g /dev/null
SELECT set_account('acme', starts_on => '2026-09-01'), set_account('other', starts_on => '2026-09-01'), set_meter('gpu', unit => 'h'), set_meter('cpu', unit => 'h') \g /dev/null
SELECT set_price(m, '{"model": "per_unit", "currency": "EUR", "unit_price": "1"}', valid_from => '2026-09-01') FROM unnest('{gpu,cpu}'::text[]) AS m \g /dev/null
SELECT outcome FROM record_usage('[{"id": "1", "source": "x", "account": "acme", "meter": "gpu", "at": "2026-10-05T00:00:00Z", "quantity": "90"}, {"id": "2", "source": "x", "account": "other", "meter": "gpu", "at": "2026-10-05T00:00:00Z", "quantity": "20"},
                                   {"id": "3", "source": "x", "account": "acme", "meter": "cpu", "at": "2026-10-05T00:00:00Z", "quantity": "1000"}]');
-- charges are net: a budget says so instead of pretending
SELECT fails($$ SELECT set_budget('x', 100, 'EUR', account => 'acme', with_tax => true) $$), fails($$ SELECT set_budget('x', 100, 'EUR', account => 'acme', with_credits => false) $$);

-- what does not grow with the days counts once
SELECT set_allocation_scheme('department') \g /dev/null
SELECT set_allocation_rule('department', 'all', 1, '{"target": "search"}') \g /dev/null
SELECT stage('A', 'support', 100, category => 'Purchase', starts => '2026-10-01 00:00Z', tags => '{"team": "x"}'), stage('A', 'vm', 10, starts => '2026-10-01 00:00Z', tags => '{"team": "x"}') \g /dev/null
SELECT take();
CALL allocate('[2026-10-01,2026-11-01)') \g /dev/null
SELECT set_budget('cost', 300, 'EUR', scheme => 'department', cost_center => 'search'), set_budget('tagged', 300, 'EUR', tag => 'team', value => 'x') \g /dev/null
SELECT budget, actual, forecast, limit_reached_on FROM budget_status('2026-10-02') WHERE budget IN ('cost', 'tagged') ORDER BY 1;
