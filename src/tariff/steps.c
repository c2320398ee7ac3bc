/*-------------------------------------------------------------------------
 *
 * steps.c
 *	  Collecting the steps of a rating, so that a person can follow it.
 *
 * The models report steps only when somebody asked for them.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "monetary/monetary.h"
#include "tariff/steps.h"

/*
 * A step with an amount, at the end of the list.  One beyond what monetary
 * holds counts as the most it holds, which a maximum of the price then cuts.
 */
static RatingStep *
add_step(Rating *rating, RatingStepKind kind, Number amount)
{
	RatingStep *step = palloc0(sizeof(RatingStep));

	step->kind = kind;
	step->exact = rating_plain(rating, amount);
	if (!number_to_fixed(&step->exact, NULL, &step->amount) || !monetary_in_range(step->amount))
	{
		rating->steps->overflow = true;
		step->amount = number_sign(amount) < 0 ? -MONETARY_MAX : MONETARY_MAX;
	}
	rating->steps->list = lappend(rating->steps->list, step);
	return step;
}

/* A number at no more than the 15 decimals that amounts have. */
static Number
cut_for_reading(Number value)
{
	Fixed		cut;

	return number_to_fixed(&value, NULL, &cut) ? number_from_fixed(cut) : value;
}

static char *pg_attribute_printf(1, 0)
step_text(const char *format, va_list arguments)
{
	va_list		copy;
	char	   *text;
	int			size;

	va_copy(copy, arguments);
	size = vsnprintf(NULL, 0, format, copy) + 1;
	va_end(copy);
	text = palloc(size);
	vsnprintf(text, size, format, arguments);
	return text;
}

/*
 * Report units that are priced.  quantity and amount are running values,
 * tier bounds and unit price plain ones; absent ones are NULL.
 */
void
rating_step(Rating *rating, const Number *tier_from, const Number *tier_to,
			Number quantity, const Number *unit_price, Number amount,
			const char *format,...)
{
	RatingStep *step = add_step(rating, STEP_LINE, amount);
	va_list		arguments;

	if (tier_from != NULL)
	{
		step->has_from = true;
		step->tier_from = *tier_from;
	}
	if (tier_to != NULL)
	{
		step->has_to = true;
		step->tier_to = *tier_to;
	}
	if (unit_price != NULL)
	{
		step->has_price = true;
		step->unit_price = *unit_price;
		step->quantity = cut_for_reading(rating_plain(rating, quantity));
	}
	va_start(arguments, format);
	step->what = step_text(format, arguments);
	va_end(arguments);
}

/* Report something that is not so many units at a price. */
void
rating_note(Rating *rating, RatingStepKind kind, Number amount, const char *format,...)
{
	RatingStep *step = add_step(rating, kind, amount);
	va_list		arguments;

	va_start(arguments, format);
	step->what = step_text(format, arguments);
	va_end(arguments);
}

/* Say the amounts of all steps in words, and let the last have the total. */
static void
steps_in_words(RatingSteps *steps, Fixed total)
{
	RatingStep *step;
	ListCell   *cell;

	foreach(cell, steps->list)
	{
		step = (RatingStep *) lfirst(cell);
		if (number_sign(step->exact) != 0)
			step->what = psprintf("%s: %s", step->what, number_to_text(step->exact));
		step->amount = 0;
	}
	step = (RatingStep *) llast(steps->list);
	step->amount = total;
}

/*
 * Let the last step take what rounding the steps left over, so that they add
 * up to the total.  Steps on the way to it may be more than an amount can be.
 */
void
steps_settle(RatingSteps *steps, Fixed total)
{
	RatingStep *last;
	Fixed		rest = total;
	ListCell   *cell;

	if (steps->list == NIL)
		return;
	foreach(cell, steps->list)
		rest -= ((RatingStep *) lfirst(cell))->amount;
	last = (RatingStep *) llast(steps->list);
	if (steps->overflow || !monetary_in_range(last->amount + rest))
		steps_in_words(steps, total);
	else
		last->amount += rest;
}
