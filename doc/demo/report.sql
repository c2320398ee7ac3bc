\pset format unaligned
\pset tuples_only on
SELECT billing.invoice_text(i.invoice_id) FROM billing.invoices AS i ORDER BY i.invoice_id LIMIT 1;
\pset format aligned
\pset tuples_only off
\echo One line, explained to the cent:
SELECT l.line_id, l.number AS invoice, l.account, l.item, l.amount FROM billing.invoice_lines AS l WHERE l.kind = 'charge' ORDER BY l.quantity DESC NULLS LAST LIMIT 1 \gset
\echo :invoice, :account, :item: :amount
SELECT e.* FROM billing.explain_line(:line_id) AS e;
-- what it says is checked on this line and on twenty others
DO $$
DECLARE
    wrong bigint := (SELECT min(l.line_id) FROM (SELECT x.* FROM billing.invoice_lines AS x ORDER BY x.quantity DESC NULLS LAST, x.line_id LIMIT 21) AS l
                      WHERE (SELECT billing.sum(e.amount) IS DISTINCT FROM l.amount OR bool_or(e.stage = 'not reproduced') FROM billing.explain_line(l.line_id) AS e));
BEGIN
    IF wrong IS NOT NULL THEN
        RAISE 'line % is not explained to the cent', wrong;
    END IF;
END $$;
SELECT daterange(min(l.period_from), max(l.period_to)) AS billed FROM billing.invoice_lines AS l \gset
\echo Not billed of :billed, and why:
SELECT u.reason, count(*) AS usage_rows FROM billing.unbilled_usage(:'billed') AS u GROUP BY u.reason ORDER BY u.reason;
