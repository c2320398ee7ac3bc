/*-------------------------------------------------------------------------
 *
 * endpoint_guard.c
 *	  Keeps the name of an endpoint while anything is stored under it.
 *
 * Messages, their idempotency keys and what connectors remember belong to an
 * endpoint by its name, so that they survive a dump.  After a rename its
 * queue would have no endpoint and its keys would be new again; whoever is
 * made under the name of one that was dropped would get its messages, and be
 * taken for the one that was told what the ledger remembers.  An event
 * trigger in SQL sees only the new name; the parse tree has both.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/namespace.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_foreign_server.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "commands/event_trigger.h"
#include "fmgr.h"
#include "nodes/parsenodes.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/rel.h"
#include "utils/syscache.h"

PG_FUNCTION_INFO_V1(guard_endpoint_name);

/*
 * What one of the ledger's functions, which tell of an endpoint by its name
 * whether something is stored under it, says.  It is called without looking
 * at the caller's rights, because any foreign server may be changed by its
 * owner; it runs as the ledger's owner.
 */
static bool
ledger_says(const char *question, const char *name)
{
	Oid			type = TEXTOID;
	Oid			namespace = get_namespace_oid("billing", true);
	Oid			function = GetSysCacheOid3(PROCNAMEARGSNSP, Anum_pg_proc_oid, CStringGetDatum(question),
										   PointerGetDatum(buildoidvector(&type, 1)), ObjectIdGetDatum(namespace));

	if (!OidIsValid(function))
		return false;
	return DatumGetBool(OidFunctionCall1Coll(function, DEFAULT_COLLATION_OID, CStringGetTextDatum(name)));
}

static void
guard_rename(const RenameStmt *rename)
{
	if (rename->renameType == OBJECT_FOREIGN_SERVER && ledger_says("endpoint_is_used", strVal(rename->object)))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_IN_USE),
				 errmsg("endpoint \"%s\" cannot be renamed: messages and their keys are stored under its name", strVal(rename->object)),
				 errhint("Make another endpoint with CREATE SERVER and let this one deliver what it has.")));
}

/* The key of a tenant says who the other side is; whoever has been told something stays the one. */
static void
guard_options(const AlterForeignServerStmt *alter)
{
	ListCell   *cell;

	foreach(cell, alter->options)
		if (strcmp(((DefElem *) lfirst(cell))->defname, "api_key") == 0 && ledger_says("endpoint_is_bound", alter->servername))
			ereport(ERROR,
					(errcode(ERRCODE_OBJECT_IN_USE),
					 errmsg("option \"api_key\" of endpoint \"%s\" cannot change: accounts are mirrored on that tenant", alter->servername),
					 errhint("Make another endpoint with CREATE SERVER for the other tenant.")));
}

static void
guard_drop(const char *name)
{
	if (ledger_says("endpoint_is_needed", name))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_IN_USE),
				 errmsg("endpoint \"%s\" cannot be dropped: messages to it are not delivered, or accounts are remembered on it", name),
				 errhint("Another one of that name would be taken for it. Discard what waits with billing.discard_message(); an endpoint with accounts on it stays.")));
}

/* Servers go with DROP OWNED too. */
static void
guard_drop_owned(const DropOwnedStmt *drop)
{
	Relation	servers = table_open(ForeignServerRelationId, AccessShareLock);
	SysScanDesc scan = systable_beginscan(servers, InvalidOid, false, NULL, 0, NULL);
	HeapTuple	tuple;
	List	   *owners = NIL;
	List	   *names = NIL;
	ListCell   *cell;

	foreach(cell, drop->roles)
		owners = lappend_oid(owners, get_rolespec_oid(lfirst(cell), false));
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_foreign_server server = (Form_pg_foreign_server) GETSTRUCT(tuple);

		if (list_member_oid(owners, server->srvowner))
			names = lappend(names, pstrdup(NameStr(server->srvname)));
	}
	systable_endscan(scan);
	table_close(servers, AccessShareLock);
	foreach(cell, names)
		guard_drop(lfirst(cell));
}

/*
 * guard_endpoint_name() returns event_trigger
 *	  For ddl_command_start: refuses to rename or drop a foreign server that is
 *	  an endpoint with anything stored under its name, or to turn it to another
 *	  tenant.
 */
Datum
guard_endpoint_name(PG_FUNCTION_ARGS)
{
	Node	   *command;
	ListCell   *cell;

	if (!CALLED_AS_EVENT_TRIGGER(fcinfo))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_EVENT_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("function guard_endpoint_name() is called by an event trigger alone")));
	command = ((EventTriggerData *) fcinfo->context)->parsetree;
	if (IsA(command, RenameStmt))
		guard_rename((RenameStmt *) command);
	else if (IsA(command, AlterForeignServerStmt))
		guard_options((AlterForeignServerStmt *) command);
	else if (IsA(command, DropOwnedStmt))
		guard_drop_owned((DropOwnedStmt *) command);
	else if (IsA(command, DropStmt) && ((DropStmt *) command)->removeType == OBJECT_FOREIGN_SERVER)
		foreach(cell, ((DropStmt *) command)->objects)
			guard_drop(strVal(lfirst(cell)));
	PG_RETURN_NULL();
}
