-- The catalog in words: views for people and for BI tools.
--
-- They show what is known now, with keys instead of numbers.  They run with the rights of the ledger's owner, so that a reader
-- needs no right on any table.  Open ends of spans are null.

CREATE VIEW billing.sellers AS
SELECT s.key AS seller,
       n.legal_name,
       n.country,
       n.currency,
       n.time_zone,
       n.address,
       n.tax_ids,
       n.endpoint_id,
       n.default_tax_code,
       n.payment_days,
       s.seller_id,
       n.recorded_at,
       n.recorded_by
  FROM billing.seller AS s
 CROSS JOIN LATERAL (SELECT x.* FROM billing.seller_setting AS x WHERE x.seller_id = s.seller_id ORDER BY x.setting_no DESC LIMIT 1) AS n;
COMMENT ON VIEW billing.sellers IS 'The sellers as known now.';
COMMENT ON COLUMN billing.sellers.seller IS 'Key of the seller.';
COMMENT ON COLUMN billing.sellers.legal_name IS 'Name on its invoices.';
COMMENT ON COLUMN billing.sellers.country IS 'ISO 3166-1 code of its country.';
COMMENT ON COLUMN billing.sellers.currency IS 'Currency of its price list ''default''.';
COMMENT ON COLUMN billing.sellers.time_zone IS 'Time zone of accounts that name none.';
COMMENT ON COLUMN billing.sellers.address IS 'Postal address, a JSON object.';
COMMENT ON COLUMN billing.sellers.tax_ids IS 'Tax numbers, a JSON object.';
COMMENT ON COLUMN billing.sellers.endpoint_id IS 'Electronic address (BT-34).';
COMMENT ON COLUMN billing.sellers.default_tax_code IS 'Tax code where neither account nor price names one.';
COMMENT ON COLUMN billing.sellers.payment_days IS 'Days until an invoice is due, unless the invoice group says otherwise.';
COMMENT ON COLUMN billing.sellers.seller_id IS 'Number of the seller.';
COMMENT ON COLUMN billing.sellers.recorded_at IS 'When these settings were recorded.';
COMMENT ON COLUMN billing.sellers.recorded_by IS 'Who recorded them.';

CREATE VIEW billing.accounts AS
SELECT a.key AS account,
       n.legal_name,
       n.status,
       p.key AS parent,
       ARRAY(SELECT DISTINCT s.key FROM billing.agreement AS g JOIN billing.seller AS s USING (seller_id) WHERE g.buyer_id = a.account_id ORDER BY s.key) AS sellers,
       n.currency,
       n.time_zone,
       n.cycle_day,
       a.starts_on,
       n.rounding_mode,
       n.on_rating_error,
       n.grace,
       n.address,
       n.country,
       n.vat_id,
       n.endpoint_id,
       n.tax_code,
       a.account_id,
       NULLIF(n.from_date, '-infinity') AS from_date,
       n.recorded_at,
       n.recorded_by
  FROM billing.account AS a
 CROSS JOIN LATERAL (SELECT x.* FROM billing.account_setting AS x
                      WHERE x.account_id = a.account_id AND x.from_date <= CURRENT_DATE ORDER BY x.setting_no DESC LIMIT 1) AS n
  LEFT JOIN billing.account AS p ON p.account_id = n.parent_id;
COMMENT ON VIEW billing.accounts IS 'The accounts with the settings that hold today.';
COMMENT ON COLUMN billing.accounts.account IS 'Key of the account.';
COMMENT ON COLUMN billing.accounts.legal_name IS 'Name on its invoices; null = its key.';
COMMENT ON COLUMN billing.accounts.status IS 'open or closed.';
COMMENT ON COLUMN billing.accounts.parent IS 'Key of the account above it in the tree.';
COMMENT ON COLUMN billing.accounts.sellers IS 'Keys of the sellers it has agreements with.';
COMMENT ON COLUMN billing.accounts.currency IS 'Currency it is charged in.';
COMMENT ON COLUMN billing.accounts.time_zone IS 'Time zone of its calendar.';
COMMENT ON COLUMN billing.accounts.cycle_day IS 'Day of the month on which its charge periods begin.';
COMMENT ON COLUMN billing.accounts.starts_on IS 'First day that can be billed; null = with its first fact.';
COMMENT ON COLUMN billing.accounts.rounding_mode IS 'How its amounts are rounded to the minor unit.';
COMMENT ON COLUMN billing.accounts.on_rating_error IS 'What happens when a charge cannot be rated: bill_rest or hold_account.';
COMMENT ON COLUMN billing.accounts.grace IS 'How long after a period''s end usage may come before it is due.';
COMMENT ON COLUMN billing.accounts.address IS 'Postal address, a JSON object.';
COMMENT ON COLUMN billing.accounts.country IS 'ISO 3166-1 code of its country.';
COMMENT ON COLUMN billing.accounts.vat_id IS 'VAT identifier (BT-48).';
COMMENT ON COLUMN billing.accounts.endpoint_id IS 'Electronic address (BT-49).';
COMMENT ON COLUMN billing.accounts.tax_code IS 'Tax code that overrides that of prices.';
COMMENT ON COLUMN billing.accounts.account_id IS 'Number of the account.';
COMMENT ON COLUMN billing.accounts.from_date IS 'Day from which these settings hold; null = always.';
COMMENT ON COLUMN billing.accounts.recorded_at IS 'When these settings were recorded.';
COMMENT ON COLUMN billing.accounts.recorded_by IS 'Who recorded them.';

CREATE VIEW billing.payers AS
SELECT a.key AS account,
       p.key AS payer,
       pg_catalog.lower(b.valid) AS valid_from,
       pg_catalog.upper(b.valid) AS valid_to,
       pg_catalog.lower(b.known) AS recorded_at,
       b.recorded_by
  FROM billing.bill_to AS b
  JOIN billing.account AS a USING (account_id)
  JOIN billing.account AS p ON p.account_id = b.payer_id
 WHERE pg_catalog.upper_inf(b.known);
COMMENT ON VIEW billing.payers IS 'Which accounts are paid for by another one, by the day an invoice is issued.';
COMMENT ON COLUMN billing.payers.account IS 'Key of the account that is charged.';
COMMENT ON COLUMN billing.payers.payer IS 'Key of the account that gets the invoices.';
COMMENT ON COLUMN billing.payers.valid_from IS 'First issue date; null = always.';
COMMENT ON COLUMN billing.payers.valid_to IS 'First issue date that no longer belongs to it; null = without end.';
COMMENT ON COLUMN billing.payers.recorded_at IS 'When this was recorded.';
COMMENT ON COLUMN billing.payers.recorded_by IS 'Who recorded it.';

CREATE VIEW billing.invoice_groups AS
SELECT a.key AS account,
       g.key AS invoice_group,
       g.payment_days,
       g.purchase_order,
       g.buyer_reference,
       g.language,
       g.delivery,
       g.invoice_group_id,
       g.recorded_at,
       g.recorded_by
  FROM billing.invoice_group AS g
  JOIN billing.account AS a ON a.account_id = g.payer_id;
COMMENT ON VIEW billing.invoice_groups IS 'How payers want their charges split into invoices.';
COMMENT ON COLUMN billing.invoice_groups.account IS 'Key of the payer.';
COMMENT ON COLUMN billing.invoice_groups.invoice_group IS 'Key of the group.';
COMMENT ON COLUMN billing.invoice_groups.payment_days IS 'Days until an invoice is due; null = the seller''s.';
COMMENT ON COLUMN billing.invoice_groups.purchase_order IS 'Purchase order (BT-13).';
COMMENT ON COLUMN billing.invoice_groups.buyer_reference IS 'Buyer reference (BT-10).';
COMMENT ON COLUMN billing.invoice_groups.language IS 'Language of its invoices.';
COMMENT ON COLUMN billing.invoice_groups.delivery IS 'How they are delivered, a JSON object.';
COMMENT ON COLUMN billing.invoice_groups.invoice_group_id IS 'Number of the group.';
COMMENT ON COLUMN billing.invoice_groups.recorded_at IS 'When it was last changed.';
COMMENT ON COLUMN billing.invoice_groups.recorded_by IS 'Who changed it.';

CREATE VIEW billing.agreements AS
SELECT b.key AS buyer,
       s.key AS seller,
       g.key AS agreement,
       c.key AS consumer,
       t.with_descendants,
       l.key AS price_list,
       l.currency,
       coalesce(i.key, 'default') AS invoice_group,
       t.progressive_threshold,
       billing.amount(t.progressive_threshold) AS threshold_amount,
       t.progressive_thresholds,
       t.progressive_every,
       pg_catalog.lower(t.valid) AS valid_from,
       pg_catalog.upper(t.valid) AS valid_to,
       g.agreement_id,
       pg_catalog.lower(t.known) AS recorded_at,
       t.recorded_by
  FROM billing.agreement_term AS t
  JOIN billing.agreement AS g USING (agreement_id)
  JOIN billing.seller AS s USING (seller_id)
  JOIN billing.account AS b ON b.account_id = g.buyer_id
  JOIN billing.account AS c ON c.account_id = t.consumer_id
  JOIN billing.price_list AS l USING (list_id)
  LEFT JOIN billing.invoice_group AS i USING (invoice_group_id)
 WHERE pg_catalog.upper_inf(t.known);
COMMENT ON VIEW billing.agreements IS 'What the agreements of sellers and buyers say, as known now; a row a span of days.';
COMMENT ON COLUMN billing.agreements.buyer IS 'Key of the account that is charged.';
COMMENT ON COLUMN billing.agreements.seller IS 'Key of the seller.';
COMMENT ON COLUMN billing.agreements.agreement IS 'Key of the agreement.';
COMMENT ON COLUMN billing.agreements.consumer IS 'Key of the account whose usage is charged.';
COMMENT ON COLUMN billing.agreements.with_descendants IS 'Whether usage of all accounts below the consumer is charged too.';
COMMENT ON COLUMN billing.agreements.price_list IS 'Key of the price list.';
COMMENT ON COLUMN billing.agreements.currency IS 'Currency of the price list.';
COMMENT ON COLUMN billing.agreements.invoice_group IS 'Key of the invoice group.';
COMMENT ON COLUMN billing.agreements.progressive_threshold IS 'A charge of a running period is billed as soon as it owes this much more than was billed; null = not for that.';
COMMENT ON COLUMN billing.agreements.threshold_amount IS 'The same as a plain number, in the currency of the list.';
COMMENT ON COLUMN billing.agreements.progressive_thresholds IS 'All usage of a running period is billed when all usage of the agreement comes to one of these; null = none.';
COMMENT ON COLUMN billing.agreements.progressive_every IS 'The same at each multiple of this amount, above the last of those; null = none.';
COMMENT ON COLUMN billing.agreements.valid_from IS 'First day; null = always.';
COMMENT ON COLUMN billing.agreements.valid_to IS 'First day that no longer belongs to it; null = without end.';
COMMENT ON COLUMN billing.agreements.agreement_id IS 'Number of the agreement.';
COMMENT ON COLUMN billing.agreements.recorded_at IS 'When this was recorded.';
COMMENT ON COLUMN billing.agreements.recorded_by IS 'Who recorded it.';

CREATE VIEW billing.meters AS
SELECT i.key AS meter,
       d.name,
       s.key AS seller,
       d.unit,
       d.aggregation,
       d.dimensions,
       d.filter,
       d.rounding,
       d.decimals,
       d.percentile,
       d.unique_dimension,
       d.enabled,
       d.operation_dimension,
       d.carried_over,
       d.prorated,
       d.proration_decimals,
       d.level_holds,
       pg_catalog.trim_scale(d.multiply_by) || CASE WHEN d.divide_by <> 1 THEN '/' || pg_catalog.trim_scale(d.divide_by) ELSE '' END AS factor,
       d.offset_by,
       d.mutate,
       d.mutate_map,
       d.hours_in_month,
       i.item_id AS meter_id,
       pg_catalog.lower(d.known) AS recorded_at,
       d.recorded_by
  FROM billing.meter_definition AS d
  JOIN billing.item AS i USING (item_id)
  JOIN billing.seller AS s USING (seller_id)
 WHERE pg_catalog.upper_inf(d.known);
COMMENT ON VIEW billing.meters IS 'The meters as known now.';
COMMENT ON COLUMN billing.meters.meter IS 'Key of the meter.';
COMMENT ON COLUMN billing.meters.name IS 'What invoices call it; null = its key.';
COMMENT ON COLUMN billing.meters.seller IS 'Key of the seller who owns it.';
COMMENT ON COLUMN billing.meters.unit IS 'Unit of its quantities.';
COMMENT ON COLUMN billing.meters.aggregation IS 'How the usage of a period becomes one quantity.';
COMMENT ON COLUMN billing.meters.dimensions IS 'Dimensions that make charge lines of their own.';
COMMENT ON COLUMN billing.meters.filter IS 'Values of dimensions that count; {} = all.';
COMMENT ON COLUMN billing.meters.rounding IS 'How the quantity of a period is rounded; null = not at all.';
COMMENT ON COLUMN billing.meters.decimals IS 'To how many decimals.';
COMMENT ON COLUMN billing.meters.percentile IS 'For aggregation percentile: above 0 to 1.';
COMMENT ON COLUMN billing.meters.unique_dimension IS 'For unique_count: what is counted; null = the resource.';
COMMENT ON COLUMN billing.meters.enabled IS 'Whether its usage is charged.';
COMMENT ON COLUMN billing.meters.operation_dimension IS 'For unique_count: the dimension that says add or remove.';
COMMENT ON COLUMN billing.meters.carried_over IS 'Whether its quantity goes on from earlier periods.';
COMMENT ON COLUMN billing.meters.prorated IS 'Rule by which usage counts with the part of the period from its time on; null = whole.';
COMMENT ON COLUMN billing.meters.proration_decimals IS 'Where prorated parts are rounded up; null = not at all.';
COMMENT ON COLUMN billing.meters.level_holds IS 'How long a time-weighted level holds at most; null = for ever.';
COMMENT ON COLUMN billing.meters.factor IS 'Charged units a recorded unit: a number or a fraction.';
COMMENT ON COLUMN billing.meters.offset_by IS 'Added to each usage row after the factor.';
COMMENT ON COLUMN billing.meters.mutate IS 'What then becomes of each usage row; null = nothing.';
COMMENT ON COLUMN billing.meters.mutate_map IS 'For mutate map: value in to value out.';
COMMENT ON COLUMN billing.meters.hours_in_month IS 'Hours by which unit-hours become unit-months; null = they stay hours.';
COMMENT ON COLUMN billing.meters.meter_id IS 'Number of the meter.';
COMMENT ON COLUMN billing.meters.recorded_at IS 'When this definition was recorded.';
COMMENT ON COLUMN billing.meters.recorded_by IS 'Who recorded it.';

CREATE VIEW billing.fees AS
SELECT i.key AS fee,
       d.name,
       s.key AS seller,
       d.unit,
       d.in_advance,
       d.proration,
       d.price_days,
       i.item_id AS fee_id,
       pg_catalog.lower(d.known) AS recorded_at,
       d.recorded_by
  FROM billing.fee_definition AS d
  JOIN billing.item AS i USING (item_id)
  JOIN billing.seller AS s USING (seller_id)
 WHERE pg_catalog.upper_inf(d.known);
COMMENT ON VIEW billing.fees IS 'The recurring fees as known now.';
COMMENT ON COLUMN billing.fees.fee IS 'Key of the fee.';
COMMENT ON COLUMN billing.fees.name IS 'What invoices call it; null = its key.';
COMMENT ON COLUMN billing.fees.seller IS 'Key of the seller who owns it.';
COMMENT ON COLUMN billing.fees.unit IS 'What its quantity counts.';
COMMENT ON COLUMN billing.fees.in_advance IS 'Whether it is due at the start of a charge period, not at its end.';
COMMENT ON COLUMN billing.fees.proration IS 'Rule of prorate() by which it is charged for part of a period.';
COMMENT ON COLUMN billing.fees.price_days IS 'Of how many days its price is, where days are counted; null = of the whole charge period.';
COMMENT ON COLUMN billing.fees.fee_id IS 'Number of the fee.';
COMMENT ON COLUMN billing.fees.recorded_at IS 'When this definition was recorded.';
COMMENT ON COLUMN billing.fees.recorded_by IS 'Who recorded it.';

CREATE VIEW billing.price_lists AS
SELECT s.key AS seller,
       l.key AS price_list,
       l.currency,
       l.rounding,
       l.list_id,
       l.recorded_at,
       l.recorded_by
  FROM billing.price_list AS l
  JOIN billing.seller AS s USING (seller_id);
COMMENT ON VIEW billing.price_lists IS 'The price lists.';
COMMENT ON COLUMN billing.price_lists.seller IS 'Key of the seller.';
COMMENT ON COLUMN billing.price_lists.price_list IS 'Key of the list.';
COMMENT ON COLUMN billing.price_lists.currency IS 'Its currency.';
COMMENT ON COLUMN billing.price_lists.rounding IS 'Where a bill rounds by tariffs that do not say it themselves: sum, line or detail; null = by their dialect.';
COMMENT ON COLUMN billing.price_lists.list_id IS 'Number of the list.';
COMMENT ON COLUMN billing.price_lists.recorded_at IS 'When it was made.';
COMMENT ON COLUMN billing.price_lists.recorded_by IS 'Who made it.';

CREATE VIEW billing.prices AS
SELECT s.key AS seller,
       l.key AS price_list,
       i.kind,
       i.key AS item,
       a.key AS account,
       p.tariff,
       p.chain,
       l.currency,
       p.tax_code,
       pg_catalog.lower(p.valid) AS valid_from,
       pg_catalog.upper(p.valid) AS valid_to,
       p.price_id,
       pg_catalog.lower(p.known) AS recorded_at,
       p.recorded_by
  FROM billing.price AS p
  JOIN billing.price_list AS l USING (list_id)
  JOIN billing.seller AS s USING (seller_id)
  JOIN billing.item AS i USING (item_id)
  LEFT JOIN billing.account AS a ON a.account_id = p.account_id
 WHERE pg_catalog.upper_inf(p.known);
COMMENT ON VIEW billing.prices IS 'The prices as known now.';
COMMENT ON COLUMN billing.prices.seller IS 'Key of the seller.';
COMMENT ON COLUMN billing.prices.price_list IS 'Key of the price list.';
COMMENT ON COLUMN billing.prices.kind IS 'What has the price: meter or fee.';
COMMENT ON COLUMN billing.prices.item IS 'Key of the meter or fee.';
COMMENT ON COLUMN billing.prices.account IS 'Key of the buyer whose own price it is; null = of all.';
COMMENT ON COLUMN billing.prices.tariff IS 'What it costs.';
COMMENT ON COLUMN billing.prices.chain IS 'The rating modules that price each usage row by itself, in their order; null = none.';
COMMENT ON COLUMN billing.prices.currency IS 'Currency of the tariff.';
COMMENT ON COLUMN billing.prices.tax_code IS 'Tax code; null = the seller''s default.';
COMMENT ON COLUMN billing.prices.valid_from IS 'From when on, in the local time of each buyer; null = always.';
COMMENT ON COLUMN billing.prices.valid_to IS 'First moment that no longer belongs to it; null = without end.';
COMMENT ON COLUMN billing.prices.price_id IS 'Number of the price.';
COMMENT ON COLUMN billing.prices.recorded_at IS 'When this was recorded.';
COMMENT ON COLUMN billing.prices.recorded_by IS 'Who recorded it.';

CREATE VIEW billing.price_history AS
SELECT s.key AS seller,
       l.key AS price_list,
       i.kind,
       i.key AS item,
       a.key AS account,
       p.tariff,
       p.chain,
       l.currency,
       p.tax_code,
       pg_catalog.lower(p.valid) AS valid_from,
       pg_catalog.upper(p.valid) AS valid_to,
       p.price_id,
       p.remainder_of,
       pg_catalog.lower(p.known) AS known_from,
       pg_catalog.upper(p.known) AS known_to,
       p.recorded_by
  FROM billing.price AS p
  JOIN billing.price_list AS l USING (list_id)
  JOIN billing.seller AS s USING (seller_id)
  JOIN billing.item AS i USING (item_id)
  LEFT JOIN billing.account AS a ON a.account_id = p.account_id
 WHERE NOT pg_catalog.isempty(p.known);
COMMENT ON VIEW billing.price_history IS 'Every price that was ever known, also those that later ones superseded.';
COMMENT ON COLUMN billing.price_history.seller IS 'Key of the seller.';
COMMENT ON COLUMN billing.price_history.price_list IS 'Key of the price list.';
COMMENT ON COLUMN billing.price_history.kind IS 'What has the price: meter or fee.';
COMMENT ON COLUMN billing.price_history.item IS 'Key of the meter or fee.';
COMMENT ON COLUMN billing.price_history.account IS 'Key of the buyer whose own price it is; null = of all.';
COMMENT ON COLUMN billing.price_history.tariff IS 'What it costs.';
COMMENT ON COLUMN billing.price_history.chain IS 'The rating modules that price each usage row by itself, in their order; null = none.';
COMMENT ON COLUMN billing.price_history.currency IS 'Currency of the tariff.';
COMMENT ON COLUMN billing.price_history.tax_code IS 'Tax code; null = the seller''s default.';
COMMENT ON COLUMN billing.price_history.valid_from IS 'From when on, in the local time of each buyer; null = always.';
COMMENT ON COLUMN billing.price_history.valid_to IS 'First moment that no longer belongs to it; null = without end.';
COMMENT ON COLUMN billing.price_history.price_id IS 'Number of the price.';
COMMENT ON COLUMN billing.price_history.remainder_of IS 'The price of which this is what a later one left.';
COMMENT ON COLUMN billing.price_history.known_from IS 'When it was recorded.';
COMMENT ON COLUMN billing.price_history.known_to IS 'When it was superseded; null = it is known now.';
COMMENT ON COLUMN billing.price_history.recorded_by IS 'Who recorded it.';

CREATE VIEW billing.subscriptions AS
SELECT b.key AS account,
       u.key AS subscription,
       i.key AS fee,
       t.quantity,
       pg_catalog.lower(t.dates) AS starts_on,
       pg_catalog.upper(t.dates) AS ends_on,
       s.key AS seller,
       g.key AS agreement,
       u.subscription_id,
       pg_catalog.lower(t.known) AS recorded_at,
       t.recorded_by
  FROM billing.subscription_term AS t
  JOIN billing.subscription AS u USING (subscription_id)
  JOIN billing.item AS i USING (item_id)
  JOIN billing.agreement AS g USING (agreement_id)
  JOIN billing.seller AS s ON s.seller_id = g.seller_id
  JOIN billing.account AS b ON b.account_id = g.buyer_id
 WHERE pg_catalog.upper_inf(t.known);
COMMENT ON VIEW billing.subscriptions IS 'The subscriptions as known now; a row a span of days with one quantity.';
COMMENT ON COLUMN billing.subscriptions.account IS 'Key of the account.';
COMMENT ON COLUMN billing.subscriptions.subscription IS 'Key of the subscription.';
COMMENT ON COLUMN billing.subscriptions.fee IS 'Key of the fee.';
COMMENT ON COLUMN billing.subscriptions.quantity IS 'How many of it.';
COMMENT ON COLUMN billing.subscriptions.starts_on IS 'First day.';
COMMENT ON COLUMN billing.subscriptions.ends_on IS 'First day that no longer belongs to it; null = without end.';
COMMENT ON COLUMN billing.subscriptions.seller IS 'Key of the seller.';
COMMENT ON COLUMN billing.subscriptions.agreement IS 'Key of the agreement.';
COMMENT ON COLUMN billing.subscriptions.subscription_id IS 'Number of the subscription.';
COMMENT ON COLUMN billing.subscriptions.recorded_at IS 'When this was recorded.';
COMMENT ON COLUMN billing.subscriptions.recorded_by IS 'Who recorded it.';

CREATE VIEW billing.tax_rates AS
SELECT s.key AS seller,
       t.tax_code,
       t.category,
       CASE t.category WHEN 'S' THEN 'standard rate' WHEN 'Z' THEN 'zero rated' WHEN 'E' THEN 'exempt' WHEN 'AE' THEN 'reverse charge'
           WHEN 'K' THEN 'within the EU' WHEN 'G' THEN 'export' WHEN 'O' THEN 'outside the scope' WHEN 'L' THEN 'Canary Islands' ELSE 'Ceuta and Melilla' END AS meaning,
       t.rate,
       t.exemption_code,
       t.exemption_reason,
       pg_catalog.lower(t.valid) AS valid_from,
       pg_catalog.upper(t.valid) AS valid_to,
       pg_catalog.lower(t.known) AS recorded_at,
       t.recorded_by
  FROM billing.tax_rate AS t
  JOIN billing.seller AS s USING (seller_id)
 WHERE pg_catalog.upper_inf(t.known);
COMMENT ON VIEW billing.tax_rates IS 'The tax codes of sellers as known now.';
COMMENT ON COLUMN billing.tax_rates.seller IS 'Key of the seller.';
COMMENT ON COLUMN billing.tax_rates.tax_code IS 'The code.';
COMMENT ON COLUMN billing.tax_rates.category IS 'UNCL 5305 code of EN 16931 (BT-151).';
COMMENT ON COLUMN billing.tax_rates.meaning IS 'The category in words.';
COMMENT ON COLUMN billing.tax_rates.rate IS 'Percent.';
COMMENT ON COLUMN billing.tax_rates.exemption_code IS 'Code of the exemption (BT-121).';
COMMENT ON COLUMN billing.tax_rates.exemption_reason IS 'The exemption in words (BT-120).';
COMMENT ON COLUMN billing.tax_rates.valid_from IS 'First tax point date; null = always.';
COMMENT ON COLUMN billing.tax_rates.valid_to IS 'First tax point date that no longer belongs to it; null = without end.';
COMMENT ON COLUMN billing.tax_rates.recorded_at IS 'When this was recorded.';
COMMENT ON COLUMN billing.tax_rates.recorded_by IS 'Who recorded it.';

CREATE VIEW billing.correction_policies AS
SELECT s.key AS seller,
       a.key AS account,
       p.cause,
       p.action,
       p.greatest_age,
       p.greatest_amount,
       billing.amount(p.greatest_amount) AS limit_amount,
       billing.currency(p.greatest_amount) AS limit_currency,
       pg_catalog.lower(p.known) AS recorded_at,
       p.recorded_by
  FROM billing.correction_policy AS p
  LEFT JOIN billing.seller AS s USING (seller_id)
  LEFT JOIN billing.account AS a USING (account_id)
 WHERE pg_catalog.upper_inf(p.known);
COMMENT ON VIEW billing.correction_policies IS 'What happens to differences in closed periods, where it is not the default.';
COMMENT ON COLUMN billing.correction_policies.seller IS 'Key of the seller whose policy it is; null = of an account.';
COMMENT ON COLUMN billing.correction_policies.account IS 'Key of the account whose policy it is; it goes before the seller''s.';
COMMENT ON COLUMN billing.correction_policies.cause IS 'What the difference comes from.';
COMMENT ON COLUMN billing.correction_policies.action IS 'bill, hold or ignore.';
COMMENT ON COLUMN billing.correction_policies.greatest_age IS 'Differences in periods that ended longer ago are held; null = no limit.';
COMMENT ON COLUMN billing.correction_policies.greatest_amount IS 'Differences above it are held; null = no limit.';
COMMENT ON COLUMN billing.correction_policies.limit_amount IS 'The same as a plain number.';
COMMENT ON COLUMN billing.correction_policies.limit_currency IS 'Its currency.';
COMMENT ON COLUMN billing.correction_policies.recorded_at IS 'When this was recorded.';
COMMENT ON COLUMN billing.correction_policies.recorded_by IS 'Who recorded it.';

CREATE VIEW billing.cost_centers AS
SELECT c.kind,
       c.key AS cost_center,
       c.name,
       p.key AS parent,
       c.cost_center_id,
       c.recorded_at,
       c.recorded_by
  FROM billing.cost_center AS c
  LEFT JOIN billing.cost_center AS p ON p.cost_center_id = c.parent_id;
COMMENT ON VIEW billing.cost_centers IS 'The cost centers.';
COMMENT ON COLUMN billing.cost_centers.kind IS 'Which tree: department, project, …';
COMMENT ON COLUMN billing.cost_centers.cost_center IS 'Key of the cost center.';
COMMENT ON COLUMN billing.cost_centers.name IS 'What people call it.';
COMMENT ON COLUMN billing.cost_centers.parent IS 'Key of the one above.';
COMMENT ON COLUMN billing.cost_centers.cost_center_id IS 'Number of the cost center.';
COMMENT ON COLUMN billing.cost_centers.recorded_at IS 'When it was last changed.';
COMMENT ON COLUMN billing.cost_centers.recorded_by IS 'Who changed it.';

CREATE VIEW billing.resources AS
SELECT a.key AS account,
       r.key AS resource,
       r.kind,
       (SELECT coalesce(pg_catalog.jsonb_object_agg(t.tag, t.value), '{}') FROM billing.resource_tag AS t
            WHERE t.account_id = r.account_id AND t.resource_id = r.resource_id AND pg_catalog.upper_inf(t.known) AND t.valid OPERATOR(pg_catalog.@>) pg_catalog.now()) AS tags,
       r.resource_id,
       r.recorded_at
  FROM billing.resource AS r
  JOIN billing.account AS a USING (account_id);
COMMENT ON VIEW billing.resources IS 'The resources of accounts with the tags that hold now.';
COMMENT ON COLUMN billing.resources.account IS 'Key of the account.';
COMMENT ON COLUMN billing.resources.resource IS 'Key of the resource.';
COMMENT ON COLUMN billing.resources.kind IS 'What it is.';
COMMENT ON COLUMN billing.resources.tags IS 'Its tags now, a JSON object.';
COMMENT ON COLUMN billing.resources.resource_id IS 'Number of the resource.';
COMMENT ON COLUMN billing.resources.recorded_at IS 'When it was first recorded.';

CREATE VIEW billing.document_numbers AS
SELECT s.key AS seller,
       CASE n.type WHEN '380' THEN 'invoice' ELSE 'credit note' END AS document,
       n.series,
       n.prefix || pg_catalog.lpad((n.last_number + 1)::text, greatest(n.digits, pg_catalog.length((n.last_number + 1)::text)), '0') AS next_number,
       NULLIF(n.last_issue_date, '-infinity') AS last_issue_date,
       n.prefix,
       n.digits
  FROM billing.number_series AS n
  JOIN billing.seller AS s USING (seller_id);
COMMENT ON VIEW billing.document_numbers IS 'The series of document numbers and how far they are.';
COMMENT ON COLUMN billing.document_numbers.seller IS 'Key of the seller.';
COMMENT ON COLUMN billing.document_numbers.document IS 'What the numbers are for.';
COMMENT ON COLUMN billing.document_numbers.series IS 'Name of the series; '''' = the usual one.';
COMMENT ON COLUMN billing.document_numbers.next_number IS 'The number that the next document will get.';
COMMENT ON COLUMN billing.document_numbers.last_issue_date IS 'Issue date of the last document; the next is not earlier.';
COMMENT ON COLUMN billing.document_numbers.prefix IS 'What stands before the number.';
COMMENT ON COLUMN billing.document_numbers.digits IS 'Least number of digits.';
