/*-------------------------------------------------------------------------
 *
 * rate.c
 *	  rate() and try_rate(): the amount that a tariff gives for a quantity.
 *
 * Both are one computation that fails by returning false; rate() raises the
 * reason and try_rate() returns it, without an exception block, so that it
 * works in parallel workers and one bad price stops no billing run.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "funcapi.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"

#include "monetary/monetary.h"
#include "tariff/dialect.h"
#include "tariff/steps.h"
#include "tariff/tariff.h"

PG_FUNCTION_INFO_V1(rating_rate);
PG_FUNCTION_INFO_V1(rating_rate_units);
PG_FUNCTION_INFO_V1(rating_try_rate);
PG_FUNCTION_INFO_V1(rating_try_rate_units);
PG_FUNCTION_INFO_V1(rating_try_bill);

/* Positions of the arguments that rate and its sisters share. */
enum
{
	ARGUMENT_TARIFF, ARGUMENT_QUANTITY, ARGUMENT_EVENTS, ARGUMENT_DIMENSIONS,
	ARGUMENT_FRACTION, ARGUMENT_COMPLETE
};

/* Raise what a rating failed with. */
void
rating_raise(const Rating *rating)
{
	ereport(ERROR,
			(errcode(rating->sqlstate),
			 errmsg_internal("%s", rating->message),
			 rating->hint ? errhint("%s", rating->hint) : 0));
	pg_unreachable();
}

/* Round an exact amount once and check that monetary can hold it. */
bool
rating_finish(Rating *rating, const Number *amount, Fixed *result)
{
	if (unlikely(!number_to_fixed(amount, rating->divided ? &rating->divisor : NULL, result) ||
				 !monetary_in_range(*result)))
		return rating_fail(rating, ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE, NULL,
						   "amount of the tariff is out of range of type %s", "monetary");
	return true;
}

/* The whole computation for a rating whose arguments are read. */
bool
tariff_rate(const Tariff *tariff, Rating *rating, Fixed *result)
{
	Number		amount;

	if (unlikely(tariff->head.dialect != DIALECT_NONE && number_sign(rating->quantity) < 0))
	{
		if (tariff->head.dialect == DIALECT_STRIPE)
			return rating_fail_negative(rating, tariff_model(tariff)->name);
		if (dialect_negative(tariff, rating, &amount))
			return tariff_adjust(tariff, rating, &amount) &&
				rating_finish(rating, &amount, result);
	}
	return tariff_price(tariff, rating, &amount) &&
		rating_finish(rating, &amount, result);
}

/* Tell which argument is NULL that must not be. */
static bool
rating_fail_null(FunctionCallInfo fcinfo, Rating *rating)
{
	const char *name = PG_ARGISNULL(ARGUMENT_TARIFF) ? "tariff" :
		PG_ARGISNULL(ARGUMENT_QUANTITY) ? "quantity" :
		PG_ARGISNULL(ARGUMENT_FRACTION) ? "fraction" : "complete";

	return rating_fail(rating, ERRCODE_NULL_VALUE_NOT_ALLOWED,
					   "A sum would leave out the missing amount without a word.",
					   "%s must not be null", name);
}

/* Fail because the quantity is no number that can be rated. */
static bool
rating_fail_decode(Rating *rating, NumberDecode decode)
{
	if (decode == NUMBER_MALFORMED)
		return rating_fail(rating, ERRCODE_INVALID_PARAMETER_VALUE, NULL,
						   "the quantity of a unit must be a number");
	if (decode == NUMBER_NOT_FINITE)
		return rating_fail(rating, ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE, NULL,
						   "quantity must be a finite number");
	return rating_fail(rating, ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE, NULL,
					   "quantity has more than 1000 digits");
}

/* Read the quantity of one unit, a JSON number or a string. */
bool
rating_decode_quantity(Rating *rating, const JsonbValue *value, Number *quantity)
{
	NumberDecode decode = NUMBER_MALFORMED;

	if (value->type == jbvNumeric)
		decode = number_from_datum(NumericGetDatum(value->val.numeric), quantity);
	else if (value->type == jbvString)
		decode = number_from_text(pnstrdup(value->val.string.val, value->val.string.len), quantity);
	return decode == NUMBER_DECODED || rating_fail_decode(rating, decode);
}

/*
 * Take the quantities of {"unit": quantity}.  A model that prices several
 * units looks them up by itself; for the others there must be one.
 */
static bool
rating_units(const Tariff *tariff, Rating *rating, Datum quantities)
{
	Jsonb	   *json = DatumGetJsonbP(quantities);
	JsonbIterator *iterator;
	JsonbValue	value;

	if (!JB_ROOT_IS_OBJECT(json))
		return rating_fail(rating, ERRCODE_INVALID_PARAMETER_VALUE, NULL,
						   "quantities must be a JSON object of units and their quantities");
	rating->quantity = number_zero();
	if (tariff_model(tariff)->takes & MODEL_TAKES_UNITS)
	{
		rating->units = quantities;
		return true;
	}
	if (tariff->head.dialect == DIALECT_LAGO && JB_ROOT_COUNT(json) > 1)
		return lago_dynamic_units(json, rating);
	if (JB_ROOT_COUNT(json) != 1)
		return rating_fail(rating, ERRCODE_TARIFF_UNITS, NULL,
						   "the price is for one unit, but quantities of %u units are given",
						   JB_ROOT_COUNT(json));
	iterator = JsonbIteratorInit(&json->root);
	(void) JsonbIteratorNext(&iterator, &value, true);
	(void) JsonbIteratorNext(&iterator, &value, true);
	(void) JsonbIteratorNext(&iterator, &value, true);
	return rating_decode_quantity(rating, &value, &rating->quantity);
}

/*
 * Read the arguments.  units: the quantity is a jsonb of units.  Returns false
 * when they cannot be rated; a tariff that is not NULL is open even then.
 */
bool
rating_arguments(FunctionCallInfo fcinfo, bool units, Tariff *tariff, Rating *rating)
{
	struct varlena *bytes;
	NumberDecode decode;

	rating->divided = false;
	rating->unpacked = NULL;
	rating->units = (Datum) 0;
	rating->steps = NULL;
	rating->sqlstate = 0;
	if (unlikely(PG_ARGISNULL(ARGUMENT_TARIFF) || PG_ARGISNULL(ARGUMENT_QUANTITY) ||
				 PG_ARGISNULL(ARGUMENT_FRACTION) || PG_ARGISNULL(ARGUMENT_COMPLETE)))
		return rating_fail_null(fcinfo, rating);
	rating->complete = PG_GETARG_BOOL(ARGUMENT_COMPLETE);
	rating->events_given = !PG_ARGISNULL(ARGUMENT_EVENTS);
	rating->events = rating->events_given ? PG_GETARG_INT64(ARGUMENT_EVENTS) : 0;
	rating->fraction = PG_GETARG_DATUM(ARGUMENT_FRACTION);
	rating->dimensions = PG_ARGISNULL(ARGUMENT_DIMENSIONS) ? (Datum) 0 :
		PG_GETARG_DATUM(ARGUMENT_DIMENSIONS);
	bytes = tariff_fetch(fcinfo, PG_GETARG_DATUM(ARGUMENT_TARIFF));
	tariff_open(VARDATA_ANY(bytes), tariff);
	rating->unpacked = tariff_unpack(fcinfo, bytes, tariff);
	if (units)
		return rating_units(tariff, rating, PG_GETARG_DATUM(ARGUMENT_QUANTITY));
	decode = number_from_datum(PG_GETARG_DATUM(ARGUMENT_QUANTITY), &rating->quantity);
	return likely(decode == NUMBER_DECODED) || rating_fail_decode(rating, decode);
}

/* rate(): the amount, or its error raised. */
static inline Datum
rate_common(FunctionCallInfo fcinfo, bool units)
{
	Tariff		tariff;
	Rating		rating;
	Fixed		amount;
	Monetary   *result;

	if (unlikely(!rating_arguments(fcinfo, units, &tariff, &rating) ||
				 !tariff_rate(&tariff, &rating, &amount)))
		rating_raise(&rating);
	result = palloc(sizeof(Monetary));
	monetary_store(tariff.head.currency, amount, result);
	PG_RETURN_MONETARY_P(result);
}

/* SQL: rate(tariff, numeric, ...). */
Datum
rating_rate(PG_FUNCTION_ARGS)
{
	return rate_common(fcinfo, false);
}

/* SQL: rate(tariff, jsonb, ...). */
Datum
rating_rate_units(PG_FUNCTION_ARGS)
{
	return rate_common(fcinfo, true);
}

/*
 * Make the image of a successful result once: a row with an amount and two
 * nulls.  Each call then copies it and fills in the amount.  heap_form_tuple
 * has labelled it with its type, and in recent minor releases with the
 * version of the type, so the header is copied as it is.
 */
static TariffCache *
try_rate_cache(FunctionCallInfo fcinfo)
{
	TariffCache *cache = tariff_cache(fcinfo);
	Monetary	zero = {{0}};
	Datum		values[3] = {MonetaryPGetDatum(&zero), 0, 0};
	bool		nulls[3] = {false, true, true};
	MemoryContext old_context;
	TupleDesc	row_type;
	HeapTuple	row;

	if (likely(cache->row != NULL))
		return cache;
	if (get_call_result_type(fcinfo, NULL, &row_type) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	old_context = MemoryContextSwitchTo(fcinfo->flinfo->fn_mcxt);
	cache->row_type = BlessTupleDesc(CreateTupleDescCopy(row_type));
	row = heap_form_tuple(cache->row_type, values, nulls);
	MemoryContextSwitchTo(old_context);
	cache->row_size = row->t_len;
	cache->amount_offset = row->t_data->t_hoff;
	cache->row = (HeapTupleHeader) DatumGetPointer(HeapTupleGetDatum(row));
	return cache;
}

/* A rating that failed, as a row. */
static Datum
try_rate_failure(const TariffCache *cache, const Rating *rating)
{
	Datum		values[3] = {0, CStringGetTextDatum(unpack_sql_state(rating->sqlstate)),
	CStringGetTextDatum(rating->message)};
	bool		nulls[3] = {true, false, false};

	return HeapTupleGetDatum(heap_form_tuple(cache->row_type, values, nulls));
}

/* try_rate(): a row with the amount, or with the error. */
static inline Datum
try_rate_common(FunctionCallInfo fcinfo, bool units,
				bool (*compute) (const Tariff *, Rating *, Fixed *))
{
	TariffCache *cache = try_rate_cache(fcinfo);
	Tariff		tariff;
	Rating		rating;
	Fixed		amount;
	char	   *row;

	if (unlikely(!rating_arguments(fcinfo, units, &tariff, &rating) ||
				 !compute(&tariff, &rating, &amount)))
		return try_rate_failure(cache, &rating);
	row = palloc(cache->row_size);
	memcpy(row, cache->row, cache->row_size);
	monetary_store(tariff.head.currency, amount, (Monetary *) (row + cache->amount_offset));
	PG_RETURN_DATUM(PointerGetDatum(row));
}

/*
 * The amount as a bill adds it up: the sum of the rounded parts where the
 * tariff rounds those, else the exact amount.
 */
static bool
tariff_bill(const Tariff *tariff, Rating *rating, Fixed *amount)
{
	RatingSteps steps;
	DialectLines lines;

	if (tariff_bill_rounding(tariff) != TARIFF_BILL_DETAIL)
		return tariff_rate(tariff, rating, amount);
	memset(&steps, 0, sizeof(steps));
	rating->steps = &steps;
	if (!tariff_rate(tariff, rating, amount))
		return false;
	detail_lines(tariff, rating, &lines);
	return dialect_lines_total(&lines, amount) ||
		rating_fail(rating, ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE, NULL,
					"amount of the tariff is out of range of type %s", "monetary");
}

/* SQL: try_rate(tariff, numeric, ...). */
Datum
rating_try_rate(PG_FUNCTION_ARGS)
{
	return try_rate_common(fcinfo, false, tariff_rate);
}

/* SQL: try_rate(tariff, jsonb, ...). */
Datum
rating_try_rate_units(PG_FUNCTION_ARGS)
{
	return try_rate_common(fcinfo, true, tariff_rate);
}

/* SQL: try_bill(tariff, numeric, ...). */
Datum
rating_try_bill(PG_FUNCTION_ARGS)
{
	return try_rate_common(fcinfo, false, tariff_bill);
}
