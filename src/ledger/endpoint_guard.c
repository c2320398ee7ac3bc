/*-------------------------------------------------------------------------
 *
 * endpoint_guard.c
 *	  Keeps the name of an endpoint while anything is stored under it.
 *
 * Messages, their idempotency keys and what connectors remember belong to an
 * endpoint by its name, so that they survive a dump.  After a rename its
 * queue would have no endpoint and its keys would be new again.  An event
 * trigger in SQL sees only the new name; the parse tree has both.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/namespace.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "commands/event_trigger.h"
#include "fmgr.h"
#include "nodes/parsenodes.h"
#include "utils/builtins.h"
#include "utils/syscache.h"

PG_FUNCTION_INFO_V1(guard_endpoint_name);

/*
 * Whether the ledger has anything of an endpoint of this name.  The function
 * that knows is called without looking at the caller's rights, because any
 * foreign server may be renamed by its owner; it runs as the ledger's owner.
 */
static bool
endpoint_is_used(const char *name)
{
	Oid			type = TEXTOID;
	Oid			namespace = get_namespace_oid("billing", true);
	Oid			function = GetSysCacheOid3(PROCNAMEARGSNSP, Anum_pg_proc_oid, CStringGetDatum("endpoint_is_used"),
										   PointerGetDatum(buildoidvector(&type, 1)), ObjectIdGetDatum(namespace));

	if (!OidIsValid(function))
		return false;
	return DatumGetBool(OidFunctionCall1Coll(function, DEFAULT_COLLATION_OID, CStringGetTextDatum(name)));
}

/*
 * guard_endpoint_name() returns event_trigger
 *	  For ddl_command_start: refuses to rename a foreign server that is an
 *	  endpoint with anything stored under its name.
 */
Datum
guard_endpoint_name(PG_FUNCTION_ARGS)
{
	EventTriggerData *trigger = (EventTriggerData *) fcinfo->context;
	RenameStmt *rename;

	if (!CALLED_AS_EVENT_TRIGGER(fcinfo))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_EVENT_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("function guard_endpoint_name() is called by an event trigger alone")));
	if (!IsA(trigger->parsetree, RenameStmt))
		PG_RETURN_NULL();
	rename = (RenameStmt *) trigger->parsetree;
	if (rename->renameType == OBJECT_FOREIGN_SERVER && endpoint_is_used(strVal(rename->object)))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_IN_USE),
				 errmsg("endpoint \"%s\" cannot be renamed: messages and their keys are stored under its name", strVal(rename->object)),
				 errhint("Make another endpoint with CREATE SERVER and let this one deliver what it has.")));
	PG_RETURN_NULL();
}
