-- What ordinary sessions know of the worker: whether it runs, and how to wake it.  Works, and says so, without billing_worker.

CREATE FUNCTION billing.wake_worker() RETURNS void
    LANGUAGE c VOLATILE PARALLEL RESTRICTED AS 'MODULE_PATHNAME', 'wake_worker';
COMMENT ON FUNCTION billing.wake_worker() IS
'Has the worker of this database look at the outbox when the present transaction commits. Does nothing without a worker, which looks by itself every few seconds. Volatile.';
REVOKE ALL ON FUNCTION billing.wake_worker() FROM PUBLIC;

CREATE FUNCTION billing.worker_slots(OUT database name, OUT pid int, OUT state text, OUT detail text, OUT since timestamptz, OUT library_version text) RETURNS SETOF record
    LANGUAGE c STABLE PARALLEL RESTRICTED AS 'MODULE_PATHNAME', 'worker_slots';
COMMENT ON FUNCTION billing.worker_slots() IS
'One row a database for which billing_worker runs or should run; no row when the library is not preloaded. state: starting, running, or what keeps it from running. Stable.';

CREATE FUNCTION billing.worker_library_version() RETURNS text
    LANGUAGE c STABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'worker_library_version';
COMMENT ON FUNCTION billing.worker_library_version() IS
'Version of billing_worker that the server has preloaded; null = none, or one that this library does not know. Stable.';

CREATE FUNCTION billing.called_endpoint() RETURNS text
    LANGUAGE c STABLE PARALLEL RESTRICTED AS 'MODULE_PATHNAME', 'called_endpoint';
COMMENT ON FUNCTION billing.called_endpoint() IS
'The endpoint whose connector the worker is just calling, for connectors that have more rights than whoever calls them; null in every other session. No SQL can change it. Stable.';

CREATE FUNCTION billing.guard_endpoint_name() RETURNS event_trigger
    LANGUAGE c VOLATILE PARALLEL RESTRICTED AS 'MODULE_PATHNAME', 'guard_endpoint_name';
COMMENT ON FUNCTION billing.guard_endpoint_name() IS
'Event trigger function: refuses to rename an endpoint while messages or anything else is stored under its name, to drop it while messages wait or accounts are remembered on it, and to change its api_key once ids of accounts are known. Errors: 55006. Volatile.';
REVOKE ALL ON FUNCTION billing.guard_endpoint_name() FROM PUBLIC;
