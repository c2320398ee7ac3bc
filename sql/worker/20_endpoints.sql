-- Endpoints: outside systems as foreign servers, one foreign data wrapper a kind, each with a validator.
--
-- Everybody can read the options of a foreign server, so secrets are never among them: an option NAME_file names a file directly under
-- billing_worker.secret_directory, which only the worker reads.  Nobody but a superuser may use the wrappers until it is granted.

CREATE FUNCTION billing.check_endpoint_value(name text, form text, value text) RETURNS void
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    wanted  text;
    allowed text[];
BEGIN
    CASE split_part(form, ' ', 1)
        WHEN 'text' THEN
            wanted := CASE WHEN value ~ '[[:cntrl:]]' OR value = '' THEN 'some text without control characters' END;
        WHEN 'boolean' THEN
            wanted := CASE WHEN value NOT IN ('true', 'false') THEN 'true or false' END;
        WHEN 'file' THEN
            wanted := CASE WHEN value !~ '^[A-Za-z0-9_][A-Za-z0-9._-]{0,99}$' THEN 'the name of a file directly in billing_worker.secret_directory' END;
        WHEN 'function' THEN
            wanted := CASE WHEN value !~ '^[a-z_][a-z0-9_]*\.[a-z_][a-z0-9_]*$' THEN 'a function as schema.name' END;
        WHEN 'url' THEN
            wanted := CASE WHEN value !~* '^https?://([a-z0-9]([a-z0-9._-]*[a-z0-9])?|\[[0-9a-f:.]+\])(:[0-9]{1,5})?(/[A-Za-z0-9._~%!$&''()*+,;=:@/-]*)?$'
                           THEN 'https://host[:port][/path] without user, query and fragment'
                           WHEN substring(value FROM '^[^/]*//[^/]*:([0-9]+)(?:/|$)')::int NOT BETWEEN 1 AND 65535 THEN 'a url with a port from 1 to 65535'
                           WHEN value ~* '/(\.|%2e){1,2}(;[^/]*)?(/|$)' THEN 'a url without the segments . and ..'
                           WHEN value ~* '%(?![0-9a-f]{2})|%[01]|%7f' THEN 'a url with % only before two hexadecimal digits of a character that can be printed' END;
        WHEN 'integer' THEN
            wanted := CASE WHEN value !~ '^[0-9]{1,9}$' OR value::int NOT BETWEEN split_part(form, ' ', 2)::int AND split_part(form, ' ', 3)::int
                           THEN format('a whole number from %s to %s', split_part(form, ' ', 2), split_part(form, ' ', 3)) END;
        WHEN 'number' THEN
            wanted := CASE WHEN value !~ '^[0-9]{1,6}(\.[0-9]{1,6})?$' OR value::numeric = 0 THEN 'a number above 0 with at most 6 decimals' END;
        WHEN 'duration' THEN
            BEGIN
                wanted := CASE WHEN value::interval NOT BETWEEN split_part(form, ' ', 2)::interval AND split_part(form, ' ', 3)::interval
                               THEN format('a duration from %s to %s', split_part(form, ' ', 2), split_part(form, ' ', 3)) END;
            EXCEPTION WHEN data_exception THEN
                wanted := 'a duration such as 30s';
            END;
        WHEN 'object' THEN
            BEGIN
                wanted := CASE WHEN jsonb_typeof(value::jsonb) <> 'object' THEN 'a JSON object' END;
            EXCEPTION WHEN data_exception THEN
                wanted := 'a JSON object';
            END;
        WHEN 'headers' THEN
            BEGIN
                wanted := CASE WHEN jsonb_typeof(value::jsonb) <> 'object' THEN 'a JSON object' END;
                wanted := coalesce(wanted, (SELECT format('a JSON object whose member %s is %s', to_jsonb(h.key), p.problem)
                    FROM jsonb_each(value::jsonb) WITH ORDINALITY AS h (key, value, no)
                   CROSS JOIN LATERAL (SELECT CASE
                        WHEN h.key !~ '^[A-Za-z0-9!#$%&''*+.^_`|~-]+$' THEN 'named as a header field is'
                        WHEN lower(h.key) IN ('host', 'content-length', 'transfer-encoding', 'connection', 'expect', 'upgrade', 'te', 'trailer') THEN 'not one that the worker makes itself'
                        WHEN jsonb_typeof(h.value) <> 'string' OR h.value #>> '{}' !~ '[^ ]' OR h.value #>> '{}' !~ '^([ -z|~]|\{(base64 [a-z_]+(:[a-z_]+)*|[a-z_]+)\})*$'
                        THEN 'one line of text with {NAME} and {base64 NAME:NAME}' END AS problem) AS p
                   WHERE p.problem IS NOT NULL ORDER BY h.no LIMIT 1));
            EXCEPTION WHEN data_exception THEN
                wanted := 'a JSON object';
            END;
        WHEN 'word' THEN
            allowed := string_to_array(split_part(form, ' ', 2), '|');
            wanted := CASE WHEN value <> ALL (allowed) THEN array_to_string(allowed, ' or ') END;
    END CASE;
    IF wanted IS NOT NULL THEN
        RAISE fdw_invalid_attribute_value USING MESSAGE = format('option "%s" must be %s, not "%s"', name, wanted, value);
    END IF;
END $$;
COMMENT ON FUNCTION billing.check_endpoint_value(text, text, text) IS
'Raises HV024 unless the value of an endpoint''s option has the form: text, boolean, file, function, url, number, object, headers (header fields with templates), integer FROM TO, duration FROM TO or word A|B. Used by the validators. Immutable.';

CREATE FUNCTION billing.endpoint_option_forms() RETURNS jsonb
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN '{
        "url": "url", "allow_http": "boolean", "allow_private": "boolean", "proxy": "url", "ca_file": "file",
        "timeout": "duration 100ms 10min", "connect_timeout": "duration 100ms 1min", "max_body": "integer 1024 268435456",
        "rate_limit": "number", "max_parallel": "integer 1 64", "connector_timeout": "duration 10ms 30s",
        "max_attempts": "integer 1 1000", "retry_delay": "duration 10ms 1h", "retry_limit": "duration 10ms 7d",
        "breaker_failures": "integer 1 1000", "breaker_pause": "duration 10ms 1d",
        "keep_delivered": "duration 0s 3650d", "sync_every": "duration 1s 366d"}'::pg_catalog.jsonb;
COMMENT ON FUNCTION billing.endpoint_option_forms() IS
'The options that endpoints of every kind take, with the form of their values as check_endpoint_value() reads it. Immutable.';

CREATE FUNCTION billing.check_endpoint_options(options text[], catalog oid, own_options jsonb, required text[], secrets text[]) RETURNS void
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    of_server  CONSTANT oid := 1417;    -- pg_foreign_server, pg_user_mapping, pg_foreign_data_wrapper: fixed numbers
    of_mapping CONSTANT oid := 1418;
    of_wrapper CONSTANT oid := 2328;
    forms jsonb := CASE catalog
        WHEN of_server THEN billing.endpoint_option_forms() || own_options
                            || coalesce((SELECT jsonb_object_agg(s || '_file', 'file') FROM unnest(secrets) AS s), '{}')
        WHEN of_mapping THEN coalesce((SELECT jsonb_object_agg(s, 'text') FROM unnest(secrets) AS s), '{}')
        WHEN of_wrapper THEN '{"connector": "function", "secret_headers": "headers", "connector_timeout": "duration 10ms 30s"}'
        ELSE '{}' END;
    given jsonb := coalesce((SELECT jsonb_object_agg(split_part(o, '=', 1), substr(o, strpos(o, '=') + 1)) FROM unnest(options) AS o), '{}');
    option record;
    missing text;
    longer  text[];     -- an option, and one that it must not be longer than
BEGIN
    FOR option IN SELECT g.key, g.value FROM jsonb_each_text(given) AS g LOOP
        IF NOT forms ? option.key THEN
            RAISE fdw_invalid_option_name USING MESSAGE = format('there is no option "%s" here', option.key),
                HINT = CASE WHEN option.key = ANY (secrets) THEN format('Everybody can read these options. Use %s_file, which names a file in billing_worker.secret_directory.', option.key)
                            WHEN forms = '{}' THEN 'This object takes no options.'
                            ELSE 'Options are: ' || (SELECT string_agg(f, ', ' ORDER BY f) FROM jsonb_object_keys(forms) AS f) || '.' END;
        END IF;
        PERFORM billing.check_endpoint_value(option.key, forms ->> option.key, option.value);
    END LOOP;
    SELECT n.name INTO missing FROM regexp_matches(given ->> 'secret_headers', '\{(?:base64 )?([a-z_:]+)\}', 'g') AS m (names) CROSS JOIN LATERAL string_to_table(m.names[1], ':') AS n (name)
     WHERE n.name <> ALL (secrets) AND NOT CASE WHEN catalog = of_server THEN given ELSE billing.endpoint_option_forms() || own_options END ? n.name LIMIT 1;
    IF FOUND THEN
        RAISE fdw_invalid_attribute_value USING MESSAGE = format('option "secret_headers" speaks of "%s", which is neither a secret nor an option that is given', missing),
            HINT = CASE WHEN secrets <> '{}' THEN 'Secrets are: ' || array_to_string(secrets, ', ') || '.' END;
    END IF;
    FOREACH longer SLICE 1 IN ARRAY '{{retry_delay, retry_limit}, {connect_timeout, timeout}}'::text[] LOOP
        IF (given ->> longer[1])::interval > (given ->> longer[2])::interval THEN
            RAISE fdw_invalid_attribute_value USING MESSAGE = format('option "%s" must not be longer than "%s": %s is longer than %s', longer[1], longer[2], given ->> longer[1], given ->> longer[2]);
        END IF;
    END LOOP;
    IF catalog = of_server THEN
        SELECT r INTO missing FROM unnest(required || '{url}') AS r WHERE NOT given ? r LIMIT 1;
        IF FOUND THEN
            RAISE fdw_dynamic_parameter_value_needed USING MESSAGE = format('option "%s" is missing', missing);
        ELSIF given ->> 'url' ILIKE 'http://%' AND coalesce(given ->> 'allow_http', 'false') = 'false' THEN
            RAISE fdw_invalid_attribute_value USING MESSAGE = format('"%s" would send credentials and data without encryption', given ->> 'url'),
                HINT = 'Use https, or say allow_http ''true''.';
        END IF;
    END IF;
END $$;
COMMENT ON FUNCTION billing.check_endpoint_options(text[], oid, jsonb, text[], text[]) IS
'What the validators of all kinds of endpoint do. options: name=value as the server gives them; catalog: whose options they are; own_options: options of this kind with their forms, see check_endpoint_value(); required: those that must be given besides url; secrets: names that a user mapping may hold and that a server takes as NAME_file. Errors: HV00D unknown option, HV024 bad value, HV002 missing option. Immutable.';

CREATE FUNCTION billing.custom_endpoint_options(options text[], catalog oid) RETURNS void
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM billing.check_endpoint_options(options, catalog, '{"connector": "function", "secret_headers": "headers", "settings": "object", "user": "text"}'::jsonb,
                                          '{connector}'::text[], '{password,token,secret}'::text[]);
    -- Those that come with billing act with the ledger's rights on what their own kind of server says.
    IF EXISTS (SELECT FROM unnest(options) AS o WHERE o ~ '^connector=("billing"|[bB][iI][lL][lL][iI][nN][gG])\.') THEN
        RAISE fdw_invalid_attribute_value USING MESSAGE = 'option "connector" must be a function of one''s own, not one of schema billing',
            HINT = 'Use the foreign data wrapper of that kind, such as billing_killbill.';
    END IF;
END $$;
COMMENT ON FUNCTION billing.custom_endpoint_options(text[], oid) IS
'Validator of billing_custom. Besides what every endpoint takes: connector (required), the function schema.name(outgoing_message, http_answer), not one of schema billing; secret_headers, header fields in which {NAME} stands for the secret or option NAME and {base64 A:B} for both in Base64; settings, an object for the connector''s own use; user, password_file, token_file, secret_file. Errors: HV00D, HV024, HV002. Immutable.';

CREATE FOREIGN DATA WRAPPER billing_custom VALIDATOR billing.custom_endpoint_options;
COMMENT ON FOREIGN DATA WRAPPER billing_custom IS
'Endpoints of a kind of one''s own: option connector names the SQL function that builds requests and reads answers. Use with CREATE SERVER; whoever is granted USAGE is trusted with what role billing_worker may do.';
