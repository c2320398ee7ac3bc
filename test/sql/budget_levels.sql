-- Budgets see what is going on now: charges of running periods, tags of every origin; and what they say of it stays true.
\set ECHO none
\set test_database billing_budget_levels
\getenv source PG_ABS_SRCDIR
\set include :source /lib/cost.psql
\i :include
\set ECHO all

-- charges of a period that no run has looked at yet count; fees are not multiplied by the forecast
SELECT set_seller('s', legal_name => 'S', country => 'DE', currency => 'EUR'), set_account('acme', starts_on => '2026-09-01'), set_account('kid', parent => 'acme', starts_on => '2026-09-01') \g /dev/null
SELECT set_meter('gpu', unit => 'HUR'), set_fee('seat', in_advance => false) \g /dev/null
SELECT set_price('gpu', '{"model": "per_unit", "currency": "EUR", "unit_price": "2"}', valid_from => '2026-09-01'), set_price('seat', '{"model": "per_unit", "currency": "EUR", "unit_price": "31"}', valid_from => '2026-09-01') \g /dev/null
SELECT set_subscription('acme', 'seat', starts_on => '2026-10-01') \g /dev/null
CALL maintain_partitions('[2026-09-01,2026-12-01)');
SELECT outcome FROM record_usage('[{"id": "0", "account": "kid", "meter": "gpu", "at": "2026-09-05T10:00:00Z", "quantity": "7"}, {"id": "1", "account": "kid", "meter": "gpu", "at": "2026-10-05T10:00:00Z", "quantity": "50"}]');
SELECT set_budget('acme', 250, 'EUR', account => 'acme', action => 'block'), set_budget('gpu', 200, 'EUR', account => 'acme', meter => 'gpu'), set_budget('quarter', 1000, 'EUR', account => 'kid', every => 'quarter', fiscal_start => 9) \g /dev/null
CALL run_invoicing('2026-10-10') \g /dev/null
SELECT budget, period, actual, percent, forecast, limit_reached_on, days_until_limit, level FROM budget_status('2026-10-10') ORDER BY 1;
SELECT outcome FROM record_usage('[{"id": "2", "account": "kid", "meter": "gpu", "at": "2026-10-11T10:00:00Z", "quantity": "60"}]');
SELECT may_create(account => 'kid', day => '2026-10-11');
SELECT check_budgets('2026-10-11');
SELECT may_create(account => 'kid', day => '2026-10-11');
SELECT budget, period, level, kind, actual, "limit" FROM budget_alerts ORDER BY 1, 3;
CALL run_invoicing('2026-11-02') \g /dev/null
SELECT budget, actual, forecast FROM budget_status('2026-10-31') ORDER BY 1;

-- a higher limit is judged at the next look, without arming the alert
SELECT set_budget_limit('acme', 1000);
SELECT check_budgets('2026-10-12');
SELECT may_create(account => 'kid', day => '2026-10-12');
SELECT count(*) FROM budget_alerts WHERE budget = 'acme' AND reset_at IS NOT NULL;

-- tags that a person or a rule gave count as those of the provider do, for budgets and in cost_by_tag; new things with a tag can be blocked
SELECT stage('A', 'compute', 30, resource => 'i-1', tags => '{"team": "ads"}'), stage('A', 'compute', 10.5, resource => 'i-2', tags => '{"team": "web"}') \g /dev/null
SELECT take();
SELECT set_resource('acme', 'i-1') \g /dev/null
SELECT set_tags('acme', 'i-1', '{"team": "search"}', valid_from => '2026-10-01') \g /dev/null
SELECT set_auto_tag_rule('apollo', 'project', '{"column": "ResourceId", "equals": "i-2"}', value => 'apollo') \g /dev/null
SELECT tag, value, currency, billed, rows FROM cost_by_tag WHERE billing_period = '[2026-10-01,2026-11-01)' ORDER BY 1, 2;
SELECT set_budget('tag search', 30, 'EUR', tag => 'Team', value => 'search', action => 'block'), set_budget('tag ads', 30, 'EUR', tag => 'team', value => 'ads'), set_budget('tag apollo', 10, 'EUR', tag => 'project', value => 'apollo') \g /dev/null
SELECT budget, actual, level FROM budget_status('2026-10-12') WHERE budget LIKE 'tag %' ORDER BY 1;
SELECT check_budgets('2026-10-12');
SELECT may_create(tag => 'user:Team', value => 'search', day => '2026-10-12'), may_create(tag => 'team', value => 'ads', day => '2026-10-12');

-- cost without an exchange rate is told, once: the budget cannot be judged
SELECT stage('B', 'compute', 50, tags => '{"team": "lab"}', currency => 'USD') \g /dev/null
SELECT take();
SELECT set_budget('tag lab', 10, 'EUR', tag => 'team', value => 'lab') \g /dev/null
SELECT check_budgets('2026-10-13'), check_budgets('2026-10-14');
SELECT level, kind, actual FROM budget_alerts WHERE budget = 'tag lab';

-- so is a charge that cannot be rated, in a running period and after a run
SELECT set_account('odd', starts_on => '2026-10-01'), set_price('gpu', '{"model": "per_unit", "currency": "EUR", "unit_price": "900000000000000"}', valid_from => '2026-09-01', account => 'odd') \g /dev/null
SELECT outcome FROM record_usage('[{"id": "3", "account": "odd", "meter": "gpu", "at": "2026-10-05T10:00:00Z", "quantity": "1000"}]');
SELECT set_budget('odd', 10, 'EUR', account => 'odd', valid_from => '2026-10-01'), set_budget('odd gpu', 10, 'EUR', account => 'odd', meter => 'gpu', valid_from => '2026-10-01') \g /dev/null
SELECT budget, actual, level, uncounted FROM budget_status('2026-10-14') WHERE budget LIKE 'odd%' ORDER BY 1;
CALL run_invoicing('2026-11-02') \g /dev/null
SELECT budget, actual, level, uncounted FROM budget_status('2026-10-14') WHERE budget LIKE 'odd%' ORDER BY 1;

-- restated is only what changes after the period was looked at once since its end; the first look back tells as usual
SELECT set_budget('late', 10, 'EUR', tag => 'team', value => 'web', valid_to => '2026-11-01') \g /dev/null
SELECT check_budgets('2026-11-10');
SELECT kind, level FROM budget_alerts WHERE budget = 'late' ORDER BY 2;
SELECT set_budget('later', 20, 'EUR', tag => 'team', value => 'web', valid_to => '2026-11-01') \g /dev/null
SELECT check_budgets('2026-11-11');
SELECT stage('A', 'compute', 30, resource => 'i-1', tags => '{"team": "ads"}'), stage('A', 'compute', 30, resource => 'i-2', tags => '{"team": "web"}') \g /dev/null
SELECT take();
SELECT check_budgets('2026-11-12');
SELECT kind, level FROM budget_alerts WHERE budget = 'later' ORDER BY 2;

-- the day on which the limit is reached is in the period or not at all
SELECT set_budget('far', 85, 'EUR', tag => 'team', value => 'web'), set_budget('near', 70, 'EUR', tag => 'team', value => 'web') \g /dev/null
SELECT budget, actual, forecast, limit_reached_on, days_until_limit FROM budget_status('2026-10-12') WHERE budget IN ('far', 'near') ORDER BY 1;

-- an endpoint must be there when it is named; one that goes away silences nobody
SELECT fails($$ SELECT set_budget('x', 1, 'EUR', account => 'acme', endpoint => 'slak') $$);
CREATE SERVER slack FOREIGN DATA WRAPPER billing_custom OPTIONS (url 'https://hooks.example.com', connector 'shop.slack');
CREATE SERVER mail FOREIGN DATA WRAPPER billing_custom OPTIONS (url 'https://mail.example.com', connector 'shop.mail');
SELECT set_budget('a gone', 1, 'EUR', account => 'acme', endpoint => 'slack', valid_from => '2026-10-01'), set_budget('b there', 2, 'EUR', account => 'acme', endpoint => 'mail', valid_from => '2026-10-01') \g /dev/null
DROP SERVER slack;
SET datestyle = 'SQL, DMY';
SET timezone = 'Asia/Shanghai';
SELECT check_budgets('2026-10-15');
SELECT budget, level, kind, delivery, delivery_problem FROM budget_alerts WHERE budget IN ('a gone', 'b there') ORDER BY 1, 2;
SET datestyle = 'ISO, YMD';
SET timezone = 'UTC';
SELECT m.payload - 'alert' FROM message AS m WHERE m.kind = 'budget_alert';

-- what is refused
SELECT fails($$ SELECT set_budget('x', 1, 'EUR', account => 'acme', warning => 0) $$);
SELECT fails($$ SELECT set_budget('x', 1, 'EUR', account => 'acme', warning => 96) $$);
SELECT fails($$ SELECT set_budget('x', 1, 'EUR', account => 'acme', critical => NULL) $$);
SELECT fails($$ SELECT set_budget('x', 1, 'EUR', account => 'acme', fiscal_start => 13) $$);
SELECT fails($$ SELECT set_budget('x', 1, 'EUR', account => 'acme', with_tax => true) $$);

-- a meter of all accounts; a budget that is ended; alerts of what is over stay told
SELECT set_budget('all tokens', 10, 'EUR', meter => 'gpu', action => 'block') > 0 AS ok;
SELECT budget, percent > 0 AS spent, level FROM budget_status('2026-10-20') WHERE budget = 'all tokens';
SELECT check_budgets('2026-10-20') > 0 AS told;
SELECT may_create(meter => 'gpu', day => '2026-10-20'), may_create(account => 'acme', meter => 'gpu', day => '2026-10-20');
SELECT set_budget_limit('all tokens', NULL, valid_from => '2026-10-01');
SELECT count(*) FROM budget_status('2026-10-20') WHERE budget = 'all tokens';
SELECT check_budgets('2026-10-20');
SELECT may_create(meter => 'gpu', day => '2026-10-20');
SELECT reset_alert('all tokens', day => '2026-11-03');
SELECT fails($$ SELECT set_budget('none', NULL, 'EUR', meter => 'gpu') $$);
SELECT fails($$ SELECT set_budget('none', 1, 'EUR', meter => 'gpu', tag => 'team', value => 'x') $$);
SELECT fails($$ SELECT set_budget('none', 1, 'EUR', meter => 'gpu', measure => 'billed') $$);
-- a total over its revisions
SELECT set_budget('total', 1000, 'EUR', account => 'acme', every => 'total', valid_from => '2026-09-01', valid_to => '2027-01-01') > 0 AS ok;
SELECT set_budget_limit('total', 2000, '2026-10-15', '2027-01-01');
SELECT a.period, a."limit", b."limit" AS revised, a.actual <= b.actual AS grows, b.actual > 0 AS spent FROM budget_status('2026-10-14') AS a JOIN budget_status('2026-10-20') AS b USING (budget, period) WHERE a.budget = 'total';
-- judged by the forecast: told once, as such
SELECT actual, forecast FROM budget_status('2026-10-10') WHERE budget = 'acme' \gset
SELECT set_budget('ahead', round(:forecast / 1.2, 2), 'EUR', account => 'acme', on_forecast => true) > 0 AS ok, set_budget('not ahead', round(:forecast / 1.2, 2), 'EUR', account => 'acme') > 0 AS ok, :actual < :forecast / 1.3 AS not_spent_yet;
SELECT budget, level FROM budget_status('2026-10-10') WHERE budget LIKE '%ahead' ORDER BY 1;
SELECT check_budgets('2026-10-10') >= 1 AS told;
SELECT budget, level, kind, method FROM budget_alerts WHERE budget LIKE '%ahead' ORDER BY alert;
SELECT check_budgets('2026-10-10');
