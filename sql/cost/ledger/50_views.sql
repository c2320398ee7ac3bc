-- Cost for people and BI tools.  Amounts stay in the currency of the row; conversion is by exchange_rate_on(), which is asked for.

CREATE VIEW billing.cost_loads AS
SELECT l.load_id AS load, s.key AS source, s.provider, l.period AS billing_period, l.complete, l.outcome, l.delivered, l.added, l.removed,
       (SELECT pg_catalog.count(DISTINCT f.rule) FROM billing.cost_finding AS f WHERE f.load_id = l.load_id) AS findings, l.recorded_at, l.recorded_by
  FROM billing.cost_load AS l JOIN billing.cost_source AS s USING (source_id);
COMMENT ON VIEW billing.cost_loads IS 'Every call of import_focus() and what came of it.';

CREATE VIEW billing.cost_findings AS
SELECT f.load_id AS load, s.key AS source, f.severity, f.rule, f.focus_column, f.row_no, f.value, f.message, f.affected
  FROM billing.cost_finding AS f JOIN billing.cost_load AS l USING (load_id) JOIN billing.cost_source AS s USING (source_id);
COMMENT ON VIEW billing.cost_findings IS 'Where deliveries break the rules of FOCUS: the first hundred rows of each rule, with how many break it in all.';

CREATE VIEW billing.cost_windows AS
SELECT s.key AS source, s.provider, w.billing_account, k.kind AS cost_center_kind, k.key AS cost_center, w.period AS billing_period, n.delivered AS rows,
       n.recorded_at AS fresh_at, n.load_id AS load, n.last_change,
       EXISTS (SELECT FROM billing.cost_part AS p WHERE p.source_id = w.source_id AND p.period && w.period) AS waits_for_parts
  FROM billing.cost_window AS w
  JOIN billing.cost_source AS s USING (source_id)
  LEFT JOIN billing.billing_account_center AS b ON b.source_id = w.source_id AND b.billing_account = w.billing_account AND b.valid @> pg_catalog.lower(w.period) AND pg_catalog.upper_inf(b.known)
  LEFT JOIN billing.cost_center AS k USING (cost_center_id)
 CROSS JOIN LATERAL (SELECT x.delivered, x.load_id, l.recorded_at,
                            (SELECT pg_catalog.max(m.recorded_at) FROM billing.cost_window_load AS y JOIN billing.cost_load AS m USING (load_id)
                              WHERE y.window_id = w.window_id AND y.added + y.removed > 0) AS last_change
                       FROM billing.cost_window_load AS x JOIN billing.cost_load AS l USING (load_id) WHERE x.window_id = w.window_id ORDER BY x.load_id DESC LIMIT 1) AS n;
COMMENT ON VIEW billing.cost_windows IS 'Each billing period of each billing account: how fresh and how complete it is.';

CREATE VIEW billing.costs AS
SELECT s.key AS source, w.billing_account, k.key AS cost_center, w.period AS billing_period, (c.charge_start AT TIME ZONE 'UTC')::date AS day, c.charge_start, c.charge_end,
       c.category, c.service, c.provider, c.sub_account, c.resource, t.tags, c.billed, c.effective, c.list, c.contracted, c.currency, c.attributes, c.cost_id
  FROM billing.cost AS c
  JOIN billing.cost_window AS w USING (window_id)
  JOIN billing.cost_source AS s USING (source_id)
  LEFT JOIN billing.billing_account_center AS b ON b.source_id = w.source_id AND b.billing_account = w.billing_account AND b.valid @> pg_catalog.lower(w.period) AND pg_catalog.upper_inf(b.known)
  LEFT JOIN billing.cost_center AS k USING (cost_center_id)
  LEFT JOIN billing.tag_set AS t USING (tag_set_id)
 WHERE pg_catalog.upper_inf(c.known);
COMMENT ON VIEW billing.costs IS 'Every cost row that holds now, with the tags that were delivered.';

CREATE FUNCTION billing.costs_as_known(period daterange, known_at timestamptz DEFAULT NULL)
    RETURNS TABLE (source text, billing_account text, cost_center text, billing_period daterange, day date, charge_start timestamptz, charge_end timestamptz, category text, service text, provider text, sub_account text, resource text,
                   tags jsonb, billed numeric, effective numeric, list numeric, contracted numeric, currency text, attributes jsonb, cost_id bigint)
    LANGUAGE sql STABLE PARALLEL SAFE SECURITY DEFINER SET search_path = pg_catalog, billing, pg_temp
    AS $$ SELECT c.source, c.billing_account, c.cost_center, c.billing_period, (c.charge_start AT TIME ZONE 'UTC')::date, c.charge_start, c.charge_end, c.category, c.service, c.provider, c.sub_account, c.resource,
                 c.tags, c.billed, c.effective, c.list, c.contracted, c.currency, c.attributes, c.cost_id
            FROM billing.cost_rows(costs_as_known.period, coalesce(costs_as_known.known_at, clock_timestamp() + interval '1 day')) AS c $$;
COMMENT ON FUNCTION billing.costs_as_known(daterange, timestamptz) IS
'The columns of the view costs for all billing periods that begin within a period (days in UTC), as they were known at an instant (null = now), with the tags that provider and people had given then. Stable.';

CREATE VIEW billing.cost_by_service AS
SELECT w.period AS billing_period, s.key AS source, w.billing_account, c.provider, c.service, c.currency,
       pg_catalog.sum(c.billed) AS billed, pg_catalog.sum(c.effective) AS effective, pg_catalog.sum(c.list) AS list, pg_catalog.sum(c.contracted) AS contracted, pg_catalog.count(*) AS rows
  FROM billing.cost AS c JOIN billing.cost_window AS w USING (window_id) JOIN billing.cost_source AS s USING (source_id)
 WHERE pg_catalog.upper_inf(c.known) GROUP BY 1, 2, 3, 4, 5, 6;
COMMENT ON VIEW billing.cost_by_service IS 'Cost of each service by billing period and billing account; currencies are never added to each other.';

CREATE FUNCTION billing.cost_of_tags(billing_period daterange, tags text[] DEFAULT NULL)
    RETURNS TABLE (tag text, value text, day date, category text, currency text, billed numeric, effective numeric, list numeric, contracted numeric, rows bigint)
    LANGUAGE plpgsql STABLE PARALLEL SAFE SECURITY DEFINER SET search_path = pg_catalog, billing, pg_temp SET jit = off SET work_mem = '64MB'
AS $$
DECLARE
    -- As long as neither people nor rules give tags, rows are summed by the set of tags that was delivered, and each set is read once.
    as_delivered CONSTANT boolean := NOT EXISTS (SELECT FROM auto_tag_rule AS r WHERE upper_inf(r.known)) AND NOT EXISTS (SELECT FROM resource_tag);
BEGIN
    RETURN QUERY EXECUTE format($q$
        SELECT t.key, c.tags ->> t.key, c.day, c.category, c.currency, sum(c.billed), sum(c.effective), sum(c.list), sum(c.contracted), sum(c.rows)::bigint
          FROM (SELECT %1$s AS tags, g.day, g.category, g.currency, g.billed, g.effective, g.list, g.contracted, g.rows
                  FROM (SELECT c.%2$s, (c.charge_start AT TIME ZONE 'UTC')::date AS day, c.category, c.currency, sum(c.billed) AS billed, sum(c.effective) AS effective, sum(c.list) AS list, sum(c.contracted) AS contracted, count(*) AS rows
                          FROM (%3$s) AS c WHERE c.billing_period = $1 GROUP BY 1, 2, 3, 4) AS g %4$s) AS c
         CROSS JOIN LATERAL %5$s AS t (key)
         WHERE c.tags ? t.key
         GROUP BY 1, 2, 3, 4, 5 $q$,
        CASE WHEN as_delivered THEN 's.tags' ELSE 'g.tags' END, CASE WHEN as_delivered THEN 'tag_set_id' ELSE 'tags' END, tagged_cost_sql(), CASE WHEN as_delivered THEN 'JOIN billing.tag_set AS s USING (tag_set_id)' ELSE '' END,
        CASE WHEN cost_of_tags.tags IS NULL THEN 'jsonb_object_keys(c.tags)' ELSE 'unnest($3)' END)
        USING cost_of_tags.billing_period, clock_timestamp() + interval '1 day', cost_of_tags.tags;
END $$;
COMMENT ON FUNCTION billing.cost_of_tags(daterange, text[]) IS
'Cost of one billing period by each tag and its value, charge day (UTC), category and currency, with the tags that people, providers and rules gave, in that order of precedence; tags: normalised keys of the tags that are wanted, null = all. A row counts under each of its tags. Stable.';

CREATE VIEW billing.cost_by_tag AS
SELECT p.period AS billing_period, t.tag, t.value, t.currency,
       pg_catalog.sum(t.billed) AS billed, pg_catalog.sum(t.effective) AS effective, pg_catalog.sum(t.list) AS list, pg_catalog.sum(t.contracted) AS contracted, pg_catalog.sum(t.rows)::bigint AS rows
  FROM (SELECT DISTINCT w.period FROM billing.cost_window AS w) AS p CROSS JOIN LATERAL billing.cost_of_tags(p.period) AS t
 GROUP BY 1, 2, 3, 4;
COMMENT ON VIEW billing.cost_by_tag IS 'Cost that carries each tag value, by billing period, whether a person, the provider or a rule gave it. A row counts under each of its tags: never add different tags to each other.';

CREATE VIEW billing.cost_dashboard AS
WITH missing AS (   -- billing accounts that had cost when they delivered before, or that delivered nothing yet
    SELECT p.period, b.cost_center_id, b.billing_account
      FROM (SELECT DISTINCT w.period FROM billing.cost_window AS w) AS p
      JOIN billing.billing_account_center AS b ON b.valid @> pg_catalog.lower(p.period) AND pg_catalog.upper_inf(b.known)
     WHERE NOT EXISTS (SELECT FROM billing.cost_window AS w WHERE w.source_id = b.source_id AND w.billing_account = b.billing_account AND w.period && p.period)
       AND ((SELECT l.delivered > 0 FROM billing.cost_window AS w JOIN billing.cost_window_load AS l USING (window_id)
              WHERE w.source_id = b.source_id AND w.billing_account = b.billing_account AND pg_catalog.upper(w.period) <= pg_catalog.lower(p.period) ORDER BY w.period DESC, l.load_id DESC LIMIT 1)
            OR NOT EXISTS (SELECT FROM billing.cost_window AS w WHERE w.source_id = b.source_id AND w.billing_account = b.billing_account))),
shown AS (
    SELECT w.period AS billing_period, k.cost_center_id, k.kind AS cost_center_kind, k.key AS cost_center, c.currency, pg_catalog.count(DISTINCT w.window_id) AS billing_accounts,
           pg_catalog.sum(c.billed) AS billed, pg_catalog.sum(c.effective) AS effective, pg_catalog.min(f.fresh_at) AS fresh_at, pg_catalog.bool_or(p.waits) AS waits
      FROM billing.cost AS c
      JOIN billing.cost_window AS w USING (window_id)
      JOIN billing.billing_account_center AS b ON b.source_id = w.source_id AND b.billing_account = w.billing_account AND b.valid @> pg_catalog.lower(w.period) AND pg_catalog.upper_inf(b.known)
      JOIN billing.cost_center AS k USING (cost_center_id)
      JOIN (SELECT x.window_id, pg_catalog.max(l.recorded_at) AS fresh_at FROM billing.cost_window_load AS x JOIN billing.cost_load AS l USING (load_id) GROUP BY 1) AS f USING (window_id)
      JOIN (SELECT x.window_id, EXISTS (SELECT FROM billing.cost_part AS s WHERE s.source_id = x.source_id AND s.period && x.period) AS waits FROM billing.cost_window AS x) AS p USING (window_id)
     WHERE pg_catalog.upper_inf(c.known)
     GROUP BY GROUPING SETS ((w.period, k.cost_center_id, k.kind, k.key, c.currency), (w.period, c.currency)))
SELECT s.billing_period, s.cost_center_kind, s.cost_center, s.currency, s.billing_accounts, s.billed, s.effective, s.fresh_at, NOT s.waits AND m.accounts IS NULL AS complete, m.accounts AS missing_accounts
  FROM shown AS s
 CROSS JOIN LATERAL (SELECT pg_catalog.array_agg(x.billing_account ORDER BY x.billing_account) AS accounts FROM missing AS x WHERE x.period = s.billing_period AND (s.cost_center_id IS NULL OR x.cost_center_id = s.cost_center_id)) AS m;
COMMENT ON VIEW billing.cost_dashboard IS 'Cost of each billing period by the cost center that answers for the billing account, and consolidated over all billing accounts (cost_center null), with the instant of the stalest window and what is still missing; one row a currency.';

CREATE FUNCTION billing.set_exchange_rate(from_currency text, to_currency text, valid_from date, valid_to date, rate numeric, source text DEFAULT NULL) RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, billing, pg_temp
AS $$
DECLARE
    span  daterange := daterange(valid_from, valid_to);
    stamp timestamptz;
BEGIN
    PERFORM check_ledger();
    PERFORM check_currency(set_exchange_rate.from_currency);
    PERFORM check_currency(set_exchange_rate.to_currency);
    IF isempty(span) OR rate IS NULL OR rate <= 0 OR rate >= 'Infinity' OR set_exchange_rate.from_currency = set_exchange_rate.to_currency THEN
        RAISE invalid_parameter_value USING MESSAGE = format('%s is no exchange rate from %s to %s for %s', coalesce(rate::text, 'null'), set_exchange_rate.from_currency, set_exchange_rate.to_currency, span),
            HINT = 'A rate is above 0, between two currencies, for at least one day.';
    END IF;
    PERFORM billing.lock_until_commit(1651076212, 2);
    stamp := stamp_after((SELECT max(lower(r.known)) FROM exchange_rate AS r WHERE r.from_currency = set_exchange_rate.from_currency AND r.to_currency = set_exchange_rate.to_currency));
    WITH closed AS (
        UPDATE exchange_rate AS r SET known = tstzrange(lower(r.known), stamp)
         WHERE r.from_currency = set_exchange_rate.from_currency AND r.to_currency = set_exchange_rate.to_currency AND r.valid && span AND upper_inf(r.known)
        RETURNING r.*)
    INSERT INTO exchange_rate (from_currency, to_currency, valid, rate, source, known)
    SELECT c.from_currency, c.to_currency, rest, c.rate, c.source, tstzrange(stamp, NULL) FROM closed AS c, unnest(datemultirange(c.valid) - datemultirange(span)) AS rest
    UNION ALL
    SELECT set_exchange_rate.from_currency, set_exchange_rate.to_currency, span, set_exchange_rate.rate, set_exchange_rate.source, tstzrange(stamp, NULL);
END $$;
COMMENT ON FUNCTION billing.set_exchange_rate(text, text, date, date, numeric, text) IS
'Says how much of to_currency one unit of from_currency is from valid_from to valid_to (half-open; null = without border). source: where the rate comes from. Errors: 22023 no rate, unknown currency or empty span. Volatile.';

CREATE FUNCTION billing.exchange_rate_on(from_currency text, to_currency text, day date) RETURNS numeric
    LANGUAGE sql STABLE PARALLEL SAFE SECURITY DEFINER SET search_path = pg_catalog, billing, pg_temp
    AS $$ SELECT CASE WHEN from_currency = to_currency THEN 1
                      ELSE (SELECT r.rate FROM billing.exchange_rate AS r WHERE r.from_currency = exchange_rate_on.from_currency AND r.to_currency = exchange_rate_on.to_currency AND r.valid @> day AND upper_inf(r.known)) END $$;
COMMENT ON FUNCTION billing.exchange_rate_on(text, text, date) IS 'How much of to_currency one unit of from_currency is on a day, as known now; 1 for the same currency, null if no rate was set. Stable.';

COMMENT ON COLUMN billing.cost_loads.load IS 'Number of the load.';
COMMENT ON COLUMN billing.cost_loads.source IS 'Key of the source.';
COMMENT ON COLUMN billing.cost_loads.provider IS 'Its provider.';
COMMENT ON COLUMN billing.cost_loads.billing_period IS 'Billing periods the load was about.';
COMMENT ON COLUMN billing.cost_loads.complete IS 'True: the delivery was whole. False: a part.';
COMMENT ON COLUMN billing.cost_loads.outcome IS 'collected, refused, unchanged, changed.';
COMMENT ON COLUMN billing.cost_loads.delivered IS 'Rows delivered.';
COMMENT ON COLUMN billing.cost_loads.added IS 'Rows that are new.';
COMMENT ON COLUMN billing.cost_loads.removed IS 'Rows no longer reported.';
COMMENT ON COLUMN billing.cost_loads.findings IS 'How many rules of FOCUS the delivery breaks.';
COMMENT ON COLUMN billing.cost_loads.recorded_at IS 'When it was recorded.';
COMMENT ON COLUMN billing.cost_loads.recorded_by IS 'Who loaded it.';

COMMENT ON COLUMN billing.cost_findings.load IS 'Number of the load.';
COMMENT ON COLUMN billing.cost_findings.source IS 'Key of the source.';
COMMENT ON COLUMN billing.cost_findings.severity IS 'fatal, error, warning.';
COMMENT ON COLUMN billing.cost_findings.rule IS 'The rule, see focus_rules().';
COMMENT ON COLUMN billing.cost_findings.focus_column IS 'The column that is wrong.';
COMMENT ON COLUMN billing.cost_findings.row_no IS 'Number of the row in the delivery.';
COMMENT ON COLUMN billing.cost_findings.value IS 'What stands there; null = nothing.';
COMMENT ON COLUMN billing.cost_findings.message IS 'What the rule asks.';
COMMENT ON COLUMN billing.cost_findings.affected IS 'How many rows of the delivery break this rule.';

COMMENT ON COLUMN billing.cost_windows.source IS 'Key of the source.';
COMMENT ON COLUMN billing.cost_windows.provider IS 'Its provider.';
COMMENT ON COLUMN billing.cost_windows.billing_account IS 'BillingAccountId.';
COMMENT ON COLUMN billing.cost_windows.cost_center_kind IS 'Kind of the cost center that answers for it.';
COMMENT ON COLUMN billing.cost_windows.cost_center IS 'Key of that cost center.';
COMMENT ON COLUMN billing.cost_windows.billing_period IS 'Days of the billing period in UTC.';
COMMENT ON COLUMN billing.cost_windows.rows IS 'Rows it holds.';
COMMENT ON COLUMN billing.cost_windows.fresh_at IS 'When it was last delivered as a whole.';
COMMENT ON COLUMN billing.cost_windows.load IS 'The load that did.';
COMMENT ON COLUMN billing.cost_windows.last_change IS 'When a delivery last changed it.';
COMMENT ON COLUMN billing.cost_windows.waits_for_parts IS 'Parts of a newer delivery wait for the rest of it.';

COMMENT ON COLUMN billing.costs.source IS 'Key of the source.';
COMMENT ON COLUMN billing.costs.billing_account IS 'BillingAccountId.';
COMMENT ON COLUMN billing.costs.cost_center IS 'Cost center that answers for the billing account.';
COMMENT ON COLUMN billing.costs.billing_period IS 'Days of the billing period in UTC.';
COMMENT ON COLUMN billing.costs.day IS 'First day of the charge period in UTC.';
COMMENT ON COLUMN billing.costs.charge_start IS 'ChargePeriodStart.';
COMMENT ON COLUMN billing.costs.charge_end IS 'ChargePeriodEnd.';
COMMENT ON COLUMN billing.costs.category IS 'ChargeCategory.';
COMMENT ON COLUMN billing.costs.service IS 'ServiceName.';
COMMENT ON COLUMN billing.costs.provider IS 'ProviderName.';
COMMENT ON COLUMN billing.costs.sub_account IS 'SubAccountId.';
COMMENT ON COLUMN billing.costs.resource IS 'ResourceId.';
COMMENT ON COLUMN billing.costs.tags IS 'Tags under normalised keys.';
COMMENT ON COLUMN billing.costs.billed IS 'BilledCost.';
COMMENT ON COLUMN billing.costs.effective IS 'EffectiveCost.';
COMMENT ON COLUMN billing.costs.list IS 'ListCost.';
COMMENT ON COLUMN billing.costs.contracted IS 'ContractedCost.';
COMMENT ON COLUMN billing.costs.currency IS 'BillingCurrency.';
COMMENT ON COLUMN billing.costs.attributes IS 'All other columns as delivered.';
COMMENT ON COLUMN billing.costs.cost_id IS 'Number of the row.';

COMMENT ON COLUMN billing.cost_by_service.billing_period IS 'Days of the billing period in UTC.';
COMMENT ON COLUMN billing.cost_by_service.source IS 'Key of the source.';
COMMENT ON COLUMN billing.cost_by_service.billing_account IS 'BillingAccountId.';
COMMENT ON COLUMN billing.cost_by_service.provider IS 'ProviderName.';
COMMENT ON COLUMN billing.cost_by_service.service IS 'ServiceName.';
COMMENT ON COLUMN billing.cost_by_service.currency IS 'Currency of the sums.';
COMMENT ON COLUMN billing.cost_by_service.billed IS 'Sum of BilledCost.';
COMMENT ON COLUMN billing.cost_by_service.effective IS 'Sum of EffectiveCost.';
COMMENT ON COLUMN billing.cost_by_service.list IS 'Sum of ListCost.';
COMMENT ON COLUMN billing.cost_by_service.contracted IS 'Sum of ContractedCost.';
COMMENT ON COLUMN billing.cost_by_service.rows IS 'How many cost rows.';

COMMENT ON COLUMN billing.cost_by_tag.billing_period IS 'Days of the billing period in UTC.';
COMMENT ON COLUMN billing.cost_by_tag.tag IS 'Normalised key of the tag.';
COMMENT ON COLUMN billing.cost_by_tag.value IS 'Its value.';
COMMENT ON COLUMN billing.cost_by_tag.currency IS 'Currency of the sums.';
COMMENT ON COLUMN billing.cost_by_tag.billed IS 'Sum of BilledCost.';
COMMENT ON COLUMN billing.cost_by_tag.effective IS 'Sum of EffectiveCost.';
COMMENT ON COLUMN billing.cost_by_tag.list IS 'Sum of ListCost.';
COMMENT ON COLUMN billing.cost_by_tag.contracted IS 'Sum of ContractedCost.';
COMMENT ON COLUMN billing.cost_by_tag.rows IS 'How many cost rows.';

COMMENT ON COLUMN billing.cost_dashboard.billing_period IS 'Days of the billing period in UTC.';
COMMENT ON COLUMN billing.cost_dashboard.cost_center_kind IS 'Kind of the cost center; null = all.';
COMMENT ON COLUMN billing.cost_dashboard.cost_center IS 'Key of the cost center that answers for the billing accounts; null = all.';
COMMENT ON COLUMN billing.cost_dashboard.currency IS 'Currency of the sums.';
COMMENT ON COLUMN billing.cost_dashboard.billing_accounts IS 'How many billing accounts.';
COMMENT ON COLUMN billing.cost_dashboard.billed IS 'Sum of BilledCost.';
COMMENT ON COLUMN billing.cost_dashboard.effective IS 'Sum of EffectiveCost.';
COMMENT ON COLUMN billing.cost_dashboard.fresh_at IS 'When the stalest of them was last delivered as a whole.';
COMMENT ON COLUMN billing.cost_dashboard.complete IS 'No billing account is missing, and no part of a newer delivery waits for the rest of it.';
COMMENT ON COLUMN billing.cost_dashboard.missing_accounts IS 'Billing accounts that delivered cost before, or nothing ever, and not this period; null = none. One that ended is settled by withdraw_cost(), once.';
