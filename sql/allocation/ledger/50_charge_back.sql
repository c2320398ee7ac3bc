-- Charge-back: allocated cost becomes usage of a meter, in units of money, on the account named like the cost center.  The price of
-- that meter is the mark-up: per_unit 1 hands cost on, 1.08 adds eight percent, tiers are possible.  So showback, the invoice and its
-- corrections are one: what is allocated later or otherwise corrects the usage, and the next run bills the difference.

CREATE TABLE billing.charged_back (
    scheme_id  int    NOT NULL REFERENCES billing.allocation_scheme,
    period     daterange NOT NULL,
    account_id bigint NOT NULL REFERENCES billing.account,
    currency   text   NOT NULL,
    meter_id   int    NOT NULL,
    amount     numeric NOT NULL,
    PRIMARY KEY (account_id, scheme_id, period, currency)
);
COMMENT ON TABLE billing.charged_back IS 'What charge_back() has made usage of: a bearer that bears nothing any more is corrected to 0.';
COMMENT ON COLUMN billing.charged_back.scheme_id IS 'The scheme.';
COMMENT ON COLUMN billing.charged_back.period IS 'The period, in UTC.';
COMMENT ON COLUMN billing.charged_back.amount IS 'Quantity of the usage, in units of money.';

CREATE FUNCTION billing.charge_back(scheme text, period daterange, meter text, measure text DEFAULT 'billed')
    RETURNS TABLE (account text, currency text, cost numeric, outcome text)
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, billing, pg_temp
AS $$
DECLARE
    bearer record;
    id     text;
    of_scheme int := (find_scheme(charge_back.scheme)).scheme_id;
BEGIN
    PERFORM check_ledger();
    PERFORM check_period(charge_back.period);
    PERFORM find_item(charge_back.meter, 'meter');
    PERFORM check_word('measure', charge_back.measure, '{billed,effective,list,contracted}');
    FOR bearer IN
        SELECT u.key, t.currency, u.account_id, (account_setting_on(u.account_id, lower(charge_back.period))).currency AS pays_in, u.cents
          FROM (SELECT s.currency, array_agg(s.key ORDER BY s.key COLLATE "C") AS keys, array_agg(a.account_id ORDER BY s.key COLLATE "C") AS accounts, array_agg(s.total ORDER BY s.key COLLATE "C") AS totals
                  FROM (SELECT c.cost_center AS key, c.currency, sum(CASE charge_back.measure WHEN 'billed' THEN c.billed WHEN 'effective' THEN c.effective WHEN 'list' THEN c.list ELSE c.contracted END) AS total
                          FROM (SELECT h.cost_center, h.currency, h.billed, h.effective, h.list, h.contracted FROM cost_shares AS h WHERE h.scheme = charge_back.scheme AND h.period = charge_back.period
                                UNION ALL
                                SELECT o.key, b.currency, 0, 0, 0, 0 FROM charged_back AS b JOIN account AS o USING (account_id) WHERE b.scheme_id = of_scheme AND b.period = charge_back.period) AS c GROUP BY 1, 2) AS s
                  JOIN account AS a ON a.key = s.key GROUP BY s.currency) AS t
         CROSS JOIN LATERAL unnest(t.keys, t.accounts, round_shares(t.totals, minor_unit(t.currency))) AS u (key, account_id, cents)
         ORDER BY t.currency, u.key COLLATE "C"
    LOOP
        account := bearer.key;  currency := bearer.currency;  cost := bearer.cents;
        id := format('%s/%s/%s', charge_back.scheme, charge_back.period, bearer.currency);
        IF bearer.currency <> bearer.pays_in THEN
            outcome := 'other_currency';
        ELSE
            SELECT r.outcome INTO outcome FROM record_usage(jsonb_build_array(jsonb_build_object('id', id, 'source', 'charge_back', 'account', bearer.key, 'meter', charge_back.meter,
                'at', to_char(upper(charge_back.period) - 1, 'YYYY-MM-DD"T12:00:00Z"'), 'quantity', trim_scale(bearer.cents)::text))) AS r;
            IF outcome = 'conflict' THEN
                PERFORM correct_usage(bearer.key, id, trim_scale(bearer.cents), 'charge_back');
                outcome := 'corrected';
            END IF;
            INSERT INTO charged_back AS b (scheme_id, period, account_id, currency, meter_id, amount) VALUES (of_scheme, charge_back.period, bearer.account_id, bearer.currency, find_item(charge_back.meter, 'meter'), bearer.cents)
                ON CONFLICT ON CONSTRAINT charged_back_pkey DO UPDATE SET amount = excluded.amount;
        END IF;
        RETURN NEXT;
    END LOOP;
END $$;
COMMENT ON FUNCTION billing.charge_back(text, daterange, text, text) IS
'Makes the cost that a scheme allocates in a period to cost centers named like an account usage of a meter of that account, in units of money, rounded to cents so that they add up; the price of the meter is the mark-up. Call it again after each allocate(): outcome accepted, duplicate (unchanged), corrected, rejected, or other_currency (the account pays in another; nothing is recorded). measure: billed, effective, list, contracted. Errors: 22023 bad argument, 42704 unknown scheme or meter. Volatile.';

CREATE VIEW billing.customer_margin AS
SELECT r.account, r.period_from, r.currency, r.revenue, c.scheme, c.billed AS cost, r.revenue - c.billed AS margin
  FROM (SELECT n.account, n.period_from, n.currency, pg_catalog.sum(n.owed_amount) AS revenue FROM billing.charges_now AS n GROUP BY 1, 2, 3) AS r
  JOIN (SELECT s.scheme, pg_catalog.lower(s.period) AS period_from, s.cost_center, s.currency, pg_catalog.sum(s.billed) AS billed FROM billing.cost_shares AS s GROUP BY 1, 2, 3, 4) AS c
    ON c.cost_center = r.account AND c.period_from = r.period_from AND c.currency = r.currency;
COMMENT ON VIEW billing.customer_margin IS 'What an account is charged in a month beside the cost allocated to the cost center of the same name, by scheme and currency.';
COMMENT ON COLUMN billing.customer_margin.account IS 'The account.';
COMMENT ON COLUMN billing.customer_margin.period_from IS 'First day of the charge period.';
COMMENT ON COLUMN billing.customer_margin.currency IS 'Currency of the amounts.';
COMMENT ON COLUMN billing.customer_margin.revenue IS 'What it owes, as the last run saw it.';
COMMENT ON COLUMN billing.customer_margin.scheme IS 'Key of the scheme.';
COMMENT ON COLUMN billing.customer_margin.cost IS 'Billed cost allocated to it.';
COMMENT ON COLUMN billing.customer_margin.margin IS 'Revenue less cost.';
