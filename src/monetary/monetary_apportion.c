/*-------------------------------------------------------------------------
 *
 * monetary_apportion.c
 *	  Window function apportion: splits an amount over the rows of a partition
 *	  so that the shares add up to it exactly.
 *
 * The method is that of the largest remainder: every row first gets its exact
 * share rounded towards zero, and the units left over go, one each, to the rows
 * that lost most; the tie argument decides among equal losses.  All of it is
 * integer arithmetic: weights become integers by one common power of ten, and
 * products have 256 bits.
 *
 * The first row of a partition computes all shares; the others look theirs up.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "fmgr.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/memutils.h"
#include "utils/numeric.h"
#include "utils/typcache.h"
#include "windowapi.h"

#include "monetary/monetary_round.h"

/* Arguments by position. */
#define ARGUMENT_TOTAL	0
#define ARGUMENT_WEIGHT 1
#define ARGUMENT_TIE	2
#define ARGUMENT_DIGITS 3

/* What the rows of a partition share; lives as long as the partition. */
typedef struct ApportionPartition
{
	bool		done;
	bool		no_total;		/* the total is NULL, and so is every share */
	CurrencyCode currency;
	Fixed		shares[FLEXIBLE_ARRAY_MEMBER];
} ApportionPartition;

/* The computation of one partition. */
typedef struct ApportionWork
{
	WindowObject window;
	FunctionCallInfo fcinfo;
	int64		rows;
	MemoryContext memory;		/* what lives until the shares are known */
	MemoryContext row_memory;	/* emptied before the next row is read */
} ApportionWork;

/* A row that lost something when its share was rounded towards zero. */
typedef struct ApportionLoss
{
	int64		row;
	uint128		remainder;
	Datum		tie;
	bool		tie_is_null;
} ApportionLoss;

/* How ties are compared. */
typedef struct ApportionTieOrder
{
	TypeCacheEntry *type;
	Oid			collation;
} ApportionTieOrder;

PG_FUNCTION_INFO_V1(monetary_apportion);

/* ---- arguments --------------------------------------------------------- */

/*
 * An argument of one row of the partition, valid until the next call.
 */
static Datum
apportion_argument(ApportionWork *work, int64 row, int argument, bool *isnull)
{
	bool		outside;

	CHECK_FOR_INTERRUPTS();
	MemoryContextReset(work->row_memory);
	return WinGetFuncArgInPartition(work->window, argument, (int) row, WINDOW_SEEK_HEAD,
									false, isnull, &outside);
}

/*
 * How many rows must be read to know that an argument is the same in all.
 */
static int64
apportion_rows_to_compare(ApportionWork *work, int argument)
{
	return get_fn_expr_arg_stable(work->fcinfo->flinfo, argument) ? 1 : work->rows;
}

/*
 * Raises 22023: an argument that belongs to the whole partition varies.
 */
pg_noreturn static void
apportion_varies(const char *argument)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("argument \"%s\" of apportion differs between rows of one partition", argument),
			 errhint("Add what it depends on to PARTITION BY.")));
}

/*
 * Reads the total, which must be the same in every row.  Returns false when it
 * is NULL.
 */
static bool
apportion_read_total(ApportionWork *work, Monetary *total)
{
	bool		first_is_null;
	Datum		first = apportion_argument(work, 0, ARGUMENT_TOTAL, &first_is_null);
	int64		rows = apportion_rows_to_compare(work, ARGUMENT_TOTAL);

	if (!first_is_null)
		memcpy(total, DatumGetMonetaryP(first), sizeof(*total));
	for (int64 row = 1; row < rows; row++)
	{
		bool		isnull;
		Datum		other = apportion_argument(work, row, ARGUMENT_TOTAL, &isnull);

		if (isnull != first_is_null || (!isnull && !monetary_equal(total, DatumGetMonetaryP(other))))
			apportion_varies("total");
	}
	return !first_is_null;
}

/*
 * Reads the number of decimals, which must be the same in every row, and
 * returns the unit of the shares: NULL stands for the currency's minor unit.
 */
static Fixed
apportion_read_quantum(ApportionWork *work, CurrencyCode currency)
{
	bool		first_is_null;
	Datum		first = apportion_argument(work, 0, ARGUMENT_DIGITS, &first_is_null);
	int64		rows = apportion_rows_to_compare(work, ARGUMENT_DIGITS);

	for (int64 row = 1; row < rows; row++)
	{
		bool		isnull;
		Datum		other = apportion_argument(work, row, ARGUMENT_DIGITS, &isnull);

		if (isnull != first_is_null || (!isnull && DatumGetInt32(other) != DatumGetInt32(first)))
			apportion_varies("digits");
	}
	return first_is_null ? monetary_minor_quantum(currency) : monetary_digits_quantum(DatumGetInt32(first));
}

/*
 * The weight of one row.  Raises 22004 for NULL, 22023 when it is negative,
 * NaN or infinite.
 */
static Numeric
apportion_read_weight(ApportionWork *work, int64 row)
{
	bool		isnull;
	Datum		datum = apportion_argument(work, row, ARGUMENT_WEIGHT, &isnull);
	Numeric		weight;
	Datum		sign;

	if (isnull)
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("argument \"weight\" of apportion must not be null"),
				 errhint("Use coalesce(weight, 0) to give such a row nothing, or leave the row out.")));
	weight = DatumGetNumeric(datum);
	sign = DirectFunctionCall1(numeric_sign, NumericGetDatum(weight));
	if (numeric_is_nan(weight) || numeric_is_inf(weight) ||
		DatumGetInt32(DirectFunctionCall1(numeric_int4, sign)) < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("argument \"weight\" of apportion must be a number from 0 upwards, not %s",
						DatumGetCString(DirectFunctionCall1(numeric_out, NumericGetDatum(weight))))));
	return weight;
}

/*
 * Adds up integer weights.  Returns false when 127 bits do not suffice.
 */
static bool
apportion_sum_weights(const Fixed *weights, int64 rows, Fixed *sum)
{
	*sum = 0;
	for (int64 row = 0; row < rows; row++)
		if (!fixed_add(*sum, weights[row], sum))
			return false;
	return true;
}

/*
 * Raises 22003: the weights cannot be made integers that one can compute with.
 */
pg_noreturn static void
apportion_weights_too_long(void)
{
	ereport(ERROR,
			(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
			 errmsg("weights of apportion need more than 38 digits"),
			 errhint("Round the weights, or scale them: only their proportions matter.")));
}

/*
 * Reads weights that are too small or too large for 15 decimals: as integers
 * at the largest number of decimals found.  Raises 22003 when that takes more
 * than 38 digits.
 */
static void
apportion_scale_weights(ApportionWork *work, Fixed *weights)
{
	int32		scale = 0;
	char		power[16];

	for (int64 row = 0; row < work->rows; row++)
	{
		Datum		weight = NumericGetDatum(apportion_read_weight(work, row));

		scale = Max(scale, DatumGetInt32(DirectFunctionCall1(numeric_min_scale, weight)));
	}
	snprintf(power, sizeof(power), "1e%d", scale - FIXED_SCALE);
	for (int64 row = 0; row < work->rows; row++)
	{
		Datum		weight = NumericGetDatum(apportion_read_weight(work, row));
		Datum		factor = DirectFunctionCall3(numeric_in, CStringGetDatum(power),
												 ObjectIdGetDatum(InvalidOid), Int32GetDatum(-1));
		bool		exact;

		weight = DirectFunctionCall2(numeric_mul, weight, factor);
		if (!fixed_from_numeric(DatumGetNumeric(weight), &weights[row], &exact) || !exact)
			apportion_weights_too_long();
	}
}

/*
 * Reads all weights at 15 decimals.  Returns false when they do not fit.
 */
static bool
apportion_read_short_weights(ApportionWork *work, Fixed *weights)
{
	for (int64 row = 0; row < work->rows; row++)
	{
		bool		exact;

		if (!fixed_from_numeric(apportion_read_weight(work, row), &weights[row], &exact) || !exact)
			return false;
	}
	return true;
}

/*
 * Reads all weights as integers of one common unit and returns their sum.
 */
static uint128
apportion_read_weights(ApportionWork *work, Fixed *weights)
{
	Fixed		sum;

	if (!apportion_read_short_weights(work, weights) ||
		!apportion_sum_weights(weights, work->rows, &sum))
	{
		apportion_scale_weights(work, weights);
		if (!apportion_sum_weights(weights, work->rows, &sum))
			apportion_weights_too_long();
	}
	return (uint128) sum;
}

/* ---- ties --------------------------------------------------------------- */

/*
 * Finds out how the tie argument's type is compared.  Raises 42883 when it has
 * no order.
 */
static void
apportion_tie_order(ApportionWork *work, ApportionTieOrder *order)
{
	Oid			type = get_fn_expr_argtype(work->fcinfo->flinfo, ARGUMENT_TIE);

	order->type = lookup_type_cache(type, TYPECACHE_CMP_PROC_FINFO);
	order->collation = work->fcinfo->fncollation;
	if (!OidIsValid(order->type->cmp_proc_finfo.fn_oid))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_FUNCTION),
				 errmsg("could not identify a comparison function for type %s", format_type_be(type)),
				 errhint("Break ties by a value that can be sorted, such as a key.")));
}

/*
 * Orders losses by remainder, largest first, then by tie, smallest first and
 * NULL last.
 */
static int
apportion_compare_losses(const void *x, const void *y, void *argument)
{
	const ApportionLoss *a = (const ApportionLoss *) x;
	const ApportionLoss *b = (const ApportionLoss *) y;
	ApportionTieOrder *order = (ApportionTieOrder *) argument;

	if (a->remainder != b->remainder)
		return a->remainder > b->remainder ? -1 : 1;
	if (a->tie_is_null || b->tie_is_null)
		return (int) a->tie_is_null - (int) b->tie_is_null;
	return DatumGetInt32(FunctionCall2Coll(&order->type->cmp_proc_finfo, order->collation, a->tie, b->tie));
}

/*
 * Gives one unit each to the rows that lost most.  Raises 22023 when the ties
 * do not decide between the last row that gets one and the first that does not:
 * the result would depend on the order in which rows happen to be read.
 */
static void
apportion_give_units(ApportionWork *work, ApportionTieOrder *order, ApportionLoss *losses,
					 int64 count, int64 units, Fixed *shares)
{
	for (int64 i = 0; i < count; i++)
	{
		Datum		tie = apportion_argument(work, losses[i].row, ARGUMENT_TIE, &losses[i].tie_is_null);
		MemoryContext old = MemoryContextSwitchTo(work->memory);

		if (!losses[i].tie_is_null)
			losses[i].tie = datumCopy(tie, order->type->typbyval, order->type->typlen);
		MemoryContextSwitchTo(old);
	}
	qsort_arg(losses, count, sizeof(ApportionLoss), apportion_compare_losses, order);
	Assert(units < count);
	if (apportion_compare_losses(&losses[units - 1], &losses[units], order) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("argument \"tie\" of apportion does not decide between rows with equal remainders"),
				 errhint("Use a value that is unique in each partition, such as a key.")));
	for (int64 i = 0; i < units; i++)
		shares[losses[i].row]++;
}

/* ---- shares -------------------------------------------------------------- */

/*
 * Splits a number of units in proportion to the weights; the shares replace
 * them.
 */
static void
apportion_split(ApportionWork *work, ApportionTieOrder *order, uint128 units, uint128 weight_sum, Fixed *shares)
{
	ApportionLoss *losses = (ApportionLoss *)
		MemoryContextAllocHuge(work->memory, work->rows * sizeof(ApportionLoss));
	int64		count = 0;
	uint128		left = units;

	for (int64 row = 0; row < work->rows; row++)
	{
		uint128		share;
		uint128		remainder;

		CHECK_FOR_INTERRUPTS();
		fixed_mul_divmod(units, (uint128) shares[row], weight_sum, &share, &remainder);
		shares[row] = (Fixed) share;
		left -= share;
		if (remainder == 0)
			continue;
		losses[count].row = row;
		losses[count].remainder = remainder;
		count++;
	}
	if (left > 0)
		apportion_give_units(work, order, losses, count, (int64) left, shares);
}

/*
 * The total in units of the shares.  Raises 22023 when it is not a whole
 * number of them.
 */
static uint128
apportion_units(const Monetary *total, Fixed quantum)
{
	uint128		magnitude = fixed_magnitude(monetary_amount(total));
	char		text[MONETARY_TEXT_SIZE];

	if (magnitude % (uint128) quantum != 0)
	{
		monetary_format(total, text);
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("total %s of apportion has more decimals than the shares", text),
				 errhint("Round the total, or give apportion more digits.")));
	}
	return magnitude / (uint128) quantum;
}

/*
 * Computes all shares of a partition.
 */
static void
apportion_compute(ApportionWork *work, ApportionPartition *partition)
{
	Monetary	total;
	Fixed		quantum;
	uint128		units;
	uint128		weight_sum;
	bool		negative;
	ApportionTieOrder order;
	char		text[MONETARY_TEXT_SIZE];

	partition->no_total = !apportion_read_total(work, &total);
	if (partition->no_total)
		return;
	partition->currency = monetary_currency(&total);
	quantum = apportion_read_quantum(work, partition->currency);
	units = apportion_units(&total, quantum);
	apportion_tie_order(work, &order);
	weight_sum = apportion_read_weights(work, partition->shares);
	if (weight_sum != 0)
		apportion_split(work, &order, units, weight_sum, partition->shares);
	else if (units != 0)
	{
		monetary_format(&total, text);
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("cannot apportion %s: all weights are 0", text)));
	}
	negative = monetary_amount(&total) < 0;
	for (int64 row = 0; row < work->rows; row++)
		partition->shares[row] *= negative ? -quantum : quantum;
}

/*
 * Memory for the shares of a partition.  Raises 54000 when it is too large.
 */
static ApportionPartition *
apportion_partition(WindowObject window, int64 rows)
{
	const Size	header = offsetof(ApportionPartition, shares);
	const int64 most = (int64) ((MaxAllocSize - header) / sizeof(Fixed));

	if (rows > most)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("partition of apportion has more than " INT64_FORMAT " rows", most)));
	return (ApportionPartition *)
		WinGetPartitionLocalMemory(window, header + rows * sizeof(Fixed));
}

/*
 * apportion(total monetary, weight numeric, tie anyelement, digits integer):
 * this row's share of the total.
 */
Datum
monetary_apportion(PG_FUNCTION_ARGS)
{
	WindowObject window = PG_WINDOW_OBJECT();
	int64		rows = WinGetPartitionRowCount(window);
	ApportionPartition *partition = apportion_partition(window, rows);

	if (!partition->done)
	{
		ApportionWork work = {.window = window, .fcinfo = fcinfo, .rows = rows};
		MemoryContext old;

		work.memory = AllocSetContextCreate(CurrentMemoryContext, "apportion", ALLOCSET_DEFAULT_SIZES);
		work.row_memory = AllocSetContextCreate(work.memory, "apportion row", ALLOCSET_DEFAULT_SIZES);
		old = MemoryContextSwitchTo(work.row_memory);
		apportion_compute(&work, partition);
		MemoryContextSwitchTo(old);
		MemoryContextDelete(work.memory);
		partition->done = true;
	}
	if (partition->no_total)
		PG_RETURN_NULL();
	PG_RETURN_MONETARY_P(monetary_new(partition->currency,
									  partition->shares[WinGetCurrentPosition(window)]));
}
