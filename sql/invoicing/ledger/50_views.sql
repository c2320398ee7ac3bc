-- Final documents for people and BI tools: words instead of codes, amounts as monetary and as numeric with the currency beside them.

CREATE VIEW billing.invoices AS
SELECT i.invoice_id, i.number, CASE i.type WHEN '381' THEN 'credit note' ELSE 'invoice' END AS document, i.type AS type_code, i.series, state.event AS state,
       s.key AS seller, payer.key AS payer, g.key AS invoice_group,
       i.issue_date, i.tax_point_date, i.posting_period, i.due_date, i.currency,
       i.total_without_tax, i.tax_total, i.total,
       billing.amount(i.total_without_tax) AS total_without_tax_numeric, billing.amount(i.tax_total) AS tax_total_numeric, billing.amount(i.total) AS total_numeric,
       cancelled.number AS cancels, canceller.number AS cancelled_by,
       ARRAY(SELECT c.number FROM billing.invoice AS c WHERE c.invoice_id = ANY (i.corrects_ids) ORDER BY c.invoice_id) AS corrects,
       i.purchase_order, i.buyer_reference, i.language, i.seller_copy, i.buyer_copy, i.known_at, i.run_id, i.recorded_at, i.recorded_by
  FROM billing.invoice AS i
  JOIN billing.seller AS s ON s.seller_id = i.seller_id
  JOIN billing.account AS payer ON payer.account_id = i.payer_id
  JOIN billing.invoice_group AS g ON g.invoice_group_id = i.invoice_group_id
  LEFT JOIN billing.invoice AS cancelled ON cancelled.invoice_id = i.cancels_id
  LEFT JOIN billing.invoice AS canceller ON canceller.cancels_id = i.invoice_id
 CROSS JOIN LATERAL (SELECT e.event FROM billing.invoice_event AS e WHERE e.invoice_id = i.invoice_id ORDER BY e.event_no DESC LIMIT 1) AS state;
COMMENT ON VIEW billing.invoices IS 'Final invoices and credit notes. Amounts are as in the ledger: what the payer owes is positive, what goes back to the payer negative, also on credit notes. A voided invoice keeps its amounts, but its lines add up to 0.';
COMMENT ON COLUMN billing.invoices.document IS 'invoice or credit note.';
COMMENT ON COLUMN billing.invoices.type_code IS 'UNCL 1001: 380 invoice, 381 credit note (BT-3).';
COMMENT ON COLUMN billing.invoices.state IS 'What happened last: finalized, delivered, voided or cancelled.';
COMMENT ON COLUMN billing.invoices.invoice_group IS 'Key of the payer''s invoice group.';
COMMENT ON COLUMN billing.invoices.tax_point_date IS 'The latest tax point of the lines: the last day of their period, or the first for fees in advance (BT-7).';
COMMENT ON COLUMN billing.invoices.posting_period IS 'First day of the month in which the document is posted: the month of its issue date.';
COMMENT ON COLUMN billing.invoices.total_numeric IS 'The total without its currency, for tools that do not know the type monetary.';
COMMENT ON COLUMN billing.invoices.cancels IS 'Number of the invoice that this document cancels.';
COMMENT ON COLUMN billing.invoices.cancelled_by IS 'Number of the document that cancels this one.';
COMMENT ON COLUMN billing.invoices.corrects IS 'Numbers of the earlier documents that this one refers to (BG-3, BT-25): of each charge that it continues the document before, and all those whose lines it takes back.';
COMMENT ON COLUMN billing.invoices.seller_copy IS 'Name, address and tax ids of the seller as they were on the issue date.';
COMMENT ON COLUMN billing.invoices.buyer_copy IS 'Name, address and VAT id of the payer as they were on the issue date.';
COMMENT ON COLUMN billing.invoices.known_at IS 'Facts recorded before this instant are in the amounts.';

CREATE VIEW billing.invoice_lines AS
SELECT l.line_id, i.number, i.issue_date, l.line_no, s.key AS seller, payer.key AS payer, l.account_key AS account, l.consumer_key AS consumer,
       l.kind, l.key_id AS charge, l.chain_no, l.item_key AS item, l.item_name AS name, l.charge_group, sub.key AS subscription, k.component,
       l.period_from, l.period_to, l.quantity, l.unit, l.unit_price,
       l.amount, billing.amount(l.amount) AS amount_numeric, i.currency,
       l.tax_code, l.tax_category, l.tax_rate, l.tax_exemption_code, l.tax_exemption_reason, l.tax_point_date,
       l.causes, corrected.number AS corrects, l.owed, l.decided, l.booked_before, l.booked_after, l.stage, l.price_ids, l.invoice_id, l.known_at, l.run_id, l.rounding, l.proration
  FROM billing.line AS l
  JOIN billing.invoice AS i ON i.invoice_id = l.invoice_id
  JOIN billing.charge_key AS k ON k.account_id = l.account_id AND k.key_id = l.key_id
  JOIN billing.seller AS s ON s.seller_id = i.seller_id
  JOIN billing.account AS payer ON payer.account_id = i.payer_id
  LEFT JOIN billing.subscription AS sub ON k.subscription_id <> 0 AND sub.subscription_id = k.subscription_id
  LEFT JOIN billing.invoice AS corrected ON corrected.invoice_id = l.corrects_invoice_id;
COMMENT ON VIEW billing.invoice_lines IS 'Lines of final invoices. The lines of one charge form a chain: each continues from the sum at which the one before ended.';
COMMENT ON COLUMN billing.invoice_lines.line_id IS 'Number of the line, as explain_line() and line_usage() take it.';
COMMENT ON COLUMN billing.invoice_lines.consumer IS 'Account whose usage it is; the charged account itself unless an agreement charges it for another.';
COMMENT ON COLUMN billing.invoice_lines.kind IS 'charge; interim (billed while its period was running); correction of an earlier line; cancellation; void.';
COMMENT ON COLUMN billing.invoice_lines.charge IS 'Number of the charge, as decide(), freeze_charge() and approve_corrections() take it.';
COMMENT ON COLUMN billing.invoice_lines.chain_no IS 'Place in the chain of the charge, from 1.';
COMMENT ON COLUMN billing.invoice_lines.period_to IS 'First day after the charge period.';
COMMENT ON COLUMN billing.invoice_lines.quantity IS 'Quantity of the whole charge when it was billed; for corrections too.';
COMMENT ON COLUMN billing.invoice_lines.unit_price IS 'Price of one unit where the whole quantity has a single one.';
COMMENT ON COLUMN billing.invoice_lines.amount IS 'What this line adds to its charge, without tax.';
COMMENT ON COLUMN billing.invoice_lines.amount_numeric IS 'The amount without its currency, for tools that do not know the type monetary.';
COMMENT ON COLUMN billing.invoice_lines.causes IS 'Parts of a correction by cause.';
COMMENT ON COLUMN billing.invoice_lines.corrects IS 'Number of the invoice with the link before.';
COMMENT ON COLUMN billing.invoice_lines.owed IS 'What the charge came to, rounded, when the line was billed.';
COMMENT ON COLUMN billing.invoice_lines.decided IS 'Sum of the decisions about the charge at that time.';
COMMENT ON COLUMN billing.invoice_lines.stage IS 'Stage of the price build-up: 1 fee or usage, 4 item discount, 5 item minimum, 6 account discount, 7 commitment.';

CREATE VIEW billing.invoice_taxes AS
SELECT i.number, i.issue_date, s.key AS seller, payer.key AS payer, t.group_no, t.tax_code, t.category,
       CASE t.category WHEN 'S' THEN 'standard rate' WHEN 'Z' THEN 'zero rated' WHEN 'E' THEN 'exempt' WHEN 'AE' THEN 'reverse charge'
                       WHEN 'K' THEN 'intra-community supply' WHEN 'G' THEN 'export' WHEN 'O' THEN 'not subject to tax'
                       WHEN 'L' THEN 'Canary Islands' WHEN 'M' THEN 'Ceuta and Melilla' END AS category_name,
       t.rate, t.exemption_code, t.exemption_reason, i.currency,
       t.taxable, t.tax, billing.amount(t.taxable) AS taxable_numeric, billing.amount(t.tax) AS tax_numeric, t.invoice_id
  FROM billing.invoice_tax AS t
  JOIN billing.invoice AS i ON i.invoice_id = t.invoice_id
  JOIN billing.seller AS s ON s.seller_id = i.seller_id
  JOIN billing.account AS payer ON payer.account_id = i.payer_id;
COMMENT ON VIEW billing.invoice_taxes IS 'Tax of final invoices by tax code, category, rate and exemption (EN 16931 BG-23): the sum of a group''s lines, and its tax, rounded once.';
COMMENT ON COLUMN billing.invoice_taxes.category IS 'UNCL 5305 code of EN 16931 (BT-118).';
COMMENT ON COLUMN billing.invoice_taxes.rate IS 'Rate in percent (BT-119).';
COMMENT ON COLUMN billing.invoice_taxes.taxable IS 'Sum of the group''s lines (BT-116).';
COMMENT ON COLUMN billing.invoice_taxes.tax IS 'Tax on that sum, rounded once to the minor unit (BT-117).';
