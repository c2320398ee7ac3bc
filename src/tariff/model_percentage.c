/*-------------------------------------------------------------------------
 *
 * model_percentage.c
 *	  Price model "percentage": a part of an amount, and a fee an event.
 *
 *	  percent / 100 * (amount - free_amount) + per_event * events
 *
 * With free events, with bounds of the fee of one event, or with a fee an
 * event beside a free amount, the order of the events decides, and only
 * rate_each can tell: the free part ends with the event before which either
 * free_events or free_amount is used up, and event_min and event_max bound
 * what each event after it costs.
 *
 * Body: flags, percent (as a part of one), and the numbers the flags name.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "tariff/lint.h"
#include "tariff/model.h"

/* Stored bits; the numbers follow in this order. */
#define PERCENTAGE_PER_EVENT	0x01
#define PERCENTAGE_FREE_EVENTS	0x02
#define PERCENTAGE_FREE_AMOUNT	0x04
#define PERCENTAGE_EVENT_MIN	0x08
#define PERCENTAGE_EVENT_MAX	0x10

#define PERCENTAGE_NUMBERS 5

static const char *const percentage_members[] = {
	"percent", "per_event", "free_events", "free_amount", "event_min", "event_max", NULL
};

typedef struct Percentage
{
	uint8		flags;
	Number		rate;			/* percent / 100 */
	Number		number[PERCENTAGE_NUMBERS];
} Percentage;

/* Positions in Percentage.number, in the order of the bits. */
enum
{
	PER_EVENT, FREE_EVENTS, FREE_AMOUNT, EVENT_MIN, EVENT_MAX
};

/* Read the stored numbers; absent ones are 0. */
static void
percentage_open(const Tariff *tariff, Percentage *percentage)
{
	const char *cursor = tariff->body;
	int			i;

	compiled_get(&cursor, percentage->flags);
	percentage->rate = compiled_get_number(&cursor);
	for (i = 0; i < PERCENTAGE_NUMBERS; i++)
		percentage->number[i] = (percentage->flags & (1 << i)) ?
			compiled_get_number(&cursor) : number_zero();
}

/* Does the price depend on the single events? */
static bool
percentage_needs_each(const Percentage *percentage)
{
	return (percentage->flags & (PERCENTAGE_FREE_EVENTS | PERCENTAGE_EVENT_MIN | PERCENTAGE_EVENT_MAX)) ||
		((percentage->flags & PERCENTAGE_FREE_AMOUNT) && (percentage->flags & PERCENTAGE_PER_EVENT));
}

/* Read member number i; a 0 that changes nothing counts as absent. */
static bool
percentage_read(const ReaderObject *object, int i, Percentage *percentage)
{
	const char *name = percentage_members[i + 1];
	bool		given;

	if (!object_optional_number(object, name, &percentage->number[i], &given))
		return false;
	if (!given || (i != EVENT_MAX && number_sign(percentage->number[i]) == 0))
		return true;
	if (i != PER_EVENT && number_sign(percentage->number[i]) < 0)
		return reader_fail(object->reader, "%s%s must not be negative, but is %s",
						   object->path, name, number_to_text(percentage->number[i]));
	if (i == FREE_EVENTS && percentage->number[i].scale != 0)
		return reader_fail(object->reader, "%s%s must be a whole number, not %s",
						   object->path, name, number_to_text(percentage->number[i]));
	percentage->flags |= 1 << i;
	return true;
}

/* Read the members and refuse bounds that cross. */
static bool
percentage_compile(const ReaderObject *object, StringInfo out)
{
	Percentage	percentage = {0};
	int			i;

	if (!object_number(object, "percent", &percentage.rate))
		return false;
	if (number_sign(percentage.rate) != 0)
		percentage.rate.scale += 2;
	number_normalise(&percentage.rate);
	for (i = 0; i < PERCENTAGE_NUMBERS; i++)
		if (!percentage_read(object, i, &percentage))
			return false;
	if ((percentage.flags & PERCENTAGE_EVENT_MIN) && (percentage.flags & PERCENTAGE_EVENT_MAX) &&
		number_compare(percentage.number[EVENT_MIN], percentage.number[EVENT_MAX]) > 0)
		return reader_fail(object->reader, "%sevent_min must not be greater than %sevent_max, but %s is greater than %s",
						   object->path, object->path,
						   number_to_text(percentage.number[EVENT_MIN]),
						   number_to_text(percentage.number[EVENT_MAX]));
	compiled_put_bytes(out, &percentage.flags, sizeof(percentage.flags));
	compiled_put_number(out, percentage.rate);
	for (i = 0; i < PERCENTAGE_NUMBERS; i++)
		if (percentage.flags & (1 << i))
			compiled_put_number(out, percentage.number[i]);
	return true;
}

/* Print the members that are not at their default. */
static void
percentage_print(const Tariff *tariff, StringInfo json)
{
	Percentage	percentage;
	int			i;

	percentage_open(tariff, &percentage);
	json_put_number(json, "percent", number_multiply(percentage.rate, number_make(100, 0)));
	for (i = 0; i < PERCENTAGE_NUMBERS; i++)
		if (percentage.flags & (1 << i))
			json_put_number(json, percentage_members[i + 1], percentage.number[i]);
}

/* The fee an event, for the given number of events. */
static bool
percentage_event_fees(const Percentage *percentage, Rating *rating, Number *fees)
{
	*fees = number_zero();
	if (!(percentage->flags & PERCENTAGE_PER_EVENT))
		return true;
	if (!rating->events_given)
		return rating_fail(rating, ERRCODE_TARIFF_INPUT_MISSING,
						   "Give the number of events as the third argument.",
						   "the price charges a fee for each event, but the number of events is not given");
	if (rating->events < 0)
		return rating_fail(rating, ERRCODE_TARIFF_NEGATIVE_QUANTITY, NULL,
						   "the number of events must not be negative, but is %lld",
						   (long long) rating->events);
	*fees = rating_scaled(rating, number_multiply(percentage->number[PER_EVENT],
												  number_make(rating->events, 0)));
	if (rating->steps && rating->events > 0)
		rating_step(rating, NULL, NULL, rating_scaled(rating, number_make(rating->events, 0)),
					&percentage->number[PER_EVENT], *fees,
					"%lld event%s at %s each", (long long) rating->events, rating->events == 1 ? "" : "s",
					number_to_text(percentage->number[PER_EVENT]));
	return true;
}

/* The percentage of an amount, as a step of its own. */
static Number
percentage_part(const Percentage *percentage, Rating *rating, Number base)
{
	Number		part = number_multiply(base, percentage->rate);

	if (rating->steps)
		rating_step(rating, NULL, NULL, base, &percentage->rate, part, "%s %% of %s",
					number_to_text(number_multiply(percentage->rate, number_make(100, 0))),
					rating_quantity_text(rating, base));
	return part;
}

/* Take off the free amount. */
static Number
percentage_paid_base(const Percentage *percentage, Rating *rating)
{
	Number		free_amount = rating_scaled(rating, percentage->number[FREE_AMOUNT]);
	Number		base = rating->quantity;

	if (!(percentage->flags & PERCENTAGE_FREE_AMOUNT))
		return base;
	if (rating->steps)
		rating_note(rating, STEP_NOTE, number_zero(), "%s of it are free",
					number_to_text(percentage->number[FREE_AMOUNT]));
	return number_compare(base, free_amount) <= 0 ? number_zero() : number_subtract(base, free_amount);
}

/* The price of a total: single events must not matter, or there must be none. */
static bool
percentage_price(const Tariff *tariff, Rating *rating, Number *amount)
{
	Percentage	percentage;
	Number		fees;

	percentage_open(tariff, &percentage);
	if (percentage_needs_each(&percentage) &&
		!(rating->events_given && rating->events == 0 && number_sign(rating->quantity) == 0))
		return rating_fail(rating, ERRCODE_TARIFF_INPUT_MISSING,
						   "Use the aggregate rate_each over the events.",
						   "the price depends on the single events, so a total cannot be rated");
	if (number_sign(rating->quantity) < 0)
		return rating_fail_negative(rating, "percentage");
	*amount = number_zero();
	if (number_sign(rating->quantity) == 0 && tariff->head.on_zero == TARIFF_ON_ZERO_NOTHING)
		return true;
	if (!percentage_event_fees(&percentage, rating, &fees))
		return false;
	*amount = number_add(fees, percentage_part(&percentage, rating,
											   percentage_paid_base(&percentage, rating)));
	return true;
}

/* Where the free part ends. */
typedef struct FreePart
{
	int64		events;			/* whole events that are free */
	Number		amount;			/* money that is free */
} FreePart;

/*
 * The free part ends at whichever of free_events and free_amount is used up
 * first; the event in which free_amount ends pays for the rest of its amount.
 */
static FreePart
percentage_free_part(const Percentage *percentage, const Rating *rating,
					 const RatedEvent *events, int count)
{
	Number		free_amount = rating_scaled(rating, percentage->number[FREE_AMOUNT]);
	bool		by_events = (percentage->flags & PERCENTAGE_FREE_EVENTS) != 0;
	bool		by_amount = (percentage->flags & PERCENTAGE_FREE_AMOUNT) != 0;
	FreePart	result = {0, number_zero()};

	if (!by_events && !by_amount)
		return result;
	for (; result.events < count; result.events++)
	{
		Number		next = number_add(result.amount, events[result.events].units);

		if (by_events && number_compare(percentage->number[FREE_EVENTS],
										number_make(result.events, 0)) <= 0)
			return result;
		if (by_amount && number_compare(next, free_amount) > 0)
		{
			result.amount = free_amount;
			return result;
		}
		result.amount = next;
	}
	return result;
}

/* One event: its part of the amount and its fee, within the bounds. */
static Number
percentage_one_event(const Percentage *percentage, const Rating *rating, Number base)
{
	Number		amount = number_add(number_multiply(base, percentage->rate),
									rating_scaled(rating, percentage->number[PER_EVENT]));
	Number		least = rating_scaled(rating, percentage->number[EVENT_MIN]);
	Number		most = rating_scaled(rating, percentage->number[EVENT_MAX]);

	if ((percentage->flags & PERCENTAGE_EVENT_MIN) && number_compare(amount, least) < 0)
		return least;
	if ((percentage->flags & PERCENTAGE_EVENT_MAX) && number_compare(amount, most) > 0)
		return most;
	return amount;
}

/* The price of single events in time order. */
static bool
percentage_price_each(const Tariff *tariff, Rating *rating,
					  const RatedEvent *events, int count, Number *amount)
{
	Percentage	percentage;
	FreePart	free_part;
	Number		passed = number_zero();
	int			i;

	percentage_open(tariff, &percentage);
	for (i = 0; i < count; i++)
	{
		if (number_sign(events[i].units) < 0)
		{
			rating->quantity = events[i].units;
			return rating_fail_negative(rating, "percentage");
		}
		if (number_compare(events[i].fraction, number_make(1, 0)) != 0)
			return rating_fail(rating, ERRCODE_INVALID_PARAMETER_VALUE, NULL,
							   "a percentage cannot be prorated, but the fraction of an event is %s",
							   number_to_text(events[i].fraction));
	}
	*amount = number_zero();
	if (number_sign(rating->quantity) == 0 && tariff->head.on_zero == TARIFF_ON_ZERO_NOTHING)
		return true;
	free_part = percentage_free_part(&percentage, rating, events, count);
	for (i = 0; i < count; i++)
	{
		Number		base = events[i].units;

		passed = number_add(passed, base);
		if (i < free_part.events)
			continue;
		if (i == free_part.events)
			base = number_subtract(passed, free_part.amount);
		*amount = number_add(*amount, percentage_one_event(&percentage, rating, base));
	}
	return true;
}

/* Does rating need the number of events, or the events themselves? */
static void
percentage_describe(const Tariff *tariff, TariffFacts *facts)
{
	Percentage	percentage;

	percentage_open(tariff, &percentage);
	facts->per_event |= percentage_needs_each(&percentage);
	facts->needs_events |= (percentage.flags & PERCENTAGE_PER_EVENT) || percentage_needs_each(&percentage);
}

/* Report percentages that look like parts of 1 or the other way round. */
static void
percentage_lint(const Tariff *tariff, struct TariffLint *lint)
{
	Percentage	percentage;

	percentage_open(tariff, &percentage);
	lint_price_sign(lint, "percent", percentage.rate);
	lint_price_sign(lint, "per_event", percentage.number[PER_EVENT]);
	if (number_compare(percentage.rate, number_make(1, 0)) > 0)
		lint_report(lint, LINT_WARNING, "percent_above_100",
					"percent is more than the amount itself; is it meant as a part of 100?");
	else if (number_sign(percentage.rate) > 0 && number_compare(percentage.rate, number_make(1, 4)) < 0)
		lint_report(lint, LINT_NOTICE, "percent_below_0_01",
					"percent is less than 0.01; is it meant as a part of 1?");
}

const TariffModel tariff_percentage = {
	.name = "percentage",
	.members = percentage_members,
	.takes = MODEL_TAKES_ON_ZERO,
	.on_zero = TARIFF_ON_ZERO_CHARGE,
	.compile = percentage_compile,
	.print = percentage_print,
	.price = percentage_price,
	.price_each = percentage_price_each,
	.describe = percentage_describe,
	.lint = percentage_lint
};
