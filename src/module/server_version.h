/*-------------------------------------------------------------------------
 *
 * server_version.h
 *	  What moved between the supported server versions, 15 to 18.
 *
 * A file that touches variable-length values or declares a function that does
 * not return includes this (most do through their room's header) and is then
 * written as for the newest server.
 *
 *-------------------------------------------------------------------------
 */
#ifndef BILLING_SERVER_VERSION_H
#define BILLING_SERVER_VERSION_H

/* VARDATA and its kin left postgres.h with 16 */
#if PG_VERSION_NUM >= 160000
#include "varatt.h"
#endif

/* 18 marks functions that do not return in front of the declaration */
#ifndef pg_noreturn
#define pg_noreturn pg_attribute_noreturn()
#endif

#endif							/* BILLING_SERVER_VERSION_H */
