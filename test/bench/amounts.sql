-- Sums of amounts and rating of quantities: rows for one core to go through.
\set QUIET on
\o /dev/null
SET client_min_messages = warning;
CREATE EXTENSION billing CASCADE;
SELECT pg_catalog.set_config('search_path', '"$user", public, billing', false);
ALTER DATABASE :"DBNAME" SET search_path = "$user", public, billing;
-- Unlogged: nothing here is measured while it is written.
CREATE UNLOGGED TABLE public.cost_numeric AS
SELECT (h % 100000000)::numeric / 1000000 AS billed, (h / 3 % 100000000)::numeric / 1000000 AS effective,
       (h / 7 % 100000000)::numeric / 1000000 AS list, (h / 11 % 100000000)::numeric / 1000000 AS contracted
  FROM (SELECT abs(hashint8extended(n, 4)) AS h FROM generate_series(1, :rows) AS n) AS n;
CREATE UNLOGGED TABLE public.cost_monetary AS
SELECT monetary(c.billed, 'USD') AS billed, monetary(c.effective, 'USD') AS effective, monetary(c.list, 'USD') AS list, monetary(c.contracted, 'USD') AS contracted
  FROM public.cost_numeric AS c;
CREATE UNLOGGED TABLE public.consumption AS
SELECT (abs(hashint8extended(n, 5)) % 20000000)::numeric / 1000 AS quantity FROM generate_series(1, :rows) AS n;
VACUUM (ANALYZE) public.cost_numeric;
VACUUM (ANALYZE) public.cost_monetary;
VACUUM (ANALYZE) public.consumption;
\o
