CALL billing.run_invoicing(through => '2026-11-01');
SELECT state, counts, errors, date_trunc('milliseconds', duration) AS duration FROM billing.runs ORDER BY run_id DESC LIMIT 1;
\set QUIET on
\o /dev/null
SELECT * FROM billing.finalize_invoices(through => '2026-11-01', issue_date => '2026-11-02');
\o
\unset QUIET
SELECT seller, currency, count(*) AS invoices, min(number) AS first_number, max(number) AS last_number, sum(total) AS total FROM billing.invoices GROUP BY seller, currency ORDER BY seller;
