-- Kill Bill servers as endpoints.

CREATE FUNCTION billing.killbill_endpoint_options(options text[], catalog oid) RETURNS void
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM billing.check_endpoint_options(options, catalog, '{"user": "text", "api_key": "text", "usage_decimals": "boolean", "test_clock": "boolean"}'::jsonb, '{user,api_key}'::text[], '{password,api_secret}'::text[]);
END $$;
COMMENT ON FUNCTION billing.killbill_endpoint_options(text[], oid) IS
'Validator of billing_killbill. Besides what every endpoint takes: user (required), api_key of the tenant (required), password_file, api_secret_file; usage_decimals (true: usage goes as decimals and instants, for servers after 0.22), test_clock (true: a test server whose clock may be moved). Errors: HV00D unknown option, HV024 bad value, HV002 missing option. Immutable.';

CREATE FOREIGN DATA WRAPPER billing_killbill VALIDATOR billing.killbill_endpoint_options
    OPTIONS (connector 'billing.killbill_connector', connector_timeout '30s',
             secret_headers '{"Authorization": "Basic {base64 user:password}", "X-Killbill-ApiKey": "{api_key}", "X-Killbill-ApiSecret": "{api_secret}"}');
COMMENT ON FOREIGN DATA WRAPPER billing_killbill IS 'Endpoints that are tenants of Kill Bill servers, 0.22 to 0.24. Use with CREATE SERVER.';
