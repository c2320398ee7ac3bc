-- Which part of a period a service covers.
\set SHOW_CONTEXT never
SET timezone = 'UTC';
SET datestyle = 'ISO';

SELECT r, round(prorate(r, '[2024-03-15,2024-03-31]', '[2024-03-01,2024-03-31]', 'UTC'), 20) AS closed, round(prorate(r, '[2024-03-15,2024-04-01)', '[2024-03-01,2024-04-01)', 'UTC'), 20) AS half_open
  FROM unnest(ARRAY['day_inclusive', 'day_half_open', 'second']) AS r;
-- Local days: the clocks change on 2024-03-31 in Berlin, and a day begins at 22:00 UTC after it.
SELECT r, prorate(r, '[2024-03-31 00:00+01,2024-04-01 00:00+02)', '[2024-03-31 00:00+01,2024-04-02 00:00+02)', 'Europe/Berlin') FROM unnest(ARRAY['day_inclusive', 'day_half_open', 'second']) AS r;
-- Empty and over-long services.
SELECT r, prorate(r, 'empty', '[2024-03-01,2024-04-01)', 'UTC') AS nothing, round(prorate(r, '[2024-03-01,2024-05-01)', '[2024-03-01,2024-04-01)', 'UTC'), 10) AS longer FROM unnest(ARRAY['day_inclusive', 'day_half_open', 'second']) AS r;
-- Waldur: days with both ends divided by the days of the month, rounded up; halves end on the 15th.
SELECT s, prorate('month', s, NULL, 'UTC') AS month, prorate('half_month', s, NULL, 'UTC') AS half_month
  FROM unnest(ARRAY['[2024-01-01,2024-02-01)', '[2024-01-01,2024-01-15]', '[2024-01-16,2024-01-31]', '[2024-01-01,2024-01-20]', '[2024-01-10,2024-01-31]', '[2024-01-10,2024-01-20]',
      '[2023-02-01,2023-02-10]', '[2024-02-15,2024-02-29]', '[2023-02-15,2023-02-28]', '[2024-04-10,2024-04-20]', '[2024-01-31,2024-01-31]', 'empty']::tstzrange[]) AS s;
SELECT prorate('hour', '[2024-01-01 00:00,2024-01-01 01:00:01]', NULL, 'UTC') AS hours, prorate('day', '[2024-01-01 00:00,2024-01-02 00:00:01]', NULL, 'UTC') AS days, prorate('day', '[2024-01-01 00:00,2024-01-31 23:59:59]', NULL, 'UTC') AS month;
-- Nothing outside the period is charged: of a service the part inside, of one wholly outside or that only touches it nothing.
SELECT r, round(prorate(r, '[2024-01-01,2024-02-29]', '[2024-02-01,2024-02-29]', 'UTC'), 10) AS begins_before, round(prorate(r, '[2024-02-20,2024-12-31]', '[2024-02-01,2024-02-29]', 'UTC'), 10) AS ends_after,
       prorate(r, '[2023-01-01,2023-02-01)', '[2024-02-01,2024-03-01)', 'UTC') AS outside, prorate(r, '[2024-03-01,2024-04-01)', '[2024-02-01,2024-03-01)', 'UTC') AS next_to_it
  FROM unnest(ARRAY['day_inclusive', 'day_half_open', 'second']) AS r;
-- Elapsed time is that of the service, wherever it begins and ends; one longer than the period is the whole of it.
SELECT round(prorate('second', '[2023-12-25,2024-01-10)', '[2024-01-01,2024-02-01)', 'UTC') * 31, 10) AS days_of_31, prorate('second', '[2023-12-01,2024-01-20)', '[2024-01-01,2024-02-01)', 'UTC') AS over_long;
-- A fee for a part of its period: the old one credited, the new one charged from noon on; of a quarter; at the rounding of a product.
SELECT - prorated_fee(f.tariff, 2, 'second', s.rest, s.period, 'UTC') AS credit, prorated_fee(f.tariff, 5, 'second', s.rest, s.period, 'UTC') AS charge
  FROM (SELECT '{"model":"per_unit","currency":"EUR","unit_price":"10"}'::tariff AS tariff) AS f, (SELECT '[2024-01-20 12:00Z,2024-02-01Z)'::tstzrange AS rest, '[2024-01-01Z,2024-02-01Z)'::tstzrange AS period) AS s;
SELECT prorated_fee('{"model":"flat","currency":"EUR","amount":"910"}', 1, 'day_inclusive', '[2024-05-20,2024-06-20]', '[2024-04-01,2024-06-30]', 'UTC') AS of_a_quarter,
       prorated_fee('{"model":"per_unit","currency":"EUR","unit_price":"1.001","dialect":"waldur"}', 1, 'month', '[2024-01-01,2024-01-31]', NULL, 'UTC') AS rounded_up,
       prorated_fee('{"model":"per_unit","currency":"JPY","unit_price":"1000"}', 1, 'second', '[2024-01-01Z,2024-01-11Z)', '[2024-01-01Z,2024-02-01Z)', 'UTC') AS yen;
SELECT r, prorate(r, '[2024-01-16,2024-03-15)', '[2024-02-01,2024-03-01)', 'UTC') AS inside, prorate(r, '[2023-01-16,2023-01-31]', '[2024-02-01,2024-03-01)', 'UTC') AS outside FROM unnest(ARRAY['month', 'half_month', 'day', 'hour']) AS r;
SELECT r, service_days(r, '[2024-05-01 08:00,2024-05-01 17:00)', 'Europe/Berlin') FROM unnest(ARRAY['day_inclusive', 'day_half_open']) AS r;
SELECT prorate('second', NULL, '[2024-03-01,2024-04-01)', 'UTC') IS NULL AS nothing;
SELECT prorate('week', '[2024-01-01,2024-01-02]', '[2024-01-01,2024-02-01)', 'UTC');
SELECT prorate('second', '[2024-01-01,)', '[2024-01-01,2024-02-01)', 'UTC');
SELECT prorate('day_half_open', '[2024-01-01,2024-01-02)', '[2024-01-01,2024-01-01]', 'UTC');
SELECT prorate('month', '[2024-01-15,2024-02-02]', NULL, 'UTC');
SELECT prorate('month', '[2024-01-15,2024-01-20]', NULL, 'Mars/Olympus');
SELECT service_days('second', '[2024-01-15,2024-01-20]', 'UTC');
