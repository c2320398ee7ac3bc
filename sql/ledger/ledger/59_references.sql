-- Keys of other systems, fields of the user's own, correction policies, number series.

CREATE FUNCTION billing.check_reference(object_type text, object_id bigint) RETURNS void
    LANGUAGE plpgsql STABLE PARALLEL SAFE SET search_path = pg_catalog, billing, pg_temp
AS $$
DECLARE
    id ALIAS FOR object_id;
BEGIN
    PERFORM check_word('object_type', object_type, '{seller,account,agreement,meter,fee,price_list,price,subscription,resource,invoice,cost_center}');
    IF object_type IS NULL OR id IS NULL OR NOT (CASE object_type
        WHEN 'seller' THEN EXISTS (SELECT FROM seller AS o WHERE o.seller_id = id)
        WHEN 'account' THEN EXISTS (SELECT FROM account AS o WHERE o.account_id = id)
        WHEN 'agreement' THEN EXISTS (SELECT FROM agreement AS o WHERE o.agreement_id = id)
        WHEN 'price_list' THEN EXISTS (SELECT FROM price_list AS o WHERE o.list_id = id)
        WHEN 'price' THEN EXISTS (SELECT FROM price AS o WHERE o.price_id = id)
        WHEN 'subscription' THEN EXISTS (SELECT FROM subscription AS o WHERE o.subscription_id = id)
        WHEN 'resource' THEN EXISTS (SELECT FROM resource AS o WHERE o.resource_id = id)
        WHEN 'invoice' THEN EXISTS (SELECT FROM invoice AS o WHERE o.invoice_id = id)
        WHEN 'cost_center' THEN EXISTS (SELECT FROM cost_center AS o WHERE o.cost_center_id = id)
        ELSE EXISTS (SELECT FROM item AS o WHERE o.item_id = id AND o.kind = object_type) END)
    THEN
        RAISE undefined_object USING MESSAGE = format('there is no %s with number %s', coalesce(object_type, 'object'), coalesce(id::text, 'null')),
            HINT = 'The number is what the set_ function of the object returns.';
    END IF;
END $$;
COMMENT ON FUNCTION billing.check_reference(text, bigint) IS 'Raises 42704 if there is no object of that type with that number, 22023 for a type that is no word for it. Stable.';

CREATE FUNCTION billing.set_external_key(object_type text, object_id bigint, system text, key text) RETURNS boolean
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, billing, pg_temp
AS $$
DECLARE
    other  bigint;
    former text;
BEGIN
    PERFORM check_ledger();
    PERFORM check_key('an outside system', set_external_key.system);
    IF set_external_key.key <> '' THEN
        PERFORM check_key('an object in an outside system', set_external_key.key);
    END IF;
    PERFORM check_reference(set_external_key.object_type, set_external_key.object_id);
    SELECT e.key INTO former FROM external_key AS e
     WHERE e.object_type = set_external_key.object_type AND e.object_id = set_external_key.object_id AND e.system = set_external_key.system;
    IF NULLIF(set_external_key.key, '') IS NOT DISTINCT FROM former OR set_external_key.key IS NULL THEN
        RETURN false;
    ELSIF set_external_key.key = '' THEN
        DELETE FROM external_key AS e
         WHERE e.object_type = set_external_key.object_type AND e.object_id = set_external_key.object_id AND e.system = set_external_key.system;
        RETURN true;
    END IF;
    SELECT e.object_id INTO other FROM external_key AS e
     WHERE e.object_type = set_external_key.object_type AND e.system = set_external_key.system AND e.key = set_external_key.key;
    IF FOUND THEN
        RAISE unique_violation USING MESSAGE = format('"%s" is the key of %s %s in %s already', set_external_key.key, set_external_key.object_type, other, set_external_key.system),
            HINT = 'Take it away there first, with the key ''''.';
    END IF;
    INSERT INTO external_key (object_type, object_id, system, key)
        VALUES (set_external_key.object_type, set_external_key.object_id, set_external_key.system, set_external_key.key)
        ON CONFLICT ON CONSTRAINT external_key_pkey DO UPDATE SET key = excluded.key, recorded_at = recorded_at(), recorded_by = session_user;
    RETURN true;
END $$;
COMMENT ON FUNCTION billing.set_external_key(text, bigint, text, text) IS
'Says what another system calls an object; '''' takes the key away. object_type: seller, account, agreement, meter, fee, price_list, price, subscription, resource, invoice or cost_center; object_id: its number, as the set_ functions return it. Returns whether that was new. Errors: 22023 bad argument, 23505 if another object of the type has that key, 42704 unknown object. Volatile.';

CREATE FUNCTION billing.set_custom_field(object_type text, object_id bigint, name text, value jsonb) RETURNS boolean
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, billing, pg_temp
AS $$
DECLARE
    wanted jsonb := NULLIF(set_custom_field.value, 'null');
    former custom_field;
    stamp  timestamptz;
BEGIN
    PERFORM check_ledger();
    PERFORM check_key('a custom field', set_custom_field.name);
    PERFORM check_reference(set_custom_field.object_type, set_custom_field.object_id);
    SELECT f.* INTO former FROM custom_field AS f
     WHERE f.object_type = set_custom_field.object_type AND f.object_id = set_custom_field.object_id AND f.name = set_custom_field.name AND upper_inf(f.known)
       FOR NO KEY UPDATE;
    IF former.value IS NOT DISTINCT FROM wanted THEN
        RETURN false;
    END IF;
    stamp := stamp_after(lower(former.known));
    UPDATE custom_field AS f SET known = tstzrange(lower(f.known), stamp)
     WHERE f.object_type = set_custom_field.object_type AND f.object_id = set_custom_field.object_id AND f.name = set_custom_field.name AND upper_inf(f.known);
    IF wanted IS NOT NULL THEN
        INSERT INTO custom_field (object_type, object_id, name, value, known)
            VALUES (set_custom_field.object_type, set_custom_field.object_id, set_custom_field.name, wanted, tstzrange(stamp, NULL));
    END IF;
    RETURN true;
END $$;
COMMENT ON FUNCTION billing.set_custom_field(text, bigint, text, jsonb) IS
'Gives a field of the user''s own on an object of the ledger a value; null takes it away. object_type and object_id as for set_external_key(). Former values stay on record. Returns whether that was new. Errors: 22023 bad argument, 42704 unknown object, 23P01 if another session sets the same new field, 40001 run the transaction again. Volatile.';

CREATE FUNCTION billing.check_correction_policy(policy billing.correction_policy) RETURNS void
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, billing, pg_temp
AS $$
BEGIN
    PERFORM check_word('cause', policy.cause, '{usage,subscription,price,plan,discount,reference_data,fx,tax,engine}');
    PERFORM check_word('action', policy.action, '{bill,hold,ignore,default}');
    IF policy.cause IS NULL OR policy.action IS NULL THEN
        RAISE invalid_parameter_value USING MESSAGE = 'a correction policy needs a cause and an action';
    ELSIF policy.cause IN ('usage', 'subscription') AND (policy.action NOT IN ('bill', 'default') OR policy.greatest_age IS NOT NULL OR policy.greatest_amount IS NOT NULL) THEN
        RAISE invalid_parameter_value USING MESSAGE = format('differences by %s are the customer''s acts and are always billed', policy.cause),
            HINT = 'A single charge can be frozen instead.';
    ELSIF policy.greatest_age < '0' THEN
        RAISE invalid_parameter_value USING MESSAGE = format('greatest_age must not be negative, but is %s', policy.greatest_age);
    ELSIF amount(policy.greatest_amount) < 0 THEN
        RAISE invalid_parameter_value USING MESSAGE = format('greatest_amount must not be negative, but is %s', policy.greatest_amount);
    END IF;
END $$;
COMMENT ON FUNCTION billing.check_correction_policy(billing.correction_policy) IS 'Raises 22023 for a correction policy that makes no sense. Immutable.';

CREATE FUNCTION billing.set_correction_policy(
    cause text, action text, seller text DEFAULT NULL, account text DEFAULT NULL, greatest_age interval DEFAULT NULL,
    greatest_amount billing.monetary DEFAULT NULL) RETURNS boolean
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, billing, pg_temp
AS $$
DECLARE
    former correction_policy;
    wanted correction_policy;
    stamp  timestamptz;
BEGIN
    PERFORM check_ledger();
    IF set_correction_policy.seller IS NOT NULL AND set_correction_policy.account IS NOT NULL THEN
        RAISE invalid_parameter_value USING MESSAGE = 'a correction policy is of a seller or of an account, not of both';
    END IF;
    wanted.account_id := CASE WHEN set_correction_policy.account IS NOT NULL THEN find_account(set_correction_policy.account) END;
    wanted.seller_id := CASE WHEN set_correction_policy.account IS NULL THEN find_seller(set_correction_policy.seller) END;
    wanted.cause := set_correction_policy.cause;
    wanted.action := set_correction_policy.action;
    wanted.greatest_age := set_correction_policy.greatest_age;
    wanted.greatest_amount := set_correction_policy.greatest_amount;
    PERFORM check_correction_policy(wanted);
    PERFORM FROM seller AS s WHERE s.seller_id = wanted.seller_id FOR NO KEY UPDATE;
    PERFORM FROM account AS a WHERE a.account_id = wanted.account_id FOR NO KEY UPDATE;

    SELECT p.* INTO former FROM correction_policy AS p
     WHERE coalesce(p.seller_id, 0) = coalesce(wanted.seller_id, 0) AND coalesce(p.account_id, 0) = coalesce(wanted.account_id, 0)
       AND p.cause = wanted.cause AND upper_inf(p.known);
    IF (former.action, former.greatest_age, former.greatest_amount)
       IS NOT DISTINCT FROM (NULLIF(wanted.action, 'default'), wanted.greatest_age, wanted.greatest_amount)
    THEN
        RETURN false;
    END IF;
    stamp := stamp_after(lower(former.known));
    UPDATE correction_policy AS p SET known = tstzrange(lower(p.known), stamp)
     WHERE coalesce(p.seller_id, 0) = coalesce(wanted.seller_id, 0) AND coalesce(p.account_id, 0) = coalesce(wanted.account_id, 0)
       AND p.cause = wanted.cause AND upper_inf(p.known);
    IF wanted.action <> 'default' THEN
        wanted.known := tstzrange(stamp, NULL);
        wanted.recorded_by := session_user;
        INSERT INTO correction_policy VALUES (wanted.*);
    END IF;
    RETURN true;
END $$;
COMMENT ON FUNCTION billing.set_correction_policy(text, text, text, text, interval, billing.monetary) IS
'Says what happens to differences in closed periods by their cause (usage, subscription, price, plan, discount, reference_data, fx, tax, engine), for a seller or for one account, whose policy goes before: bill, hold for approval, ignore, or default (usage and subscription are billed; price, plan and discount held; the rest ignored). A difference in a period that ended longer ago than greatest_age, or above greatest_amount, is held; null = no limit. The policy is replaced as a whole. Returns whether that was new. Errors: 22023 bad argument, 42704 unknown seller or account, 40001 run the transaction again. Volatile.';

CREATE FUNCTION billing.check_number_series(seller_id int, type text, series text, former billing.number_series, wanted billing.number_series) RETURNS void
    LANGUAGE plpgsql STABLE PARALLEL SAFE SET search_path = pg_catalog, billing, pg_temp
AS $$
DECLARE
    other number_series;
BEGIN
    IF wanted.digits NOT BETWEEN 1 AND 18 THEN
        RAISE invalid_parameter_value USING MESSAGE = format('digits must be between 1 and 18, not %s', wanted.digits);
    ELSIF wanted.last_number <> former.last_number AND EXISTS (
        SELECT FROM invoice_number AS n
         WHERE n.seller_id = check_number_series.seller_id AND n.type = check_number_series.type AND n.series = check_number_series.series)
    THEN
        RAISE object_not_in_prerequisite_state USING
            MESSAGE = format('numbers of this series were drawn already, the last is %s', former.last_number),
            HINT = 'Numbers have no gaps. Begin another series, or change the prefix.';
    END IF;
    SELECT n.* INTO other FROM number_series AS n
     WHERE n.seller_id = check_number_series.seller_id AND n.prefix = wanted.prefix
       AND (n.type, n.series) <> (check_number_series.type, check_number_series.series) LIMIT 1;
    IF FOUND THEN
        RAISE invalid_parameter_value USING MESSAGE = format('prefix "%s" is that of series "%s" of type %s', wanted.prefix, other.series, other.type),
            HINT = 'Two series with one prefix would draw the same numbers.';
    END IF;
END $$;
COMMENT ON FUNCTION billing.check_number_series(int, text, text, billing.number_series, billing.number_series) IS
'Raises 22023 or 55000 for a change of a number series that would draw a number twice or leave a gap. Stable.';

CREATE FUNCTION billing.set_number_series(
    type text, series text DEFAULT '', prefix text DEFAULT NULL, digits int DEFAULT NULL, next_number bigint DEFAULT NULL, seller text DEFAULT NULL)
    RETURNS boolean
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, billing, pg_temp
AS $$
DECLARE
    this_seller int := find_seller(set_number_series.seller);
    code        text := CASE set_number_series.type WHEN 'invoice' THEN '380' WHEN 'credit_note' THEN '381' ELSE set_number_series.type END;
    former      number_series;
    wanted      number_series;
BEGIN
    PERFORM check_ledger();
    IF code IS NULL OR set_number_series.series IS NULL THEN
        RAISE invalid_parameter_value USING MESSAGE = 'type and series must not be null';
    END IF;
    IF code NOT IN ('380', '381') THEN
        PERFORM check_word('type', code, '{invoice,credit_note}');
    END IF;
    IF octet_length(set_number_series.series) > 100 OR octet_length(set_number_series.prefix) > 100 THEN
        RAISE invalid_parameter_value USING MESSAGE = 'series and prefix have at most 100 bytes';
    END IF;
    IF set_number_series.next_number NOT BETWEEN 1 AND 1e15 THEN
        RAISE invalid_parameter_value USING MESSAGE = format('next_number must be between 1 and 10^15, not %s', set_number_series.next_number);
    END IF;
    PERFORM FROM seller AS s WHERE s.seller_id = this_seller FOR NO KEY UPDATE;
    SELECT n.* INTO former FROM number_series AS n WHERE n.seller_id = this_seller AND n.type = code AND n.series = set_number_series.series FOR NO KEY UPDATE;
    wanted := former;
    wanted.prefix := coalesce(set_number_series.prefix, former.prefix, '');
    wanted.digits := coalesce(set_number_series.digits, former.digits, 6);
    wanted.last_number := coalesce(set_number_series.next_number - 1, former.last_number, 0);
    IF wanted IS NOT DISTINCT FROM former THEN
        RETURN false;
    END IF;
    PERFORM check_number_series(this_seller, code, set_number_series.series, former, wanted);
    INSERT INTO number_series AS n (seller_id, type, series, prefix, digits, last_number)
        VALUES (this_seller, code, set_number_series.series, wanted.prefix, wanted.digits, wanted.last_number)
        ON CONFLICT ON CONSTRAINT number_series_pkey DO UPDATE SET prefix = excluded.prefix, digits = excluded.digits, last_number = excluded.last_number;
    RETURN true;
END $$;
COMMENT ON FUNCTION billing.set_number_series(text, text, text, int, bigint, text) IS
'Makes or changes a series of document numbers of a seller. type: invoice (380) or credit_note (381). series: a name, '''' = the usual one. prefix: what stands before the number, no two series of a seller share it. digits: least number of digits, default 6. next_number: where counting begins, before the first number is drawn. Returns whether that was new. Errors: 22023 bad argument, 42704 unknown seller, 55000 next_number after numbers were drawn. Volatile.';
