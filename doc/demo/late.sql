-- Usage of October that arrives in November: new, one record that was too high, one that should not exist.
SELECT outcome, count(*) FROM billing.record_usage((
    SELECT jsonb_agg(jsonb_build_object('id', 'late-' || n, 'account', format('customer-%s', to_char(1 + n % 40, 'FM0000')), 'meter', 'api_calls',
                                        'at', '2026-10-30T10:00:00Z', 'quantity', 1000 * n)) FROM generate_series(1, 60) AS n)) GROUP BY outcome;
\set QUIET on
\o /dev/null
SELECT billing.correct_usage('customer-0001', 'late-40', quantity => 1, reason => 'meter counted twice');
SELECT billing.void_usage('customer-0002', 'late-41', reason => 'test traffic');
\o
\unset QUIET
CALL billing.run_invoicing(through => '2026-11-01');
SELECT state, counts, errors, date_trunc('milliseconds', duration) AS duration FROM billing.runs ORDER BY run_id DESC LIMIT 1;
\set QUIET on
\o /dev/null
SELECT * FROM billing.finalize_invoices(through => '2026-11-01', issue_date => '2026-11-09');
\o
\unset QUIET
SELECT number, account, item, period_from, kind, quantity, amount, causes FROM billing.invoice_lines WHERE kind = 'correction' ORDER BY line_id LIMIT 8;
