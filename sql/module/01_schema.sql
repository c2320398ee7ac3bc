-- The schema, which CREATE EXTENSION has made, or found.
--
-- It is no member of the extension, so that the guard of the ledger survives a DROP EXTENSION … CASCADE long enough to refuse it.
-- Therefore CREATE EXTENSION also takes a schema that is there already: whoever has prepared it could change functions that others
-- trust, or have laid out some of their own.  What CREATE EXTENSION … CASCADE puts there for us, where billing is first on the
-- search_path, is welcome.

DO $$
DECLARE
    owner  pg_catalog.oid;
    object pg_catalog.text;
BEGIN
    SELECT n.nspowner INTO STRICT owner FROM pg_catalog.pg_namespace AS n WHERE n.nspname OPERATOR(pg_catalog.=) 'billing'::pg_catalog.name;
    IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles AS r
                    WHERE r.oid OPERATOR(pg_catalog.=) owner AND (r.rolsuper OR r.rolname OPERATOR(pg_catalog.=) CURRENT_USER)) THEN
        RAISE insufficient_privilege USING
            MESSAGE = pg_catalog.format('schema billing belongs to %I, not to a superuser or to %I', pg_catalog.pg_get_userbyid(owner), CURRENT_USER),
            HINT = 'DROP SCHEMA billing; CREATE EXTENSION makes its own.';
    END IF;
    SELECT pg_catalog.pg_describe_object(d.classid, d.objid, 0) INTO object
      FROM pg_catalog.pg_depend AS d
     WHERE d.refclassid OPERATOR(pg_catalog.=) 'pg_catalog.pg_namespace'::pg_catalog.regclass::pg_catalog.oid
       AND d.refobjid OPERATOR(pg_catalog.=) 'billing'::pg_catalog.regnamespace::pg_catalog.oid
       AND d.classid OPERATOR(pg_catalog.<>) 'pg_catalog.pg_extension'::pg_catalog.regclass::pg_catalog.oid
       AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend AS m
                         JOIN pg_catalog.pg_extension AS e ON m.refclassid OPERATOR(pg_catalog.=) e.tableoid AND m.refobjid OPERATOR(pg_catalog.=) e.oid
                        WHERE m.classid OPERATOR(pg_catalog.=) d.classid AND m.objid OPERATOR(pg_catalog.=) d.objid
                          AND m.deptype OPERATOR(pg_catalog.=) 'e'::pg_catalog."char" AND e.extname OPERATOR(pg_catalog.=) 'btree_gist'::pg_catalog.name)
     LIMIT 1;
    IF object IS NOT NULL THEN
        RAISE duplicate_schema USING MESSAGE = pg_catalog.format('schema billing is not empty: it has %s', object),
            HINT = 'Move what is in it to another schema, or DROP SCHEMA billing CASCADE.';
    END IF;
END $$;

COMMENT ON SCHEMA billing IS
'Rating, cost allocation and invoicing: the types and functions of the extension billing, and the ledger that create_ledger() makes.';
-- The types are for every application; what reads or writes the ledger is granted to its roles.
GRANT USAGE ON SCHEMA billing TO PUBLIC;
