-- Credits, dry runs, thresholds, notifications, the test clock, what runs by schedule, and the connection test.

CREATE FUNCTION billing.killbill_pull_catalog(endpoint text, seller text DEFAULT NULL, applies_to text DEFAULT NULL) RETURNS bigint
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, billing, pg_temp
AS $$
BEGIN
    PERFORM check_ledger(), killbill_endpoint(killbill_pull_catalog.endpoint), find_seller(killbill_pull_catalog.seller), check_word('applies_to', killbill_pull_catalog.applies_to, '{open,closed}');
    RETURN write_message(killbill_pull_catalog.endpoint, 'pull_catalog', jsonb_strip_nulls(jsonb_build_object('seller', killbill_pull_catalog.seller, 'applies_to', killbill_pull_catalog.applies_to)), NULL, 'pull_catalog');
END $$;
COMMENT ON FUNCTION billing.killbill_pull_catalog(text, text, text) IS
'Has all versions of the catalog of a server read and imported by killbill_import_catalog(), which keeps what became of them as the message''s result. seller, applies_to: as there. Returns the number of the message. Errors: 42704 unknown endpoint or seller, 22023 bad argument. Volatile.';

CREATE FUNCTION billing.killbill_deliver_pull_catalog(message billing.outgoing_message, answer billing.http_answer) RETURNS billing.delivery_step
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, billing, pg_temp
AS $$
DECLARE
    outcome jsonb;
BEGIN
    IF answer IS NULL THEN
        RETURN step_send(billing.http_request('GET', '/1.0/kb/catalog/xml', NULL, '{"Accept": "text/xml", "X-Killbill-CreatedBy": "billing"}', '60s'));
    ELSIF NOT succeeded(answer) THEN
        RETURN killbill_judge(answer);
    ELSIF NOT xml_is_well_formed_document(answer.body) THEN
        RETURN step_retry('the catalog is no whole XML document');
    END IF;
    WITH row AS MATERIALIZED (
        SELECT i.* FROM killbill_import_catalog(answer.body::xml, message.endpoint, message.payload ->> 'seller', message.payload ->> 'applies_to') AS i)
    SELECT jsonb_build_object('outcomes', (SELECT jsonb_object_agg(o.outcome, o.n) FROM (SELECT r.outcome, count(*) AS n FROM row AS r GROUP BY r.outcome) AS o),
                              'problems', (SELECT jsonb_agg(jsonb_build_object('name', r.name, 'outcome', r.outcome, 'detail', r.detail, 'effective_at', r.effective_at)) FROM row AS r WHERE r.detail IS NOT NULL))
      INTO outcome;
    RETURN step_delivered(outcome);
END $$;
COMMENT ON FUNCTION billing.killbill_deliver_pull_catalog(billing.outgoing_message, billing.http_answer) IS 'Delivers messages of kind pull_catalog. Volatile.';

CREATE FUNCTION billing.killbill_credit(endpoint text, account text, amount numeric, reason text) RETURNS bigint
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, billing, pg_temp
AS $$
DECLARE
    mirror          killbill_account := killbill_find_account(killbill_credit.endpoint, killbill_credit.account);
    this_currency   text := (account_setting_on(mirror.account_id, current_date)).currency;
    this_adjustment bigint;
BEGIN
    PERFORM check_ledger();
    IF killbill_credit.amount IS NULL OR killbill_credit.amount <= 0 OR killbill_credit.amount >= 1000000000 THEN
        RAISE invalid_parameter_value USING MESSAGE = format('the amount of a credit must be above 0 and below 1,000,000,000, not %s', coalesce(killbill_credit.amount::text, 'null'));
    ELSIF killbill_credit.amount <> amount(round(monetary(killbill_credit.amount, this_currency), 'half_up')) THEN
        RAISE invalid_parameter_value USING MESSAGE = format('%s %s has more decimals than the currency; the server would round it', killbill_credit.amount, this_currency);
    ELSIF coalesce(killbill_credit.reason, '') = '' THEN
        RAISE null_value_not_allowed USING MESSAGE = 'a credit needs a reason';
    END IF;
    INSERT INTO killbill_adjustment AS a (endpoint, account_id, amount, currency, reason)
        VALUES (mirror.endpoint, mirror.account_id, - killbill_credit.amount, this_currency, killbill_check_text('the reason', killbill_credit.reason, 255)) RETURNING a.adjustment_id INTO this_adjustment;
    RETURN killbill_tell_adjustment(this_adjustment, 10);
END $$;
COMMENT ON FUNCTION billing.killbill_credit(text, text, numeric, text) IS
'Has a mirrored account given credit on the server, once. amount: in the account''s currency, above 0; 1,000,000 and more go in parts. reason: what stands on the invoice, at most 255 characters. Returns the number of the message. Errors: 42704 not mirrored, 22023 bad amount, 22004 no reason, 22001 too long. Volatile.';

CREATE FUNCTION billing.killbill_dry_run(endpoint text, account text, target_date date DEFAULT NULL) RETURNS bigint
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, billing, pg_temp
AS $$
DECLARE
    mirror killbill_account := killbill_find_account(killbill_dry_run.endpoint, killbill_dry_run.account);
BEGIN
    PERFORM check_ledger();
    IF killbill_dry_run.target_date > current_date + 1095 THEN
        RAISE invalid_parameter_value USING MESSAGE = format('a dry run goes at most 36 months ahead, not to %s', killbill_dry_run.target_date);
    END IF;
    RETURN killbill_tell(mirror.endpoint, 'dry_run', mirror.account_id, jsonb_strip_nulls(jsonb_build_object('target_date', killbill_dry_run.target_date)));
END $$;
COMMENT ON FUNCTION billing.killbill_dry_run(text, text, date) IS
'Asks the server what it would bill an account up to a day, or on its next invoice (null). The answer is the message''s result; killbill_remaining_credit() counts that of the next invoice. Returns the number of the message. Errors: 42704 not mirrored, 22023 more than 36 months ahead. Volatile.';

CREATE FUNCTION billing.killbill_remaining_credit(endpoint text, account text) RETURNS numeric
    LANGUAGE sql STABLE PARALLEL SAFE SECURITY DEFINER SET search_path = pg_catalog, billing, pg_temp
AS $$ SELECT k.credit - greatest(coalesce(k.upcoming, 0), 0) FROM killbill_find_account($1, $2) AS k $$;
COMMENT ON FUNCTION billing.killbill_remaining_credit(text, text) IS
'Credit of an account on a server less what its next invoice will take, as read by the last killbill_pull_invoices() and killbill_dry_run(); null = never read. In the account''s currency. Errors: 42704 not mirrored. Stable.';

CREATE FUNCTION billing.killbill_may_order(endpoint text, account text) RETURNS void
    LANGUAGE plpgsql STABLE PARALLEL SAFE SECURITY DEFINER SET search_path = pg_catalog, billing, pg_temp
AS $$
DECLARE
    mirror    killbill_account := killbill_find_account(killbill_may_order.endpoint, killbill_may_order.account);
    remaining numeric := killbill_remaining_credit(killbill_may_order.endpoint, killbill_may_order.account);
BEGIN
    IF mirror.credit_threshold IS NOT NULL AND coalesce(remaining, 0) <= mirror.credit_threshold THEN
        RAISE configuration_limit_exceeded USING MESSAGE = format('remaining credit of account "%s" is %s, the threshold %s', killbill_may_order.account, coalesce(remaining::text, 'not known'), mirror.credit_threshold),
            HINT = 'Give it credit with billing.killbill_credit() and read the account again with billing.killbill_pull_invoices().';
    END IF;
END $$;
COMMENT ON FUNCTION billing.killbill_may_order(text, text) IS
'Raises 53400 when the remaining credit of an account is at or below its threshold; does nothing where no threshold is set. killbill_subscribe() calls it. Errors: 42704 not mirrored. Stable.';

CREATE FUNCTION billing.killbill_set_threshold(endpoint text, account text, threshold numeric, on_threshold text DEFAULT 'refuse') RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, billing, pg_temp
AS $$
DECLARE
    mirror killbill_account := killbill_find_account(killbill_set_threshold.endpoint, killbill_set_threshold.account);
BEGIN
    PERFORM check_ledger(), check_word('on_threshold', killbill_set_threshold.on_threshold, '{refuse,suspend}');
    UPDATE killbill_account AS k SET credit_threshold = killbill_set_threshold.threshold, on_threshold = killbill_set_threshold.on_threshold
     WHERE k.endpoint = mirror.endpoint AND k.account_id = mirror.account_id;
    PERFORM killbill_enforce_threshold(mirror.endpoint, mirror.account_id);
END $$;
COMMENT ON FUNCTION billing.killbill_set_threshold(text, text, numeric, text) IS
'Sets the remaining credit at or below which an account may not order; null = no threshold. on_threshold: refuse new subscriptions, or suspend its subscriptions on the server too, until credit is above it again: looked at now, and whenever the account is read or a dry run tells its next invoice, which option sync_every has done for accounts with a threshold. Errors: 42704 not mirrored, 22023 another word. Volatile.';

CREATE FUNCTION billing.killbill_enforce_threshold(endpoint text, account_id bigint) RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, billing, pg_temp
AS $$
DECLARE
    mirror killbill_account;
    pause  boolean;
    bundle uuid;
BEGIN
    SELECT k.* INTO mirror FROM killbill_account AS k WHERE k.endpoint = killbill_enforce_threshold.endpoint AND k.account_id = killbill_enforce_threshold.account_id;
    IF mirror.credit_threshold IS NULL OR mirror.on_threshold <> 'suspend' OR mirror.credit IS NULL THEN
        RETURN;
    END IF;
    pause := mirror.credit - greatest(coalesce(mirror.upcoming, 0), 0) <= mirror.credit_threshold;
    FOR bundle IN SELECT DISTINCT s.bundle_id FROM killbill_subscription AS s
                   WHERE s.endpoint = mirror.endpoint AND s.account_id = mirror.account_id AND s.bundle_id IS NOT NULL AND s.state = CASE WHEN pause THEN 'active' ELSE 'paused' END
                     AND NOT EXISTS (SELECT FROM message AS m WHERE m.endpoint = s.endpoint AND m.ordering_key = 'account ' || s.account_id AND m.kind = 'suspend'
                                        AND m.state IN ('waiting', 'queued', 'sending', 'delayed') AND m.payload @> jsonb_build_object('bundle_id', s.bundle_id, 'pause', pause)) LOOP
        PERFORM killbill_tell(mirror.endpoint, 'suspend', mirror.account_id, jsonb_build_object('bundle_id', bundle, 'pause', pause));
    END LOOP;
END $$;
COMMENT ON FUNCTION billing.killbill_enforce_threshold(text, bigint) IS 'Has the subscriptions of an account paused or resumed, as its credit and its threshold say. Volatile.';

CREATE FUNCTION billing.killbill_deliver_suspend(message billing.outgoing_message, answer billing.http_answer) RETURNS billing.delivery_step
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, billing, pg_temp
AS $$
DECLARE
    bundle uuid := (message.payload ->> 'bundle_id')::uuid;
    pause  boolean := (message.payload ->> 'pause')::boolean;
    at     text := CASE WHEN answer IS NULL THEN 'begin' ELSE coalesce(message.progress ->> 'at', 'change') END;
BEGIN
    IF at = 'begin' THEN
        RETURN step_send(killbill_request('PUT', format('/bundles/%s/%s', bundle, CASE WHEN pause THEN 'pause' ELSE 'resume' END), NULL, message.idempotency_key, '60s'), '{"at": "change"}');
    ELSIF at = 'change' AND killbill_succeeded(answer) THEN
        UPDATE killbill_subscription AS s SET state = CASE WHEN pause THEN 'paused' ELSE 'active' END
         WHERE s.endpoint = message.endpoint AND s.bundle_id = bundle AND s.state IN ('active', 'paused');
        -- On which day that was, the server says: it goes by its own clock.
        RETURN step_send(killbill_request('GET', '/bundles/' || bundle), '{"at": "look"}');
    ELSIF at = 'look' AND killbill_found(answer) AND jsonb_typeof(json_or_null(answer.body) -> 'subscriptions') = 'array' THEN
        PERFORM killbill_store_bundles(message.endpoint, (message.payload ->> 'account_id')::bigint, jsonb_build_array(json_or_null(answer.body)));
        RETURN step_delivered();
    END IF;
    RETURN killbill_judge(answer);
END $$;
COMMENT ON FUNCTION billing.killbill_deliver_suspend(billing.outgoing_message, billing.http_answer) IS 'Delivers messages of kind suspend: pauses or resumes a bundle, and reads from which day on. Volatile.';

CREATE FUNCTION billing.killbill_deliver_dry_run(message billing.outgoing_message, answer billing.http_answer) RETURNS billing.delivery_step
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, billing, pg_temp
AS $$
DECLARE
    mirror killbill_account;
    body   jsonb := json_or_null(answer.body);
BEGIN
    SELECT k.* INTO mirror FROM killbill_account AS k WHERE k.endpoint = message.endpoint AND k.account_id = (message.payload ->> 'account_id')::bigint;
    IF mirror.killbill_id IS NULL THEN
        RETURN step_retry('the account is not there yet');
    ELSIF answer IS NULL THEN
        RETURN step_send(killbill_request('POST', '/invoices/dryRun?' || url_query(jsonb_build_object('accountId', mirror.killbill_id, 'targetDate', message.payload -> 'target_date')),
            jsonb_build_object('dryRunType', CASE WHEN message.payload ? 'target_date' THEN 'TARGET_DATE' ELSE 'UPCOMING_INVOICE' END), message.idempotency_key, '60s'));
    ELSIF answer.status = 204 THEN   -- nothing to bill
        body := '{"amount": 0, "items": []}';
    ELSIF NOT succeeded(answer) OR jsonb_typeof(body -> 'amount') IS DISTINCT FROM 'number' OR jsonb_typeof(body -> 'items') IS DISTINCT FROM 'array' THEN
        RETURN killbill_judge(answer);
    END IF;
    -- A dry run to a day of one's own says nothing of the next invoice.
    IF NOT message.payload ? 'target_date' THEN
        UPDATE killbill_account AS k SET upcoming = (body ->> 'amount')::numeric WHERE k.endpoint = mirror.endpoint AND k.account_id = mirror.account_id;
        PERFORM killbill_enforce_threshold(mirror.endpoint, mirror.account_id);
    END IF;
    RETURN step_delivered(jsonb_build_object('amount', body -> 'amount', 'currency', body -> 'currency', 'target_date', body -> 'targetDate', 'items', (
        SELECT jsonb_agg(jsonb_build_object('type', t -> 'itemType', 'plan', t -> 'planName', 'usage', t -> 'usageName', 'starts_on', t -> 'startDate', 'ends_on', t -> 'endDate', 'amount', t -> 'amount'))
          FROM jsonb_array_elements(body -> 'items') AS t)));
END $$;
COMMENT ON FUNCTION billing.killbill_deliver_dry_run(billing.outgoing_message, billing.http_answer) IS 'Delivers messages of kind dry_run. Volatile.';

CREATE FUNCTION billing.killbill_notification(endpoint text, notification jsonb) RETURNS bigint
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, billing, pg_temp
AS $$
DECLARE
    this_account bigint;
BEGIN
    PERFORM check_ledger(), killbill_endpoint(killbill_notification.endpoint);
    IF jsonb_typeof(killbill_notification.notification -> 'eventType') IS DISTINCT FROM 'string' THEN
        RAISE invalid_parameter_value USING MESSAGE = 'a notification is an object with an eventType';
    ELSIF killbill_notification.notification ->> 'eventType' LIKE 'TENANT\_CONFIG\_%' THEN
        RETURN killbill_pull_catalog(killbill_notification.endpoint, (SELECT s.key FROM seller AS s ORDER BY s.seller_id LIMIT 1));
    END IF;
    -- It proves nothing, has no signature, and may come twice or late: it only says where to look.
    SELECT k.account_id INTO this_account FROM killbill_account AS k
     WHERE k.endpoint = killbill_notification.endpoint AND k.killbill_id::text = lower(killbill_notification.notification ->> 'accountId');
    IF this_account IS NULL THEN
        RETURN NULL;
    END IF;
    RETURN coalesce((SELECT m.message_id FROM message AS m
                      WHERE m.endpoint = killbill_notification.endpoint AND m.ordering_key = 'account ' || this_account AND m.kind = 'pull_account' AND m.state IN ('waiting', 'queued') LIMIT 1),
                    killbill_tell(killbill_notification.endpoint, 'pull_account', this_account, '{}', 5));
END $$;
COMMENT ON FUNCTION billing.killbill_notification(text, jsonb) IS
'Takes the body of a push notification of a server, which a proxy hands over: nothing in it is believed, the account it names is read again. Changed catalogs are imported again, for the first seller. Returns the number of the message that reads; null = the account is not mirrored here. Errors: 42704 unknown endpoint, 22023 no notification. Volatile.';

CREATE FUNCTION billing.killbill_set_clock(endpoint text, at timestamptz) RETURNS bigint
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, billing, pg_temp
AS $$
BEGIN
    PERFORM check_ledger(), killbill_endpoint(killbill_set_clock.endpoint);
    IF killbill_option(killbill_set_clock.endpoint, 'test_clock') IS DISTINCT FROM 'true' THEN
        RAISE object_not_in_prerequisite_state USING MESSAGE = format('endpoint "%s" is not said to be a test server', killbill_set_clock.endpoint),
            HINT = 'Moving the clock bills every account of every tenant. For a test server: ALTER SERVER … OPTIONS (ADD test_clock ''true'').';
    ELSIF killbill_set_clock.at IS NULL OR NOT isfinite(killbill_set_clock.at) THEN
        RAISE invalid_parameter_value USING MESSAGE = 'to which instant shall the clock go?';
    END IF;
    RETURN write_message(killbill_set_clock.endpoint, 'clock', jsonb_build_object('at', to_char(killbill_set_clock.at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS".000Z"')), NULL, 'clock');
END $$;
COMMENT ON FUNCTION billing.killbill_set_clock(text, timestamptz) IS
'Sets the clock of a test server and waits, in the worker, until it has done what was due. Needs option test_clock of the endpoint. Returns the number of the message. Errors: 42704 unknown endpoint, 55000 no test server, 22023 no instant. Volatile.';

CREATE FUNCTION billing.killbill_deliver_clock(message billing.outgoing_message, answer billing.http_answer) RETURNS billing.delivery_step
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, billing, pg_temp
AS $$
DECLARE
    at text := CASE WHEN answer IS NULL THEN 'begin' ELSE message.progress ->> 'at' END;
BEGIN
    IF coalesce(message.options ->> 'test_clock', 'false') <> 'true' THEN
        RETURN step_failed('the endpoint is not said to be a test server');
    ELSIF at = 'begin' THEN
        RETURN step_send(killbill_request('POST', '/test/clock?' || url_query(jsonb_build_object('requestedDate', message.payload -> 'at', 'timeoutSec', 30)), NULL, message.idempotency_key, '120s'), '{"at": "set"}');
    ELSIF at = 'set' AND killbill_succeeded(answer) OR at = 'wait' AND answer.status = 412 AND message.step < 30 THEN
        RETURN step_send(killbill_request('GET', '/test/queues?timeoutSec=60', NULL, NULL, '120s'), '{"at": "wait"}');
    ELSIF at = 'wait' AND answer.status = 200 THEN
        RETURN step_delivered();
    END IF;
    RETURN killbill_judge(answer);
END $$;
COMMENT ON FUNCTION billing.killbill_deliver_clock(billing.outgoing_message, billing.http_answer) IS 'Delivers messages of kind clock. Volatile.';

CREATE FUNCTION billing.killbill_sync_slice(endpoint text, after bigint, longest interval, OUT done_to bigint, OUT usage bigint, OUT accounts bigint, OUT problems jsonb)
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, billing, pg_temp
AS $$
DECLARE
    began CONSTANT timestamptz := clock_timestamp();
    dates CONSTANT record := killbill_push_dates(NULL, NULL);
    next_accounts bigint[];
    free_accounts bigint[];
    alone int := 0;    -- how many are to be looked at one by one, because one of them has trouble
    seen  int := 0;
    most  int := 5;    -- how many at once: as many as the time that is left allows, by what the former took
BEGIN
    usage := 0;
    accounts := 0;
    problems := '{}';
    done_to := coalesce(after, 0);
    LOOP
        next_accounts := ARRAY(SELECT k.account_id FROM killbill_account AS k WHERE k.endpoint = killbill_sync_slice.endpoint AND k.account_id > done_to
                                ORDER BY k.account_id LIMIT CASE WHEN alone > 0 THEN 1 ELSE most END);
        IF next_accounts = '{}' THEN
            done_to := NULL;
        END IF;
        EXIT WHEN done_to IS NULL OR clock_timestamp() > began + longest AND done_to > coalesce(after, 0);
        BEGIN
            -- Whose usage somebody else pushes just now, is left to them: the worker waits for nobody.
            free_accounts := ARRAY(SELECT p.account_id FROM killbill_push AS p WHERE p.endpoint = killbill_sync_slice.endpoint AND p.account_id = ANY (next_accounts) FOR UPDATE SKIP LOCKED);
            usage := usage + (SELECT count(*) FROM killbill_push_accounts(killbill_sync_slice.endpoint, dates.last_day,
                                 daterange(least(lower(dates.dates), killbill_late_from(killbill_sync_slice.endpoint, lower(dates.dates), free_accounts)), dates.last_day), free_accounts) AS p WHERE p.outcome IN ('usage', 'credit', 'charge'));
            accounts := accounts + killbill_pull_accounts(killbill_sync_slice.endpoint, next_accounts);
            PERFORM killbill_tell(k.endpoint, 'dry_run', k.account_id, '{}') FROM killbill_account AS k
             WHERE k.endpoint = killbill_sync_slice.endpoint AND k.account_id = ANY (next_accounts) AND k.credit_threshold IS NOT NULL AND k.state = 'present'
               AND NOT EXISTS (SELECT FROM message AS m WHERE m.endpoint = k.endpoint AND m.ordering_key = 'account ' || k.account_id AND m.kind = 'dry_run'
                                                          AND NOT m.payload ? 'target_date' AND m.state IN ('waiting', 'queued'));
        EXCEPTION WHEN OTHERS THEN
            IF cardinality(next_accounts) > 1 THEN
                alone := cardinality(next_accounts);
                CONTINUE;
            END IF;
            problems := problems || (SELECT jsonb_build_object(a.key, SQLERRM) FROM account AS a WHERE a.account_id = next_accounts[1]);
        END;
        alone := greatest(alone - 1, 0);
        seen := seen + cardinality(next_accounts);
        most := least(50, greatest(1, floor(seen * (EXTRACT(epoch FROM longest) / EXTRACT(epoch FROM clock_timestamp() - began + interval '1 microsecond') - 1))));
        done_to := next_accounts[cardinality(next_accounts)];
    END LOOP;
END $$;
COMMENT ON FUNCTION billing.killbill_sync_slice(text, bigint, interval) IS
'Has new usage told and invoices read, in the order of the accounts'' numbers, those after the one named, several at once but no more than should be done before longest is over; where one has trouble, one by one. done_to: the last account that it came to; null = there are no more. usage, accounts: how much was told, and of how many accounts invoices are asked for; problems: accounts with which that failed, and why. Volatile.';

CREATE FUNCTION billing.killbill_deliver_sync(message billing.outgoing_message, answer billing.http_answer) RETURNS billing.delivery_step
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, billing, pg_temp
AS $$
DECLARE
    slice  record := killbill_sync_slice(message.endpoint, (message.payload ->> 'after')::bigint, '100ms');
    so_far jsonb := jsonb_build_object('usage', coalesce((message.payload ->> 'usage')::bigint, 0) + slice.usage, 'accounts', coalesce((message.payload ->> 'accounts')::bigint, 0) + slice.accounts)
                    || CASE WHEN coalesce(message.payload -> 'problems', '{}') || slice.problems <> '{}' THEN jsonb_build_object('problems', coalesce(message.payload -> 'problems', '{}') || slice.problems) ELSE '{}' END;
BEGIN
    -- The worker delivers to all endpoints in turn: the rest is another message's.
    IF slice.done_to IS NOT NULL THEN
        PERFORM write_message(message.endpoint, 'sync', so_far || jsonb_build_object('after', slice.done_to), NULL, 'sync');
    END IF;
    RETURN step_delivered(so_far);
END $$;
COMMENT ON FUNCTION billing.killbill_deliver_sync(billing.outgoing_message, billing.http_answer) IS
'Delivers messages of kind sync, which option sync_every asks for: has new usage told and invoices read, for as many accounts as a tenth of a second allows; a further message goes on where it ends, with the sums so far. Volatile.';

CREATE FUNCTION billing.killbill_check(name text, outcome text, detail text, advice text DEFAULT NULL) RETURNS jsonb
    LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, billing, pg_temp
AS $$ SELECT jsonb_build_array(jsonb_strip_nulls(jsonb_build_object('name', name, 'outcome', outcome, 'detail', detail, 'advice', advice))) $$;
COMMENT ON FUNCTION billing.killbill_check(text, text, text, text) IS 'One check of a connection test, in an array. Immutable.';

CREATE FUNCTION billing.killbill_check_version(message billing.outgoing_message, answer billing.http_answer) RETURNS jsonb
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, billing, pg_temp
AS $$
DECLARE
    said text := json_or_null(answer.body) #>> '{0,kbVersion}';
BEGIN
    IF said IS NULL THEN
        RETURN killbill_check('version', 'failed', killbill_error(answer), 'The url of the endpoint must lead to a Kill Bill server: https://host:port without /1.0/kb.');
    END IF;
    INSERT INTO killbill_server AS v (endpoint, version) VALUES (message.endpoint, said)
        ON CONFLICT ON CONSTRAINT killbill_server_pkey DO UPDATE SET version = excluded.version, read_at = clock_timestamp();
    RETURN CASE WHEN said !~ '^0\.2[234]\.' THEN killbill_check('version', 'warning', said, 'Versions 0.22 to 0.24 are supported.')
                WHEN said LIKE '0.22.%' AND message.options ->> 'usage_decimals' = 'true'
                THEN killbill_check('version', 'failed', said || ' cuts decimals of usage off without a word', 'Take option usage_decimals away.')
                ELSE killbill_check('version', 'ok', said) END;
END $$;
COMMENT ON FUNCTION billing.killbill_check_version(billing.outgoing_message, billing.http_answer) IS 'The check of the server''s version, which is kept. Volatile.';

CREATE FUNCTION billing.killbill_deliver_test(message billing.outgoing_message, answer billing.http_answer) RETURNS billing.delivery_step
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, billing, pg_temp
AS $$
DECLARE
    at     text := CASE WHEN answer IS NULL THEN 'begin' ELSE message.progress ->> 'at' END;
    checks jsonb := coalesce(message.progress -> 'checks', '[]');
    body   jsonb := json_or_null(answer.body);
    wrong  boolean;
BEGIN
    IF at = 'begin' THEN
        RETURN step_send(billing.json_request('GET', '/1.0/kb/nodesInfo'), '{"at": "version"}');
    ELSIF at = 'version' THEN
        checks := connection_checks(answer);
        IF answer.error IS NULL THEN
            checks := checks || CASE WHEN answer.status = 401 THEN '[]' ELSE killbill_check_version(message, answer) END;
            RETURN step_send(killbill_request('GET', '/catalog/versions'), jsonb_build_object('at', 'catalog', 'checks', checks));
        END IF;
    ELSIF at = 'catalog' THEN
        checks := checks || CASE
            WHEN answer.status = 401 AND answer.headers ? 'www-authenticate' THEN killbill_check('credentials', 'failed', 'the server refuses user and password', 'See options user and password_file.')
            ELSE killbill_check('credentials', 'ok', 'the server knows the user') END || CASE
            WHEN answer.status = 401 AND NOT answer.headers ? 'www-authenticate' THEN killbill_check('tenant', 'failed', 'the server refuses api_key and api_secret', 'See options api_key and api_secret_file; make the tenant if it is missing.')
            WHEN answer.status = 401 THEN killbill_check('tenant', 'skipped', 'not reached')
            ELSE killbill_check('tenant', 'ok', 'the server knows the tenant') END || CASE
            WHEN answer.status = 401 THEN killbill_check('catalog', 'skipped', 'not reached')
            WHEN answer.status = 200 AND jsonb_typeof(body) = 'array' THEN
                CASE WHEN body = '[]' THEN killbill_check('catalog', 'warning', 'the tenant has no catalog', 'Upload one, or push ours with billing.killbill_push_catalog().')
                     ELSE killbill_check('catalog', 'ok', format('%s versions, the last of %s', jsonb_array_length(body), left(body ->> -1, 10))) END
            ELSE killbill_check('catalog', 'failed', killbill_error(answer)) END;
    END IF;
    wrong := jsonb_path_exists(checks, '$[*] ? (@.outcome == "failed")');
    IF wrong THEN
        RETURN step_failed((SELECT c ->> 'detail' FROM jsonb_array_elements(checks) AS c WHERE c ->> 'outcome' = 'failed' LIMIT 1), jsonb_build_object('checks', checks));
    END IF;
    RETURN step_delivered(jsonb_build_object('checks', checks));
END $$;
COMMENT ON FUNCTION billing.killbill_deliver_test(billing.outgoing_message, billing.http_answer) IS 'Delivers messages of kind test: reachable, TLS, clock, version, credentials, tenant, catalog. Volatile.';
