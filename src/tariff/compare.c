/*-------------------------------------------------------------------------
 *
 * compare.c
 *	  Equality, order and hashing of tariffs.
 *
 * The stored form follows from the canonical JSON, so two tariffs are equal
 * when their bytes are.  The order has no meaning; it exists so that tariffs
 * can be grouped, sorted and indexed.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "common/hashfn.h"

#include "tariff/tariff.h"

PG_FUNCTION_INFO_V1(tariff_eq);
PG_FUNCTION_INFO_V1(tariff_ne);
PG_FUNCTION_INFO_V1(tariff_lt);
PG_FUNCTION_INFO_V1(tariff_le);
PG_FUNCTION_INFO_V1(tariff_gt);
PG_FUNCTION_INFO_V1(tariff_ge);
PG_FUNCTION_INFO_V1(tariff_cmp);
PG_FUNCTION_INFO_V1(tariff_hash);
PG_FUNCTION_INFO_V1(tariff_hash_extended);

/* The one comparison behind all operators. */
static int
tariff_compare(FunctionCallInfo fcinfo)
{
	struct varlena *a = PG_GETARG_VARLENA_PP(0);
	struct varlena *b = PG_GETARG_VARLENA_PP(1);
	int			a_size = VARSIZE_ANY_EXHDR(a);
	int			b_size = VARSIZE_ANY_EXHDR(b);
	int			result = memcmp(VARDATA_ANY(a), VARDATA_ANY(b), Min(a_size, b_size));

	if (result == 0)
		result = (a_size > b_size) - (a_size < b_size);
	PG_FREE_IF_COPY(a, 0);
	PG_FREE_IF_COPY(b, 1);
	return result;
}

/* Operator =: the same canonical JSON. */
Datum
tariff_eq(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(tariff_compare(fcinfo) == 0);
}

/* Operator <>. */
Datum
tariff_ne(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(tariff_compare(fcinfo) != 0);
}

/* Operator <, and the next three: an order without meaning. */
Datum
tariff_lt(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(tariff_compare(fcinfo) < 0);
}

Datum
tariff_le(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(tariff_compare(fcinfo) <= 0);
}

Datum
tariff_gt(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(tariff_compare(fcinfo) > 0);
}

Datum
tariff_ge(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(tariff_compare(fcinfo) >= 0);
}

/* Btree support 1: -1, 0 or 1. */
Datum
tariff_cmp(PG_FUNCTION_ARGS)
{
	int			result = tariff_compare(fcinfo);

	PG_RETURN_INT32((result > 0) - (result < 0));
}

/* Hash support 1; equal tariffs have equal bytes, so the bytes are hashed. */
Datum
tariff_hash(PG_FUNCTION_ARGS)
{
	struct varlena *value = PG_GETARG_VARLENA_PP(0);
	Datum		result = hash_any((unsigned char *) VARDATA_ANY(value), VARSIZE_ANY_EXHDR(value));

	PG_FREE_IF_COPY(value, 0);
	return result;
}

/* Hash support 2: with a seed, for hash partitions. */
Datum
tariff_hash_extended(PG_FUNCTION_ARGS)
{
	struct varlena *value = PG_GETARG_VARLENA_PP(0);
	Datum		result = hash_any_extended((unsigned char *) VARDATA_ANY(value),
										   VARSIZE_ANY_EXHDR(value), PG_GETARG_INT64(1));

	PG_FREE_IF_COPY(value, 0);
	return result;
}
