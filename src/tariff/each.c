/*-------------------------------------------------------------------------
 *
 * each.c
 *	  The aggregates rate_each and try_rate_each: prices that depend on the
 *	  single events, such as free events, bounds of the fee of one event, and
 *	  tiers that each event enters for a part of the period.
 *
 * The state is the whole input, so the aggregates have no combine function:
 * group by account, and a group is small.  Events are sorted by time here, so
 * no ORDER BY is needed.  Nothing raises before the end, where rate_each does
 * and try_rate_each returns the reason.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "funcapi.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "monetary/monetary.h"
#include "tariff/tariff.h"

PG_FUNCTION_INFO_V1(rating_each_add);
PG_FUNCTION_INFO_V1(rating_each_amount);
PG_FUNCTION_INFO_V1(rating_each_result);

/* The events of one group. */
typedef struct EachState
{
	MemoryContext context;
	struct varlena *tariff;		/* plain */
	struct varlena *dimensions; /* jsonb, or NULL */
	Datum		fraction;		/* numeric: the part of the period that limits are for */
	bool		complete;		/* whether the period has ended */
	RatedEvent *events;
	int			count;
	int			capacity;
	Rating		rating;			/* holds the first error */
} EachState;

/* Positions of the arguments of the transition function. */
enum
{
	EACH_STATE, EACH_TARIFF, EACH_AMOUNT, EACH_AT, EACH_FRACTION, EACH_DIMENSIONS, EACH_PERIOD_FRACTION, EACH_COMPLETE
};

/* Units of all events, each by its fraction. */
Number
rating_prorated_units(const RatedEvent *events, int count)
{
	Number		units = number_zero();
	int			i;

	for (i = 0; i < count; i++)
		units = number_add(units, number_multiply(events[i].units, events[i].fraction));
	return units;
}

/*
 * What of the period is rated, from the first row: the whole of one that has
 * ended unless arguments say otherwise.
 */
static void
each_begin_period(FunctionCallInfo fcinfo, EachState *state)
{
	state->complete = true;
	if (PG_NARGS() <= EACH_COMPLETE)
		state->fraction = NumericGetDatum(number_to_numeric(number_make(1, 0)));
	else if (PG_ARGISNULL(EACH_PERIOD_FRACTION) || PG_ARGISNULL(EACH_COMPLETE))
		rating_fail(&state->rating, ERRCODE_NULL_VALUE_NOT_ALLOWED, NULL,
					"%s must not be null", PG_ARGISNULL(EACH_COMPLETE) ? "complete" : "period_fraction");
	else
	{
		state->fraction = PointerGetDatum(PG_DETOAST_DATUM_COPY(PG_GETARG_DATUM(EACH_PERIOD_FRACTION)));
		state->complete = PG_GETARG_BOOL(EACH_COMPLETE);
	}
}

/*
 * Make the state of a group from its first row.  A null tariff is kept as the
 * error of the group.
 */
static EachState *
each_begin(FunctionCallInfo fcinfo, MemoryContext context)
{
	EachState  *state = MemoryContextAllocZero(context, sizeof(EachState));
	MemoryContext old_context = MemoryContextSwitchTo(context);

	state->context = context;
	state->capacity = 8;
	state->events = palloc(sizeof(RatedEvent) * state->capacity);
	if (PG_ARGISNULL(EACH_TARIFF))
		rating_fail(&state->rating, ERRCODE_NULL_VALUE_NOT_ALLOWED, NULL,
					"%s must not be null", "tariff");
	else
		state->tariff = PG_DETOAST_DATUM_COPY(PG_GETARG_DATUM(EACH_TARIFF));
	if (PG_NARGS() > EACH_DIMENSIONS && !PG_ARGISNULL(EACH_DIMENSIONS))
		state->dimensions = PG_DETOAST_DATUM_COPY(PG_GETARG_DATUM(EACH_DIMENSIONS));
	each_begin_period(fcinfo, state);
	MemoryContextSwitchTo(old_context);
	return state;
}

/* Have two values the same contents, whatever their headers are? */
static bool
same_bytes(const struct varlena *kept, const struct varlena *value)
{
	return VARSIZE_ANY_EXHDR(kept) == VARSIZE_ANY_EXHDR(value) &&
		memcmp(VARDATA_ANY(kept), VARDATA_ANY(value), VARSIZE_ANY_EXHDR(value)) == 0;
}

/*
 * All rows of a group must have one tariff and the same dimensions.  Returns
 * the name of what differs, or NULL.  Runs in the caller's memory context, so
 * that values that are detoasted for each row are freed with the row.
 */
static const char *
each_difference(FunctionCallInfo fcinfo, EachState *state)
{
	bool		has_dimensions = PG_NARGS() > EACH_DIMENSIONS && !PG_ARGISNULL(EACH_DIMENSIONS);

	if (state->tariff == NULL)
		return NULL;
	if (PG_ARGISNULL(EACH_TARIFF) ||
		!same_bytes(state->tariff, tariff_fetch(fcinfo, PG_GETARG_DATUM(EACH_TARIFF))))
		return "tariffs";
	if (has_dimensions != (state->dimensions != NULL) ||
		(has_dimensions && !same_bytes(state->dimensions, PG_GETARG_VARLENA_PP(EACH_DIMENSIONS))))
		return "dimensions";
	return NULL;
}

/* Read one number of an event. */
static bool
each_number(FunctionCallInfo fcinfo, EachState *state, int argument, const char *name, Number *value)
{
	if (PG_ARGISNULL(argument))
		return rating_fail(&state->rating, ERRCODE_NULL_VALUE_NOT_ALLOWED, NULL,
						   "%s of an event must not be null", name);
	if (number_from_datum(PG_GETARG_DATUM(argument), value) != NUMBER_DECODED)
		return rating_fail(&state->rating, ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE, NULL,
						   "%s of an event is not a number that can be rated", name);
	/* A wide number may still lie in the caller's row. */
	if (value->wide != NULL)
		value->wide = (Numeric) PG_DETOAST_DATUM_COPY(NumericGetDatum(value->wide));
	return true;
}

/* Append one event; keep the first error instead if there is one. */
static void
each_append(FunctionCallInfo fcinfo, EachState *state)
{
	RatedEvent *event;

	if (state->count == state->capacity)
	{
		state->capacity *= 2;
		state->events = repalloc_huge(state->events, sizeof(RatedEvent) * state->capacity);
	}
	event = &state->events[state->count];
	if (!each_number(fcinfo, state, EACH_AMOUNT, "amount", &event->units) ||
		!each_number(fcinfo, state, EACH_FRACTION, "fraction", &event->fraction))
		return;
	if (PG_ARGISNULL(EACH_AT))
	{
		rating_fail(&state->rating, ERRCODE_NULL_VALUE_NOT_ALLOWED, NULL,
					"time of an event must not be null");
		return;
	}
	event->at = PG_GETARG_TIMESTAMPTZ(EACH_AT);
	state->count++;
}

/* Transition function of all aggregates; dimensions and what of the period is rated may be absent. */
Datum
rating_each_add(PG_FUNCTION_ARGS)
{
	MemoryContext context;
	MemoryContext old_context;
	EachState  *state;
	const char *difference;

	if (!AggCheckCallContext(fcinfo, &context))
		elog(ERROR, "aggregate function called in non-aggregate context");
	state = PG_ARGISNULL(EACH_STATE) ? each_begin(fcinfo, context) :
		(EachState *) PG_GETARG_POINTER(EACH_STATE);
	if (state->rating.sqlstate != 0)
		PG_RETURN_POINTER(state);
	difference = each_difference(fcinfo, state);
	old_context = MemoryContextSwitchTo(context);
	if (difference != NULL)
		rating_fail(&state->rating, ERRCODE_INVALID_PARAMETER_VALUE, "Group by the tariff and the dimensions.",
					"the events of one group have different %s", difference);
	else
		each_append(fcinfo, state);
	MemoryContextSwitchTo(old_context);
	PG_RETURN_POINTER(state);
}

/* By time; events at one instant by units and fraction, so that the order of rows never matters. */
static int
event_compare(const void *a, const void *b)
{
	const RatedEvent *x = (const RatedEvent *) a;
	const RatedEvent *y = (const RatedEvent *) b;
	int			result;

	if (x->at != y->at)
		return x->at < y->at ? -1 : 1;
	result = number_compare(x->units, y->units);
	return result != 0 ? result : number_compare(x->fraction, y->fraction);
}

/*
 * Rate all events of a group; false when they cannot be rated.  The state can
 * take more events afterwards, as in a window.
 */
static bool
each_rate(EachState *state, Rating *rating, Fixed *result, CurrencyCode *currency)
{
	Tariff		tariff;
	Number		amount;
	int			i;

	*rating = state->rating;
	if (rating->sqlstate != 0)
		return false;
	tariff_open(VARDATA_ANY(state->tariff), &tariff);
	*currency = tariff.head.currency;
	qsort(state->events, state->count, sizeof(RatedEvent), event_compare);
	rating->quantity = number_zero();
	for (i = 0; i < state->count; i++)
		rating->quantity = number_add(rating->quantity, state->events[i].units);
	rating->divided = false;
	rating->complete = state->complete;
	rating->events_given = true;
	rating->events = state->count;
	rating->fraction = state->fraction;
	rating->dimensions = PointerGetDatum(state->dimensions);
	rating->units = (Datum) 0;
	return tariff_price_each(&tariff, rating, state->events, state->count, &amount) &&
		rating_finish(rating, &amount, result);
}

/* rate_each: the amount, or the error. */
Datum
rating_each_amount(PG_FUNCTION_ARGS)
{
	EachState  *state;
	Rating		rating;
	Fixed		amount;
	CurrencyCode currency;

	if (PG_ARGISNULL(0))
		PG_RETURN_NULL();
	state = (EachState *) PG_GETARG_POINTER(0);
	if (!each_rate(state, &rating, &amount, &currency))
		rating_raise(&rating);
	PG_RETURN_MONETARY_P(monetary_new(currency, amount));
}

/* try_rate_each: a row with the amount, or with the error. */
Datum
rating_each_result(PG_FUNCTION_ARGS)
{
	EachState  *state;
	Rating		rating;
	Fixed		amount;
	CurrencyCode currency;
	TupleDesc	row_type;
	Datum		values[3] = {0, 0, 0};
	bool		nulls[3] = {true, true, true};

	if (PG_ARGISNULL(0))
		PG_RETURN_NULL();
	state = (EachState *) PG_GETARG_POINTER(0);
	if (get_call_result_type(fcinfo, NULL, &row_type) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	if (each_rate(state, &rating, &amount, &currency))
	{
		values[0] = MonetaryPGetDatum(monetary_new(currency, amount));
		nulls[0] = false;
	}
	else
	{
		values[1] = CStringGetTextDatum(unpack_sql_state(rating.sqlstate));
		values[2] = CStringGetTextDatum(rating.message);
		nulls[1] = nulls[2] = false;
	}
	return HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(row_type), values, nulls));
}
