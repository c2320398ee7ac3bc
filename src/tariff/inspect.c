/*-------------------------------------------------------------------------
 *
 * inspect.c
 *	  What the pipeline asks a tariff before it rates with it.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/numeric.h"

#include "tariff/dialect.h"
#include "tariff/tariff.h"

PG_FUNCTION_INFO_V1(tariff_get_currency);
PG_FUNCTION_INFO_V1(tariff_get_model);
PG_FUNCTION_INFO_V1(tariff_get_window);
PG_FUNCTION_INFO_V1(tariff_get_rounding);
PG_FUNCTION_INFO_V1(tariff_grouping);
PG_FUNCTION_INFO_V1(tariff_get_unit_price);
PG_FUNCTION_INFO_V1(tariff_carries);
PG_FUNCTION_INFO_V1(tariff_needs_events);
PG_FUNCTION_INFO_V1(tariff_per_event);

/* Open the tariff that is the first argument. */
static void
open_argument(FunctionCallInfo fcinfo, Tariff *tariff)
{
	tariff_open(VARDATA_ANY(tariff_fetch(fcinfo, PG_GETARG_DATUM(0))), tariff);
}

/* Add a dimension unless it is there. */
void
facts_add_dimension(TariffFacts *facts, TariffText name)
{
	char	   *text = pnstrdup(name.data, name.length);
	ListCell   *cell;

	foreach(cell, facts->dimensions)
		if (strcmp((char *) lfirst(cell), text) == 0)
			return;
	facts->dimensions = lappend(facts->dimensions, text);
}

/* Add what the pipeline has to know about a tariff. */
void
tariff_describe(const Tariff *tariff, TariffFacts *facts)
{
	if (tariff_model(tariff)->describe != NULL)
		tariff_model(tariff)->describe(tariff, facts);
}

/*
 * What each unit costs, if the amount is the quantity times that whatever the
 * quantity; otherwise false.  Conversion, free units, discount, maximum and
 * minimum each end that.
 */
bool
tariff_unit_price(const Tariff *tariff, Rating *rating, Number *unit_price)
{
	const TariffModel *model = tariff_model(tariff);

	return model->unit_price != NULL &&
		(tariff->head.members & TARIFF_HAS_NUMBERS) == 0 &&
		tariff->head.convert_round == NUMBER_ROUND_NONE &&
		model->unit_price(tariff, rating, unit_price);
}

/* Collect the facts of the first argument, nested tariffs included. */
static void
collect_facts(FunctionCallInfo fcinfo, TariffFacts *facts)
{
	Tariff		tariff;

	memset(facts, 0, sizeof(TariffFacts));
	open_argument(fcinfo, &tariff);
	tariff_describe(&tariff, facts);
}

/* SQL: currency(tariff). */
Datum
tariff_get_currency(PG_FUNCTION_ARGS)
{
	Tariff		tariff;
	char		text[CURRENCY_TEXT_SIZE];

	open_argument(fcinfo, &tariff);
	currency_to_text(tariff.head.currency, text);
	PG_RETURN_TEXT_P(cstring_to_text(text));
}

/* SQL: model(tariff). */
Datum
tariff_get_model(PG_FUNCTION_ARGS)
{
	Tariff		tariff;

	open_argument(fcinfo, &tariff);
	PG_RETURN_TEXT_P(cstring_to_text(tariff_model(&tariff)->name));
}

/* SQL: tariff_window(tariff), null without a window. */
Datum
tariff_get_window(PG_FUNCTION_ARGS)
{
	Tariff		tariff;

	open_argument(fcinfo, &tariff);
	if (tariff.head.window == 0)
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text(tariff_windows[tariff.head.window]));
}

/* SQL: tariff_rounding(tariff). */
Datum
tariff_get_rounding(PG_FUNCTION_ARGS)
{
	Tariff		tariff;

	open_argument(fcinfo, &tariff);
	PG_RETURN_TEXT_P(cstring_to_text(tariff_bill_roundings[tariff_bill_rounding(&tariff)]));
}

/* SQL: tariff_unit_price(tariff, jsonb), null without one. */
Datum
tariff_get_unit_price(PG_FUNCTION_ARGS)
{
	Tariff		tariff;
	Rating		rating;
	Number		unit_price;

	memset(&rating, 0, sizeof(rating));
	rating.dimensions = PG_GETARG_DATUM(1);
	open_argument(fcinfo, &tariff);
	if (!tariff_unit_price(&tariff, &rating, &unit_price))
		PG_RETURN_NULL();
	PG_RETURN_NUMERIC(number_to_numeric(unit_price));
}

/* SQL: carries(tariff). */
Datum
tariff_carries(PG_FUNCTION_ARGS)
{
	Tariff		tariff;

	open_argument(fcinfo, &tariff);
	PG_RETURN_BOOL((tariff.head.members & TARIFF_HAS_CARRY) != 0);
}

/* SQL: needs_events(tariff). */
Datum
tariff_needs_events(PG_FUNCTION_ARGS)
{
	TariffFacts facts;

	collect_facts(fcinfo, &facts);
	PG_RETURN_BOOL(facts.needs_events);
}

/* SQL: per_event(tariff). */
Datum
tariff_per_event(PG_FUNCTION_ARGS)
{
	TariffFacts facts;

	collect_facts(fcinfo, &facts);
	PG_RETURN_BOOL(facts.per_event);
}

/* SQL: tariff_grouping(tariff), an empty array without dimensions. */
Datum
tariff_grouping(PG_FUNCTION_ARGS)
{
	TariffFacts facts;
	Datum	   *names;
	ListCell   *cell;
	int			count = 0;

	collect_facts(fcinfo, &facts);
	names = palloc(sizeof(Datum) * (list_length(facts.dimensions) + 1));
	foreach(cell, facts.dimensions)
		names[count++] = CStringGetTextDatum((char *) lfirst(cell));
	PG_RETURN_ARRAYTYPE_P(construct_array(names, count, TEXTOID, -1, false, TYPALIGN_INT));
}
