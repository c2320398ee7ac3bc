/*-------------------------------------------------------------------------
 *
 * monetary_order.c
 *	  Comparison operators, sorting and hashing of the type monetary.
 *
 * The order is a pure function of the bytes and total over all values: first
 * by the letters of the currency, then by the amount.  It never asks for an
 * exchange rate, so an index can never go stale.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "common/hashfn.h"
#include "fmgr.h"
#include "port/pg_bitutils.h"
#include "utils/sortsupport.h"

#include "monetary/monetary.h"

PG_FUNCTION_INFO_V1(monetary_eq);
PG_FUNCTION_INFO_V1(monetary_ne);
PG_FUNCTION_INFO_V1(monetary_lt);
PG_FUNCTION_INFO_V1(monetary_le);
PG_FUNCTION_INFO_V1(monetary_gt);
PG_FUNCTION_INFO_V1(monetary_ge);
PG_FUNCTION_INFO_V1(monetary_cmp);
PG_FUNCTION_INFO_V1(monetary_sortsupport);
PG_FUNCTION_INFO_V1(monetary_hash);
PG_FUNCTION_INFO_V1(monetary_hash_extended);
PG_FUNCTION_INFO_V1(monetary_smaller);
PG_FUNCTION_INFO_V1(monetary_larger);

/* The six operators and the btree comparison: all of them by one function. */

Datum
monetary_eq(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(monetary_equal(PG_GETARG_MONETARY_P(0), PG_GETARG_MONETARY_P(1)));
}

Datum
monetary_ne(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(!monetary_equal(PG_GETARG_MONETARY_P(0), PG_GETARG_MONETARY_P(1)));
}

Datum
monetary_lt(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(monetary_compare(PG_GETARG_MONETARY_P(0), PG_GETARG_MONETARY_P(1)) < 0);
}

Datum
monetary_le(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(monetary_compare(PG_GETARG_MONETARY_P(0), PG_GETARG_MONETARY_P(1)) <= 0);
}

Datum
monetary_gt(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(monetary_compare(PG_GETARG_MONETARY_P(0), PG_GETARG_MONETARY_P(1)) > 0);
}

Datum
monetary_ge(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(monetary_compare(PG_GETARG_MONETARY_P(0), PG_GETARG_MONETARY_P(1)) >= 0);
}

Datum
monetary_cmp(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT32(monetary_compare(PG_GETARG_MONETARY_P(0), PG_GETARG_MONETARY_P(1)));
}

/*
 * The lesser of two values in the type's order; the transition of min.  It does
 * not refuse mixed currencies, because an index scan that answers min could
 * not see them either.
 */
Datum
monetary_smaller(PG_FUNCTION_ARGS)
{
	Monetary   *a = PG_GETARG_MONETARY_P(0);
	Monetary   *b = PG_GETARG_MONETARY_P(1);

	PG_RETURN_MONETARY_P(monetary_compare(a, b) <= 0 ? a : b);
}

/*
 * The greater of two values in the type's order; the transition of max.
 */
Datum
monetary_larger(PG_FUNCTION_ARGS)
{
	Monetary   *a = PG_GETARG_MONETARY_P(0);
	Monetary   *b = PG_GETARG_MONETARY_P(1);

	PG_RETURN_MONETARY_P(monetary_compare(a, b) >= 0 ? a : b);
}

/* ---- sorting --------------------------------------------------------- */

/*
 * Comparison of full values for tuple sorts.
 */
static int
monetary_sort_compare(Datum x, Datum y, SortSupport ssup)
{
	return monetary_compare(DatumGetMonetaryP(x), DatumGetMonetaryP(y));
}

#if SIZEOF_DATUM == 8

/*
 * An abbreviated key: 64 bits whose unsigned order never contradicts the
 * type's.  The upper 15 bits are the currency, five a letter.  The other 49 are
 * the amount in the manner of a floating-point number, because its leading
 * bits alone would be zero for all but huge amounts: a sign, seven bits for the
 * length of the magnitude, 41 bits from its top.  A negative amount is
 * complemented, so that larger magnitudes come first.
 */
static Datum
monetary_abbreviate(Datum original, SortSupport ssup)
{
	Monetary   *value = DatumGetMonetaryP(original);
	CurrencyCode currency = monetary_currency(value);
	Fixed		amount = monetary_amount(value);
	uint128		magnitude = fixed_magnitude(amount);
	uint64		high = (uint64) (magnitude >> 64);
	int			length = 0;
	uint64		key;

	if (high != 0)
		length = pg_leftmost_one_pos64(high) + 65;
	else if (magnitude != 0)
		length = pg_leftmost_one_pos64((uint64) magnitude) + 1;

	/* the bits below the leading one, or all of them when they are few */
	if (length > 42)
		magnitude >>= length - 42;
	else
		magnitude <<= 42 - length;
	key = (uint64) length << 41 | ((uint64) magnitude & ((UINT64CONST(1) << 41) - 1));
	key |= UINT64CONST(1) << 48;
	if (amount < 0)
		key = ~key & ((UINT64CONST(1) << 49) - 1);
	return UInt64GetDatum((uint64) (currency >> 16 & 0x1F) << 59 |
						  (uint64) (currency >> 8 & 0x1F) << 54 |
						  (uint64) (currency & 0x1F) << 49 | key);
}

/*
 * Making an abbreviated key costs a few instructions: there is never a reason
 * to give up.
 */
static bool
monetary_abbreviate_abort(int memtupcount, SortSupport ssup)
{
	return false;
}

#endif

/*
 * monetary_sortsupport(internal): btree support function 2.
 */
Datum
monetary_sortsupport(PG_FUNCTION_ARGS)
{
	SortSupport ssup = (SortSupport) PG_GETARG_POINTER(0);

	ssup->comparator = monetary_sort_compare;
#if SIZEOF_DATUM == 8
	if (ssup->abbreviate)
	{
		ssup->comparator = ssup_datum_unsigned_cmp;
		ssup->abbrev_converter = monetary_abbreviate;
		ssup->abbrev_abort = monetary_abbreviate_abort;
		ssup->abbrev_full_comparator = monetary_sort_compare;
	}
#endif
	PG_RETURN_VOID();
}

/* ---- hashing --------------------------------------------------------- */

/*
 * monetary_hash(monetary): hash support function 1.  Equal values have equal
 * bytes, so the bytes are what is hashed.
 */
Datum
monetary_hash(PG_FUNCTION_ARGS)
{
	return hash_any(PG_GETARG_MONETARY_P(0)->bytes, sizeof(Monetary));
}

/*
 * monetary_hash_extended(monetary, bigint): hash support function 2, with a
 * seed.
 */
Datum
monetary_hash_extended(PG_FUNCTION_ARGS)
{
	return hash_any_extended(PG_GETARG_MONETARY_P(0)->bytes, sizeof(Monetary),
							 (uint64) PG_GETARG_INT64(1));
}
