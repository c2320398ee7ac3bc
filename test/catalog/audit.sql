-- What the catalog must not show about the extension and its ledger.
--
-- Each block "-- check: NAME" is one query that returns the objects that break the rule, one text column; no row = the rule holds.
-- Blocks "-- check ledger: NAME" need a ledger.  exceptions.tsv names objects that may break a rule, with the reason.
-- The views below are made first; they live in the temporary schema of the session that runs the checks.

-- prepare
CREATE TEMPORARY VIEW member AS
    SELECT d.classid, d.objid
      FROM pg_depend AS d JOIN pg_extension AS e ON d.refclassid = 'pg_extension'::regclass AND d.refobjid = e.oid
     WHERE e.extname = 'billing' AND d.deptype = 'e';

-- Functions, procedures and aggregates of the schema: members and, when there is one, the ledger's.
CREATE TEMPORARY VIEW routine AS
    SELECT p.*, p.oid::regprocedure::text AS name,
           EXISTS (SELECT FROM member AS m WHERE m.classid = 'pg_proc'::regclass AND m.objid = p.oid) AS is_member,
           (SELECT l.lanname FROM pg_language AS l WHERE l.oid = p.prolang) AS language
      FROM pg_proc AS p WHERE p.pronamespace = 'billing'::regnamespace;

CREATE TEMPORARY VIEW base_type AS
    SELECT t.*, t.oid::regtype::text AS name
      FROM pg_type AS t JOIN member AS m ON m.classid = 'pg_type'::regclass AND m.objid = t.oid
     WHERE t.typtype = 'b' AND t.typcategory <> 'A';

CREATE TEMPORARY VIEW operator AS
    SELECT o.*, o.oid::regoperator::text AS name
      FROM pg_operator AS o JOIN member AS m ON m.classid = 'pg_operator'::regclass AND m.objid = o.oid;

CREATE TEMPORARY VIEW operator_class AS
    SELECT c.*, format('%s using %s', c.opcname, a.amname) AS name, a.amname AS method
      FROM pg_opclass AS c JOIN member AS m ON m.classid = 'pg_opclass'::regclass AND m.objid = c.oid JOIN pg_am AS a ON a.oid = c.opcmethod;

CREATE TEMPORARY VIEW aggregate AS
    SELECT a.*, r.name, r.proname, r.proparallel FROM pg_aggregate AS a JOIN routine AS r ON r.oid = a.aggfnoid;

-- Tables, views and sequences that were asked for by name; partitions and identity sequences are described by what they belong to.
CREATE TEMPORARY VIEW relation AS
    SELECT c.*, c.oid::regclass::text AS name
      FROM pg_class AS c
     WHERE c.relnamespace = 'billing'::regnamespace AND c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S', 'c') AND NOT c.relispartition
       AND NOT EXISTS (SELECT FROM pg_depend AS d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'i');

-- ---------------------------------------------------------------- comments

-- check: every function, procedure and aggregate has a comment
SELECT r.name FROM routine AS r WHERE obj_description(r.oid, 'pg_proc') IS NULL;

-- check: every type has a comment
SELECT t.oid::regtype::text FROM pg_type AS t
 WHERE t.typnamespace = 'billing'::regnamespace AND obj_description(t.oid, 'pg_type') IS NULL
   AND NOT EXISTS (SELECT FROM pg_type AS element WHERE element.typarray = t.oid)
   AND (t.typtype <> 'c' OR EXISTS (SELECT FROM pg_class AS c WHERE c.oid = t.typrelid AND c.relkind = 'c'))
   AND t.typtype <> 'm';

-- check: every operator has a comment
SELECT o.name FROM operator AS o WHERE obj_description(o.oid, 'pg_operator') IS NULL;

-- check: every operator class has a comment
SELECT c.name FROM operator_class AS c WHERE obj_description(c.oid, 'pg_opclass') IS NULL;

-- check: every cast has a comment
SELECT format('%s to %s', c.castsource::regtype, c.casttarget::regtype)
  FROM pg_cast AS c JOIN member AS m ON m.classid = 'pg_cast'::regclass AND m.objid = c.oid
 WHERE obj_description(c.oid, 'pg_cast') IS NULL;

-- check ledger: every table, view and sequence has a comment
SELECT r.name FROM relation AS r WHERE obj_description(r.oid, 'pg_class') IS NULL AND r.relkind <> 'c';

-- check ledger: every column has a comment
SELECT format('%s.%s', r.name, a.attname)
  FROM relation AS r JOIN pg_attribute AS a ON a.attrelid = r.oid
 WHERE r.relkind <> 'S' AND a.attnum > 0 AND NOT a.attisdropped AND col_description(r.oid, a.attnum) IS NULL;

-- check ledger: every trigger and policy has a comment
SELECT format('trigger %s on %s', t.tgname, r.name) FROM pg_trigger AS t JOIN relation AS r ON r.oid = t.tgrelid
 WHERE NOT t.tgisinternal AND obj_description(t.oid, 'pg_trigger') IS NULL
UNION ALL
SELECT format('policy %s on %s', p.polname, r.name) FROM pg_policy AS p JOIN relation AS r ON r.oid = p.polrelid
 WHERE obj_description(p.oid, 'pg_policy') IS NULL;

-- ---------------------------------------------------------------- types and operators

-- check: every base type has binary input and output
SELECT t.name FROM base_type AS t WHERE t.typreceive = 0 OR t.typsend = 0;

-- check: comparisons and commutative operators have a commutator
SELECT o.name FROM operator AS o
 WHERE o.oprcom = 0 AND o.oprleft <> 0
   AND (o.oprname IN ('=', '<>', '<', '<=', '>', '>=', '&&', '+', '@>', '<@', '-|-') OR (o.oprname = '*' AND o.oprleft <> o.oprright));

-- check: commutators and negators belong together
SELECT o.name FROM operator AS o JOIN pg_operator AS c ON c.oid = o.oprcom
 WHERE c.oprcom <> o.oid OR c.oprleft <> o.oprright OR c.oprright <> o.oprleft OR c.oprresult <> o.oprresult
UNION ALL
SELECT o.name FROM operator AS o JOIN pg_operator AS n ON n.oid = o.oprnegate
 WHERE n.oprnegate <> o.oid OR n.oprleft <> o.oprleft OR n.oprright <> o.oprright OR o.oprresult <> 'boolean'::regtype;

-- check: comparisons have a negator
SELECT o.name FROM operator AS o WHERE o.oprnegate = 0 AND o.oprname IN ('=', '<>', '<', '<=', '>', '>=');

-- check: operators that can be a condition have the right estimators
WITH wanted (name, restriction, joining) AS (
    VALUES ('=', 'eqsel', 'eqjoinsel'), ('<>', 'neqsel', 'neqjoinsel'), ('<', 'scalarltsel', 'scalarltjoinsel'),
           ('<=', 'scalarlesel', 'scalarlejoinsel'), ('>', 'scalargtsel', 'scalargtjoinsel'), ('>=', 'scalargesel', 'scalargejoinsel'))
SELECT o.name FROM operator AS o LEFT JOIN wanted AS w ON w.name = o.oprname
 WHERE o.oprresult = 'boolean'::regtype AND o.oprleft <> 0
   AND (o.oprrest = 0 OR o.oprjoin = 0 OR (o.oprrest::text, o.oprjoin::text) <> (w.restriction, w.joining));

-- check: equality can be hashed and merged
SELECT o.name FROM operator AS o WHERE o.oprname = '=' AND o.oprleft = o.oprright AND NOT (o.oprcanhash AND o.oprcanmerge);

-- check: operator functions have a volatility and strictness that fit
SELECT o.name FROM operator AS o JOIN pg_proc AS p ON p.oid = o.oprcode WHERE p.provolatile <> 'i' OR NOT p.proisstrict;

-- check: operator classes are valid
SELECT c.name FROM operator_class AS c WHERE NOT amvalidate(c.oid);

-- check: sorted types of fixed length sort fast, deduplicate, hash and have a BRIN class
SELECT format('%s: no btree support %s', c.name, wanted.number)
  FROM operator_class AS c CROSS JOIN (VALUES (1), (2), (4)) AS wanted (number)
 WHERE c.method = 'btree' AND NOT EXISTS (SELECT FROM base_type AS t WHERE t.oid = c.opcintype AND t.typlen < 0)
   AND NOT EXISTS (SELECT FROM pg_amproc AS p WHERE p.amprocfamily = c.opcfamily AND p.amprocnum = wanted.number)
UNION ALL
SELECT format('%s: no hash support %s', c.name, wanted.number)
  FROM operator_class AS c CROSS JOIN (VALUES (1), (2)) AS wanted (number)
 WHERE c.method = 'hash' AND NOT EXISTS (SELECT FROM pg_amproc AS p WHERE p.amprocfamily = c.opcfamily AND p.amprocnum = wanted.number)
UNION ALL
SELECT format('%s: no default %s class', t.name, wanted.method)
  FROM base_type AS t CROSS JOIN (VALUES ('hash'), ('brin')) AS wanted (method)
 WHERE t.typlen > 0 AND EXISTS (SELECT FROM operator_class AS c WHERE c.opcintype = t.oid AND c.method = 'btree' AND c.opcdefault)
   AND NOT EXISTS (SELECT FROM operator_class AS c WHERE c.opcintype = t.oid AND c.method = wanted.method AND c.opcdefault);

-- check: a function behind a cast is immutable and strict
SELECT format('%s to %s', c.castsource::regtype, c.casttarget::regtype)
  FROM pg_cast AS c JOIN member AS m ON m.classid = 'pg_cast'::regclass AND m.objid = c.oid JOIN pg_proc AS p ON p.oid = c.castfunc
 WHERE p.provolatile <> 'i' OR NOT p.proisstrict;

-- ---------------------------------------------------------------- functions

-- check: member functions can run in parallel
SELECT r.name FROM routine AS r WHERE r.is_member AND r.prokind IN ('f', 'a') AND r.proparallel = 'u';

-- check: what is not volatile can run in parallel
SELECT r.name FROM routine AS r WHERE r.prokind = 'f' AND r.provolatile <> 'v' AND r.proparallel = 'u';

-- check: aggregates combine
SELECT a.name FROM aggregate AS a WHERE a.aggcombinefn = 0 OR a.proparallel <> 's';

-- check: aggregates keep a state of a type of their own
SELECT a.name FROM aggregate AS a WHERE a.aggtranstype = 'internal'::regtype;

-- check: min and max can use an index
SELECT a.name FROM aggregate AS a WHERE a.proname IN ('min', 'max') AND a.aggsortop = 0;

-- check: functions in C carry no SET clause
SELECT r.name FROM routine AS r WHERE r.language = 'c' AND r.proconfig IS NOT NULL;

-- check: functions with the rights of their owner have a safe search_path
SELECT r.name FROM routine AS r
 WHERE r.prosecdef AND NOT EXISTS (SELECT FROM unnest(r.proconfig) AS s (setting) WHERE s.setting ~ '^search_path=pg_catalog,( billing,)? pg_temp$');

-- check: what functions make of dates and times does not depend on the session
SELECT r.name FROM routine AS r
 WHERE r.proconfig::text ~ 'search_path=' AND (SELECT count(*) FROM unnest(r.proconfig) AS s (setting) WHERE s.setting IN ('DateStyle=ISO, YMD', 'IntervalStyle=postgres', 'TimeZone=UTC', 'standard_conforming_strings=on')) < 4;

-- check: no superuser's rights are lent
SELECT r.name FROM routine AS r JOIN pg_roles AS o ON o.oid = r.proowner WHERE r.prosecdef AND o.rolsuper;

-- check: nobody but the roles of the ledger may call what writes
SELECT r.name FROM routine AS r
 WHERE (r.prosecdef OR r.prokind = 'p' OR (r.provolatile = 'v' AND r.prokind = 'f' AND NOT r.prorettype IN ('trigger'::regtype, 'event_trigger'::regtype)))
   AND EXISTS (SELECT FROM aclexplode(coalesce(r.proacl, acldefault('f', r.proowner))) AS g WHERE g.grantee = 0 AND g.privilege_type = 'EXECUTE');

-- check: trigger functions cannot be called by everyone
SELECT r.name FROM routine AS r
 WHERE r.prorettype IN ('trigger'::regtype, 'event_trigger'::regtype)
   AND EXISTS (SELECT FROM aclexplode(coalesce(r.proacl, acldefault('f', r.proowner))) AS g WHERE g.grantee = 0);

-- check: every argument of a function for people has a name
SELECT r.name FROM routine AS r
 WHERE r.pronargs > 0 AND r.prokind IN ('f', 'p') AND r.language <> 'c' AND r.prorettype NOT IN ('trigger'::regtype, 'event_trigger'::regtype)
   AND (r.proargnames IS NULL OR EXISTS (SELECT FROM unnest(r.proargnames) WITH ORDINALITY AS n (name, no) WHERE n.name = '' AND n.no <= r.pronargs));

-- ---------------------------------------------------------------- money is exact

-- check: no binary floating point in columns, arguments and results
SELECT format('%s.%s', r.name, a.attname) FROM relation AS r JOIN pg_attribute AS a ON a.attrelid = r.oid
 WHERE a.attnum > 0 AND NOT a.attisdropped AND a.atttypid IN ('float4'::regtype, 'float8'::regtype, 'float4[]'::regtype, 'float8[]'::regtype)
UNION ALL
SELECT r.name FROM routine AS r
 WHERE r.prorettype IN ('float4'::regtype, 'float8'::regtype)
    OR EXISTS (SELECT FROM unnest(coalesce(r.proallargtypes, r.proargtypes::oid[])) AS t (argument)
                WHERE t.argument IN ('float4'::regtype, 'float8'::regtype));

-- check ledger: instants have a time zone
SELECT format('%s.%s', r.name, a.attname) FROM relation AS r JOIN pg_attribute AS a ON a.attrelid = r.oid
 WHERE a.attnum > 0 AND NOT a.attisdropped AND a.atttypid IN ('timestamp'::regtype, 'timetz'::regtype, 'tsrange'::regtype, 'money'::regtype);

-- ---------------------------------------------------------------- the ledger belongs to its owner

-- check: no table is a member of the extension
SELECT m.objid::regclass::text FROM member AS m WHERE m.classid = 'pg_class'::regclass
   AND EXISTS (SELECT FROM pg_class AS c WHERE c.oid = m.objid AND c.relkind <> 'c');

-- check ledger: everything of the ledger belongs to a role that is no superuser
SELECT r.name FROM routine AS r JOIN pg_roles AS o ON o.oid = r.proowner WHERE NOT r.is_member AND o.rolsuper AND r.prorettype <> 'event_trigger'::regtype
UNION ALL
SELECT r.name FROM relation AS r JOIN pg_roles AS o ON o.oid = r.relowner
 WHERE o.rolsuper AND NOT EXISTS (SELECT FROM member AS m WHERE m.classid = 'pg_class'::regclass AND m.objid = r.oid);

-- check ledger: tables and views grant nothing to PUBLIC
SELECT r.name FROM relation AS r
 WHERE EXISTS (SELECT FROM aclexplode(r.relacl) AS g WHERE g.grantee = 0);

-- check ledger: nobody but the owner may change or delete facts and lines
SELECT format('%s: %s may %s', r.name, g.grantee::regrole, g.privilege_type)
  FROM relation AS r CROSS JOIN aclexplode(r.relacl) AS g
 WHERE r.relkind IN ('r', 'p') AND g.grantee <> r.relowner AND g.privilege_type IN ('UPDATE', 'DELETE', 'TRUNCATE');
