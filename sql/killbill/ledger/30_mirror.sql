-- Accounts and subscriptions mirrored on a Kill Bill server.
--
-- What is wanted stands in killbill_account and killbill_subscription; a message says only whose.  Its delivery looks first, by external
-- key, and does what is missing, so that it may be repeated at any point and adopts what is there already.  Messages of one account go
-- one after the other: the server locks by account.

CREATE FUNCTION billing.killbill_endpoint(endpoint text) RETURNS void
    LANGUAGE plpgsql STABLE PARALLEL SAFE SET search_path = pg_catalog, billing, pg_temp
AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_foreign_server AS s JOIN pg_foreign_data_wrapper AS w ON w.oid = s.srvfdw
                    WHERE s.oid = find_endpoint(killbill_endpoint.endpoint) AND w.fdwname = 'billing_killbill') THEN
        RAISE wrong_object_type USING MESSAGE = format('endpoint "%s" is no Kill Bill server', endpoint),
            HINT = 'Make it with CREATE SERVER … FOREIGN DATA WRAPPER billing_killbill.';
    END IF;
END $$;
COMMENT ON FUNCTION billing.killbill_endpoint(text) IS 'Raises 42704 unless there is an endpoint of that name, 42809 unless it is a Kill Bill server. Stable.';

CREATE FUNCTION billing.killbill_option(endpoint text, name text) RETURNS text
    LANGUAGE sql STABLE PARALLEL SAFE SET search_path = pg_catalog, billing, pg_temp
AS $$ SELECT o.option_value FROM pg_foreign_server AS s CROSS JOIN pg_options_to_table(s.srvoptions) AS o WHERE s.srvname = endpoint AND o.option_name = name $$;
COMMENT ON FUNCTION billing.killbill_option(text, text) IS 'Value of an option of an endpoint; null = not given. Stable.';

CREATE FUNCTION billing.endpoint_is_bound(endpoint text) RETURNS boolean
    LANGUAGE sql STABLE PARALLEL SAFE SECURITY DEFINER SET search_path = pg_catalog, billing, pg_temp
AS $$ SELECT EXISTS (SELECT FROM killbill_account AS k WHERE k.endpoint = endpoint_is_bound.endpoint AND k.killbill_id IS NOT NULL) $$;
COMMENT ON FUNCTION billing.endpoint_is_bound(text) IS
'Whether the ledger remembers ids of accounts on an endpoint, so that its tenant must stay the same one: what another tenant was told is not known. Stable.';

CREATE FUNCTION billing.killbill_find_account(endpoint text, account text) RETURNS billing.killbill_account
    LANGUAGE plpgsql STABLE PARALLEL SAFE SET search_path = pg_catalog, billing, pg_temp
AS $$
DECLARE
    found_account killbill_account;
BEGIN
    SELECT k.* INTO found_account FROM killbill_account AS k WHERE k.endpoint = killbill_find_account.endpoint AND k.account_id = find_account(killbill_find_account.account);
    IF NOT FOUND THEN
        RAISE undefined_object USING MESSAGE = format('account "%s" is not mirrored on "%s"', killbill_find_account.account, killbill_find_account.endpoint),
            HINT = 'Mirror it with billing.killbill_mirror_account().';
    END IF;
    RETURN found_account;
END $$;
COMMENT ON FUNCTION billing.killbill_find_account(text, text) IS 'The mirror of an account on an endpoint. Errors: 42704 when there is none. Stable.';

CREATE FUNCTION billing.killbill_tell(endpoint text, kind text, account_id bigint, payload jsonb, priority int DEFAULT 0) RETURNS bigint
    LANGUAGE sql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, billing, pg_temp
AS $$ SELECT write_message(endpoint, kind, payload || jsonb_build_object('account_id', account_id), NULL, 'account ' || account_id, priority) $$;
COMMENT ON FUNCTION billing.killbill_tell(text, text, bigint, jsonb, int) IS 'Writes a message that goes after all others of the same account. Volatile.';

CREATE FUNCTION billing.killbill_check_fields(fields jsonb) RETURNS void
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, billing, pg_temp
AS $$
DECLARE
    field record;
BEGIN
    IF jsonb_typeof(fields) <> 'object' THEN
        RAISE invalid_parameter_value USING MESSAGE = format('custom fields must be an object of names and values, not %s', fields);
    END IF;
    FOR field IN SELECT f.key, f.value FROM jsonb_each_text(fields) AS f LOOP
        IF coalesce(field.value, '') = '' OR field.key = '' THEN
            RAISE invalid_parameter_value USING MESSAGE = format('custom field "%s" has no value, which the server refuses', field.key);
        END IF;
        PERFORM killbill_check_text('the name of a custom field', field.key, 64), killbill_check_text(format('custom field "%s"', field.key), field.value, 255);
    END LOOP;
END $$;
COMMENT ON FUNCTION billing.killbill_check_fields(jsonb) IS 'Raises 22001 for a name or value of a custom field that is longer than the server takes, 22023 for one that is empty or unless it is an object. Immutable.';

CREATE FUNCTION billing.killbill_account_body(account billing.killbill_account) RETURNS jsonb
    LANGUAGE sql STABLE PARALLEL SAFE SET search_path = pg_catalog, billing, pg_temp
AS $$
    SELECT jsonb_strip_nulls(jsonb_build_object(
        'name', killbill_check_text('the name of the account', coalesce(s.legal_name, a.key), 100), 'externalKey', account.external_key,
        'currency', s.currency, 'timeZone', s.time_zone, 'billCycleDayLocal', s.cycle_day,
        'referenceTime', to_char(account.reference_day::timestamp AT TIME ZONE s.time_zone AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS".000Z"'),
        'address1', killbill_check_text('the address', s.address ->> 'line_1', 100), 'address2', killbill_check_text('the address', s.address ->> 'line_2', 100),
        'postalCode', killbill_check_text('the post code', s.address ->> 'post_code', 16), 'city', killbill_check_text('the city', s.address ->> 'city', 50),
        'country', s.country))
      FROM account AS a CROSS JOIN LATERAL account_setting_on(a.account_id, current_date) AS s WHERE a.account_id = account.account_id
$$;
COMMENT ON FUNCTION billing.killbill_account_body(billing.killbill_account) IS 'An account as the server takes it. Errors: 22001 for what is longer than it takes. Stable.';

CREATE FUNCTION billing.killbill_mirror_account(endpoint text, account text, external_key text DEFAULT NULL, reference_day date DEFAULT NULL,
                                                fields jsonb DEFAULT '{}', auto_invoicing boolean DEFAULT NULL) RETURNS bigint
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, billing, pg_temp
AS $$
DECLARE
    this_account bigint := find_account(killbill_mirror_account.account);
    mirror       killbill_account;
BEGIN
    PERFORM check_ledger(), killbill_endpoint(killbill_mirror_account.endpoint), killbill_check_fields(killbill_mirror_account.fields);
    INSERT INTO killbill_account (endpoint, account_id, external_key, auto_invoicing, reference_day)
        VALUES (killbill_mirror_account.endpoint, this_account,
                killbill_check_text('the external key', coalesce(killbill_mirror_account.external_key, killbill_mirror_account.account), 255), coalesce(killbill_mirror_account.auto_invoicing, true),
                coalesce(killbill_mirror_account.reference_day, (SELECT a.starts_on FROM account AS a WHERE a.account_id = this_account), date_trunc('month', current_date)::date))
        ON CONFLICT ON CONSTRAINT killbill_account_pkey DO NOTHING;
    INSERT INTO killbill_push (endpoint, account_id) VALUES (killbill_mirror_account.endpoint, this_account) ON CONFLICT ON CONSTRAINT killbill_push_pkey DO NOTHING;
    SELECT k.* INTO mirror FROM killbill_account AS k WHERE k.endpoint = killbill_mirror_account.endpoint AND k.account_id = this_account;
    IF mirror.external_key <> killbill_mirror_account.external_key THEN
        RAISE object_not_in_prerequisite_state USING MESSAGE = format('account "%s" is mirrored on "%s" as "%s" already; external keys never change there', account, endpoint, mirror.external_key);
    END IF;
    IF mirror.auto_invoicing <> killbill_mirror_account.auto_invoicing THEN
        RAISE object_not_in_prerequisite_state USING MESSAGE = format('account "%s" is mirrored on "%s" already, with auto_invoicing %s', account, endpoint, mirror.auto_invoicing),
            HINT = 'Whoever begins to invoice an account goes on; otherwise its usage is billed twice or not at all.';
    END IF;
    PERFORM killbill_account_body(mirror);
    RETURN killbill_tell(killbill_mirror_account.endpoint, 'account', this_account,
                         jsonb_build_object('fields', killbill_mirror_account.fields));
END $$;
COMMENT ON FUNCTION billing.killbill_mirror_account(text, text, text, date, jsonb, boolean) IS
'Has an account made on a Kill Bill server, or adopted if its external key is there, or brought up to date: name, address, custom fields. external_key: the account''s key unless named, at most 255 characters, never changes. reference_day: first day of which usage counts; the account''s first day, or the first of this month. fields: custom fields by name. auto_invoicing false (true when new): the server makes no invoices by itself (tags AUTO_INVOICING_OFF and AUTO_PAY_OFF), for accounts that we invoice. Returns the number of the message. Errors: 42704 unknown endpoint or account, 42809 no Kill Bill server, 22001 too long for the server, 55000 another external key or auto_invoicing. Volatile.';

CREATE FUNCTION billing.killbill_subscribe(endpoint text, account text, plan text, starts_on date, external_key text, bundle_key text DEFAULT NULL, price_list text DEFAULT 'DEFAULT',
                                           resource text DEFAULT NULL, overrides jsonb DEFAULT NULL, fields jsonb DEFAULT '{}') RETURNS bigint
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, billing, pg_temp
AS $$
DECLARE
    mirror        killbill_account := killbill_find_account(killbill_subscribe.endpoint, killbill_subscribe.account);
    former        killbill_subscription;
    this_resource bigint;
BEGIN
    PERFORM check_ledger(), killbill_endpoint(killbill_subscribe.endpoint), killbill_check_fields(killbill_subscribe.fields);
    PERFORM killbill_check_text('the external key', killbill_subscribe.external_key, 255), killbill_check_text('the bundle key', killbill_subscribe.bundle_key, 255);
    IF killbill_subscribe.plan IS NULL OR killbill_subscribe.starts_on IS NULL OR killbill_subscribe.external_key IS NULL THEN
        RAISE null_value_not_allowed USING MESSAGE = 'a subscription needs a plan, a first day and an external key';
    ELSIF EXISTS (SELECT FROM killbill_price AS p WHERE p.endpoint = killbill_subscribe.endpoint)
          AND NOT EXISTS (SELECT FROM killbill_price AS p WHERE p.endpoint = killbill_subscribe.endpoint AND p.plan = killbill_subscribe.plan AND p.price_list = killbill_subscribe.price_list) THEN
        RAISE undefined_object USING MESSAGE = format('the catalog of "%s" has no plan "%s" in price list "%s"', killbill_subscribe.endpoint, killbill_subscribe.plan, killbill_subscribe.price_list),
            HINT = 'Read the catalog again with billing.killbill_pull_catalog().';
    ELSIF jsonb_path_exists(coalesce(killbill_subscribe.overrides, '[]'), '$.**.blockPrices[*].currency') THEN
        RAISE invalid_parameter_value USING MESSAGE = 'overrides name a currency in blockPrices, which the server refuses';
    END IF;
    IF NOT EXISTS (SELECT FROM killbill_subscription AS s WHERE s.endpoint = killbill_subscribe.endpoint AND s.external_key = killbill_subscribe.external_key) THEN
        PERFORM killbill_may_order(killbill_subscribe.endpoint, killbill_subscribe.account);
    END IF;
    IF killbill_subscribe.resource IS NOT NULL THEN
        this_resource := (SELECT r.resource_id FROM resource AS r WHERE r.account_id = mirror.account_id AND r.key = killbill_subscribe.resource);
        IF this_resource IS NULL THEN
            RAISE undefined_object USING MESSAGE = format('account "%s" has no resource "%s"', killbill_subscribe.account, killbill_subscribe.resource), HINT = 'Make it with billing.set_resource().';
        END IF;
    END IF;
    SELECT s.* INTO former FROM killbill_subscription AS s WHERE s.endpoint = killbill_subscribe.endpoint AND s.external_key = killbill_subscribe.external_key;
    IF FOUND AND (former.bundle_key <> killbill_subscribe.bundle_key OR former.overrides IS DISTINCT FROM coalesce(killbill_subscribe.overrides, former.overrides)) THEN
        RAISE object_not_in_prerequisite_state USING MESSAGE = format('subscription "%s" exists on "%s" with another bundle or other prices', killbill_subscribe.external_key, killbill_subscribe.endpoint),
            HINT = 'Cancel it and subscribe under another external key.';
    ELSIF FOUND AND former.resource_id IS DISTINCT FROM coalesce(this_resource, former.resource_id)
          AND EXISTS (SELECT FROM killbill_usage AS u WHERE u.endpoint = killbill_subscribe.endpoint AND u.external_key = killbill_subscribe.external_key) THEN
        RAISE object_not_in_prerequisite_state USING MESSAGE = format('usage of another resource was told for subscription "%s" already', killbill_subscribe.external_key),
            HINT = 'Cancel it and subscribe under another external key.';
    END IF;
    INSERT INTO killbill_subscription (endpoint, external_key, account_id, bundle_key, plan, price_list, starts_on, resource_id, overrides, fields)
        VALUES (killbill_subscribe.endpoint, killbill_subscribe.external_key, mirror.account_id, coalesce(killbill_subscribe.bundle_key, killbill_subscribe.external_key),
                killbill_subscribe.plan, killbill_subscribe.price_list, killbill_subscribe.starts_on, this_resource, killbill_subscribe.overrides, killbill_subscribe.fields)
        ON CONFLICT ON CONSTRAINT killbill_subscription_pkey DO UPDATE SET fields = killbill_subscription.fields || excluded.fields, resource_id = coalesce(excluded.resource_id, killbill_subscription.resource_id)
        RETURNING * INTO former;
    IF (former.account_id, former.plan, former.price_list, former.starts_on) <> (mirror.account_id, killbill_subscribe.plan, killbill_subscribe.price_list, killbill_subscribe.starts_on) THEN
        RAISE object_not_in_prerequisite_state USING MESSAGE = format('subscription "%s" exists on "%s" with another account, plan or first day', killbill_subscribe.external_key, killbill_subscribe.endpoint),
            HINT = 'Cancel it and subscribe under another external key.';
    END IF;
    RETURN killbill_tell(killbill_subscribe.endpoint, 'subscription', mirror.account_id, jsonb_build_object('external_key', killbill_subscribe.external_key));
END $$;
COMMENT ON FUNCTION billing.killbill_subscribe(text, text, text, date, text, text, text, text, jsonb, jsonb) IS
'Has a mirrored account subscribed to a plan of the server, or the subscription with that external key adopted, or its custom fields brought up to date. starts_on: first day of entitlement and billing. bundle_key: that of the base subscription for an add-on; the external key itself unless named. resource: whose usage it bills; null = that of all resources without a subscription of their own. overrides: the server''s priceOverrides. fields: custom fields by name. Returns the number of the message. Errors: 42704 unknown endpoint, account, plan or resource, 22001 too long, 22004, 22023 bad argument, 53400 remaining credit is below the threshold, 55000 it exists otherwise. Volatile.';

CREATE FUNCTION billing.killbill_cancel(endpoint text, external_key text, ends_on date) RETURNS bigint
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, billing, pg_temp
AS $$
DECLARE
    mirror killbill_subscription;
BEGIN
    PERFORM check_ledger();
    UPDATE killbill_subscription AS s SET ends_on = killbill_cancel.ends_on
     WHERE s.endpoint = killbill_cancel.endpoint AND s.external_key = killbill_cancel.external_key AND s.state <> 'cancelled' RETURNING s.* INTO mirror;
    IF NOT FOUND THEN
        RAISE undefined_object USING MESSAGE = format('there is no subscription "%s" on "%s" that could end', killbill_cancel.external_key, killbill_cancel.endpoint);
    ELSIF killbill_cancel.ends_on IS NULL OR killbill_cancel.ends_on < mirror.starts_on THEN
        RAISE invalid_parameter_value USING MESSAGE = format('subscription "%s" began on %s and cannot end on %s', killbill_cancel.external_key, mirror.starts_on, coalesce(killbill_cancel.ends_on::text, 'null'));
    END IF;
    -- The server ends add-ons with their base subscription.
    UPDATE killbill_subscription AS s SET ends_on = mirror.ends_on
     WHERE s.endpoint = mirror.endpoint AND s.bundle_key = mirror.bundle_key AND s.external_key <> mirror.external_key AND s.state <> 'cancelled' AND (s.ends_on IS NULL OR s.ends_on > mirror.ends_on)
       AND EXISTS (SELECT FROM killbill_price AS p WHERE p.endpoint = s.endpoint AND p.plan = s.plan AND p.category = 'ADD_ON')
       AND EXISTS (SELECT FROM killbill_price AS p WHERE p.endpoint = mirror.endpoint AND p.plan = mirror.plan AND p.category = 'BASE');
    RETURN killbill_tell(killbill_cancel.endpoint, 'subscription', mirror.account_id, jsonb_build_object('external_key', killbill_cancel.external_key));
END $$;
COMMENT ON FUNCTION billing.killbill_cancel(text, text, date) IS
'Has a subscription on the server end; ends_on is the first day on which it no longer runs; add-ons of a base subscription end with it at the latest. Usage before that day still counts; push it first or afterwards. Returns the number of the message. Errors: 42704 no such subscription, 22023 bad day. Volatile.';

CREATE FUNCTION billing.killbill_close_account(endpoint text, account text) RETURNS bigint
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, billing, pg_temp
AS $$
DECLARE
    mirror killbill_account := killbill_find_account(killbill_close_account.endpoint, killbill_close_account.account);
    dates  record := killbill_push_dates(NULL, NULL);
BEGIN
    PERFORM check_ledger();
    -- What is not told before cannot be billed as usage any more.
    IF mirror.auto_invoicing AND mirror.state <> 'closed' THEN
        PERFORM killbill_push_accounts(mirror.endpoint, dates.last_day, daterange(least(lower(dates.dates), killbill_late_from(mirror.endpoint, lower(dates.dates), ARRAY[mirror.account_id])), dates.last_day),
                                       ARRAY[mirror.account_id]);
    END IF;
    RETURN killbill_tell(mirror.endpoint, 'close', mirror.account_id, '{}');
END $$;
COMMENT ON FUNCTION billing.killbill_close_account(text, text) IS
'Has an account closed on the server: usage up to now is told, all its subscriptions are cancelled at once and billed to the end of what they were billed for, an invoice is made of their usage, and then the account is closed; unpaid invoices stay. Usage that comes later is told as a charge. Returns the number of the message. Errors: 42704 not mirrored there. Volatile.';

-- ---------------------------------------------------------------- delivery

CREATE FUNCTION billing.killbill_found(answer billing.http_answer) RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, billing, pg_temp
AS $$
    SELECT CASE WHEN answer.error IS NOT NULL THEN NULL WHEN answer.status = 200 AND billing.json_or_null(answer.body) IS NOT NULL THEN true
                WHEN answer.status = 404 AND billing.killbill_refused(answer) THEN false END
$$;
COMMENT ON FUNCTION billing.killbill_found(billing.http_answer) IS
'Whether a search found something: true, false (404 in the server''s own words), null = neither (HTML, with whatever status, is no Kill Bill at all). Immutable.';

CREATE FUNCTION billing.killbill_local_day(said text, time_zone text) RETURNS date
    LANGUAGE sql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$ SELECT CASE WHEN said LIKE '%T%' THEN (said::timestamptz AT TIME ZONE time_zone)::date ELSE said::date END $$;
COMMENT ON FUNCTION billing.killbill_local_day(text, text) IS
'The day that a server means: servers of 0.22 say dates, later ones instants, which are days of the account''s time zone. Stable.';

CREATE FUNCTION billing.killbill_store_subscription(endpoint text, external_key text, present jsonb) RETURNS billing.killbill_subscription
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, billing, pg_temp
AS $$
DECLARE
    ended  CONSTANT boolean := present ->> 'state' IN ('CANCELLED', 'EXPIRED');
    mirror killbill_subscription;
    zone   text;
    last_day  date;    -- on which its usage is taken
    billed_to date;
BEGIN
    SELECT a.time_zone INTO zone FROM killbill_subscription AS s CROSS JOIN LATERAL account_setting_on(s.account_id, current_date) AS a
     WHERE s.endpoint = killbill_store_subscription.endpoint AND s.external_key = killbill_store_subscription.external_key;
    last_day := killbill_local_day(present ->> 'cancelledDate', zone);
    billed_to := coalesce(killbill_local_day(present ->> 'billingEndDate', zone), last_day);
    UPDATE killbill_subscription AS s
       SET killbill_id = (present ->> 'subscriptionId')::uuid, bundle_id = (present ->> 'bundleId')::uuid,
           state = CASE WHEN ended THEN 'cancelled' WHEN present ->> 'state' = 'BLOCKED' THEN 'paused' ELSE 'active' END,
           ends_on = CASE WHEN ended THEN coalesce(billed_to, s.ends_on) ELSE s.ends_on END,
           usage_to = CASE WHEN ended AND last_day + 1 < billed_to THEN last_day + 1 END
     WHERE s.endpoint = killbill_store_subscription.endpoint AND s.external_key = killbill_store_subscription.external_key RETURNING s.* INTO mirror;
    IF jsonb_typeof(present -> 'events') = 'array' THEN
        DELETE FROM killbill_pause AS p WHERE p.endpoint = mirror.endpoint AND p.external_key = mirror.external_key;
        INSERT INTO killbill_pause (endpoint, external_key, paused_from, paused_to)
        SELECT mirror.endpoint, mirror.external_key, p.day, CASE WHEN bool_and(p.next_day IS NOT NULL) THEN max(p.next_day) END
          FROM (SELECT e.value ->> 'eventType' AS what, killbill_local_day(e.value ->> 'effectiveDate', zone) AS day,
                       lead(killbill_local_day(e.value ->> 'effectiveDate', zone)) OVER (ORDER BY e.value ->> 'effectiveDate', e.no) AS next_day
                  FROM jsonb_array_elements(present -> 'events') WITH ORDINALITY AS e (value, no) WHERE e.value ->> 'eventType' IN ('PAUSE_BILLING', 'RESUME_BILLING')) AS p
         WHERE p.what = 'PAUSE_BILLING' GROUP BY p.day;
    END IF;
    RETURN mirror;
END $$;
COMMENT ON FUNCTION billing.killbill_store_subscription(text, text, jsonb) IS
'Writes down what the server says of a mirrored subscription: its ids, whether it runs, is paused or has ended and when, and the days of its pauses. present: the subscription as its API shows it. Volatile.';

CREATE FUNCTION billing.killbill_store_bundles(endpoint text, account_id bigint, bundles jsonb) RETURNS void
    LANGUAGE sql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, billing, pg_temp
AS $$
    SELECT count(killbill_store_subscription($1, s.external_key, t.value))
      FROM jsonb_path_query($3, 'strict $[*].subscriptions[*]') AS t (value)
      JOIN killbill_subscription AS s ON s.endpoint = $1 AND s.account_id = $2 AND s.killbill_id::text = t.value ->> 'subscriptionId'
$$;
COMMENT ON FUNCTION billing.killbill_store_bundles(text, bigint, jsonb) IS 'Writes down what the server says of the mirrored subscriptions of an account, given its bundles. Volatile.';

CREATE FUNCTION billing.killbill_sync_fields(message billing.outgoing_message, answer billing.http_answer, at text, object_path text, wanted jsonb) RETURNS billing.delivery_step
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, billing, pg_temp
AS $$
DECLARE
    present jsonb := coalesce(json_or_null(answer.body), '[]');
    missing jsonb;
    changed jsonb;
BEGIN
    IF at = 'look_fields' AND answer.status = 200 AND jsonb_typeof(json_or_null(answer.body)) = 'array' THEN
        SELECT coalesce(jsonb_agg(jsonb_build_object('name', w.key, 'value', w.value)) FILTER (WHERE p.id IS NULL), '[]'),
               coalesce(jsonb_agg(jsonb_build_object('customFieldId', p.id, 'name', w.key, 'value', w.value)) FILTER (WHERE p.id IS NOT NULL AND p.value <> w.value), '[]')
          INTO missing, changed
          FROM jsonb_each_text(wanted) AS w
          LEFT JOIN (SELECT f ->> 'customFieldId' AS id, f ->> 'name' AS name, f ->> 'value' AS value FROM jsonb_array_elements(present) AS f) AS p ON p.name = w.key;
        IF changed <> '[]' THEN
            RETURN step_send(killbill_request('PUT', object_path || '/customFields', changed, message.idempotency_key), message.progress || '{"at": "change_fields"}');
        ELSIF missing <> '[]' THEN
            RETURN step_send(killbill_request('POST', object_path || '/customFields', missing, message.idempotency_key), message.progress || '{"at": "add_fields"}');
        END IF;
        RETURN NULL;
    ELSIF at IN ('add_fields', 'change_fields') AND NOT killbill_succeeded(answer) OR at = 'look_fields' THEN
        RETURN killbill_judge(answer);
    ELSIF wanted = '{}' THEN
        RETURN NULL;
    END IF;
    RETURN step_send(killbill_request('GET', object_path || '/customFields'), message.progress || '{"at": "look_fields"}');
END $$;
COMMENT ON FUNCTION billing.killbill_sync_fields(billing.outgoing_message, billing.http_answer, text, text, jsonb) IS
'The next step of bringing custom fields of an object of the server to what is wanted; null = they are. at: which request the answer is of. Immutable.';

CREATE FUNCTION billing.killbill_deliver_account(message billing.outgoing_message, answer billing.http_answer) RETURNS billing.delivery_step
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, billing, pg_temp
AS $$
DECLARE
    mirror  killbill_account;
    at      text := CASE WHEN answer IS NULL THEN 'begin' ELSE message.progress ->> 'at' END;
    present jsonb := json_or_null(answer.body);
    wanted  jsonb;
    wrong   text;
    step    delivery_step;
BEGIN
    SELECT k.* INTO mirror FROM killbill_account AS k WHERE k.endpoint = message.endpoint AND k.account_id = (message.payload ->> 'account_id')::bigint;
    wanted := killbill_account_body(mirror);
    IF at = 'begin' OR at = 'create' AND (answer.status IN (409, 500)) AND NOT message.progress ? 'again' THEN
        RETURN step_send(killbill_request('GET', '/accounts?' || url_query(jsonb_build_object('externalKey', mirror.external_key))),
                         CASE at WHEN 'begin' THEN '{"at": "find"}'::jsonb ELSE '{"at": "find", "again": true}' END);
    ELSIF at = 'find' THEN
        CASE killbill_found(answer)
            WHEN true THEN NULL;
            WHEN false THEN
                RETURN step_send(killbill_request('POST', '/accounts', wanted, message.idempotency_key), message.progress || '{"at": "create"}');
            ELSE
                RETURN killbill_judge(answer);
        END CASE;
        -- What never changes there has to be the same here, or months, days and amounts would be others.
        wrong := (SELECT string_agg(format('%s %s there and %s here', w.name, present ->> w.name, wanted ->> w.name), ', ')
                    FROM unnest('{externalKey,currency,timeZone,billCycleDayLocal}'::text[]) AS w (name)
                   WHERE present ->> w.name <> wanted ->> w.name AND NOT (w.name = 'billCycleDayLocal' AND present ->> w.name = '0')
                     AND NOT (w.name = 'timeZone' AND '{UTC,Etc/UTC,GMT,Etc/GMT,Z}'::text[] @> ARRAY[present ->> w.name, wanted ->> w.name]));
        IF wrong IS NOT NULL THEN
            RETURN step_failed('the account exists there otherwise: ' || wrong);
        END IF;
        UPDATE killbill_account AS k SET killbill_id = (present ->> 'accountId')::uuid, state = 'present' WHERE k.endpoint = mirror.endpoint AND k.account_id = mirror.account_id RETURNING k.* INTO mirror;
        -- What never changes there is left out of the comparison.
        IF NOT present @> (wanted - '{referenceTime,timeZone,externalKey,currency,billCycleDayLocal}'::text[]) THEN
            RETURN step_send(killbill_request('PUT', '/accounts/' || mirror.killbill_id, wanted - '{referenceTime,timeZone,externalKey,currency,billCycleDayLocal}'::text[], message.idempotency_key),
                             message.progress || '{"at": "update"}');
        END IF;
    ELSIF at = 'create' THEN
        IF answer.status IS DISTINCT FROM 201 OR killbill_located(answer) IS NULL THEN
            RETURN killbill_judge(answer);
        END IF;
        UPDATE killbill_account AS k SET killbill_id = killbill_located(answer), state = 'present' WHERE k.endpoint = mirror.endpoint AND k.account_id = mirror.account_id RETURNING k.* INTO mirror;
    ELSIF at IN ('update', 'tag') AND NOT killbill_succeeded(answer) THEN
        RETURN killbill_judge(answer);
    END IF;
    IF at <> 'tag' THEN
        step := killbill_sync_fields(message, answer, at, '/accounts/' || mirror.killbill_id, coalesce(message.payload -> 'fields', '{}'));
        IF NOT step IS NULL THEN
            RETURN step;
        ELSIF NOT mirror.auto_invoicing THEN
            RETURN step_send(killbill_request('POST', format('/accounts/%s/tags', mirror.killbill_id),
                                              '["00000000-0000-0000-0000-000000000001", "00000000-0000-0000-0000-000000000002"]', message.idempotency_key), message.progress || '{"at": "tag"}');
        END IF;
    END IF;
    RETURN step_delivered(jsonb_build_object('account_id', mirror.killbill_id));
END $$;
COMMENT ON FUNCTION billing.killbill_deliver_account(billing.outgoing_message, billing.http_answer) IS 'Delivers messages of kind account: find by external key, make or change, custom fields, tags. Volatile.';

CREATE FUNCTION billing.killbill_deliver_close(message billing.outgoing_message, answer billing.http_answer) RETURNS billing.delivery_step
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, billing, pg_temp
AS $$
DECLARE
    mirror killbill_account;
    at     text := CASE WHEN answer IS NULL THEN 'begin' ELSE message.progress ->> 'at' END;
    body   jsonb := json_or_null(answer.body);
    runs   text;     -- a subscription that runs
    target date;
BEGIN
    SELECT k.* INTO mirror FROM killbill_account AS k WHERE k.endpoint = message.endpoint AND k.account_id = (message.payload ->> 'account_id')::bigint;
    IF mirror.killbill_id IS NULL THEN
        RETURN step_failed('the account was never made there');
    ELSIF at = 'begin' OR at = 'cancel' AND killbill_succeeded(answer) THEN
        RETURN step_send(killbill_request('GET', format('/accounts/%s/bundles', mirror.killbill_id)), '{"at": "bundles"}');
    ELSIF at = 'bundles' AND succeeded(answer) AND killbill_is_list(body, 'bundleId', 'subscriptions') THEN
        PERFORM killbill_store_bundles(mirror.endpoint, mirror.account_id, body);
        -- A closed account gets no invoices any more: all usage has to be on one before.
        SELECT min(t.value ->> 'subscriptionId') FILTER (WHERE t.value ->> 'state' NOT IN ('CANCELLED', 'EXPIRED')),
               max(killbill_local_day(coalesce(t.value ->> 'billingEndDate', t.value ->> 'chargedThroughDate'), (account_setting_on(mirror.account_id, current_date)).time_zone))
          INTO runs, target FROM jsonb_path_query(body, 'strict $[*].subscriptions[*]') AS t (value);
        IF runs IS NOT NULL THEN
            RETURN step_send(killbill_request('DELETE', format('/subscriptions/%s?entitlementPolicy=IMMEDIATE&billingPolicy=END_OF_TERM&callCompletion=true&callTimeoutSec=20', runs), NULL,
                                              message.idempotency_key, '60s'), '{"at": "cancel"}');
        ELSIF mirror.auto_invoicing AND target IS NOT NULL THEN
            RETURN step_send(killbill_request('POST', '/invoices?' || url_query(jsonb_build_object('accountId', mirror.killbill_id, 'targetDate', target)), NULL, message.idempotency_key, '60s'),
                             '{"at": "invoice"}');
        END IF;
        at := 'invoice';
    ELSIF at = 'invoice' AND NOT (killbill_succeeded(answer) OR answer.status = 404) THEN
        RETURN killbill_judge(answer);
    END IF;
    IF at = 'invoice' THEN   -- made, or nothing to bill
        RETURN step_send(killbill_request('DELETE', format('/accounts/%s?cancelAllSubscriptions=true&writeOffUnpaidInvoices=false&itemAdjustUnpaidInvoices=false', mirror.killbill_id), NULL, message.idempotency_key, '60s'), '{"at": "close"}');
    ELSIF at <> 'close' OR NOT killbill_succeeded(answer) THEN
        RETURN killbill_judge(answer);
    END IF;
    UPDATE killbill_account AS k SET state = 'closed' WHERE k.endpoint = mirror.endpoint AND k.account_id = mirror.account_id;
    UPDATE killbill_subscription AS s SET state = 'cancelled' WHERE s.endpoint = mirror.endpoint AND s.account_id = mirror.account_id;
    RETURN step_delivered();
END $$;
COMMENT ON FUNCTION billing.killbill_deliver_close(billing.outgoing_message, billing.http_answer) IS
'Delivers messages of kind close: cancels what still runs, has an invoice made of it, closes the account. Each step may be repeated. Volatile.';

CREATE FUNCTION billing.killbill_subscription_request(mirror billing.killbill_subscription, account_id uuid, operation text) RETURNS billing.http_request
    LANGUAGE sql STABLE PARALLEL SAFE SET search_path = pg_catalog, billing, pg_temp
AS $$
    SELECT killbill_request('POST', '/subscriptions?' || url_query(jsonb_build_object('entitlementDate', mirror.starts_on, 'billingDate', mirror.starts_on, 'callCompletion', true, 'callTimeoutSec', 10)),
               jsonb_strip_nulls(jsonb_build_object('accountId', account_id, 'externalKey', mirror.external_key, 'planName', mirror.plan, 'priceOverrides', mirror.overrides, 'bundleId', b.bundle_id,
                                                    'bundleExternalKey', CASE WHEN b.bundle_id IS NULL THEN mirror.bundle_key END)), operation, '60s')
      FROM (SELECT (SELECT s.bundle_id FROM killbill_subscription AS s
                     WHERE s.endpoint = mirror.endpoint AND s.bundle_key = mirror.bundle_key AND s.bundle_id IS NOT NULL AND s.external_key <> mirror.external_key LIMIT 1)) AS b(bundle_id)
$$;
COMMENT ON FUNCTION billing.killbill_subscription_request(billing.killbill_subscription, uuid, text) IS 'The request that makes a subscription, in a bundle that is there or in a new one. Stable.';

CREATE FUNCTION billing.killbill_same_plan(plan text, overridden boolean, there text) RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$ SELECT coalesce(CASE WHEN overridden THEN starts_with(there, plan || '-') AND substr(there, char_length(plan) + 2) ~ '^[0-9]+$' ELSE there = plan END, false) $$;
COMMENT ON FUNCTION billing.killbill_same_plan(text, boolean, text) IS 'Whether the plan of a subscription there is the one that is wanted; with prices of its own the server calls it PLAN-NUMBER. Immutable.';

CREATE FUNCTION billing.killbill_deliver_subscription(message billing.outgoing_message, answer billing.http_answer) RETURNS billing.delivery_step
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, billing, pg_temp
AS $$
DECLARE
    mirror  killbill_subscription;
    owner   uuid;
    at      text := CASE WHEN answer IS NULL THEN 'begin' ELSE message.progress ->> 'at' END;
    present jsonb := json_or_null(answer.body);
    wrong   text;
    step    delivery_step;
BEGIN
    SELECT s.* INTO mirror FROM killbill_subscription AS s WHERE s.endpoint = message.endpoint AND s.external_key = message.payload ->> 'external_key';
    SELECT k.killbill_id INTO owner FROM killbill_account AS k WHERE k.endpoint = mirror.endpoint AND k.account_id = mirror.account_id;
    IF owner IS NULL THEN
        RETURN step_retry('the account is not there yet');
    ELSIF at = 'begin' OR at = 'create' AND (killbill_succeeded(answer) OR answer.status IN (400, 409, 500) AND NOT message.progress ? 'again') OR at = 'cancel' AND killbill_succeeded(answer) THEN
        -- What was just made is read by its own id, which says that it is the one.
        RETURN step_send(killbill_request('GET', CASE WHEN at = 'create' AND killbill_located(answer) IS NOT NULL THEN '/subscriptions/' || killbill_located(answer)
                                                      ELSE '/subscriptions?' || url_query(jsonb_build_object('externalKey', mirror.external_key)) END),
                         coalesce(message.progress, '{}') - CASE WHEN at = 'begin' THEN '{again,refused}'::text[] ELSE '{}' END || CASE WHEN at = 'create' AND NOT killbill_succeeded(answer) THEN jsonb_build_object('at', 'find', 'again', killbill_error(answer), 'refused', killbill_refused(answer))
                                                                    WHEN at = 'cancel' THEN '{"at": "find", "cancelled": true}' ELSE '{"at": "find"}' END);
    ELSIF at = 'find' THEN
        IF killbill_found(answer) IS NULL THEN
            RETURN killbill_judge(answer);
        ELSIF NOT killbill_found(answer) THEN
            RETURN CASE WHEN message.progress ->> 'refused' = 'true' THEN step_failed(message.progress ->> 'again')
                        WHEN message.progress ? 'again' THEN step_retry(message.progress ->> 'again')
                        ELSE step_send(killbill_subscription_request(mirror, owner, message.idempotency_key), coalesce(message.progress, '{}') || '{"at": "create"}') END;
        ELSIF present ->> 'accountId' IS DISTINCT FROM owner::text OR NOT killbill_same_plan(mirror.plan, mirror.overrides IS NOT NULL, present ->> 'planName') THEN
            RETURN step_failed(format('the subscription exists there with plan "%s" of account %s', present ->> 'planName', present ->> 'accountId'));
        END IF;
        wrong := CASE WHEN mirror.killbill_id IS NULL THEN
            (SELECT string_agg(format('%s %s there and %s here', w.name, w.there, w.here), ', ')
               FROM (VALUES ('external key', present ->> 'externalKey', mirror.external_key), ('price list', present ->> 'priceList', mirror.price_list),
                            ('first day', killbill_local_day(coalesce(present ->> 'billingStartDate', present ->> 'startDate'), (account_setting_on(mirror.account_id, current_date)).time_zone)::text,
                             mirror.starts_on::text)) AS w (name, there, here) WHERE w.there <> w.here) END;
        IF wrong IS NOT NULL THEN
            RETURN step_failed('the subscription exists there otherwise: ' || wrong);
        END IF;
        mirror := killbill_store_subscription(mirror.endpoint, mirror.external_key, present);
        IF message.progress ? 'cancelled' THEN
            UPDATE killbill_subscription AS s SET state = 'cancelled'
             WHERE s.endpoint = mirror.endpoint AND s.external_key = mirror.external_key RETURNING s.* INTO mirror;
            UPDATE killbill_subscription AS s SET state = 'cancelled'
             WHERE s.endpoint = mirror.endpoint AND s.bundle_key = mirror.bundle_key AND s.ends_on <= mirror.ends_on
               AND EXISTS (SELECT FROM killbill_price AS p WHERE p.endpoint = s.endpoint AND p.plan = s.plan AND p.category = 'ADD_ON')
               AND EXISTS (SELECT FROM killbill_price AS p WHERE p.endpoint = mirror.endpoint AND p.plan = mirror.plan AND p.category = 'BASE');
        END IF;
    ELSIF at IN ('create', 'cancel') THEN
        RETURN killbill_judge(answer);
    END IF;
    step := killbill_sync_fields(message, answer, at, '/subscriptions/' || mirror.killbill_id, mirror.fields);
    IF NOT step IS NULL THEN
        RETURN step;
    ELSIF mirror.ends_on IS NOT NULL AND mirror.state <> 'cancelled' THEN
        RETURN step_send(killbill_request('DELETE', format('/subscriptions/%s?', mirror.killbill_id) || url_query(jsonb_build_object(
                             'requestedDate', mirror.ends_on, 'useRequestedDateForBilling', true, 'callCompletion', true, 'callTimeoutSec', 20)), NULL, message.idempotency_key, '60s'),
                         message.progress || '{"at": "cancel"}');
    END IF;
    RETURN step_delivered(jsonb_build_object('subscription_id', mirror.killbill_id));
END $$;
COMMENT ON FUNCTION billing.killbill_deliver_subscription(billing.outgoing_message, billing.http_answer) IS
'Delivers messages of kind subscription: find by external key, make, custom fields, cancel. Volatile.';
