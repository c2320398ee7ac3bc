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
    PRIMARY KEY (account_id, scheme_id, period, currency, meter_id)
);
COMMENT ON TABLE billing.charged_back IS 'What charge_back() has made usage of and what that usage counts now: a bearer that bears nothing any more, or is charged by another meter, is corrected to 0.';
COMMENT ON COLUMN billing.charged_back.scheme_id IS 'The scheme.';
COMMENT ON COLUMN billing.charged_back.period IS 'The period, in UTC.';
COMMENT ON COLUMN billing.charged_back.meter_id IS 'Meter of the usage.';
COMMENT ON COLUMN billing.charged_back.amount IS 'Quantity that the usage has now, in units of money.';

CREATE FUNCTION billing.charge_back_cents(of_scheme int, period daterange, measure text) RETURNS TABLE (account_id bigint, account text, currency text, cents numeric)
    LANGUAGE sql STABLE PARALLEL SAFE SET search_path = pg_catalog, billing, pg_temp
    AS $$ SELECT a.account_id, a.key, c.currency, sum(c.cents)
            FROM (SELECT a.account_id, b.currency, CASE charge_back_cents.measure WHEN 'billed' THEN b.billed WHEN 'effective' THEN b.effective WHEN 'list' THEN b.list ELSE b.contracted END AS cents
                    FROM billing.allocation_scheme AS s CROSS JOIN LATERAL billing.bearer_cents(s.key, charge_back_cents.period, false) AS b JOIN billing.account AS a ON a.key = b.cost_center
                   WHERE s.scheme_id = of_scheme
                  UNION ALL
                  SELECT b.account_id, b.currency, 0 FROM billing.charged_back AS b WHERE b.scheme_id = of_scheme AND b.period = charge_back_cents.period) AS c
            JOIN billing.account AS a USING (account_id)
           GROUP BY a.account_id, a.key, c.currency ORDER BY c.currency, a.key COLLATE "C" $$;
COMMENT ON FUNCTION billing.charge_back_cents(int, daterange, text) IS
'What a scheme lets each account bear in a period, in the cents of bearer_cents(); 0 for those that were charged back before and bear nothing now. Used by charge_back(). Stable.';

CREATE FUNCTION billing.charge_back_usage(bearer billing.charged_back, account text, meter text, id text, day date) RETURNS text
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, billing, pg_temp
AS $$
DECLARE
    before  numeric := (SELECT b.amount FROM charged_back AS b
                         WHERE (b.account_id, b.scheme_id, b.period, b.currency, b.meter_id) = (bearer.account_id, bearer.scheme_id, bearer.period, bearer.currency, bearer.meter_id));
    outcome text;
BEGIN
    IF before = bearer.amount THEN
        RETURN 'duplicate';
    ELSIF before IS NULL THEN
        SELECT r.outcome INTO outcome FROM record_usage(jsonb_build_array(jsonb_build_object('id', id, 'source', 'charge_back', 'account', account, 'meter', meter,
            'at', to_char(day, 'YYYY-MM-DD"T12:00:00Z"'), 'quantity', trim_scale(bearer.amount)::text))) AS r;
    END IF;
    IF before IS NOT NULL OR outcome = 'conflict' THEN
        PERFORM correct_usage(account, id, trim_scale(bearer.amount), 'charge_back');
        outcome := 'corrected';
    END IF;
    IF outcome <> 'rejected' THEN
        INSERT INTO charged_back SELECT bearer.* ON CONFLICT ON CONSTRAINT charged_back_pkey DO UPDATE SET amount = excluded.amount;
    END IF;
    RETURN outcome;
END $$;
COMMENT ON FUNCTION billing.charge_back_usage(billing.charged_back, text, text, text, date) IS
'Makes the usage of one bearer count what it bears, recording it (accepted, rejected) or correcting what was recorded (corrected), unless it does already (duplicate). Used by charge_back(). Volatile.';

CREATE FUNCTION billing.charge_back(scheme text, period daterange, meter text, measure text DEFAULT 'billed')
    RETURNS TABLE (account text, currency text, cost numeric, outcome text)
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, billing, pg_temp
AS $$
DECLARE
    bearer    record;
    other     record;
    of_scheme int := (find_scheme(charge_back.scheme)).scheme_id;
    of_meter  int;
    day       date;
    id        text;
BEGIN
    PERFORM check_ledger();
    PERFORM check_period(charge_back.period);
    PERFORM check_word('measure', charge_back.measure, '{billed,effective,list,contracted}');
    of_meter := find_item(charge_back.meter, 'meter');
    day := upper(charge_back.period) - 1;
    PERFORM FROM allocation_scheme AS s WHERE s.scheme_id = of_scheme FOR NO KEY UPDATE;    -- one charge-back of a scheme at a time
    FOR bearer IN SELECT c.*, a.starts_on, (account_setting_on(c.account_id, day)).currency AS pays_in FROM charge_back_cents(of_scheme, charge_back.period, charge_back.measure) AS c JOIN account AS a USING (account_id) LOOP
        account := bearer.account;  currency := bearer.currency;  cost := bearer.cents;
        id := concat_ws('/', charge_back.scheme, days_text(charge_back.period), bearer.currency);    -- the same in every session
        IF bearer.currency <> bearer.pays_in THEN
            outcome := 'other_currency';
        ELSIF bearer.starts_on > day THEN
            outcome := 'before_start';
        ELSE
            outcome := charge_back_usage(ROW(of_scheme, charge_back.period, bearer.account_id, bearer.currency, of_meter, bearer.cents), bearer.account, charge_back.meter, concat(id, '/', charge_back.meter), day);
            FOR other IN
                SELECT b.meter_id, i.key FROM charged_back AS b JOIN item AS i ON i.item_id = b.meter_id
                 WHERE (b.account_id, b.scheme_id, b.period, b.currency) = (bearer.account_id, of_scheme, charge_back.period, bearer.currency) AND b.meter_id <> of_meter AND b.amount <> 0 AND outcome <> 'rejected'
            LOOP
                PERFORM charge_back_usage(ROW(of_scheme, charge_back.period, bearer.account_id, bearer.currency, other.meter_id, 0), bearer.account, other.key, concat(id, '/', other.key), day);
                outcome := 'moved';
            END LOOP;
        END IF;
        RETURN NEXT;
    END LOOP;
END $$;
COMMENT ON FUNCTION billing.charge_back(text, daterange, text, text) IS
'Makes the cost that a scheme allocates in a period to cost centers named like an account usage of a meter of that account, in units of money and in the cents of report_lines(); the price of the meter is the mark-up. Call it again after each allocate(): outcome accepted, duplicate (unchanged), corrected, moved (another meter was used before; its usage is corrected to 0), or nothing was recorded: rejected (see rejected usage), before_start (the account begins after the period), other_currency (the account pays in another). measure: billed, effective, list, contracted. Errors: 22023 bad argument, 42704 unknown scheme or meter. Volatile.';

CREATE VIEW billing.customer_margin AS
SELECT m.account, m.period_from, m.currency, pg_catalog.sum(m.revenue) AS revenue, m.scheme, pg_catalog.sum(m.cost) AS cost, pg_catalog.sum(m.revenue) - pg_catalog.sum(m.cost) AS margin
  FROM (SELECT n.account, n.period_from, n.currency, s.key AS scheme, n.owed_amount AS revenue, 0 AS cost
          FROM billing.charges_now AS n JOIN billing.cost_center AS k ON k.key = n.account JOIN billing.allocation_scheme AS s ON s.kind = k.kind
        UNION ALL
        SELECT c.cost_center, pg_catalog.lower(c.period), c.currency, c.scheme, 0, c.billed FROM billing.cost_shares AS c JOIN billing.account AS a ON a.key = c.cost_center) AS m
 GROUP BY 1, 2, 3, 5;
COMMENT ON VIEW billing.customer_margin IS 'What an account is charged in a month beside the cost allocated to the cost center of the same name, by scheme and currency; one of the two may be 0: cost that nobody is charged for is a loss.';
COMMENT ON COLUMN billing.customer_margin.account IS 'The account.';
COMMENT ON COLUMN billing.customer_margin.period_from IS 'First day of the charge period.';
COMMENT ON COLUMN billing.customer_margin.currency IS 'Currency of the amounts.';
COMMENT ON COLUMN billing.customer_margin.revenue IS 'What it owes, as the last run saw it.';
COMMENT ON COLUMN billing.customer_margin.scheme IS 'Key of the scheme.';
COMMENT ON COLUMN billing.customer_margin.cost IS 'Billed cost allocated to it.';
COMMENT ON COLUMN billing.customer_margin.margin IS 'Revenue less cost.';
