-- Charge-back: allocated cost becomes usage of a meter, in units of money, on the account named like the cost center.  The price of
-- that meter is the mark-up: per_unit 1 hands cost on, 1.08 adds eight percent, tiers are possible.  So showback, the invoice and its
-- corrections are one: what is allocated later or otherwise corrects the usage, and the next run bills the difference.
--
-- What was charged back is known by what the usage counts now, never by a note of ours: a clerk may have voided or corrected it.  The
-- table says only which usage facts are ours, and keeps of a fact what it counted when its partition has left.

CREATE TABLE billing.charged_back (
    scheme_id  int    NOT NULL REFERENCES billing.allocation_scheme,
    period     daterange NOT NULL,
    account_id bigint NOT NULL REFERENCES billing.account,
    currency   text   NOT NULL,
    meter_id   int    NOT NULL,
    entry_no   int    NOT NULL CHECK (entry_no > 0),
    id         text   NOT NULL,
    at         timestamptz NOT NULL,
    amount     numeric NOT NULL,
    PRIMARY KEY (account_id, scheme_id, period, currency, meter_id, entry_no)
);
COMMENT ON TABLE billing.charged_back IS 'The usage that charge_back() has made. What an account bears by a scheme in a period is the sum of its entries: a further one is made where the one before was voided or lies in a sealed period.';
COMMENT ON COLUMN billing.charged_back.scheme_id IS 'The scheme.';
COMMENT ON COLUMN billing.charged_back.period IS 'The period, in UTC.';
COMMENT ON COLUMN billing.charged_back.meter_id IS 'Meter of the usage.';
COMMENT ON COLUMN billing.charged_back.entry_no IS 'Number of the entry, from 1.';
COMMENT ON COLUMN billing.charged_back.id IS 'Id of the usage, of source charge_back.';
COMMENT ON COLUMN billing.charged_back.at IS 'Instant of the usage: noon of the last day of the period in the account''s time zone, or of the first day that is not sealed.';
COMMENT ON COLUMN billing.charged_back.amount IS 'Quantity of the usage, in units of money, when charge_back() last looked; counts only where the usage has left with its sealed period.';

CREATE FUNCTION billing.charge_back_cents(of_scheme int, period daterange, measure text) RETURNS TABLE (account_id bigint, account text, currency text, cents numeric)
    LANGUAGE sql STABLE PARALLEL SAFE SET search_path = pg_catalog, billing, pg_temp
    AS $$ SELECT a.account_id, a.key, c.currency, sum(c.cents)
            FROM (SELECT a.account_id, b.currency, CASE charge_back_cents.measure WHEN 'billed' THEN b.billed WHEN 'effective' THEN b.effective WHEN 'list' THEN b.list WHEN 'contracted' THEN b.contracted ELSE 0 END AS cents
                    FROM billing.allocation_scheme AS s CROSS JOIN LATERAL billing.bearer_cents(s.key, charge_back_cents.period, false) AS b JOIN billing.account AS a ON a.key = b.cost_center
                   WHERE s.scheme_id = of_scheme AND charge_back_cents.measure <> 'none'
                  UNION ALL
                  SELECT b.account_id, b.currency, 0 FROM billing.charged_back AS b WHERE b.scheme_id = of_scheme AND b.period && charge_back_cents.period) AS c
            JOIN billing.account AS a USING (account_id)
           GROUP BY a.account_id, a.key, c.currency ORDER BY c.currency, a.key COLLATE "C" $$;
COMMENT ON FUNCTION billing.charge_back_cents(int, daterange, text) IS
'What a scheme lets each account bear in a period, in the cents of bearer_cents(), by a measure (none: nothing); 0 for those that were charged back for a day of it before and bear nothing now. Used by charge_back(). Stable.';

CREATE FUNCTION billing.charged_amount(entry billing.charged_back) RETURNS numeric
    LANGUAGE sql STABLE PARALLEL SAFE SET search_path = pg_catalog, billing, pg_temp
    AS $$ SELECT coalesce((billing.current_usage(entry.account_id, k.key)).quantity,
                          CASE WHEN (SELECT c.kind FROM billing.usage_change AS c WHERE c.account_id = entry.account_id AND c.key = k.key ORDER BY c.revision DESC LIMIT 1) IN ('void', 'move') THEN 0 ELSE entry.amount END)
            FROM (SELECT billing.usage_key_of(entry.id, 'charge_back') AS key) AS k $$;
COMMENT ON FUNCTION billing.charged_amount(billing.charged_back) IS
'What the usage of an entry counts now: 0 if it was voided or moved to another account, what it counted last if it has left with its sealed period. Stable.';

CREATE FUNCTION billing.first_unsealed(account_id bigint, instant timestamptz) RETURNS timestamptz
    LANGUAGE sql STABLE PARALLEL SAFE SET search_path = pg_catalog, billing, pg_temp
    AS $$ SELECT greatest(instant, (SELECT max(p.ends_at) + interval '12 hours'
                                      FROM billing.agreement_term AS t JOIN billing.agreement AS a USING (agreement_id)
                                      JOIN billing.charge_period AS p ON p.account_id = a.buyer_id AND p.sealed_at IS NOT NULL AND p.ends_at > instant
                                     WHERE t.consumer_id = first_unsealed.account_id)) $$;
COMMENT ON FUNCTION billing.first_unsealed(bigint, timestamptz) IS 'An instant, or if usage of the account then falls into a sealed period, noon of the first day after what is sealed. Stable.';

CREATE FUNCTION billing.charge_back_usage(bearer billing.charged_back, account text, meter text, OUT outcome text, OUT detail text)
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, billing, pg_temp
AS $$
DECLARE
    entry   charged_back;
    known   record;
    missing numeric := bearer.amount;
BEGIN
    FOR entry IN SELECT b.* FROM charged_back AS b WHERE (b.account_id, b.scheme_id, b.period, b.currency, b.meter_id) = (bearer.account_id, bearer.scheme_id, bearer.period, bearer.currency, bearer.meter_id) ORDER BY b.entry_no LOOP
        missing := missing - charged_amount(entry);
    END LOOP;
    outcome := 'duplicate';
    IF missing = 0 THEN
        RETURN;
    END IF;
    -- the last entry takes the difference; where it was voided or is sealed, a further one does
    known := current_usage(bearer.account_id, usage_key_of(entry.id, 'charge_back'));
    IF known.revision IS NOT NULL AND first_unsealed(bearer.account_id, known.starts_at) = known.starts_at THEN
        PERFORM correct_usage(account, entry.id, trim_scale(known.quantity + missing), 'charge_back');
        UPDATE charged_back AS b SET amount = known.quantity + missing
         WHERE (b.account_id, b.scheme_id, b.period, b.currency, b.meter_id, b.entry_no) = (entry.account_id, entry.scheme_id, entry.period, entry.currency, entry.meter_id, entry.entry_no);
        outcome := 'corrected';
        RETURN;
    END IF;
    bearer.entry_no := coalesce(entry.entry_no, 0);
    LOOP    -- an id is used but once, by whomever
        bearer.entry_no := bearer.entry_no + 1;
        entry.id := concat_ws('/', bearer.id, NULLIF(bearer.entry_no, 1));
        EXIT WHEN NOT EXISTS (SELECT FROM usage_key AS k WHERE k.account_id = bearer.account_id AND k.key = usage_key_of(entry.id, 'charge_back'));
    END LOOP;
    entry.at := first_unsealed(bearer.account_id, bearer.at);
    SELECT r.outcome, r.detail INTO outcome, detail FROM record_usage(jsonb_build_array(jsonb_build_object('id', entry.id, 'source', 'charge_back', 'account', account, 'meter', meter,
        'at', to_char(entry.at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'), 'quantity', trim_scale(missing)::text))) AS r;
    IF outcome = 'accepted' THEN
        INSERT INTO charged_back SELECT bearer.scheme_id, bearer.period, bearer.account_id, bearer.currency, bearer.meter_id, bearer.entry_no, entry.id, entry.at, missing;
        outcome := CASE WHEN bearer.entry_no = 1 THEN 'accepted' ELSE 'corrected' END;
        detail := CASE WHEN entry.at <> bearer.at THEN format('charged on %s, since the days before are sealed', to_char(entry.at AT TIME ZONE 'UTC', 'YYYY-MM-DD')) END;
    END IF;
END $$;
COMMENT ON FUNCTION billing.charge_back_usage(billing.charged_back, text, text) IS
'Makes the usage of one bearer count what it bears, recording it (accepted, rejected) or correcting what counts (corrected), unless it does already (duplicate); a difference in a sealed period is usage of the first day that is not. The bearer''s id is that of its first entry. Used by charge_back(). Volatile.';

CREATE FUNCTION billing.charge_back_bearer(bearer billing.charged_back, account text, meter text, OUT outcome text, OUT detail text)
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, billing, pg_temp
AS $$
DECLARE
    other record;
BEGIN
    SELECT s.key, b.period INTO other FROM charged_back AS b JOIN allocation_scheme AS s USING (scheme_id)
     WHERE b.account_id = bearer.account_id AND b.scheme_id <> bearer.scheme_id AND b.period && bearer.period AND bearer.amount <> 0
     GROUP BY s.key, b.period, b.currency, b.meter_id HAVING sum(charged_amount(b)) <> 0 ORDER BY s.key, b.period LIMIT 1;
    IF FOUND THEN
        outcome := 'other_scheme';
        detail := format('scheme "%s" charges it for %s', other.key, days_text(other.period));
        RETURN;
    END IF;
    IF meter IS NOT NULL THEN
        SELECT u.outcome, u.detail INTO outcome, detail FROM charge_back_usage(bearer, account, meter) AS u;
        IF outcome = 'rejected' THEN
            RETURN;
        END IF;
    END IF;
    -- charged by another meter before, or for another span that is divided no more
    FOR other IN
        SELECT b.period, b.meter_id, i.key, min(b.id) FILTER (WHERE b.entry_no = 1) AS id, min(b.at) FILTER (WHERE b.entry_no = 1) AS at FROM charged_back AS b JOIN item AS i ON i.item_id = b.meter_id
         WHERE b.account_id = bearer.account_id AND b.scheme_id = bearer.scheme_id AND b.currency = bearer.currency AND b.period && bearer.period AND (b.period, b.meter_id) IS DISTINCT FROM (bearer.period, bearer.meter_id)
         GROUP BY b.period, b.meter_id, i.key HAVING sum(charged_amount(b)) <> 0
    LOOP
        SELECT CASE WHEN u.outcome IN ('rejected', 'conflict') THEN u.outcome ELSE 'moved' END, u.detail INTO outcome, detail
          FROM charge_back_usage(ROW(bearer.scheme_id, other.period, bearer.account_id, bearer.currency, other.meter_id, NULL, other.id, other.at, 0), account, other.key) AS u;
        IF outcome <> 'moved' THEN
            RAISE object_not_in_prerequisite_state USING MESSAGE = format('usage "%s" of account "%s" cannot be taken back: %s', other.id, account, detail);
        END IF;
    END LOOP;
    outcome := coalesce(outcome, 'duplicate');
EXCEPTION WHEN object_not_in_prerequisite_state OR undefined_object OR data_exception OR integrity_constraint_violation THEN    -- one bearer must not stop the others
    outcome := 'rejected';
    detail := SQLERRM;
END $$;
COMMENT ON FUNCTION billing.charge_back_bearer(billing.charged_back, text, text) IS
'Charges one bearer and takes back what the scheme charged it by another meter or for another span that overlaps; the meter null only takes back. All or nothing: what cannot be done is rejected, with the reason. Used by charge_back(). Volatile.';

CREATE FUNCTION billing.charge_back_all(scheme text, period daterange, meter text, measure text)
    RETURNS TABLE (account text, currency text, cost numeric, outcome text, detail text)
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, billing, pg_temp
AS $$
DECLARE
    bearer    record;
    of_scheme int := (find_scheme(charge_back_all.scheme)).scheme_id;
    of_meter  int := CASE WHEN meter IS NOT NULL THEN find_item(meter, 'meter') END;
    day       date := upper(charge_back_all.period) - 1;
BEGIN
    PERFORM lock_until_commit(1651076213, 0);    -- one charge-back at a time: schemes must not charge an account side by side
    FOR bearer IN
        SELECT c.*, a.starts_on, s.currency AS pays_in, (day + time '12:00') AT TIME ZONE s.time_zone AS at
          FROM charge_back_cents(of_scheme, charge_back_all.period, charge_back_all.measure) AS c JOIN account AS a USING (account_id) CROSS JOIN LATERAL account_setting_on(c.account_id, day) AS s
    LOOP
        account := bearer.account;  currency := bearer.currency;  cost := bearer.cents;  detail := NULL;
        IF meter IS NOT NULL AND bearer.currency IS DISTINCT FROM bearer.pays_in THEN
            outcome := CASE WHEN bearer.starts_on > day THEN 'before_start' ELSE 'other_currency' END;
        ELSIF meter IS NOT NULL AND bearer.starts_on > day THEN
            outcome := 'before_start';
        ELSE
            SELECT u.outcome, u.detail INTO outcome, detail
              FROM charge_back_bearer(ROW(of_scheme, charge_back_all.period, bearer.account_id, bearer.currency, of_meter, NULL,
                                          concat_ws('/', charge_back_all.scheme, days_text(charge_back_all.period), bearer.currency, meter),    -- the same in every session
                                          bearer.at, bearer.cents), bearer.account, meter) AS u;
        END IF;
        RETURN NEXT;
    END LOOP;
END $$;
COMMENT ON FUNCTION billing.charge_back_all(text, daterange, text, text) IS 'Charges every bearer of a scheme and period; the meter null takes all back. Behind charge_back() and take_back_charges(). Volatile.';

CREATE FUNCTION billing.charge_back(scheme text, period daterange, meter text, measure text DEFAULT 'billed')
    RETURNS TABLE (account text, currency text, cost numeric, outcome text, detail text)
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, billing, pg_temp
AS $$
BEGIN
    PERFORM check_ledger();
    PERFORM check_period(charge_back.period);
    PERFORM check_word('measure', charge_back.measure, '{billed,effective,list,contracted}');
    PERFORM find_item(charge_back.meter, 'meter');
    IF NOT EXISTS (SELECT FROM allocation AS a WHERE a.scheme_id = (find_scheme(charge_back.scheme)).scheme_id AND a.period = charge_back.period AND a.state IN ('open', 'closed')) THEN
        RAISE undefined_object USING MESSAGE = format('scheme "%s" does not divide the period %s', charge_back.scheme, days_text(charge_back.period)), HINT = 'Name a period of the view billing.allocations, or CALL billing.allocate() for it.';
    END IF;
    RETURN QUERY SELECT c.* FROM charge_back_all(charge_back.scheme, charge_back.period, charge_back.meter, charge_back.measure) AS c;
END $$;
COMMENT ON FUNCTION billing.charge_back(text, daterange, text, text) IS
'Makes the cost that a scheme allocates in a period to cost centers named like an account usage of a meter of that account, in units of money and in the cents of report_lines(), at the last day of the period in the account''s time zone; the price of the meter is the mark-up. Call it again after each allocate(): the usage then counts what is allocated now, whatever it counted before. Outcome: accepted, duplicate (unchanged), corrected (where the days are sealed already, the difference is usage of the first day that is not), moved (charged by another meter, or for another span, before; that is taken back), or nothing was changed: rejected, before_start (the account begins after the period), other_currency (the account pays in another), other_scheme (another scheme charges the account for days of the period, see take_back_charges()); detail says more. measure: billed, effective, list, contracted. Errors: 22023 bad argument, 42704 unknown scheme or meter, or a period that the scheme does not divide. Volatile.';

CREATE FUNCTION billing.take_back_charges(scheme text, period daterange)
    RETURNS TABLE (account text, currency text, cost numeric, outcome text, detail text)
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, billing, pg_temp
AS $$
BEGIN
    PERFORM check_ledger();
    PERFORM check_period(take_back_charges.period);
    RETURN QUERY SELECT c.* FROM charge_back_all(take_back_charges.scheme, take_back_charges.period, NULL, 'none') AS c;
END $$;
COMMENT ON FUNCTION billing.take_back_charges(text, daterange) IS
'Takes back what a scheme has charged back for days of a period, so that another scheme may charge it: the usage is corrected to 0 and the next run credits it; where it is sealed, on the first day that is not. One row an account: outcome moved, duplicate (nothing was charged) or rejected, with the reason in detail. Errors: 22023 bad argument, 42704 unknown scheme. Volatile.';

CREATE VIEW billing.customer_margin AS
WITH cost AS (
    SELECT a.account_id, c.cost_center AS account, c.scheme, c.currency, (pg_catalog.upper(c.period) - 1) AS day, c.billed AS cost
      FROM billing.cost_shares AS c JOIN billing.account AS a ON a.key = c.cost_center
    UNION ALL   -- what was charged later, because the days were sealed, is cost of the charge period in which it was charged
    SELECT b.account_id, a.key, s.key, b.currency, d.day, d.cost
      FROM billing.charged_back AS b JOIN billing.account AS a USING (account_id) JOIN billing.allocation_scheme AS s USING (scheme_id)
      JOIN billing.charge_period AS p ON p.account_id = b.account_id AND p.starts_at <= b.at AND p.ends_at > b.at
     CROSS JOIN LATERAL (VALUES (pg_catalog.upper(b.period) - 1, - b.amount), (p.date_from, b.amount)) AS d (day, cost)
     WHERE b.entry_no > 1)
SELECT m.account, m.period_from, m.currency, pg_catalog.sum(m.revenue) AS revenue, m.scheme, pg_catalog.sum(m.cost) AS cost, pg_catalog.sum(m.revenue) - pg_catalog.sum(m.cost) AS margin
  FROM (SELECT n.account, n.period_from, n.currency, s.key AS scheme, n.owed_amount AS revenue, 0 AS cost
          FROM billing.charges_now AS n JOIN billing.cost_center AS k ON k.key = n.account JOIN billing.allocation_scheme AS s ON s.kind = k.kind
        UNION ALL
        SELECT c.account, coalesce(p.date_from, pg_catalog.date_trunc('month', c.day::timestamp)::date), c.currency, c.scheme, 0, c.cost
          FROM cost AS c LEFT JOIN billing.charge_period AS p ON p.account_id = c.account_id AND p.date_from <= c.day AND p.date_to > c.day) AS m
 GROUP BY 1, 2, 3, 5;
COMMENT ON VIEW billing.customer_margin IS 'What an account is charged in a charge period beside the cost allocated to the cost center of the same name, by scheme and currency; one of the two may be 0: cost that nobody is charged for is a loss. Cost is in the charge period that holds the last day of the period it was divided for, where charge_back() charges it.';
COMMENT ON COLUMN billing.customer_margin.account IS 'The account.';
COMMENT ON COLUMN billing.customer_margin.period_from IS 'First day of the charge period; before the account''s first run, of the month.';
COMMENT ON COLUMN billing.customer_margin.currency IS 'Currency of the amounts.';
COMMENT ON COLUMN billing.customer_margin.revenue IS 'What it owes, as the last run saw it.';
COMMENT ON COLUMN billing.customer_margin.scheme IS 'Key of the scheme.';
COMMENT ON COLUMN billing.customer_margin.cost IS 'Billed cost allocated to it.';
COMMENT ON COLUMN billing.customer_margin.margin IS 'Revenue less cost.';
