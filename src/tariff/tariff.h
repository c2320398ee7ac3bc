/*-------------------------------------------------------------------------
 *
 * tariff.h
 *	  Tariffs as function arguments: finding their bytes, rating with them.
 *
 *-------------------------------------------------------------------------
 */
#ifndef BILLING_TARIFF_H
#define BILLING_TARIFF_H

#include "fmgr.h"

#include "module/server_version.h"
#include "tariff/model.h"

/*
 * What a call site remembers in fn_extra: the last tariff that had to be
 * fetched or decompressed, and the row image of try_rate.
 */
typedef struct TariffCache
{
	struct varlena *stored;		/* as it came: pointer or compressed */
	Size		stored_size;
	struct varlena *plain;
	struct varlena *repeated;	/* the last plain tariff, while it stays the same */
	int			changes;		/* how often it did not */
	bool		looked_at_call; /* is constant known? */
	bool		constant;		/* the call's tariff is a constant */
	MemoryContext unpacked_context;
	TariffUnpacked unpacked;	/* of plain, repeated or the constant */
	struct HeapTupleHeaderData *row;
	Size		row_size;
	int			amount_offset;
	struct TupleDescData *row_type;
} TariffCache;

extern TariffCache *tariff_cache(FunctionCallInfo fcinfo);
extern struct varlena *tariff_fetch(FunctionCallInfo fcinfo, Datum datum);
extern const TariffUnpacked *tariff_unpack(FunctionCallInfo fcinfo, const struct varlena *bytes, Tariff *tariff);
extern char *tariff_text(Datum datum);
extern Datum tariff_from_json(Jsonb *json, TariffReader *reader);

/* rate.c: also the ways into rating for C callers */
extern bool rating_finish(Rating *rating, const Number *amount, Fixed *result);
extern bool tariff_rate(const Tariff *tariff, Rating *rating, Fixed *result);
pg_noreturn extern void rating_raise(const Rating *rating);
extern bool rating_arguments(FunctionCallInfo fcinfo, bool units, Tariff *tariff, Rating *rating);

#endif							/* BILLING_TARIFF_H */
