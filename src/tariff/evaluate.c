/*-------------------------------------------------------------------------
 *
 * evaluate.c
 *	  The stages of one rating, in their fixed order:
 *
 *	  convert units, round them, take off free units, price, percentage
 *	  discount, maximum, minimum.
 *
 * A division of units is not carried out: the divisor is kept, and quantities
 * and amounts are its multiples until the one rounding at the end.  So a third
 * of an hour stays a third.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "fmgr.h"

#include "tariff/model.h"

/* Keep why a rating fails; always false, so that a caller can return it. */
bool
rating_fail(Rating *rating, int sqlstate, const char *hint, const char *format,...)
{
	StringInfoData text;

	initStringInfo(&text);
	for (;;)
	{
		va_list		arguments;
		int			needed;

		va_start(arguments, format);
		needed = appendStringInfoVA(&text, format, arguments);
		va_end(arguments);
		if (needed == 0)
			break;
		enlargeStringInfo(&text, needed);
	}
	rating->sqlstate = sqlstate;
	rating->message = text.data;
	rating->hint = hint;
	return false;
}

/* Fail because the quantity is below zero and the model is not linear. */
bool
rating_fail_negative(Rating *rating, const char *model)
{
	return rating_fail(rating, ERRCODE_TARIFF_NEGATIVE_QUANTITY, NULL,
					   "quantity %s is negative, which has no meaning for a price of model %s",
					   rating_quantity_text(rating, rating->quantity), model);
}

/* The part of a full period; read only where it matters. */
bool
rating_fraction(Rating *rating, Number *fraction)
{
	if (number_from_datum(rating->fraction, fraction) != NUMBER_DECODED)
		return rating_fail(rating, ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE, NULL,
						   "fraction is not a number that can be rated");
	if (number_sign(*fraction) < 0)
		return rating_fail(rating, ERRCODE_INVALID_PARAMETER_VALUE, NULL,
						   "fraction must not be negative, but is %s", number_to_text(*fraction));
	return true;
}

/* A running value as it is: divided, and then rounded at 15 decimals. */
Number
rating_plain(const Rating *rating, Number value)
{
	if (!rating->divided)
		return value;
	return number_multiply(number_quotient(number_multiply(value, number_make(FIXED_ONE, 0)),
										   rating->divisor, NUMBER_ROUND_HALF_EVEN),
						   number_make(1, FIXED_SCALE));
}

/* A running quantity as text. */
char *
rating_quantity_text(const Rating *rating, Number quantity)
{
	return number_to_text(rating_plain(rating, quantity));
}

/* So many of something, as "1 unit" or "2.5 units". */
char *
rating_counted(const Rating *rating, Number quantity, const char *singular)
{
	char	   *text = rating_quantity_text(rating, quantity);

	return psprintf("%s %s%s", text, singular, strcmp(text, "1") == 0 ? "" : "s");
}

/* Read the next wrapper number, if the tariff has it. */
static inline bool
next_number(const Tariff *tariff, uint16 bit, const char **cursor, Number *value)
{
	if (!(tariff->head.members & bit))
		return false;
	*value = compiled_get_number(cursor);
	return true;
}

/* Multiply and divide the units, and round them if the tariff says so. */
static void
convert_units(const Tariff *tariff, Rating *rating, const char **cursor)
{
	Number		given = rating->quantity;
	Number		factor;
	bool		converted = false;

	if (next_number(tariff, TARIFF_HAS_MULTIPLY, cursor, &factor))
	{
		rating->quantity = number_multiply(rating->quantity, factor);
		converted = true;
	}
	if (next_number(tariff, TARIFF_HAS_DIVIDE, cursor, &factor))
	{
		rating->divisor = rating_scaled(rating, factor);
		rating->divided = true;
		converted = true;
	}
	if (tariff->head.convert_round != NUMBER_ROUND_NONE)
	{
		int			decimals = tariff->head.convert_decimals;
		Number		unit = number_make(1, decimals);

		rating->quantity = number_multiply(number_quotient(rating->quantity,
														   rating_scaled(rating, unit),
														   tariff->head.convert_round),
										   unit);
		rating->divided = false;
		converted = true;
	}
	if (converted && rating->steps)
		rating_note(rating, STEP_NOTE, number_zero(), "converted units: %s become %s",
					number_to_text(given), rating_quantity_text(rating, rating->quantity));
}

/* Take off the free units.  They cannot be taken off a reversal. */
static bool
take_free_units(Rating *rating, Number free)
{
	Number		scaled = rating_scaled(rating, free);

	if (number_sign(rating->quantity) < 0)
		return rating_fail(rating, ERRCODE_TARIFF_NEGATIVE_QUANTITY, NULL,
						   "quantity %s is negative, which has no meaning for a price with free units",
						   rating_quantity_text(rating, rating->quantity));
	if (number_compare(rating->quantity, scaled) <= 0)
		rating->quantity = number_zero();
	else
		rating->quantity = number_subtract(rating->quantity, scaled);
	if (rating->steps)
		rating_note(rating, STEP_NOTE, number_zero(), "%s taken off, %s left",
					rating_counted(rating, scaled, "free unit"),
					rating_quantity_text(rating, rating->quantity));
	return true;
}

/* A limit of the amount for the part of the period that is rated. */
static bool
prorated_limit(Rating *rating, Number limit, Number *result)
{
	Number		fraction;

	if (!rating_fraction(rating, &fraction))
		return false;
	*result = rating_scaled(rating, number_multiply(limit, fraction));
	return true;
}

/* Percentage discount, maximum and minimum, in this order. */
static bool
adjust_amount(const Tariff *tariff, Rating *rating, const char **cursor, Number *amount)
{
	Number		number;
	Number		limit;

	if (next_number(tariff, TARIFF_HAS_DISCOUNT, cursor, &number))
	{
		Number		discount;

		number.scale += 2;
		discount = number_negate(number_multiply(*amount, number));
		*amount = number_add(*amount, discount);
		number.scale -= 2;
		if (rating->steps)
			rating_note(rating, STEP_DISCOUNT, discount, "discount of %s %%", number_to_text(number));
	}
	if (next_number(tariff, TARIFF_HAS_MAXIMUM, cursor, &number))
	{
		if (!prorated_limit(rating, number, &limit))
			return false;
		if (number_compare(*amount, limit) > 0)
		{
			if (rating->steps)
				rating_note(rating, STEP_MAXIMUM, number_subtract(limit, *amount),
							"cut at the maximum of %s", rating_quantity_text(rating, limit));
			*amount = limit;
		}
	}
	if (next_number(tariff, TARIFF_HAS_MINIMUM, cursor, &number) && rating->complete)
	{
		if (!prorated_limit(rating, number, &limit))
			return false;
		if (number_compare(*amount, limit) < 0)
		{
			if (rating->steps)
				rating_note(rating, STEP_MINIMUM, number_subtract(limit, *amount),
							"raised to the minimum of %s", rating_quantity_text(rating, limit));
			*amount = limit;
		}
	}
	return true;
}

/* Units before pricing: conversion and free units. */
static bool
prepare_units(const Tariff *tariff, Rating *rating, const char **cursor)
{
	Number		free;

	convert_units(tariff, rating, cursor);
	return !next_number(tariff, TARIFF_HAS_FREE, cursor, &free) ||
		take_free_units(rating, free);
}

/*
 * The exact amount of rating->quantity, times rating->divisor if
 * rating->divided.  Returns false when it cannot be rated; rating then says
 * why.
 */
bool
tariff_price(const Tariff *tariff, Rating *rating, Number *amount)
{
	const TariffModel *model = tariff_model(tariff);
	const char *cursor = tariff->numbers;

	if (likely((tariff->head.members & TARIFF_HAS_NUMBERS) == 0 &&
			   tariff->head.convert_round == NUMBER_ROUND_NONE))
		return model->price(tariff, rating, amount);
	return prepare_units(tariff, rating, &cursor) &&
		model->price(tariff, rating, amount) &&
		adjust_amount(tariff, rating, &cursor, amount);
}

/*
 * Discount, maximum and minimum of an amount that its dialect gives in place
 * of the model; its units are not converted, and none of them are free.
 */
bool
tariff_adjust(const Tariff *tariff, Rating *rating, Number *amount)
{
	const char *cursor = tariff->numbers;
	Number		skipped;

	(void) next_number(tariff, TARIFF_HAS_MULTIPLY, &cursor, &skipped);
	(void) next_number(tariff, TARIFF_HAS_DIVIDE, &cursor, &skipped);
	(void) next_number(tariff, TARIFF_HAS_FREE, &cursor, &skipped);
	return adjust_amount(tariff, rating, &cursor, amount);
}

/* Do all events count in full? */
static bool
events_are_whole(const RatedEvent *events, int count)
{
	int			i;

	for (i = 0; i < count; i++)
		if (number_compare(events[i].fraction, number_make(1, 0)) != 0)
			return false;
	return true;
}

/*
 * Convert the units of single events and take off the free ones, in time
 * order.  Rounding the units of one event is not the rounding of the units of
 * a period, so that is refused.
 */
static bool
prepare_events(const Tariff *tariff, Rating *rating, const char **cursor,
			   RatedEvent *events, int count)
{
	Number		factor = number_make(1, 0);
	Number		free = number_zero();
	int			i;

	if (tariff->head.convert_round != NUMBER_ROUND_NONE)
		return rating_fail(rating, ERRCODE_INVALID_PARAMETER_VALUE, NULL,
						   "units of single events cannot be rounded, but the price rounds converted units");
	(void) next_number(tariff, TARIFF_HAS_MULTIPLY, cursor, &factor);
	rating->quantity = number_multiply(rating->quantity, factor);
	for (i = 0; i < count; i++)
		events[i].units = number_multiply(events[i].units, factor);
	if (next_number(tariff, TARIFF_HAS_DIVIDE, cursor, &factor))
	{
		rating->divisor = rating_scaled(rating, factor);
		rating->divided = true;
	}
	if (!next_number(tariff, TARIFF_HAS_FREE, cursor, &free))
		return true;
	free = rating_scaled(rating, free);
	for (i = 0; i < count; i++)
	{
		Number		taken = events[i].units;

		if (number_sign(taken) < 0)
			return rating_fail(rating, ERRCODE_TARIFF_NEGATIVE_QUANTITY, NULL,
							   "an event has quantity %s, which has no meaning for a price with free units",
							   rating_quantity_text(rating, taken));
		if (number_compare(taken, free) > 0)
			taken = free;
		events[i].units = number_subtract(events[i].units, taken);
		free = number_subtract(free, taken);
		rating->quantity = number_subtract(rating->quantity, taken);
	}
	return true;
}

/*
 * The exact amount of single events in time order, whose units add up to
 * rating->quantity.  A model that does not look at events prices their sum.
 */
bool
tariff_price_each(const Tariff *tariff, Rating *rating,
				  const RatedEvent *events, int count, Number *amount)
{
	const TariffModel *model = tariff_model(tariff);
	const char *cursor = tariff->numbers;
	RatedEvent *copy;

	if (model->price_each == NULL)
	{
		if (!events_are_whole(events, count))
			return rating_fail(rating, ERRCODE_INVALID_PARAMETER_VALUE, NULL,
							   "single events cannot be prorated by a price of model %s", model->name);
		return tariff_price(tariff, rating, amount);
	}
	copy = palloc(sizeof(RatedEvent) * Max(count, 1));
	memcpy(copy, events, sizeof(RatedEvent) * count);
	return prepare_events(tariff, rating, &cursor, copy, count) &&
		model->price_each(tariff, rating, copy, count, amount) &&
		adjust_amount(tariff, rating, &cursor, amount);
}
