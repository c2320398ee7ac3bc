-- What people decide about charges: decisions, freezing, and approving corrections that are held.

CREATE FUNCTION billing.find_charge(charge bigint) RETURNS billing.charge_key
    LANGUAGE plpgsql STABLE PARALLEL SAFE SET search_path = pg_catalog, billing, pg_temp
AS $$
DECLARE
    key charge_key;
BEGIN
    SELECT k.* INTO key FROM charge_key AS k WHERE k.key_id = find_charge.charge;
    IF NOT FOUND THEN
        RAISE undefined_object USING MESSAGE = format('charge %s does not exist', coalesce(find_charge.charge::text, 'null')),
            HINT = 'Numbers of charges are in billing.charges(), billing.invoice_lines, billing.draft_lines and billing.held_corrections.';
    END IF;
    RETURN key;
END $$;
COMMENT ON FUNCTION billing.find_charge(bigint) IS 'The charge key with that number. Errors: 42704 if there is none. Stable.';

CREATE FUNCTION billing.charge_currency(key billing.charge_key) RETURNS text
    LANGUAGE sql STABLE PARALLEL SAFE SET search_path = pg_catalog, billing, pg_temp
AS $$
    SELECT coalesce((SELECT currency(l.booked_after) FROM line AS l WHERE l.account_id = ($1).account_id AND l.key_id = ($1).key_id LIMIT 1),
                    (SELECT currency(d.amount) FROM draft_line AS d WHERE d.account_id = ($1).account_id AND d.key_id = ($1).key_id),
                    (SELECT currency(d.amount) FROM decision AS d WHERE d.account_id = ($1).account_id AND d.key_id = ($1).key_id LIMIT 1),
                    (SELECT p.currency FROM agreement_term AS t JOIN price_list AS p USING (list_id)
                      WHERE t.agreement_id = ($1).agreement_id AND upper_inf(t.known) ORDER BY lower(t.valid) DESC NULLS LAST LIMIT 1))
$$;
COMMENT ON FUNCTION billing.charge_currency(billing.charge_key) IS
'Currency of a charge: that of its lines, draft or decisions, otherwise that of its agreement''s price list. Stable.';

-- A goodwill or a waiver lowers what is owed; it may be taken back later, but never turned into an extra charge.
CREATE FUNCTION billing.check_decision(key billing.charge_key, amount billing.monetary, kind text) RETURNS void
    LANGUAGE plpgsql STABLE PARALLEL SAFE SET search_path = pg_catalog, billing, pg_temp
AS $$
DECLARE
    currency text := charge_currency(key);
    in_favour monetary;
BEGIN
    IF check_decision.kind IS NULL OR check_decision.kind NOT IN ('goodwill', 'dispute', 'waived') THEN
        RAISE invalid_parameter_value USING MESSAGE = format('kind must be goodwill, dispute or waived, not %s', coalesce('"' || check_decision.kind || '"', 'null'));
    ELSIF check_decision.amount IS NULL OR is_zero(check_decision.amount) THEN
        RAISE invalid_parameter_value USING MESSAGE = 'a decision needs an amount other than 0',
            HINT = 'A negative amount is in the customer''s favour, a positive one is charged on top.';
    ELSIF billing.currency(check_decision.amount) <> currency THEN
        RAISE invalid_parameter_value USING MESSAGE = format('%s is in %s, but %s is in %s', check_decision.amount, billing.currency(check_decision.amount),
                                                             charge_words(key.account_id, key.key_id), currency);
    ELSIF round(check_decision.amount) <> check_decision.amount THEN
        RAISE invalid_parameter_value USING MESSAGE = format('%s has more decimals than can be invoiced', check_decision.amount),
            HINT = format('Take %s.', round(check_decision.amount));
    ELSIF abs(billing.amount(check_decision.amount)) + (SELECT coalesce(sum(abs(billing.amount(d.amount))), 0) FROM decision AS d WHERE d.account_id = key.account_id AND d.key_id = key.key_id)
          > greatest_amount() THEN
        RAISE numeric_value_out_of_range USING MESSAGE = format('with %s, the decisions about %s come to more than %s %s', check_decision.amount, charge_words(key.account_id, key.key_id), trunc(greatest_amount()), currency),
            HINT = 'No charge may come to more, and so nothing greater is to be decided.';
    END IF;
    IF check_decision.kind <> 'dispute' THEN
        SELECT coalesce(sum(d.amount), monetary(0, currency)) + check_decision.amount INTO in_favour
          FROM decision AS d WHERE d.account_id = key.account_id AND d.key_id = key.key_id AND d.kind = check_decision.kind;
        IF sign(in_favour) > 0 THEN
            RAISE invalid_parameter_value USING MESSAGE = format('%s of kind %s would charge %s on top', check_decision.amount, check_decision.kind, in_favour),
                HINT = 'A negative amount is in the customer''s favour; a positive one only takes back what was granted. Use kind dispute to charge more.';
        END IF;
    END IF;
END $$;
COMMENT ON FUNCTION billing.check_decision(billing.charge_key, billing.monetary, text) IS 'Raises 22023 for a decision that makes no sense for the charge, 22003 for one that no charge can come to. Stable.';

CREATE FUNCTION billing.decide(charge bigint, amount billing.monetary, kind text, reason text) RETURNS bigint
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, billing, pg_temp
AS $$
DECLARE
    key    charge_key;
    new_id bigint;
BEGIN
    PERFORM check_ledger();
    PERFORM check_reason(decide.reason);
    key := find_charge(decide.charge);
    PERFORM check_decision(key, decide.amount, decide.kind);
    INSERT INTO decision (account_id, key_id, kind, amount, reason)
    VALUES (key.account_id, key.key_id, decide.kind, decide.amount, decide.reason) RETURNING decision_id INTO new_id;
    RETURN new_id;
END $$;
COMMENT ON FUNCTION billing.decide(bigint, billing.monetary, text, text) IS
'Adds an amount to what is owed for a charge, whatever its usage and prices say, and returns the number of the decision; the next run bills the difference. A negative amount is in the customer''s favour. kind: goodwill (a gift), waived (given up), dispute (the result of a dispute, of either sign). Decisions are never changed: take one back with the opposite amount. The charge may be of a sealed period. Errors: 42704 unknown charge, 22023 for another currency, more decimals than the minor unit, amount 0, another kind, a goodwill or waiver that would charge more, or no reason, 22003 when the decisions about the charge, without their signs, come to more than 10^15 units. Volatile.';

CREATE FUNCTION billing.note_freeze(key billing.charge_key, kind text, reason text) RETURNS void
    LANGUAGE sql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, billing, pg_temp
AS $$
    INSERT INTO decision (account_id, key_id, kind, amount, reason)
    VALUES (($1).account_id, ($1).key_id, $2, monetary(0, charge_currency($1)), $3)
$$;
COMMENT ON FUNCTION billing.note_freeze(billing.charge_key, text, text) IS
'Writes who froze or unfroze a charge and why, as a decision of amount 0, which also makes the next run look at its period. Volatile.';

CREATE FUNCTION billing.freeze_charge(charge bigint, reason text) RETURNS boolean
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, billing, pg_temp
AS $$
DECLARE
    key charge_key;
BEGIN
    PERFORM check_ledger();
    PERFORM check_reason(freeze_charge.reason);
    key := find_charge(freeze_charge.charge);
    UPDATE charge_key AS k SET frozen_at = recorded_at()
     WHERE k.account_id = key.account_id AND k.key_id = key.key_id AND k.frozen_at IS NULL;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    PERFORM note_freeze(key, 'frozen', freeze_charge.reason);
    RETURN true;
END $$;
COMMENT ON FUNCTION billing.freeze_charge(bigint, text) IS
'Puts a charge on hold, for a dispute for instance: nothing is drafted, billed or corrected for it until unfreeze_charge(), and its usage is reported as on_hold. Returns false if it was frozen already. Errors: 42704 unknown charge, 22023 without a reason. Volatile.';

CREATE FUNCTION billing.unfreeze_charge(charge bigint, reason text) RETURNS boolean
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, billing, pg_temp
AS $$
DECLARE
    key charge_key;
BEGIN
    PERFORM check_ledger();
    PERFORM check_reason(unfreeze_charge.reason);
    key := find_charge(unfreeze_charge.charge);
    UPDATE charge_key AS k SET frozen_at = NULL
     WHERE k.account_id = key.account_id AND k.key_id = key.key_id AND k.frozen_at IS NOT NULL;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    PERFORM note_freeze(key, 'unfrozen', unfreeze_charge.reason);
    RETURN true;
END $$;
COMMENT ON FUNCTION billing.unfreeze_charge(bigint, text) IS
'Ends the hold of a charge; the next run bills what it has come to owe. Returns false if it was not frozen. Errors: 42704 unknown charge, 22023 without a reason. Volatile.';

-- Held corrections with the price list that they come from: the list of the agreement as known now and as known at a pin of the period.
CREATE VIEW billing.held_by_list AS
SELECT DISTINCT h.account_id, h.key_id, h.cause, h.amount, k.item_id, k.period_no, p.date_from, p.date_to, t.list_id
  FROM billing.held AS h
  JOIN billing.charge_key AS k ON k.account_id = h.account_id AND k.key_id = h.key_id
  JOIN billing.charge_period AS p ON p.account_id = k.account_id AND p.period_no = k.period_no
  JOIN billing.agreement_term AS t ON t.agreement_id = k.agreement_id AND t.valid && pg_catalog.daterange(p.date_from, p.date_to)
   AND (pg_catalog.upper_inf(t.known) OR billing.known(t.known, p.closed_known_at, p.closed_own_at) OR billing.known(t.known, p.advance_pinned_at, p.advance_pinned_own));
COMMENT ON VIEW billing.held_by_list IS 'Corrections that wait for approval, with each price list that the charge was or is priced by.';

CREATE FUNCTION billing.check_approval(charges bigint[]) RETURNS void
    LANGUAGE plpgsql STABLE PARALLEL SAFE SET search_path = pg_catalog, billing, pg_temp
AS $$
DECLARE
    charge bigint := (SELECT c.charge FROM unnest(charges) AS c(charge)
                       WHERE NOT EXISTS (SELECT FROM held AS h JOIN charge_key AS k USING (account_id, key_id)
                                          WHERE k.key_id = c.charge) LIMIT 1);
    key    charge_key;
BEGIN
    IF charge IS NOT NULL THEN
        key := find_charge(charge);
        RAISE invalid_parameter_value USING
            MESSAGE = format('%s has no held correction', charge_words(key.account_id, key.key_id)),
            HINT = 'See billing.held_corrections; it is computed anew by each run.';
    END IF;
END $$;
COMMENT ON FUNCTION billing.check_approval(bigint[]) IS 'Raises 42704 or 22023 for the first of these charges that does not exist or has nothing to approve; null passes. Stable.';

CREATE FUNCTION billing.approve_corrections(
    charges bigint[] DEFAULT NULL, item text DEFAULT NULL, span daterange DEFAULT NULL, account text DEFAULT NULL, reason text DEFAULT NULL)
    RETURNS TABLE (charge bigint, account_key text, item_key text, charge_group jsonb, period_from date, period_to date, cause text,
                   released billing.monetary, released_amount numeric, currency text, asked_for boolean)
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, billing, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    one_item    int;
    one_account bigint;
BEGIN
    PERFORM check_ledger();
    PERFORM check_reason(approve_corrections.reason);
    IF charges = '{}' OR (charges IS NULL AND item IS NULL AND span IS NULL AND account IS NULL) THEN
        RAISE invalid_parameter_value USING MESSAGE = 'nothing says which corrections are approved',
            HINT = 'Name charges, an item, a span of days or an account; span => ''(,)'' approves everything.';
    END IF;
    PERFORM check_approval(charges);
    IF item IS NOT NULL THEN
        one_item := find_item(item);
    END IF;
    IF account IS NOT NULL THEN
        one_account := find_account(account);
    END IF;
    RETURN QUERY
    WITH picked AS MATERIALIZED (
        SELECT h.*, CASE WHEN charges IS NULL AND one_account IS NULL THEN 0 ELSE h.account_id END AS scope
          FROM held_by_list AS h
         WHERE (charges IS NULL OR h.key_id = ANY (charges)) AND (one_item IS NULL OR h.item_id = one_item)
           AND (one_account IS NULL OR h.account_id = one_account) AND (span IS NULL OR daterange(h.date_from, h.date_to) && span)
    ), advance AS (
        INSERT INTO pin_advance (list_id, item_id, account_id, valid, reason)
        SELECT p.list_id, p.item_id, p.scope, s.span, approve_corrections.reason
          FROM (SELECT x.list_id, x.item_id, x.scope, range_agg(tsrange(x.date_from, x.date_to)) AS spans
                  FROM picked AS x WHERE x.cause = 'price' GROUP BY x.list_id, x.item_id, x.scope) AS p
         CROSS JOIN LATERAL unnest(p.spans) AS s(span)
        RETURNING pin_advance.list_id, pin_advance.item_id, pin_advance.account_id, pin_advance.valid
    ), account_advance AS (   -- agreements, settings and definitions are read anew for an account's whole periods
        INSERT INTO pin_advance (cause, account_id, valid, reason)
        SELECT DISTINCT x.cause, x.account_id, tsrange(x.date_from, x.date_to), approve_corrections.reason
          FROM picked AS x WHERE x.cause IN ('plan', 'reference_data')
        RETURNING pin_advance.cause, pin_advance.account_id, pin_advance.valid
    ), released AS (
        SELECT DISTINCT h.account_id, h.key_id, h.cause, h.amount, h.item_id, h.date_from, h.date_to
          FROM held_by_list AS h
          JOIN account_advance AS a ON a.cause = h.cause AND a.account_id = h.account_id AND a.valid && tsrange(h.date_from, h.date_to)
        UNION
        SELECT DISTINCT h.account_id, h.key_id, h.cause, h.amount, h.item_id, h.date_from, h.date_to
          FROM held_by_list AS h
          JOIN advance AS a ON a.list_id = h.list_id AND a.item_id = h.item_id AND a.account_id IN (0, h.account_id)
           AND a.valid && tsrange(h.date_from, h.date_to)
         WHERE h.cause = 'price'
    )
    SELECT r.key_id, a.key, i.key, k.charge_group, r.date_from, r.date_to, r.cause, r.amount, amount(r.amount), currency(r.amount),
           EXISTS (SELECT FROM picked AS p WHERE p.account_id = r.account_id AND p.key_id = r.key_id)
      FROM released AS r
      JOIN charge_key AS k ON k.account_id = r.account_id AND k.key_id = r.key_id
      JOIN account AS a ON a.account_id = r.account_id
      JOIN item AS i ON i.item_id = r.item_id
     ORDER BY a.key, i.key, r.date_from, r.key_id;
END $$;
COMMENT ON FUNCTION billing.approve_corrections(bigint[], text, daterange, text, text) IS
'Approves held corrections: all of these charges, or of this meter or fee, of the periods that overlap this span of days, of this account; conditions narrow each other. Prices (or, by the cause, agreements and account settings, or meter and fee definitions) of the periods concerned are from now on read as known today, so the next run bills the corrections, and held_corrections empties. Returns what is released, also corrections that were not asked for but are of the same item and days (for other causes than prices: of the same account and days) and therefore released too (asked_for false); no row means that nothing was held. Errors: 22023 without any condition or reason or for a charge with nothing to approve, 42704 unknown charge, item or account. Volatile.';
