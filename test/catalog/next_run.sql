-- Bills what sample_ledger.sql has left to bill, and shows all that was billed, without the instants at which it was.
SET search_path = pg_catalog, public, billing;
SET client_min_messages = warning;
CALL billing.run_invoicing(through => '2026-11-01', run_id => NULL);
SELECT count(*) > 0 AS billed FROM billing.finalize_invoices(through => '2026-11-01', issue_date => '2026-11-09');
SELECT l.line_id, l.account_id, l.key_id, l.chain_no, l.booked_before, l.amount, l.booked_after, l.invoice_id, l.kind, l.causes, l.quantity, l.unit_price
  FROM billing.line AS l ORDER BY l.line_id;
SELECT i.invoice_id, i.type, i.number, i.issue_date, i.total_without_tax, i.tax_total, i.total FROM billing.invoice AS i ORDER BY i.invoice_id;
SELECT r.step, r.state, r.errors FROM billing.run AS r ORDER BY r.run_id;
