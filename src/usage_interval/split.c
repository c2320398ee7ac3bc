/*-------------------------------------------------------------------------
 *
 * split.c
 *	  A usage_interval cut into parts that add up to it exactly.
 *
 * Each part is a difference of two cumulative quantities, as in clip.c: split
 * and clip give the same quantity for the same part.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "funcapi.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "usage_interval/calendar.h"
#include "usage_interval/usage_interval.h"

/* More parts than this are a mistake, such as minutes of a century. */
#define SPLIT_MAX_PARTS 1000000

PG_FUNCTION_INFO_V1(usage_interval_split_interval);
PG_FUNCTION_INFO_V1(usage_interval_split_name);
PG_FUNCTION_INFO_V1(usage_interval_split_instants);

/*
 * What is left to hand out.  Borders come from the calendar, or from a sorted
 * array when "instants" is set.
 */
typedef struct SplitState
{
	UsageInterval whole;
	bool		finished;
	TimestampTz start;			/* of the next part */
	Fixed		given;			/* quantity of the parts before it */
	CalendarStep step;
	const TimestampTz *instants;
	int			instant_count;
	int			next_instant;
} SplitState;

/*
 * The end of the next part.
 */
static TimestampTz
next_border(SplitState *state)
{
	if (state->instants == NULL)
		return Min(calendar_next_border(&state->step, state->start), state->whole.end);
	while (state->next_instant < state->instant_count)
	{
		TimestampTz instant = state->instants[state->next_instant++];

		if (instant >= state->whole.end)
			break;
		if (instant > state->start)
			return instant;
	}
	return state->whole.end;
}

/*
 * Makes the next part.  A point is its own only part.
 */
static UsageInterval *
next_part(SplitState *state)
{
	UsageInterval *part = palloc(sizeof(UsageInterval));

	*part = state->whole;
	if (usage_interval_is_point(part))
	{
		state->finished = true;
		return part;
	}
	part->start = state->start;
	part->end = next_border(state);
	state->start = part->end;
	state->finished = part->end == state->whole.end;
	if (part->start != state->whole.start || !state->finished)
	{
		Fixed		given = usage_interval_cumulative(&state->whole, part->end);

		usage_interval_set_quantity(part, given - state->given);
		state->given = given;
	}
	return part;
}

/*
 * Hands out the parts, one a call.
 */
static Datum
return_next_part(FunctionCallInfo fcinfo)
{
	FuncCallContext *call = SRF_PERCALL_SETUP();
	SplitState *state = call->user_fctx;

	if (state->finished)
		SRF_RETURN_DONE(call);
	SRF_RETURN_NEXT(call, PointerGetDatum(next_part(state)));
}

/*
 * A state for the value in argument 0, in the memory of all calls.
 */
static SplitState *
begin_split(FunctionCallInfo fcinfo, FuncCallContext *call)
{
	SplitState *state = MemoryContextAllocZero(call->multi_call_memory_ctx, sizeof(SplitState));

	state->whole = *PG_GETARG_USAGE_INTERVAL_P(0);
	state->start = state->whole.start;
	call->user_fctx = state;
	return state;
}

/*
 * Raises 54000 when a value is longer than SPLIT_MAX_PARTS steps.
 */
static void
limit_parts(const SplitState *state)
{
	uint64		length = elapsed_microseconds(state->whole.start, state->whole.end);

	if (length / calendar_nominal_microseconds(&state->step) > SPLIT_MAX_PARTS)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("usage interval is too long to be split: more than %d parts", SPLIT_MAX_PARTS),
				 errhint("Clip it first or take a larger step.")));
}

/*
 * split(usage_interval, interval, text): at the calendar borders of a time
 * zone.  Raises 22023 for a step that fits no calendar and an unknown zone,
 * 54000 for too many parts.
 */
Datum
usage_interval_split_interval(PG_FUNCTION_ARGS)
{
	if (SRF_IS_FIRSTCALL())
	{
		SplitState *state = begin_split(fcinfo, SRF_FIRSTCALL_INIT());
		pg_tz	   *zone = calendar_zone(text_to_cstring(PG_GETARG_TEXT_PP(2)));

		state->step = calendar_step_from_interval(PG_GETARG_INTERVAL_P(1), zone);
		limit_parts(state);
	}
	return return_next_part(fcinfo);
}

/*
 * split(usage_interval, text, text): the same, with the step by name.
 */
Datum
usage_interval_split_name(PG_FUNCTION_ARGS)
{
	if (SRF_IS_FIRSTCALL())
	{
		SplitState *state = begin_split(fcinfo, SRF_FIRSTCALL_INIT());
		pg_tz	   *zone = calendar_zone(text_to_cstring(PG_GETARG_TEXT_PP(2)));

		state->step = calendar_step_from_name(text_to_cstring(PG_GETARG_TEXT_PP(1)), zone);
		limit_parts(state);
	}
	return return_next_part(fcinfo);
}

static int
compare_instants(const void *a, const void *b)
{
	TimestampTz x = *(const TimestampTz *) a;
	TimestampTz y = *(const TimestampTz *) b;

	return x < y ? -1 : x > y ? 1 : 0;
}

/*
 * Copies the instants of an array, sorted, into the memory of all calls.
 * Raises 22004 for a null one.
 */
static void
take_instants(SplitState *state, ArrayType *array, MemoryContext context)
{
	MemoryContext caller = MemoryContextSwitchTo(context);
	Datum	   *elements;
	bool	   *nulls;
	TimestampTz *instants;

	deconstruct_array(array, TIMESTAMPTZOID, sizeof(TimestampTz), FLOAT8PASSBYVAL, TYPALIGN_DOUBLE,
					  &elements, &nulls, &state->instant_count);
	instants = palloc(sizeof(TimestampTz) * (state->instant_count + 1));
	for (int i = 0; i < state->instant_count; i++)
	{
		if (nulls[i])
			ereport(ERROR,
					(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
					 errmsg("instants at which a usage interval is split must not be null")));
		instants[i] = DatumGetTimestampTz(elements[i]);
	}
	qsort(instants, state->instant_count, sizeof(TimestampTz), compare_instants);
	state->instants = instants;
	MemoryContextSwitchTo(caller);
}

/*
 * split_at_instants(usage_interval, timestamptz[]): at those instants that lie
 * inside, in any order.  Raises 22004 for a null one.
 */
Datum
usage_interval_split_instants(PG_FUNCTION_ARGS)
{
	if (SRF_IS_FIRSTCALL())
	{
		FuncCallContext *call = SRF_FIRSTCALL_INIT();

		take_instants(begin_split(fcinfo, call), PG_GETARG_ARRAYTYPE_P(1), call->multi_call_memory_ctx);
	}
	return return_next_part(fcinfo);
}
