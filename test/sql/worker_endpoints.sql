-- Endpoints: foreign servers whose options are checked.
\set ECHO none
\set test_database billing_worker_endpoints
\getenv source PG_ABS_SRCDIR
\set include :source /lib/ledger.psql
\i :include
\set ECHO all

-- what is fine
CREATE SERVER kb FOREIGN DATA WRAPPER billing_killbill
    OPTIONS (url 'https://killbill.example.com:8443/base', "user" 'admin', password_file 'kb-password', api_key 'bob', api_secret_file 'kb-secret', ca_file 'ca.pem',
             timeout '20s', connect_timeout '2s', max_body '1000000', rate_limit '12.5', max_parallel '4', max_attempts '7', retry_delay '1s', retry_limit '10min',
             breaker_failures '3', breaker_pause '1min', keep_delivered '7d', sync_every '15min', allow_private 'true');
CREATE SERVER warehouse FOREIGN DATA WRAPPER billing_custom OPTIONS (url 'http://[::1]:8080', allow_http 'true', connector 'shop.warehouse');
SELECT endpoint, kind, url, connector, timeout, connect_timeout, max_body, rate_limit, max_parallel, max_attempts FROM endpoint_setting ORDER BY 1;
SELECT endpoint, retry_delay, retry_limit, breaker_failures, breaker_pause, keep_delivered, sync_every, allow_private FROM endpoint_setting ORDER BY 1;
SELECT endpoint, url, options ? 'secret_headers', secret_headers, microseconds_a_request, retry_limit FROM worker_endpoints();

-- what is not
SELECT o.option, fails(format('CREATE SERVER x FOREIGN DATA WRAPPER billing_custom OPTIONS (connector %L, %s)', 'a.b', o.option))
  FROM unnest(ARRAY[
    $$ timeout '1s' $$,
    $$ url 'http://example.com' $$,
    $$ url 'https://user:password@example.com' $$,
    $$ url 'https://example.com/?a=b' $$,
    $$ url 'https://example.com/#a' $$,
    $$ url 'ftp://example.com' $$,
    $$ url 'https://exa mple.com' $$,
    $$ url 'file:///etc/passwd' $$,
    $$ url 'https://example.com', colour 'red' $$,
    $$ url 'https://example.com', password 'secret' $$,
    $$ url 'https://example.com', password_file '/etc/passwd' $$,
    $$ url 'https://example.com', password_file '../x' $$,
    $$ url 'https://example.com', ca_file '.hidden' $$,
    $$ url 'https://example.com', timeout 'soon' $$,
    $$ url 'https://example.com', timeout '1h' $$,
    $$ url 'https://example.com', max_parallel '0' $$,
    $$ url 'https://example.com', max_parallel '65' $$,
    $$ url 'https://example.com', max_parallel '4.5' $$,
    $$ url 'https://example.com', rate_limit '0' $$,
    $$ url 'https://example.com', rate_limit '-1' $$,
    $$ url 'https://example.com', allow_private 'yes' $$,
    $$ url 'https://example.com', secret_headers '[1]' $$,
    $$ url 'https://example.com', secret_headers '{' $$,
    -- what no request could be made of
    $$ url 'https://example.com:0' $$,
    $$ url 'https://[::1]:65536/x' $$,
    $$ url 'https://example.com/a/../b' $$,
    $$ url 'https://example.com/.%2E;a=b' $$,
    $$ url 'https://example.com/a%0d%0ab' $$,
    $$ url 'https://example.com/50%' $$,
    $$ url 'https://example.com', secret_headers '{"A": {"x": 1}}' $$,
    $$ url 'https://example.com', secret_headers '{"A": ""}' $$,
    $$ url 'https://example.com', secret_headers '{"A b": "1"}' $$,
    $$ url 'https://example.com', secret_headers '{"A\r\nB": "1"}' $$,
    $$ url 'https://example.com', secret_headers '{"A": "1\r\nB: 2"}' $$,
    $$ url 'https://example.com', secret_headers '{"Content-Length": "{token}"}' $$,
    $$ url 'https://example.com', secret_headers '{"A": "{token"}' $$,
    $$ url 'https://example.com', secret_headers '{"A": "{base32 token}"}' $$,
    $$ url 'https://example.com', secret_headers '{"A": "{nosuch}"}' $$,
    $$ url 'https://example.com', secret_headers '{"A": "{base64 user:password}"}' $$,
    $$ url 'https://example.com', retry_delay '1h', retry_limit '10ms' $$,
    $$ url 'https://example.com', timeout '100ms', connect_timeout '1min' $$]) AS o (option);
-- and what looks like it but is fine
CREATE SERVER odd FOREIGN DATA WRAPPER billing_custom
    OPTIONS (connector 'a.b', url 'https://example.com:65535/.a/..b/...;.%2f', "user" 'u', retry_delay '1s', retry_limit '1s', timeout '1s', connect_timeout '1s',
             secret_headers '{"Authorization": "Basic {base64 user:password}", "X-Key": "a {token}{secret}: \u007e"}');
DROP SERVER odd;
SELECT fails($$ ALTER FOREIGN DATA WRAPPER billing_killbill OPTIONS (SET secret_headers '{"A": "{base64 user:token}"}') $$);
SELECT fails($$ CREATE SERVER x FOREIGN DATA WRAPPER billing_custom OPTIONS (url 'https://example.com') $$);
SELECT fails($$ CREATE SERVER x FOREIGN DATA WRAPPER billing_custom OPTIONS (url 'https://example.com', connector 'drop table x') $$);
SELECT fails($$ CREATE SERVER x FOREIGN DATA WRAPPER billing_custom OPTIONS (url 'https://example.com', connector 'billing.killbill_connector') $$);
SELECT fails($$ CREATE SERVER x FOREIGN DATA WRAPPER billing_killbill OPTIONS (url 'https://example.com', "user" 'admin') $$);
SELECT fails($$ ALTER SERVER kb OPTIONS (DROP url) $$);
SELECT fails($$ ALTER SERVER kb OPTIONS (SET timeout '0s') $$);

-- a user mapping holds secrets and nothing else
CREATE USER MAPPING FOR billing_worker SERVER kb OPTIONS (password 'p', api_secret 's');
SELECT fails($$ CREATE USER MAPPING FOR billing_worker SERVER warehouse OPTIONS (url 'https://example.com') $$);

-- only who was granted it makes endpoints
CREATE ROLE worker_endpoints_user IN ROLE billing_reader;
SET ROLE worker_endpoints_user;
SELECT public.fails($$ CREATE SERVER x FOREIGN DATA WRAPPER billing_custom OPTIONS (url 'https://example.com', connector 'a.b') $$);
RESET ROLE;
GRANT USAGE ON FOREIGN DATA WRAPPER billing_custom TO worker_endpoints_user;
SET ROLE worker_endpoints_user;
CREATE SERVER own FOREIGN DATA WRAPPER billing_custom OPTIONS (url 'https://example.com', connector 'a.b');
RESET ROLE;
DROP SERVER own;
REVOKE USAGE ON FOREIGN DATA WRAPPER billing_custom FROM worker_endpoints_user;
DROP ROLE worker_endpoints_user;

-- without the library nothing is delivered, and it says so
SELECT pid, state, advice FROM worker_status;
\set VERBOSITY default
CALL test_connection('kb');
CALL test_connection('kq');
\c postgres
DROP DATABASE billing_worker_endpoints;
