/*-------------------------------------------------------------------------
 *
 * soft_error.h
 *	  Soft errors of input functions, for every supported server version.
 *
 * From PostgreSQL 16 on, an input function may hand an error back to its
 * caller instead of raising it (pg_input_is_valid, COPY ... ON_ERROR).  Before
 * that the same call raises.
 *
 *-------------------------------------------------------------------------
 */
#ifndef BILLING_SOFT_ERROR_H
#define BILLING_SOFT_ERROR_H

#if PG_VERSION_NUM >= 160000
#include "nodes/miscnodes.h"
#else
#define errsave(context, ...) \
	do { (void) (context); ereport(ERROR, __VA_ARGS__); } while (0)
#define ereturn(context, dummy_value, ...) \
	do { (void) (context); ereport(ERROR, __VA_ARGS__); return dummy_value; } while (0)
#define SOFT_ERROR_OCCURRED(context) false
#endif

#endif							/* BILLING_SOFT_ERROR_H */
