\set QUIET on
SET client_min_messages = warning;
CREATE EXTENSION billing CASCADE;
ALTER DATABASE billing_demo SET search_path = "$user", public, billing;
SET search_path = "$user", public, billing;
CALL billing.create_ledger();
\unset QUIET
SELECT 'ledger ' || billing.ledger_version() || ': ' || count(*) FILTER (WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition) || ' tables, '
       || count(*) FILTER (WHERE c.relkind = 'v') || ' views' AS "made"
  FROM pg_class AS c WHERE c.relnamespace = 'billing'::regnamespace;
