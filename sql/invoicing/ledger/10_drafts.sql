-- Drafts as they would be invoiced: the last run's draft lines with seller, payer, invoice group, tax and words.
--
-- draft_detail is the one definition of what a draft becomes.  The views for people and finalize_invoices() read it, so a draft
-- invoice shows what finalising would issue.  Payer and terms depend on the issue date: today in the seller's time zone, or the
-- date in the setting billing.issue_date, which finalize_invoices() sets while it works and anybody may set to look ahead.

CREATE VIEW billing.seller_today AS
SELECT DISTINCT ON (s.seller_id)
       s.seller_id, s.legal_name, s.country, s.address, s.tax_ids, s.endpoint_id, s.default_tax_code, s.payment_days,
       COALESCE(NULLIF(pg_catalog.current_setting('billing.issue_date', true), '')::date,
                (pg_catalog.statement_timestamp() AT TIME ZONE s.time_zone)::date) AS issue_date
  FROM billing.seller_setting AS s
 ORDER BY s.seller_id, s.setting_no DESC;
COMMENT ON VIEW billing.seller_today IS 'Each seller as set last, with the issue date of invoices made now: today in the seller''s time zone, or the date in the setting billing.issue_date. Used by the draft views and by finalize_invoices().';

CREATE FUNCTION billing.tax_of(taxable billing.monetary, rate numeric, rounding_mode text) RETURNS billing.monetary
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    AS $$ SELECT billing.round($1 OPERATOR(billing.*) ($2 OPERATOR(pg_catalog.*) 0.01), $3) $$;
COMMENT ON FUNCTION billing.tax_of(billing.monetary, numeric, text) IS
'Tax on the sum of the lines of one tax group at a rate in percent, rounded once to the minor unit (EN 16931 BR-CO-17). Immutable. Errors: those of round(monetary, text).';

CREATE FUNCTION billing.stage_of(component text) RETURNS smallint
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    AS $$ SELECT CASE WHEN $1 OPERATOR(pg_catalog.=) 'discount' THEN 4 WHEN $1 OPERATOR(pg_catalog.=) 'minimum' THEN 5 WHEN $1 OPERATOR(pg_catalog.=) 'account_discount' THEN 6 WHEN $1 OPERATOR(pg_catalog.=) 'commitment' THEN 7 ELSE 1 END::smallint $$;
COMMENT ON FUNCTION billing.stage_of(text) IS
'Stage of the price build-up that a component of a charge belongs to: 1 fee or usage, 4 item discount, 5 item minimum and maximum, 6 account discount, 7 commitment. Immutable.';

CREATE VIEW billing.draft_detail AS
SELECT d.account_id, d.key_id, d.interim, d.amount, d.booked_before, d.chain_no, d.owed, d.decided, d.causes,
       d.quantity, d.unit_price, d.price_ids, d.rounding, d.proration, d.known_at, d.own_at, d.interim_to, d.rating_version, d.run_id,
       billing.currency(d.amount) AS currency,
       k.period_no, k.agreement_id, k.item_id, k.subscription_id, k.charge_group, k.component, k.frozen_at,
       p.date_from, p.date_to,
       -- A correction changes what was billed for good: not what was billed progressively, nor what was taken back as a whole.
       CASE WHEN d.interim THEN 'interim'
            WHEN d.chain_no = 1 OR previous.kind = 'interim' THEN 'charge'
            WHEN previous.kind IN ('void', 'cancellation')
                 AND (billing.is_zero(d.booked_before) OR billing.is_zero(d.amount OPERATOR(billing.+) previous.amount)) THEN 'charge'
            ELSE 'correction' END AS kind,
       -- The first day that may be given as "through" to bill this draft.  A due time later than midnight falls to the next day.
       CASE WHEN i.in_advance THEN p.date_from
            ELSE greatest(p.date_to, due.day + (p.due_at > (due.day::timestamp AT TIME ZONE p.time_zone))::int) END AS due_on,
       a.seller_id, s.issue_date, COALESCE(b.payer_id, d.account_id) AS payer_id, payer.key AS payer_key,
       COALESCE(own_group.invoice_group_id, default_group.invoice_group_id) AS invoice_group_id,
       buyer.key AS account_key, consumer.key AS consumer_key, i.item_key, i.item_name, i.unit,
       previous.invoice_id AS corrects_invoice_id,
       COALESCE(first.tax_point_date, i.tax_point_date) AS tax_point_date,
       CASE WHEN first.key_id IS NULL THEN code.tax_code ELSE first.tax_code END AS tax_code,
       COALESCE(first.tax_category, r.category, 'O') AS tax_category,
       COALESCE(first.tax_rate, r.rate, 0) AS tax_rate,
       CASE WHEN first.key_id IS NULL THEN r.exemption_code ELSE first.tax_exemption_code END AS tax_exemption_code,
       CASE WHEN first.key_id IS NULL THEN r.exemption_reason ELSE first.tax_exemption_reason END AS tax_exemption_reason,
       d.chain_no = 1 AND code.tax_code IS NOT NULL AND r.category IS NULL AS tax_rate_missing
  FROM billing.draft_line AS d
  JOIN billing.charge_key AS k ON k.account_id = d.account_id AND k.key_id = d.key_id
  JOIN billing.charge_period AS p ON p.account_id = k.account_id AND p.period_no = k.period_no
  JOIN billing.agreement AS a ON a.agreement_id = k.agreement_id
  JOIN billing.seller_today AS s ON s.seller_id = a.seller_id
  JOIN billing.account AS buyer ON buyer.account_id = d.account_id
  JOIN billing.account AS consumer ON consumer.account_id = k.consumer_id
  JOIN billing.item AS x ON x.item_id = k.item_id
  LEFT JOIN billing.meter_definition AS m ON m.item_id = k.item_id AND billing.known(m.known, d.known_at, d.own_at)
  LEFT JOIN billing.fee_definition AS f ON f.item_id = k.item_id AND billing.known(f.known, d.known_at, d.own_at)
 CROSS JOIN LATERAL (SELECT x.key AS item_key, COALESCE(m.name, f.name, x.key) AS item_name, COALESCE(m.unit, f.unit) AS unit,
                            COALESCE(k.component = 'fee' AND f.in_advance, false) AS in_advance,
                            CASE WHEN k.component = 'fee' AND f.in_advance THEN p.date_from ELSE p.date_to - 1 END AS tax_point_date) AS i
 CROSS JOIN LATERAL (SELECT (p.due_at AT TIME ZONE p.time_zone)::date AS day) AS due
  -- Who pays on the issue date, and on which of the payer's invoices.  IS TRUE keeps the planner from using the exclusion constraints'
  -- indexes by the day alone, which it prefers when a table has no statistics yet.
  LEFT JOIN billing.bill_to AS b ON b.account_id = d.account_id AND (b.valid @> s.issue_date) IS TRUE AND pg_catalog.upper_inf(b.known)
  JOIN billing.account AS payer ON payer.account_id = COALESCE(b.payer_id, d.account_id)
  LEFT JOIN billing.agreement_term AS t ON t.agreement_id = k.agreement_id AND (t.valid @> s.issue_date) IS TRUE AND pg_catalog.upper_inf(t.known)
  LEFT JOIN billing.invoice_group AS own_group
    ON own_group.payer_id = COALESCE(b.payer_id, d.account_id)
   AND own_group.invoice_group_id = CASE WHEN t.agreement_id IS NOT NULL THEN t.invoice_group_id
                                         ELSE (SELECT e.invoice_group_id FROM billing.agreement_term AS e
                                                WHERE e.agreement_id = k.agreement_id AND pg_catalog.upper_inf(e.known)
                                                ORDER BY pg_catalog.lower(e.valid) DESC NULLS LAST LIMIT 1) END
  LEFT JOIN billing.invoice_group AS default_group ON default_group.payer_id = COALESCE(b.payer_id, d.account_id) AND default_group.key = 'default'
  -- Later links of a chain keep the tax of its first link, and name the invoice of the link before.
  LEFT JOIN billing.line AS first ON d.chain_no > 1 AND first.account_id = d.account_id AND first.key_id = d.key_id AND first.chain_no = 1
  LEFT JOIN billing.line AS previous ON d.chain_no > 1 AND previous.account_id = d.account_id AND previous.key_id = d.key_id AND previous.chain_no = d.chain_no - 1
  -- First links: the account's tax code goes before the payer's, then the price's, then the seller's.
  LEFT JOIN LATERAL (SELECT e.tax_code FROM billing.account_setting AS e
                      WHERE e.account_id = d.account_id AND e.from_date <= i.tax_point_date AND billing.known(e.recorded_at, d.known_at, d.own_at)
                      ORDER BY e.setting_no DESC LIMIT 1) AS buyer_setting ON d.chain_no = 1
  LEFT JOIN LATERAL (SELECT e.tax_code FROM billing.account_setting AS e
                      WHERE e.account_id = b.payer_id AND e.from_date <= i.tax_point_date AND billing.known(e.recorded_at, d.known_at, d.own_at)
                      ORDER BY e.setting_no DESC LIMIT 1) AS payer_setting ON d.chain_no = 1 AND b.payer_id IS NOT NULL
 CROSS JOIN LATERAL (SELECT COALESCE(buyer_setting.tax_code, payer_setting.tax_code, d.tax_code, s.default_tax_code) AS tax_code) AS code
  LEFT JOIN billing.tax_rate AS r ON d.chain_no = 1 AND r.seller_id = a.seller_id AND r.tax_code = code.tax_code
   AND (r.valid @> i.tax_point_date) IS TRUE AND billing.known(r.known, d.known_at, d.own_at);
COMMENT ON VIEW billing.draft_detail IS 'Draft lines with everything their final line will hold, by numbers; see draft_lines for words.';

CREATE VIEW billing.draft_lines AS
SELECT s.key AS seller, d.payer_key AS payer, g.key AS invoice_group, d.account_key AS account, d.consumer_key AS consumer, d.key_id AS charge,
       d.item_key AS item, d.item_name AS name, d.charge_group, sub.key AS subscription, d.component,
       d.date_from AS period_from, d.date_to AS period_to, d.due_on,
       d.kind, d.quantity, d.unit, d.unit_price,
       d.amount, billing.amount(d.amount) AS amount_numeric, d.currency,
       d.owed, d.decided, d.booked_before, d.causes,
       d.tax_code, d.tax_category, d.tax_rate, d.tax_rate_missing, d.tax_point_date,
       d.frozen_at IS NOT NULL AS frozen, d.chain_no, d.known_at, d.run_id, d.rounding, d.proration
  FROM billing.draft_detail AS d
  JOIN billing.seller AS s ON s.seller_id = d.seller_id
  LEFT JOIN billing.invoice_group AS g ON g.invoice_group_id = d.invoice_group_id
  LEFT JOIN billing.subscription AS sub ON d.subscription_id <> 0 AND sub.subscription_id = d.subscription_id;
COMMENT ON VIEW billing.draft_lines IS 'What the last run wants to bill, a line a charge, with the seller, payer, invoice group and tax that finalize_invoices() would give it today.';
COMMENT ON COLUMN billing.draft_lines.charge IS 'Number of the charge, as decide(), freeze_charge() and approve_corrections() take it.';
COMMENT ON COLUMN billing.draft_lines.period_to IS 'First day after the charge period.';
COMMENT ON COLUMN billing.draft_lines.due_on IS 'From this day on, given as "through", finalize_invoices() bills the line.';
COMMENT ON COLUMN billing.draft_lines.amount IS 'Owed plus decided less what was booked before, without tax.';
COMMENT ON COLUMN billing.draft_lines.amount_numeric IS 'The amount without its currency, for tools that do not know the type monetary.';
COMMENT ON COLUMN billing.draft_lines.tax_rate_missing IS 'The tax code has no rate on the tax point date: finalize_invoices() leaves the whole invoice out until set_tax_rate() gives it one.';
COMMENT ON COLUMN billing.draft_lines.frozen IS 'The charge was frozen: finalize_invoices() passes the line over.';

-- Lines to tax groups, tax groups to documents: what draft_invoices shows is what finalize_drafts() writes.
CREATE FUNCTION billing.document_sums_text() RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $function$
    SELECT $text$tax_group AS MATERIALIZED (
        -- Numbers, since the lines may come to more than monetary holds.
        SELECT x.*, x.turnover > billing.greatest_amount() AS too_large,
               CASE WHEN x.turnover <= billing.greatest_amount() THEN billing.monetary(x.taxable_amount, x.currency) END AS taxable
          FROM (SELECT c.document_no, c.tax_category, c.tax_rate, c.tax_code, c.tax_exemption_code, c.tax_exemption_reason,
                       row_number() OVER (PARTITION BY c.document_no
                                          ORDER BY c.tax_rate DESC, c.tax_category, c.tax_code, c.tax_exemption_code, c.tax_exemption_reason) AS group_no,
                       sum(billing.amount(c.amount)) AS taxable_amount, sum(abs(sum(billing.amount(c.amount)))) OVER (PARTITION BY c.document_no) AS turnover,
                       bool_or(c.tax_rate_missing) AS tax_rate_missing, max(c.tax_point_date) AS tax_point_date, max(c.known_at) AS known_at,
                       min(c.seller_id) AS seller_id, min(c.payer_id) AS payer_id, min(c.payer_key) AS payer_key, min(c.invoice_group_id) AS invoice_group_id,
                       min(c.currency) AS currency, min(c.issue_date) AS issue_date, max(c.due_on) AS due_on, count(*) AS lines
                  FROM chosen AS c
                 GROUP BY c.document_no, c.tax_category, c.tax_rate, c.tax_code, c.tax_exemption_code, c.tax_exemption_reason) AS x
    ), payer AS MATERIALIZED (
        SELECT g.document_no, g.payer_key, s AS setting
          FROM tax_group AS g
          LEFT JOIN LATERAL (SELECT x.* FROM billing.account_setting AS x
                              WHERE x.account_id = g.payer_id AND x.from_date <= g.issue_date
                              ORDER BY x.setting_no DESC LIMIT 1) AS s ON true
         WHERE g.group_no = 1
    ), taxed AS MATERIALIZED (
        SELECT g.*, billing.tax_of(g.taxable, g.tax_rate, COALESCE((p.setting).rounding_mode, 'half_up')) AS tax
          FROM tax_group AS g JOIN payer AS p USING (document_no)
    ), summed AS MATERIALIZED (
        SELECT t.document_no, min(t.seller_id) AS seller_id, min(t.payer_id) AS payer_id, min(t.payer_key) AS payer_key,
               min(t.invoice_group_id) AS invoice_group_id, min(t.currency) AS currency, min(t.issue_date) AS issue_date,
               billing.sum(t.taxable) AS total_without_tax, billing.sum(t.tax) AS tax_total, max(t.tax_point_date) AS tax_point_date,
               max(t.known_at) AS known_at, max(t.due_on) AS due_on, sum(t.lines)::bigint AS lines,
               bool_or(t.tax_rate_missing) AS tax_rate_missing, bool_or(t.too_large) AS too_large
          FROM taxed AS t
         GROUP BY t.document_no
    )$text$
$function$;
COMMENT ON FUNCTION billing.document_sums_text() IS
'How drafts add up to invoices, as SQL text that follows a relation chosen, the lines of draft_detail with their document_no: tax_group and taxed, a row for each tax group of a document; payer, the payer''s settings on the issue date; summed, a row a document with its totals, or with the reason why it is left out. Immutable.';

DO $define$
BEGIN
    EXECUTE replace($create$
CREATE VIEW billing.draft_invoices AS
  WITH chosen AS (
        SELECT d.*, dense_rank() OVER (ORDER BY d.seller_id, d.payer_id, d.invoice_group_id, d.currency) AS document_no
          FROM billing.draft_detail AS d
         WHERE NOT d.interim AND d.frozen_at IS NULL
    ), {document_sums}
SELECT s.key AS seller, d.payer_key AS payer, g.key AS invoice_group, d.issue_date,
       d.currency, CASE WHEN billing.sign(d.total_without_tax) < 0 THEN 'credit note' ELSE 'invoice' END AS document,
       d.lines, d.due_on, d.total_without_tax, d.tax_total, d.total_without_tax OPERATOR(billing.+) d.tax_total AS total,
       billing.amount(d.total_without_tax) AS total_without_tax_numeric, billing.amount(d.tax_total) AS tax_total_numeric,
       billing.amount(d.total_without_tax OPERATOR(billing.+) d.tax_total) AS total_numeric, d.tax_rate_missing, d.too_large
  FROM summed AS d
  JOIN billing.seller AS s ON s.seller_id = d.seller_id
  LEFT JOIN billing.invoice_group AS g ON g.invoice_group_id = d.invoice_group_id
    $create$, '{document_sums}', billing.document_sums_text());
END $define$;
COMMENT ON VIEW billing.draft_invoices IS 'The invoices that finalize_invoices() would make of all drafts today: one a seller, payer, invoice group and currency. Charges that were frozen are not in them.';
COMMENT ON COLUMN billing.draft_invoices.issue_date IS 'Today in the seller''s time zone, or the date in the setting billing.issue_date.';
COMMENT ON COLUMN billing.draft_invoices.due_on IS 'From this day on, given as "through", finalize_invoices() bills all of its lines.';
COMMENT ON COLUMN billing.draft_invoices.too_large IS 'The lines come to more than 10^15 units: finalize_invoices() leaves the invoice out, and totals are null.';
COMMENT ON COLUMN billing.draft_invoices.tax_rate_missing IS 'A line has a tax code without a rate: the invoice is left out until set_tax_rate() gives it one.';
