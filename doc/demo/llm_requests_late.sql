-- The requests that were held back arrive; only the difference is billed.
\echo Late requests arrive:
\set late true
\ir llm_requests_load.sql
SELECT l.kind, count(*) AS lines, billing.sum(l.amount) AS amount
  FROM billing.invoice_lines AS l WHERE l.item IN ('context_tokens', 'generated_tokens') GROUP BY l.kind ORDER BY l.kind;
