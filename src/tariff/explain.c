/*-------------------------------------------------------------------------
 *
 * explain.c
 *	  rating_steps() and rated_lines(): how an amount came about, and what the
 *	  bill of the product shows whose rules a tariff follows.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "funcapi.h"
#include "utils/builtins.h"

#include "monetary/monetary.h"
#include "tariff/dialect.h"
#include "tariff/steps.h"
#include "tariff/tariff.h"

PG_FUNCTION_INFO_V1(rating_steps);
PG_FUNCTION_INFO_V1(rating_steps_units);
PG_FUNCTION_INFO_V1(rating_lines);
PG_FUNCTION_INFO_V1(rating_lines_units);
PG_FUNCTION_INFO_V1(rating_round_line);

/* Rate and collect the steps; raises what rate would raise. */
static Fixed
explain(FunctionCallInfo fcinfo, bool units, Tariff *tariff, Rating *rating, RatingSteps *steps)
{
	bool		arguments_read = rating_arguments(fcinfo, units, tariff, rating);
	Fixed		total;

	memset(steps, 0, sizeof(RatingSteps));
	rating->steps = steps;
	if (!arguments_read || !tariff_rate(tariff, rating, &total))
		rating_raise(rating);
	return total;
}

/* Return one step as a row. */
static void
put_step(ReturnSetInfo *result, const Tariff *tariff, int number, const RatingStep *step)
{
	Datum		values[7];
	bool		nulls[7] = {false};

	values[0] = Int32GetDatum(number);
	nulls[1] = !step->has_from;
	nulls[2] = !step->has_to;
	nulls[3] = !step->has_price;
	nulls[4] = !step->has_price;
	if (step->has_from)
		values[1] = NumericGetDatum(number_to_numeric(step->tier_from));
	if (step->has_to)
		values[2] = NumericGetDatum(number_to_numeric(step->tier_to));
	if (step->has_price)
	{
		values[3] = DirectFunctionCall1(numeric_trim_scale, NumericGetDatum(number_to_numeric(step->quantity)));
		values[4] = NumericGetDatum(number_to_numeric(step->unit_price));
	}
	values[5] = MonetaryPGetDatum(monetary_new(tariff->head.currency, step->amount));
	values[6] = CStringGetTextDatum(step->what);
	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

/* All steps of a rating, settled so that they add up to its amount. */
static Datum
steps_common(FunctionCallInfo fcinfo, bool units)
{
	Tariff		tariff;
	Rating		rating;
	RatingSteps steps;
	Fixed		total = explain(fcinfo, units, &tariff, &rating, &steps);
	ListCell   *cell;
	int			number = 0;

	steps_settle(&steps, total);
	InitMaterializedSRF(fcinfo, 0);
	foreach(cell, steps.list)
		put_step((ReturnSetInfo *) fcinfo->resultinfo, &tariff, ++number,
				 (RatingStep *) lfirst(cell));
	PG_RETURN_NULL();
}

/* SQL: rating_steps(tariff, numeric, ...). */
Datum
rating_steps(PG_FUNCTION_ARGS)
{
	return steps_common(fcinfo, false);
}

/* SQL: rating_steps(tariff, jsonb, ...). */
Datum
rating_steps_units(PG_FUNCTION_ARGS)
{
	return steps_common(fcinfo, true);
}

/* The lines of the bill of the tariff's dialect. */
static Datum
lines_common(FunctionCallInfo fcinfo, bool units)
{
	Tariff		tariff;
	Rating		rating;
	RatingSteps steps;
	Fixed		total = explain(fcinfo, units, &tariff, &rating, &steps);
	DialectLines lines;
	int			i;

	dialect_lines(&tariff, &rating, total, &lines);
	InitMaterializedSRF(fcinfo, 0);
	for (i = 0; i < lines.count; i++)
	{
		ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
		Datum		values[2] = {Int32GetDatum(i + 1),
		MonetaryPGetDatum(monetary_new(tariff.head.currency, lines.amounts[i]))};
		bool		nulls[2] = {false, false};

		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
	PG_RETURN_NULL();
}

/* SQL: rated_lines(tariff, numeric, ...). */
Datum
rating_lines(PG_FUNCTION_ARGS)
{
	return lines_common(fcinfo, false);
}

/* SQL: rated_lines(tariff, jsonb, ...). */
Datum
rating_lines_units(PG_FUNCTION_ARGS)
{
	return lines_common(fcinfo, true);
}

/* SQL: round_line(tariff, monetary). */
Datum
rating_round_line(PG_FUNCTION_ARGS)
{
	Monetary   *amount = PG_GETARG_MONETARY_P(1);
	Tariff		tariff;
	Fixed		value = monetary_amount(amount);

	tariff_open(VARDATA_ANY(tariff_fetch(fcinfo, PG_GETARG_DATUM(0))), &tariff);
	if (monetary_currency(amount) != tariff.head.currency)
		monetary_currency_error(monetary_currency(amount), tariff.head.currency);
	if (tariff_bill_rounding(&tariff) != TARIFF_BILL_SUM)
		value = dialect_round(&tariff, value);
	if (!monetary_in_range(value))
		monetary_range_error(tariff.head.currency);
	PG_RETURN_MONETARY_P(monetary_new(tariff.head.currency, value));
}
