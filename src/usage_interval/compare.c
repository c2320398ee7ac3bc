/*-------------------------------------------------------------------------
 *
 * compare.c
 *	  Comparison, sorting and hashing of the type usage_interval.
 *
 * The order is by end, then start, then quantity: a total order that is a pure
 * function of the value.  The end comes first because usage becomes known,
 * arrives and is partitioned by when it ended, so that a BRIN index on the
 * values follows the order of insertion.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "common/hashfn.h"
#include "fmgr.h"
#include "utils/sortsupport.h"
#include "utils/timestamp.h"

#include "usage_interval/usage_interval.h"

PG_FUNCTION_INFO_V1(usage_interval_eq);
PG_FUNCTION_INFO_V1(usage_interval_ne);
PG_FUNCTION_INFO_V1(usage_interval_lt);
PG_FUNCTION_INFO_V1(usage_interval_le);
PG_FUNCTION_INFO_V1(usage_interval_gt);
PG_FUNCTION_INFO_V1(usage_interval_ge);
PG_FUNCTION_INFO_V1(usage_interval_cmp);
PG_FUNCTION_INFO_V1(usage_interval_sortsupport);
PG_FUNCTION_INFO_V1(usage_interval_hash);
PG_FUNCTION_INFO_V1(usage_interval_hash_extended);
PG_FUNCTION_INFO_V1(usage_interval_smaller);
PG_FUNCTION_INFO_V1(usage_interval_larger);

#define COMPARE_ARGUMENTS() \
	usage_interval_compare(PG_GETARG_USAGE_INTERVAL_P(0), PG_GETARG_USAGE_INTERVAL_P(1))

/*
 * Negative, 0 or positive as a comes before b, equals it or comes after it.
 */
int
usage_interval_compare(const UsageInterval *a, const UsageInterval *b)
{
	Fixed		quantity_a;
	Fixed		quantity_b;

	if (a->end != b->end)
		return a->end < b->end ? -1 : 1;
	if (a->start != b->start)
		return a->start < b->start ? -1 : 1;
	quantity_a = usage_interval_quantity(a);
	quantity_b = usage_interval_quantity(b);
	return quantity_a < quantity_b ? -1 : quantity_a > quantity_b ? 1 : 0;
}

static inline bool
same_image(const UsageInterval *a, const UsageInterval *b)
{
	return memcmp(a, b, sizeof(UsageInterval)) == 0;
}

/* The six operators and the btree comparison. */

Datum
usage_interval_eq(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(same_image(PG_GETARG_USAGE_INTERVAL_P(0), PG_GETARG_USAGE_INTERVAL_P(1)));
}

Datum
usage_interval_ne(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(!same_image(PG_GETARG_USAGE_INTERVAL_P(0), PG_GETARG_USAGE_INTERVAL_P(1)));
}

Datum
usage_interval_lt(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(COMPARE_ARGUMENTS() < 0);
}

Datum
usage_interval_le(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(COMPARE_ARGUMENTS() <= 0);
}

Datum
usage_interval_gt(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(COMPARE_ARGUMENTS() > 0);
}

Datum
usage_interval_ge(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(COMPARE_ARGUMENTS() >= 0);
}

Datum
usage_interval_cmp(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT32(COMPARE_ARGUMENTS());
}

/*
 * The one that comes first; transition of min.
 */
Datum
usage_interval_smaller(PG_FUNCTION_ARGS)
{
	PG_RETURN_DATUM(PG_GETARG_DATUM(COMPARE_ARGUMENTS() <= 0 ? 0 : 1));
}

/*
 * The one that comes last; transition of max.
 */
Datum
usage_interval_larger(PG_FUNCTION_ARGS)
{
	PG_RETURN_DATUM(PG_GETARG_DATUM(COMPARE_ARGUMENTS() >= 0 ? 0 : 1));
}

/* ---- sorting --------------------------------------------------------- */

static int
sort_compare(Datum x, Datum y, SortSupport ssup)
{
	return usage_interval_compare(DatumGetUsageIntervalP(x), DatumGetUsageIntervalP(y));
}

#if SIZEOF_DATUM == 8

/*
 * The abbreviated key is the end, whole.
 */
static Datum
abbreviate(Datum original, SortSupport ssup)
{
	return TimestampTzGetDatum(DatumGetUsageIntervalP(original)->end);
}

/*
 * Reading eight bytes costs nothing, so there is never a reason to give up,
 * even where many values share an end.
 */
static bool
never_abort(int memtupcount, SortSupport ssup)
{
	return false;
}

#endif

/*
 * usage_interval_sortsupport(internal): btree support function 2.
 */
Datum
usage_interval_sortsupport(PG_FUNCTION_ARGS)
{
	SortSupport ssup = (SortSupport) PG_GETARG_POINTER(0);

	ssup->comparator = sort_compare;
#if SIZEOF_DATUM == 8
	if (ssup->abbreviate)
	{
		ssup->comparator = ssup_datum_signed_cmp;
		ssup->abbrev_converter = abbreviate;
		ssup->abbrev_abort = never_abort;
		ssup->abbrev_full_comparator = sort_compare;
	}
#endif
	PG_RETURN_VOID();
}

/* ---- hashing --------------------------------------------------------- */

Datum
usage_interval_hash(PG_FUNCTION_ARGS)
{
	return hash_any((unsigned char *) PG_GETARG_USAGE_INTERVAL_P(0), sizeof(UsageInterval));
}

Datum
usage_interval_hash_extended(PG_FUNCTION_ARGS)
{
	return hash_any_extended((unsigned char *) PG_GETARG_USAGE_INTERVAL_P(0), sizeof(UsageInterval),
							 (uint64) PG_GETARG_INT64(1));
}
