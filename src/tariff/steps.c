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

#include "tariff/steps.h"

/* A running quantity or amount, rounded by itself. */
static Fixed
step_value(Rating *rating, Number value)
{
	Fixed		result;

	if (!number_to_fixed(&value, rating->divided ? &rating->divisor : NULL, &result))
	{
		rating->steps->overflow = true;
		return 0;
	}
	return result;
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
	RatingStep *step = palloc0(sizeof(RatingStep));
	va_list		arguments;

	step->kind = STEP_LINE;
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
		step->has_quantity = true;
		step->quantity = step_value(rating, quantity);
	}
	step->amount = step_value(rating, amount);
	va_start(arguments, format);
	step->what = step_text(format, arguments);
	va_end(arguments);
	rating->steps->list = lappend(rating->steps->list, step);
}

/* Report something that is not so many units at a price. */
void
rating_note(Rating *rating, RatingStepKind kind, Number amount, const char *format,...)
{
	RatingStep *step = palloc0(sizeof(RatingStep));
	va_list		arguments;

	step->kind = kind;
	step->amount = step_value(rating, amount);
	va_start(arguments, format);
	step->what = step_text(format, arguments);
	va_end(arguments);
	rating->steps->list = lappend(rating->steps->list, step);
}

/*
 * Let the last step take what rounding the steps left over, so that they add
 * up to the total.  Returns false when a step was out of range.
 */
bool
steps_settle(RatingSteps *steps, Fixed total)
{
	RatingStep *last;
	ListCell   *cell;

	if (steps->overflow)
		return false;
	if (steps->list == NIL)
		return true;
	foreach(cell, steps->list)
		total -= ((RatingStep *) lfirst(cell))->amount;
	last = (RatingStep *) llast(steps->list);
	last->amount += total;
	return true;
}
