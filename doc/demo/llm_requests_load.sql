-- Records the requests that arrive now (:late = false or true), bills November and makes it final.
BEGIN;
\set QUIET on
\o /dev/null
SELECT billing.open_usage_batch();
INSERT INTO usage_batch (source, id, account, meter, ends_at, quantity, dimensions)
SELECT 'azure-llm-' || r.product, r.number || '-' || m.name, 'tenant-' || to_char(1 + r.number % 60, 'FM00'), m.name,
       to_char(r.at, 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), m.quantity, jsonb_build_object('product', r.product)
  FROM llm_request AS r
 CROSS JOIN LATERAL (VALUES ('context_tokens', r.context_tokens), ('generated_tokens', r.generated_tokens)) AS m(name, quantity)
 WHERE r.late = :late;
\o
\unset QUIET
SELECT * FROM billing.load_usage_batch();
COMMIT;
CALL billing.run_invoicing(through => '2023-12-01');
\set QUIET on
\o /dev/null
SELECT * FROM billing.finalize_invoices(through => '2023-12-01', issue_date => CASE WHEN :late THEN date '2023-12-09' ELSE '2023-12-01' END);
\o
\unset QUIET
