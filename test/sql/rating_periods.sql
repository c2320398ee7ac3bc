-- Charge periods (rules 5 and 13): half-open spans of days that tile without holes, cut by the cycle day and the zone of the account.
\set ECHO none
\set test_database billing_rating_periods
\getenv source PG_ABS_SRCDIR
\set include :source /lib/rating.psql
\i :include
CREATE VIEW periods AS
    SELECT a.key AS account, p.period_no AS no, p.date_from, p.date_to, p.date_to - p.date_from AS days, p.date_to - p.full_from AS nominal_days,
           p.starts_at, p.ends_at, trim_scale(extract(epoch FROM p.ends_at - p.starts_at) / 3600) AS hours, p.time_zone
      FROM billing.charge_period AS p JOIN billing.account AS a USING (account_id) ORDER BY a.key, p.period_no;
\set ECHO all
SELECT set_seller('northwind', legal_name => 'Northwind GmbH', country => 'DE', currency => 'EUR') \gset
SELECT set_meter('calls', unit => 'call') \gset
SELECT set_price('calls', '{"model":"per_unit","currency":"EUR","unit_price":"1"}', valid_from => '2024-01-01') \gset

-- The pure matter of dates: a cycle day beyond the end of a month is its last day, and the cycle remembers the day.
SELECT day, next_cycle_date(day, 31) AS next, last_cycle_date(day, 31) AS last
  FROM unnest('{2025-01-30,2025-01-31,2025-02-01,2025-02-28,2024-02-28,2024-02-29,2025-04-30}'::date[]) AS day;
SELECT cycle_day, string_agg(to_char(cycle_date(month::date, cycle_day), 'MM-DD'), ' ' ORDER BY month) AS "2024, a leap year, and 2025"
  FROM unnest('{28,29,30,31}'::int[]) AS cycle_day, unnest('{2024-02-01,2024-03-01,2024-04-01,2025-02-01,2025-03-01,2025-04-01}'::date[]) AS month GROUP BY cycle_day ORDER BY cycle_day;

-- Cycle day 31 over the short months.  Berlin changes its clocks on 30 March: a day of 23 hours is one day.
SELECT set_account('end-of-month', time_zone => 'Europe/Berlin', cycle_day => 31, starts_on => '2025-01-31') \gset
CALL run_invoicing(through => '2025-05-31') \gset
SELECT no, date_from, date_to, days, nominal_days, starts_at, ends_at, hours FROM periods;

-- starts_on is the first day that can be billed, whatever the cycle day; the stub is shorter than its nominal period.
-- Without it the periods begin with the cycle that holds the first usage, here the 15th before 20 January.
SELECT set_account('stub', time_zone => 'UTC', cycle_day => 15, starts_on => '2025-01-28') \gset
SELECT set_account('first-usage', time_zone => 'UTC', cycle_day => 15) \gset
SELECT set_account('never', time_zone => 'UTC') \gset
SELECT use('first-usage', 'calls', '2025-01-20', 1), use('stub', 'calls', '2025-01-27 23:59:59', 1), use('stub', 'calls', '2025-01-28', 1) \gset
CALL run_invoicing(through => '2025-03-15') \gset
SELECT account, no, date_from, date_to, days, nominal_days FROM periods WHERE account <> 'end-of-month';
SELECT account, period, item, quantity FROM drafts;
SELECT account_key, starts_at, reason, detail FROM unbilled_usage('[2025-01-01,2025-02-01)');

-- A border belongs to the period that it begins: half-open spans.  An hour that ends at the border does not reach over it.
SELECT set_account('border', time_zone => 'America/New_York', cycle_day => 1, starts_on => '2025-01-01') \gset
SELECT use('border', 'calls', '2025-02-01 04:59:59', 1), use('border', 'calls', '2025-02-01 05:00:00', 10), use('border', 'calls', '2025-02-01 04:00:00', 100, to_at => '2025-02-01 05:00:00') \gset
-- A span over the border is clipped exactly: 3 units over 3 hours, one of them in January; a third of 1 rounds so that the parts add up.
SELECT use('border', 'calls', '2025-02-01 04:00:00', 3000, to_at => '2025-02-01 07:00:00'), use('border', 'calls', '2025-03-01 04:00:00', 1, to_at => '2025-03-01 07:00:00') \gset
CALL run_invoicing(through => '2025-04-01') \gset
SELECT period, quantity FROM drafts WHERE account = 'border';
SELECT sum(quantity) AS total FROM drafts WHERE account = 'border';

-- The autumn day of 25 hours, and hours that exist twice: 01:30 UTC and 00:30 UTC are both 02:30 in Berlin.
SELECT set_account('autumn', time_zone => 'Europe/Berlin', cycle_day => 26, starts_on => '2025-09-26') \gset
SELECT use('autumn', 'calls', '2025-10-25 21:59:59', 1), use('autumn', 'calls', '2025-10-25 22:00:00', 10), use('autumn', 'calls', '2025-10-26 00:30:00', 10), use('autumn', 'calls', '2025-10-26 01:30:00', 10) \gset
CALL run_invoicing(through => '2025-11-26') \gset
SELECT no, date_from, date_to, days, starts_at, ends_at, hours FROM periods WHERE account = 'autumn';
SELECT period, quantity FROM drafts WHERE account = 'autumn';
-- That day is one of 31: a flat price that holds for it alone comes to a 31st, by hours it would be 25 of 745.  So are the 23 hours in March.
SELECT set_meter('base', unit => 'unit') \gset
SELECT set_price('base', '{"model":"flat","currency":"EUR","amount":"310"}', valid_from => '2025-10-26', valid_to => '2025-10-27', account => 'autumn') \gset
SELECT set_price('base', '{"model":"flat","currency":"EUR","amount":"310"}', valid_from => '2025-03-30', valid_to => '2025-03-31', account => 'end-of-month', applies_to => 'closed') \gset
SELECT a AS account, c.period_from, c.owed FROM unnest('{autumn,end-of-month}'::text[]) AS a CROSS JOIN LATERAL charges(a, '[2025-02-28,2025-11-26)') AS c WHERE c.item = 'base' ORDER BY a;

-- A change of the cycle day starts with the first period that is not yet stored; the period of the change is a stub against the nominal
-- period that ends with it.  Stored borders never move.
SELECT set_account('changes', time_zone => 'UTC', cycle_day => 1, starts_on => '2025-01-01') \gset
CALL run_invoicing(through => '2025-02-01') \gset
SELECT set_account('changes', cycle_day => 20) \gset
CALL run_invoicing(through => '2025-04-20') \gset
SELECT no, date_from, date_to, days, nominal_days FROM periods WHERE account = 'changes';

-- A setting that begins on a later day holds from the period that begins on or after it.
SELECT set_account('later', time_zone => 'UTC', cycle_day => 1, starts_on => '2025-01-01') \gset
SELECT set_account('later', cycle_day => 10, from_date => '2025-03-01') \gset
CALL run_invoicing(through => '2025-04-10') \gset
SELECT no, date_from, date_to, days, nominal_days FROM periods WHERE account = 'later';

-- A change of the zone: periods tile by date, so the period of the change is some hours longer or shorter, and its days are whole.
SELECT set_account('moves', time_zone => 'Europe/Berlin', cycle_day => 1, starts_on => '2025-01-01') \gset
SELECT set_account('moves', time_zone => 'Asia/Tokyo', from_date => '2025-02-01') \gset
SELECT use('moves', 'calls', '2025-01-31 22:59:59', 1), use('moves', 'calls', '2025-01-31 23:00:00', 10), use('moves', 'calls', '2025-02-28 14:59:59', 10), use('moves', 'calls', '2025-02-28 15:00:00', 100) \gset
CALL run_invoicing(through => '2025-04-01') \gset
SELECT no, date_from, date_to, days, starts_at, ends_at, hours, time_zone FROM periods WHERE account = 'moves';
SELECT period, quantity FROM drafts WHERE account = 'moves';

-- Grace: arrears fall due that long after the end.  On the 3rd nothing is due; usage that came in the meantime is in the first bill.
SELECT set_account('patient', time_zone => 'UTC', cycle_day => 1, starts_on => '2025-01-01', grace => '3 days') \gset
SELECT use('patient', 'calls', '2025-01-10', 1) \gset
CALL run_invoicing(through => '2025-02-03') \gset
SELECT count(*) AS drafts FROM drafts WHERE account = 'patient';
SELECT use('patient', 'calls', '2025-01-31', 2) \gset
CALL run_invoicing(through => '2025-02-04') \gset
SELECT period, kind, quantity FROM drafts WHERE account = 'patient';

-- "through" is a day in each account's calendar: through 2 February bills what ends then in Tokyo and in New York, 14 hours apart.
SELECT set_account('tokyo', time_zone => 'Asia/Tokyo', cycle_day => 2, starts_on => '2025-01-02') \gset
SELECT set_account('york', time_zone => 'America/New_York', cycle_day => 2, starts_on => '2025-01-02') \gset
CALL run_invoicing(through => '2025-02-02') \gset
SELECT account, no, date_from, date_to, starts_at, ends_at FROM periods WHERE account IN ('tokyo', 'york');

-- "through" chooses periods, it never cuts them, and an older day after a newer one takes nothing back.
SELECT period, quantity FROM drafts WHERE account = 'border';
CALL run_invoicing(through => '2025-02-15') \gset
SELECT period, quantity FROM drafts WHERE account = 'border';
-- a closed period that is looked at again is rated whole, though the run's day lies in it
SELECT use('border', 'calls', '2025-02-10', 1) \gset
CALL run_invoicing(through => '2025-02-15') \gset
SELECT period, quantity FROM drafts WHERE account = 'border';

-- How far usage may reach over the end of a period is a matter of hours, not of days in the time zone of the session: here one has 23.
SELECT set_account('reach', time_zone => 'UTC', cycle_day => 30, starts_on => '2025-02-28') \gset
SELECT use('reach', 'calls', '2025-03-29 23:30', 48, to_at => '2025-03-30 23:30') \gset
SET timezone = 'Europe/Berlin';
SELECT period_from, quantity FROM charges('reach', '[2025-02-28,2025-03-30)');
CALL run_invoicing(through => '2025-03-30') \gset
SET timezone = 'UTC';
SELECT period, quantity FROM drafts WHERE account = 'reach';

-- Periods of an account tile: each begins where the one before ended, by date and by instant.
SELECT count(*) AS holes FROM (SELECT p.date_from, p.starts_at, lag(p.date_to) OVER w AS date_to, lag(p.ends_at) OVER w AS ends_at FROM billing.charge_period AS p
                                 WINDOW w AS (PARTITION BY p.account_id ORDER BY p.period_no)) AS x
 WHERE x.date_from <> x.date_to OR x.starts_at <> x.ends_at;
SELECT fails($$ SELECT set_account('moves', starts_on => '2025-06-01') $$);
TABLE wrong;
