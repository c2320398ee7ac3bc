/*-------------------------------------------------------------------------
 *
 * module.c
 *	  The magic block of billing.so.  It stands alone so that every other
 *	  file of the library can be read, tested and reused on its own.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "fmgr.h"

#ifdef PG_MODULE_MAGIC_EXT
PG_MODULE_MAGIC_EXT(.name = "billing", .version = BILLING_VERSION);
#else
PG_MODULE_MAGIC;
#endif
