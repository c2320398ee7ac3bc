-- Meters that look beyond a period, as a run of thousands of accounts rates them: the same as charges() of each.
\set ECHO none
\set test_database billing_rating_level_runs
\getenv source PG_ABS_SRCDIR
\set include :source /lib/rating.psql
\i :include
SELECT set_seller('northwind', legal_name => 'Northwind GmbH', country => 'DE', currency => 'EUR') \gset
SELECT count(set_account('a' || i, time_zone => (ARRAY['UTC', 'Europe/Berlin', 'America/New_York'])[1 + i % 3], cycle_day => 1 + i % 4, starts_on => '2025-01-01')) FROM generate_series(1, 12) AS i \gset
SELECT set_meter('held', unit => 'GBH', aggregation => 'time_weighted'), set_meter('by_kind', unit => 'GBH', aggregation => 'time_weighted', dimensions => '{kind}'),
       set_meter('weighted', unit => 'seat', aggregation => 'weighted_sum'), set_meter('counter', unit => 'kWh', aggregation => 'increase'), set_meter('stock', unit => 'unit', carried_over => true),
       set_meter('users', unit => 'user', aggregation => 'unique_count', unique_dimension => 'user', operation_dimension => 'op', carried_over => true),
       set_meter('prorated', unit => 'unit', prorated => 'day_inclusive'), set_meter('plain', unit => 'unit') \gset
SELECT count(set_price(m, format('{"model":"graduated","currency":"EUR","tiers":[{"up_to":"100","unit_price":"0.0%s"},{"unit_price":"0.013"}]}', length(m))::tariff, '2025-01-01'))
  FROM unnest('{held,by_kind,weighted,counter,stock,users,prorated,plain}'::text[]) AS m \gset
SELECT set_price('held', '{"model":"per_unit","currency":"EUR","unit_price":"0.02"}', '2025-02-10') \gset
CREATE FUNCTION public.use_all(label text, accounts int, rows int) RETURNS bigint LANGUAGE sql AS $$
    SELECT sum(use('a' || i, m, '2025-01-03'::timestamp + ((i * 7919 + j * 104729 + length(label)) % 6000000) * interval '1 s', 1 + (i * 31 + j * 17) % 50, id => concat_ws('/', label, m, i, j),
                   dimensions => jsonb_build_object('user', 'u' || j % 4, 'op', CASE WHEN j % 3 = 2 THEN 'remove' ELSE 'add' END, 'kind', 'k' || j % 2), resource => CASE WHEN m IN ('held', 'by_kind', 'counter') THEN 'r' || j % 3 END))
      FROM generate_series(1, accounts) AS i, generate_series(1, rows) AS j, unnest('{held,by_kind,weighted,counter,stock,users,prorated,plain}'::text[]) AS m $$;
-- what the run drafted and charges() says otherwise
CREATE VIEW public.other AS
    SELECT c.account, c.item, c.charge, c.unbilled, d.amount FROM (SELECT a.key AS account, x.* FROM billing.account AS a CROSS JOIN LATERAL charges(a.key, '[2025-01-01,2025-04-01)') AS x) AS c
      FULL JOIN billing.draft_line AS d ON d.key_id = c.charge
     WHERE c.account IS NULL OR (c.period_to <= '2025-03-10' AND c.unbilled IS DISTINCT FROM coalesce(d.amount, '0 EUR'));
\set ECHO all
SET billing.one_pass_above = 0;
SELECT use_all('first', 12, 6);
CALL run_invoicing(through => '2025-02-05') \gset
SELECT count(*) AS drafts FROM billing.draft_line;
CALL run_invoicing(through => '2025-03-10') \gset
SELECT count(*) AS drafts, count(DISTINCT account_id) AS accounts FROM billing.draft_line;
SELECT * FROM other;
SELECT count(*) FROM finalize_invoices(through => '2025-03-10');
-- usage that comes late, of half of the accounts, changes what is closed, also months after it
SELECT use_all('late', 6, 1);
SELECT void_usage('a1', 'first/stock/1/1', reason => 'mistake') AS revision;
CALL run_invoicing(through => '2025-03-10') \gset
SELECT count(*) AS corrections, count(DISTINCT account_id) AS accounts FROM billing.draft_line;
SELECT * FROM other;
TABLE wrong;
