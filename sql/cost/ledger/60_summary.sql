-- Cost summed by any attribute and time bucket, and a month confirmed in several currencies.

CREATE FUNCTION billing.summary(period daterange, group_by text[] DEFAULT '{}', bucket text DEFAULT 'month', condition jsonb DEFAULT '{}')
    RETURNS TABLE (begins date, ends date, attributes jsonb, currency text, rows bigint, quantity numeric, billed numeric, effective numeric, list numeric, contracted numeric)
    LANGUAGE plpgsql STABLE PARALLEL SAFE SECURITY DEFINER SET search_path = pg_catalog, billing, pg_temp
AS $$
DECLARE
    normal   jsonb  := normal_condition(condition);
    groups   text[] := ARRAY(SELECT CASE WHEN g LIKE 'tag:_%' OR g LIKE 'column:_%' THEN normal_operand(g) ELSE 'column:' || g END FROM unnest(group_by) AS g);
    operands text[] := ARRAY(SELECT DISTINCT o FROM unnest(groups || condition_operands(normal)) AS o ORDER BY 1);
    columns  text := coalesce((SELECT string_agg(format(', %s AS v%s', operand_sql(o.operand), o.place), '' ORDER BY o.place) FROM unnest(operands) WITH ORDINALITY AS o (operand, place)), '');
    named    text := coalesce((SELECT string_agg(format('%L, v%s', g.name, array_position(operands, g.operand)), ', ' ORDER BY g.place) FROM unnest(group_by, groups) WITH ORDINALITY AS g (name, operand, place)), '');
BEGIN
    PERFORM check_period(summary.period);
    IF group_by IS NULL OR '' = ANY (group_by) OR array_position(group_by, NULL) IS NOT NULL THEN
        RAISE invalid_parameter_value USING MESSAGE = format('%s are no groups', coalesce(group_by::text, 'null')), HINT = 'Name columns (ServiceName) and tags (tag:team).';
    END IF;
    PERFORM check_word('bucket', summary.bucket, '{day,week,month,quarter,year,total}');
    RETURN QUERY EXECUTE format($q$
        SELECT b.begins, CASE $3 WHEN 'total' THEN upper($1) ELSE (b.begins + CASE $3 WHEN 'quarter' THEN interval '3 months' ELSE ('1 ' || $3)::interval END)::date END, b.attributes, b.currency, count(*), CASE WHEN count(DISTINCT b.unit) FILTER (WHERE b.quantity IS NOT NULL) <= 1 THEN sum(b.quantity) END, sum(b.billed), sum(b.effective), sum(b.list), sum(b.contracted)
          FROM (SELECT CASE $3 WHEN 'total' THEN lower($1) ELSE date_trunc($3, c.charge_start AT TIME ZONE 'UTC')::date END AS begins, jsonb_build_object(%s) AS attributes, c.*
                  FROM (SELECT c.charge_start, c.currency, c.billed, c.effective, c.list, c.contracted,
                               CASE WHEN c.attributes ->> 'ConsumedQuantity' ~ %L THEN (c.attributes ->> 'ConsumedQuantity')::numeric END AS quantity, coalesce(c.attributes ->> 'ConsumedUnit', '') AS unit%s FROM (%s) AS c) AS c
                 WHERE %s) AS b
         GROUP BY b.begins, b.attributes, b.currency ORDER BY b.begins, b.attributes, b.currency $q$, named, decimal_pattern(), columns, tagged_cost_sql(), condition_sql(normal, operands))
        USING summary.period, clock_timestamp() + interval '1 day', summary.bucket;
END $$;
COMMENT ON FUNCTION billing.summary(daterange, text[], text, jsonb) IS
'Cost of the billing periods that begin in a period, summed by any columns (ServiceName) and tags (tag:team) in group_by and by bucket of the charge day (day, week, month, quarter, year, total), where the condition holds. attributes: the values of the group. quantity: ConsumedQuantity, null where rows of a group have different units (ConsumedUnit). One row a currency. Errors: 22023 bad argument, 2201B regular expression. Stable.';

CREATE FUNCTION billing.summary_json(period daterange, group_by text[] DEFAULT '{}', bucket text DEFAULT 'month', condition jsonb DEFAULT '{}', measure text DEFAULT 'billed', page_size int DEFAULT 100, page_offset int DEFAULT 0,
                                     format text DEFAULT 'table') RETURNS json
    LANGUAGE plpgsql STABLE PARALLEL SAFE SECURITY DEFINER SET search_path = pg_catalog, billing, pg_temp
AS $$
BEGIN
    PERFORM check_word('measure', summary_json.measure, '{billed,effective,list,contracted}');
    PERFORM check_word('format', summary_json.format, '{table,object}');
    RETURN (WITH summed AS (SELECT row_number() OVER () AS place, s.* FROM summary(summary_json.period, summary_json.group_by, summary_json.bucket, summary_json.condition) AS s),
                 named AS (SELECT s.place, c.no, c.name, c.value
                             FROM summed AS s
                            CROSS JOIN LATERAL (
                                SELECT 1 AS no, 'begin' AS name, to_json(to_char(s.begins, 'YYYY-MM-DD"T00:00:00+00:00"')) AS value
                                UNION ALL SELECT 2, 'end', to_json(to_char(s.ends, 'YYYY-MM-DD"T00:00:00+00:00"'))
                                UNION ALL SELECT 3, 'qty', to_json(s.quantity)
                                UNION ALL SELECT 4, 'rate', to_json(CASE summary_json.measure WHEN 'billed' THEN s.billed WHEN 'effective' THEN s.effective WHEN 'list' THEN s.list ELSE s.contracted END)
                                UNION ALL SELECT 4 + g.place, g.name, to_json(s.attributes ->> g.name) FROM unnest(group_by) WITH ORDINALITY AS g (name, place)
                                UNION ALL SELECT 5 + cardinality(group_by), 'currency', to_json(s.currency)) AS c
                            WHERE s.place > page_offset AND s.place <= page_offset + page_size),
                 page AS (SELECT n.place, CASE summary_json.format WHEN 'table' THEN json_agg(n.value ORDER BY n.no) ELSE json_object_agg(n.name, n.value ORDER BY n.no) END AS result FROM named AS n GROUP BY n.place)
        SELECT json_build_object('total', (SELECT count(*) FROM summed), 'columns', to_json('{begin,end,qty,rate}'::text[] || group_by || '{currency}'::text[]),
                                 'results', coalesce((SELECT json_agg(p.result ORDER BY p.place) FROM page AS p), '[]'), 'format', summary_json.format));
END $$;
COMMENT ON FUNCTION billing.summary_json(daterange, text[], text, jsonb, text, int, int, text) IS
'The same as summary() in the form of CloudKitty''s GET /v2/summary: total, columns (begin, end, qty, rate, the groups, and currency, which CloudKitty does not know), results and format: table, each result an array, or object. A page of page_size from page_offset. rate is the measure: billed, effective, list, contracted; begin and end are instants in UTC. Errors: as summary(). Stable.';

CREATE TABLE billing.confirmed_cost (
    period          daterange NOT NULL,
    currency        text    NOT NULL,
    source          text    NOT NULL,
    billing_account text    NOT NULL,
    from_currency   text    NOT NULL,
    billed          numeric NOT NULL,
    rate            numeric NOT NULL,
    rate_day        date    NOT NULL,
    converted       numeric NOT NULL,
    recorded_at     timestamptz NOT NULL DEFAULT billing.recorded_at(),
    recorded_by     text    NOT NULL DEFAULT session_user,
    PRIMARY KEY (period, currency, source, billing_account, from_currency)
);
COMMENT ON TABLE billing.confirmed_cost IS 'Cost of a month in several currencies as it was confirmed, with the rates used. Append-only.';
COMMENT ON COLUMN billing.confirmed_cost.period IS 'The period, in UTC.';
COMMENT ON COLUMN billing.confirmed_cost.currency IS 'Currency it is told in.';
COMMENT ON COLUMN billing.confirmed_cost.source IS 'Key of the cost source.';
COMMENT ON COLUMN billing.confirmed_cost.billing_account IS 'BillingAccountId.';
COMMENT ON COLUMN billing.confirmed_cost.from_currency IS 'Currency of the provider.';
COMMENT ON COLUMN billing.confirmed_cost.billed IS 'Billed cost in the provider''s currency.';
COMMENT ON COLUMN billing.confirmed_cost.rate IS 'Exchange rate used.';
COMMENT ON COLUMN billing.confirmed_cost.rate_day IS 'Day of the rate: the last of the period.';
COMMENT ON COLUMN billing.confirmed_cost.converted IS 'Billed cost times rate, with all decimals.';

CREATE TABLE billing.confirmed_month (
    period      daterange NOT NULL,
    currency    text   NOT NULL,
    rows        bigint NOT NULL,
    recorded_at timestamptz NOT NULL DEFAULT billing.recorded_at(),
    recorded_by text   NOT NULL DEFAULT session_user,
    PRIMARY KEY (period, currency),
    EXCLUDE USING gist (currency WITH =, period WITH &&)
);
COMMENT ON TABLE billing.confirmed_month IS 'Periods that were confirmed, those without cost too. Append-only.';
COMMENT ON COLUMN billing.confirmed_month.period IS 'The period, in UTC.';
COMMENT ON COLUMN billing.confirmed_month.currency IS 'Currency it is told in.';
COMMENT ON COLUMN billing.confirmed_month.rows IS 'How many rows of confirmed_cost it has.';

CREATE FUNCTION billing.unified_cost(period daterange, currency text)
    RETURNS TABLE (source text, billing_account text, from_currency text, billed numeric, rate numeric, rate_day date, converted numeric)
    LANGUAGE sql STABLE PARALLEL SAFE SECURITY DEFINER SET search_path = pg_catalog, billing, pg_temp
    AS $$ SELECT c.source, c.billing_account, c.currency, sum(c.billed), r.rate, upper(unified_cost.period) - 1, sum(c.billed) * r.rate
            FROM billing.cost_rows(unified_cost.period, clock_timestamp() + interval '1 day') AS c
           CROSS JOIN LATERAL (SELECT billing.exchange_rate_on(c.currency, unified_cost.currency, upper(unified_cost.period) - 1) AS rate) AS r
           GROUP BY 1, 2, 3, 5 ORDER BY 1, 2, 3 $$;
COMMENT ON FUNCTION billing.unified_cost(daterange, text) IS
'Billed cost of a period by billing account and currency, converted by the rate of the last day of the period; rate and converted are null where no rate was set. Stable.';

CREATE FUNCTION billing.confirm_month(period daterange, VARIADIC currencies text[]) RETURNS bigint
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, billing, pg_temp
AS $$
DECLARE
    missing record;
    stored  bigint;
BEGIN
    PERFORM check_ledger();
    PERFORM check_period(confirm_month.period);
    PERFORM check_currency(c) FROM unnest(currencies) AS c;
    IF EXISTS (SELECT FROM confirmed_month AS c WHERE c.period && confirm_month.period AND c.currency = ANY (currencies)) THEN
        RAISE object_not_in_prerequisite_state USING MESSAGE = format('%s is confirmed already', days_text(confirm_month.period)), HINT = 'See the views billing.confirmed_months and billing.confirmed_costs.';
    END IF;
    IF EXISTS (SELECT FROM cost_part AS p WHERE p.period && confirm_month.period) THEN
        RAISE object_not_in_prerequisite_state USING MESSAGE = format('parts of a delivery of %s wait for the rest of it', days_text(confirm_month.period)), HINT = 'Complete the delivery with billing.import_focus(), or forget its parts with billing.discard_staged_cost().';
    END IF;
    SELECT u.from_currency, c.code INTO missing FROM unnest(currencies) AS c (code), unified_cost(confirm_month.period, c.code) AS u WHERE u.rate IS NULL LIMIT 1;
    IF FOUND THEN
        RAISE invalid_parameter_value USING MESSAGE = format('there is no exchange rate from %s to %s on %s', missing.from_currency, missing.code, upper(confirm_month.period) - 1), HINT = 'Set it with billing.set_exchange_rate().';
    END IF;
    INSERT INTO confirmed_cost (period, currency, source, billing_account, from_currency, billed, rate, rate_day, converted)
    SELECT confirm_month.period, c.code, u.source, u.billing_account, u.from_currency, u.billed, u.rate, u.rate_day, u.converted FROM (SELECT DISTINCT x AS code FROM unnest(currencies) AS x) AS c, unified_cost(confirm_month.period, c.code) AS u;
    GET DIAGNOSTICS stored = ROW_COUNT;
    INSERT INTO confirmed_month (period, currency, rows)
    SELECT confirm_month.period, c.code, (SELECT count(*) FROM confirmed_cost AS k WHERE k.period = confirm_month.period AND k.currency = c.code) FROM (SELECT DISTINCT x AS code FROM unnest(currencies) AS x) AS c;
    RETURN stored;
END $$;
COMMENT ON FUNCTION billing.confirm_month(daterange, text[]) IS
'Keeps the cost of a period in each of the currencies, with the rates used, as it stands now; returns how many rows; a period without cost is confirmed too (see confirmed_months). Errors: 22023 a rate is missing or a currency is unknown, 55000 confirmed already, or parts of a delivery wait. Volatile.';

CREATE VIEW billing.confirmed_months AS TABLE billing.confirmed_month;
COMMENT ON VIEW billing.confirmed_months IS 'Periods that were confirmed, by currency.';
COMMENT ON COLUMN billing.confirmed_months.period IS 'The period, in UTC.';
COMMENT ON COLUMN billing.confirmed_months.currency IS 'Currency it is told in.';
COMMENT ON COLUMN billing.confirmed_months.rows IS 'How many rows of confirmed_costs it has; 0 = it had no cost.';

CREATE VIEW billing.confirmed_costs AS TABLE billing.confirmed_cost;
COMMENT ON VIEW billing.confirmed_costs IS 'Cost of each confirmed month in its currencies.';
COMMENT ON COLUMN billing.confirmed_costs.period IS 'The period, in UTC.';
COMMENT ON COLUMN billing.confirmed_costs.currency IS 'Currency it is told in.';
COMMENT ON COLUMN billing.confirmed_costs.source IS 'Key of the cost source.';
COMMENT ON COLUMN billing.confirmed_costs.billing_account IS 'BillingAccountId.';
COMMENT ON COLUMN billing.confirmed_costs.from_currency IS 'Currency of the provider.';
COMMENT ON COLUMN billing.confirmed_costs.billed IS 'Billed cost in it.';
COMMENT ON COLUMN billing.confirmed_costs.rate IS 'Exchange rate used.';
COMMENT ON COLUMN billing.confirmed_costs.rate_day IS 'Day of the rate.';
COMMENT ON COLUMN billing.confirmed_costs.converted IS 'Billed cost times rate.';
COMMENT ON COLUMN billing.confirmed_costs.recorded_at IS 'When it was confirmed.';
COMMENT ON COLUMN billing.confirmed_costs.recorded_by IS 'By whom.';
