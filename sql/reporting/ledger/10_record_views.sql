-- Views of what the ledger keeps beside catalog, charges and invoices: nobody but the owner may read its tables.

CREATE VIEW billing.decisions AS
SELECT a.key AS account, s.key AS seller, i.key AS item, k.charge_group, k.component, p.date_from AS period_from, p.date_to AS period_to, k.key_id AS charge,
       d.kind, d.cause, d.amount AS decided, billing.amount(d.amount) AS amount, billing.currency(d.amount) AS currency, d.reason, d.decision_id, d.recorded_at, d.recorded_by
  FROM billing.decision AS d
  JOIN billing.charge_key AS k USING (account_id, key_id)
  JOIN billing.charge_period AS p USING (account_id, period_no)
  JOIN billing.account AS a USING (account_id)
  JOIN billing.agreement AS g USING (agreement_id)
  JOIN billing.seller AS s USING (seller_id)
  JOIN billing.item AS i USING (item_id);
COMMENT ON VIEW billing.decisions IS 'What was decided about charges beside rating: goodwill, disputes, waivers, differences that the correction policy ignores, and charges put on hold. A row is never changed; another one takes it back.';
COMMENT ON COLUMN billing.decisions.account IS 'The buyer.';
COMMENT ON COLUMN billing.decisions.seller IS 'Who charges.';
COMMENT ON COLUMN billing.decisions.item IS 'Meter or fee.';
COMMENT ON COLUMN billing.decisions.charge_group IS 'The dimensions that make the charge a line of its own.';
COMMENT ON COLUMN billing.decisions.component IS 'Part of the price: usage, fee.';
COMMENT ON COLUMN billing.decisions.period_from IS 'First day of the charge period.';
COMMENT ON COLUMN billing.decisions.period_to IS 'First day after the charge period.';
COMMENT ON COLUMN billing.decisions.charge IS 'Number of the charge, as decide() and freeze_charge() take it.';
COMMENT ON COLUMN billing.decisions.kind IS 'goodwill, dispute, waived, ignored (by the correction policy), frozen, unfrozen.';
COMMENT ON COLUMN billing.decisions.cause IS 'Of an ignored difference: what had changed.';
COMMENT ON COLUMN billing.decisions.decided IS 'Added to what the charge owes; negative is in the customer''s favour.';
COMMENT ON COLUMN billing.decisions.amount IS 'The same without its currency, for tools that do not know the type monetary.';
COMMENT ON COLUMN billing.decisions.currency IS 'Currency of the amount.';
COMMENT ON COLUMN billing.decisions.reason IS 'In the words of whoever decided.';
COMMENT ON COLUMN billing.decisions.decision_id IS 'Number of the decision within its account.';
COMMENT ON COLUMN billing.decisions.recorded_at IS 'When it was decided.';
COMMENT ON COLUMN billing.decisions.recorded_by IS 'Who decided.';

CREATE VIEW billing.charge_periods AS
SELECT a.key AS account, p.period_no, p.date_from AS period_from, p.date_to AS period_to, p.full_from, p.time_zone, p.starts_at, p.ends_at, p.due_at,
       CASE WHEN p.sealed_at IS NOT NULL THEN 'sealed' WHEN p.closed_known_at IS NOT NULL THEN 'closed' ELSE 'open' END AS state,
       p.looked_known_at, p.closed_known_at, p.rating_version, p.sealed_at
  FROM billing.charge_period AS p
  JOIN billing.account AS a USING (account_id);
COMMENT ON VIEW billing.charge_periods IS 'The charge periods of every account that were ever needed, and how far each is.';
COMMENT ON COLUMN billing.charge_periods.account IS 'The buyer.';
COMMENT ON COLUMN billing.charge_periods.period_no IS 'Number of the period, counted from the first of its account.';
COMMENT ON COLUMN billing.charge_periods.period_from IS 'First day of the period.';
COMMENT ON COLUMN billing.charge_periods.period_to IS 'First day after the period.';
COMMENT ON COLUMN billing.charge_periods.full_from IS 'First day of the full period that ends with it; fees of a shorter one are prorated against that.';
COMMENT ON COLUMN billing.charge_periods.time_zone IS 'Zone in which its days begin and end.';
COMMENT ON COLUMN billing.charge_periods.starts_at IS 'Its first instant.';
COMMENT ON COLUMN billing.charge_periods.ends_at IS 'The first instant after it.';
COMMENT ON COLUMN billing.charge_periods.due_at IS 'When usage of it falls due: its end and the grace.';
COMMENT ON COLUMN billing.charge_periods.state IS 'open; closed (billed, differences are still allowed); sealed (never rated again).';
COMMENT ON COLUMN billing.charge_periods.looked_known_at IS 'Watermark of the last run that rated it; null = none has.';
COMMENT ON COLUMN billing.charge_periods.closed_known_at IS 'Its pin: prices, terms and settings are read as known then; null = open.';
COMMENT ON COLUMN billing.charge_periods.rating_version IS 'Version of the rating rules that it was rated by.';
COMMENT ON COLUMN billing.charge_periods.sealed_at IS 'When it was sealed; null = it was not.';

CREATE VIEW billing.invoice_events AS
SELECT i.number, s.key AS seller, e.event_no, e.event, e.detail, e.recorded_at, e.recorded_by, e.invoice_id
  FROM billing.invoice_event AS e
  JOIN billing.invoice AS i USING (invoice_id)
  JOIN billing.seller AS s USING (seller_id);
COMMENT ON VIEW billing.invoice_events IS 'What happened to each invoice, in order: finalized, delivered, voided, cancelled.';
COMMENT ON COLUMN billing.invoice_events.number IS 'Number of the invoice.';
COMMENT ON COLUMN billing.invoice_events.seller IS 'Who issued it.';
COMMENT ON COLUMN billing.invoice_events.event_no IS 'Place in the history of the invoice, from 1.';
COMMENT ON COLUMN billing.invoice_events.event IS 'finalized, delivered, voided or cancelled.';
COMMENT ON COLUMN billing.invoice_events.detail IS 'What was said about it, such as the reason.';
COMMENT ON COLUMN billing.invoice_events.recorded_at IS 'When it happened.';
COMMENT ON COLUMN billing.invoice_events.recorded_by IS 'Who did it.';
COMMENT ON COLUMN billing.invoice_events.invoice_id IS 'Identifier of the invoice.';

CREATE VIEW billing.external_keys AS
SELECT x.object_type, x.object_id, x.system, x.key, x.recorded_at, x.recorded_by FROM billing.external_key AS x;
COMMENT ON VIEW billing.external_keys IS 'What other systems call objects of the ledger; see set_external_key().';
COMMENT ON COLUMN billing.external_keys.object_type IS 'Kind of object: seller, account, invoice …';
COMMENT ON COLUMN billing.external_keys.object_id IS 'Number of the object, as the set functions return it and the views show it.';
COMMENT ON COLUMN billing.external_keys.system IS 'The other system.';
COMMENT ON COLUMN billing.external_keys.key IS 'What that system calls the object.';
COMMENT ON COLUMN billing.external_keys.recorded_at IS 'When it was set.';
COMMENT ON COLUMN billing.external_keys.recorded_by IS 'Who set it.';

CREATE VIEW billing.custom_fields AS
SELECT c.object_type, c.object_id, c.name, c.value, lower(c.known) AS recorded_at, c.recorded_by FROM billing.custom_field AS c WHERE upper_inf(c.known);
COMMENT ON VIEW billing.custom_fields IS 'Fields of the user''s own on objects of the ledger, as known now; see set_custom_field().';
COMMENT ON COLUMN billing.custom_fields.object_type IS 'Kind of object: seller, account, invoice …';
COMMENT ON COLUMN billing.custom_fields.object_id IS 'Number of the object, as the set functions return it and the views show it.';
COMMENT ON COLUMN billing.custom_fields.name IS 'Name of the field.';
COMMENT ON COLUMN billing.custom_fields.value IS 'Its value.';
COMMENT ON COLUMN billing.custom_fields.recorded_at IS 'When it was set.';
COMMENT ON COLUMN billing.custom_fields.recorded_by IS 'Who set it.';
