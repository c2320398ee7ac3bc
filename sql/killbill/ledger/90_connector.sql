-- The connector of Kill Bill: what the worker calls for each message and each answer.

CREATE FUNCTION billing.killbill_connector(message billing.outgoing_message, answer billing.http_answer) RETURNS billing.delivery_step
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, billing, pg_temp
AS $$
BEGIN
    PERFORM check_connector_call(message.endpoint);
    -- Whose answers these are depends on the kind of the endpoint: prices of ours come from them.
    PERFORM killbill_endpoint(message.endpoint);
    CASE message.kind
        WHEN 'account' THEN RETURN killbill_deliver_account(message, answer);
        WHEN 'close' THEN RETURN killbill_deliver_close(message, answer);
        WHEN 'subscription' THEN RETURN killbill_deliver_subscription(message, answer);
        WHEN 'usage' THEN RETURN killbill_deliver_usage(message, answer);
        WHEN 'adjustment' THEN RETURN killbill_deliver_adjustment(message, answer);
        WHEN 'invoice' THEN RETURN killbill_deliver_invoice(message, answer);
        WHEN 'catalog' THEN RETURN killbill_deliver_catalog(message, answer);
        WHEN 'pull_catalog' THEN RETURN killbill_deliver_pull_catalog(message, answer);
        WHEN 'pull_account' THEN RETURN killbill_deliver_pull_account(message, answer);
        WHEN 'dry_run' THEN RETURN killbill_deliver_dry_run(message, answer);
        WHEN 'suspend' THEN RETURN killbill_deliver_suspend(message, answer);
        WHEN 'clock' THEN RETURN killbill_deliver_clock(message, answer);
        WHEN 'sync' THEN RETURN killbill_deliver_sync(message, answer);
        WHEN 'test' THEN RETURN killbill_deliver_test(message, answer);
        ELSE RETURN step_failed(format('the connector of Kill Bill knows no messages of kind "%s"', message.kind));
    END CASE;
END $$;
COMMENT ON FUNCTION billing.killbill_connector(billing.outgoing_message, billing.http_answer) IS
'Connector of endpoints of billing_killbill: the next step of a message. Called by the worker. Volatile.';
