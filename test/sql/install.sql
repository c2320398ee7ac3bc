-- Installs the extension and puts its schema on the database's search_path, as the README tells a DBA to do.
SET client_min_messages = warning;
CREATE EXTENSION billing CASCADE;
ALTER DATABASE contrib_regression SET search_path = "$user", public, billing;
SELECT extname, extrelocatable FROM pg_extension WHERE extname = 'billing';
