/*-------------------------------------------------------------------------
 *
 * time_weighted.c
 *	  The aggregate time_weighted_sum: the integral of a level over time.
 *
 * Samples of a level arrive in any order; each holds from its instant until
 * the next one.  The state keeps every sample inside the window and, of those
 * at or before its start, only the last.  Its samples are a set: order of
 * arrival never matters, so that parallel plans give the serial result.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "fmgr.h"
#include "libpq/pqformat.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "usage_interval/usage_interval.h"

PG_FUNCTION_INFO_V1(time_weighted_accumulate);
PG_FUNCTION_INFO_V1(time_weighted_accumulate_ranked);
PG_FUNCTION_INFO_V1(time_weighted_combine);
PG_FUNCTION_INFO_V1(time_weighted_serialize);
PG_FUNCTION_INFO_V1(time_weighted_deserialize);
PG_FUNCTION_INFO_V1(time_weighted_result);

#define FIRST_CAPACITY 8

/* A level that was seen; see compare_samples() for the rank. */
typedef struct LevelSample
{
	TimestampTz at;
	int64		rank;
	uint64		level_halves[2];	/* a Fixed; see UsageInterval */
} LevelSample;

typedef struct TimeWeightedState
{
	TimestampTz from;			/* window */
	TimestampTz until;
	bool		has_before;
	LevelSample before;			/* last one at or before the window's start */
	uint64		count;
	uint64		capacity;
	LevelSample *samples;		/* inside the window, after its start */
} TimeWeightedState;

static inline Fixed
sample_level(const LevelSample *sample)
{
	Fixed		level;

	memcpy(&level, sample->level_halves, sizeof(level));
	return level;
}

/*
 * By instant.  Of several samples at one instant the last counts: the one of
 * the highest rank, and at equal rank of the highest level.
 */
static int
compare_samples(const void *a, const void *b)
{
	const LevelSample *x = a;
	const LevelSample *y = b;
	Fixed		level_x;
	Fixed		level_y;

	if (x->at != y->at)
		return x->at < y->at ? -1 : 1;
	if (x->rank != y->rank)
		return x->rank < y->rank ? -1 : 1;
	level_x = sample_level(x);
	level_y = sample_level(y);
	return level_x < level_y ? -1 : level_x > level_y ? 1 : 0;
}

/* ---- state ----------------------------------------------------------- */

/*
 * An empty state for a window.
 */
static TimeWeightedState *
new_state(MemoryContext context, TimestampTz from, TimestampTz until)
{
	TimeWeightedState *state = MemoryContextAllocZero(context, sizeof(TimeWeightedState));

	state->from = from;
	state->until = until;
	return state;
}

/*
 * Makes room for more samples.
 */
static void
reserve_samples(TimeWeightedState *state, uint64 more, MemoryContext context)
{
	uint64		capacity = Max(state->capacity, FIRST_CAPACITY);

	if (state->capacity - state->count >= more)
		return;
	while (capacity - state->count < more)
		capacity *= 2;
	if (state->samples == NULL)
		state->samples = MemoryContextAllocHuge(context, capacity * sizeof(LevelSample));
	else
		state->samples = repalloc_huge(state->samples, capacity * sizeof(LevelSample));
	state->capacity = capacity;
}

/*
 * Adds a sample where it can matter: not at all from the window's end on, as
 * the one before when it is the last of those, else to the list.
 */
static void
add_sample(TimeWeightedState *state, const LevelSample *sample, MemoryContext context)
{
	if (sample->at >= state->until && sample->at > state->from)
		return;
	if (sample->at <= state->from)
	{
		if (!state->has_before || compare_samples(&state->before, sample) < 0)
			state->before = *sample;
		state->has_before = true;
		return;
	}
	reserve_samples(state, 1, context);
	state->samples[state->count++] = *sample;
}

/*
 * Raises 22008 for an infinite window, 22023 for one that ends before it
 * begins.
 */
static void
check_window(TimestampTz from, TimestampTz until)
{
	char		from_text[INSTANT_TEXT_SIZE];
	char		until_text[INSTANT_TEXT_SIZE];

	if (from <= until && !TIMESTAMP_NOT_FINITE(from) && !TIMESTAMP_NOT_FINITE(until))
		return;
	usage_interval_format_instant(from, from_text);
	usage_interval_format_instant(until, until_text);
	if (TIMESTAMP_NOT_FINITE(from) || TIMESTAMP_NOT_FINITE(until))
		ereport(ERROR,
				(errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE),
				 errmsg("window of time_weighted_sum from %s to %s is not finite", from_text, until_text)));
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("window of time_weighted_sum starts at %s, after its end at %s", from_text, until_text)));
}

/*
 * Raises 22023 when a window differs from the one of the rows before.
 */
static void
require_same_window(const TimeWeightedState *state, TimestampTz from, TimestampTz until)
{
	if (state->from != from || state->until != until)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("time_weighted_sum needs the same window for every row of a group")));
}

/*
 * The memory in which the aggregate keeps its state.
 */
static MemoryContext
aggregate_memory(FunctionCallInfo fcinfo)
{
	MemoryContext context;

	if (!AggCheckCallContext(fcinfo, &context))
		elog(ERROR, "time_weighted_sum called outside of an aggregate");
	return context;
}

/*
 * Returns a state, null when there is none yet.
 */
static Datum
return_state(FunctionCallInfo fcinfo, TimeWeightedState *state)
{
	if (state == NULL)
		PG_RETURN_NULL();
	PG_RETURN_POINTER(state);
}

/*
 * Takes up one row: level, instant, perhaps a rank, and the two ends of the
 * window.  A row with a null among them is passed over.  Raises 22003 for a
 * level out of range and what the window's checks raise.
 */
static Datum
accumulate(FunctionCallInfo fcinfo, bool ranked)
{
	MemoryContext context = aggregate_memory(fcinfo);
	TimeWeightedState *state = PG_ARGISNULL(0) ? NULL : (TimeWeightedState *) PG_GETARG_POINTER(0);
	int			last_argument = ranked ? 5 : 4;
	TimestampTz from;
	TimestampTz until;
	LevelSample sample;
	Fixed		level;

	for (int i = 1; i <= last_argument; i++)
		if (PG_ARGISNULL(i))
			return return_state(fcinfo, state);
	from = PG_GETARG_TIMESTAMPTZ(last_argument - 1);
	until = PG_GETARG_TIMESTAMPTZ(last_argument);
	if (state == NULL)
	{
		check_window(from, until);
		state = new_state(context, from, until);
	}
	require_same_window(state, from, until);
	level = usage_quantity_from_numeric(PG_GETARG_NUMERIC(1));
	sample.at = PG_GETARG_TIMESTAMPTZ(2);
	sample.rank = ranked ? PG_GETARG_INT64(3) : 0;
	memcpy(sample.level_halves, &level, sizeof(level));
	add_sample(state, &sample, context);
	PG_RETURN_POINTER(state);
}

/*
 * Transition of time_weighted_sum(level, at, starts_at, ends_at).
 */
Datum
time_weighted_accumulate(PG_FUNCTION_ARGS)
{
	return accumulate(fcinfo, false);
}

/*
 * Transition of time_weighted_sum(level, at, rank, starts_at, ends_at).
 */
Datum
time_weighted_accumulate_ranked(PG_FUNCTION_ARGS)
{
	return accumulate(fcinfo, true);
}

/*
 * Combine function: the union of two sets of samples.
 */
Datum
time_weighted_combine(PG_FUNCTION_ARGS)
{
	MemoryContext context = aggregate_memory(fcinfo);
	TimeWeightedState *state = PG_ARGISNULL(0) ? NULL : (TimeWeightedState *) PG_GETARG_POINTER(0);
	TimeWeightedState *other = PG_ARGISNULL(1) ? NULL : (TimeWeightedState *) PG_GETARG_POINTER(1);

	if (other == NULL)
		return return_state(fcinfo, state);
	if (state == NULL)
		state = new_state(context, other->from, other->until);
	require_same_window(state, other->from, other->until);
	if (other->has_before)
		add_sample(state, &other->before, context);
	if (other->count > 0)
	{
		reserve_samples(state, other->count, context);
		memcpy(state->samples + state->count, other->samples, other->count * sizeof(LevelSample));
		state->count += other->count;
	}
	PG_RETURN_POINTER(state);
}

/*
 * The state for a parallel worker's leader: a process of the same server and
 * library, so that samples go as they are in memory.
 */
Datum
time_weighted_serialize(PG_FUNCTION_ARGS)
{
	TimeWeightedState *state = (TimeWeightedState *) PG_GETARG_POINTER(0);
	StringInfoData message;

	aggregate_memory(fcinfo);
	pq_begintypsend(&message);
	pq_sendint64(&message, state->from);
	pq_sendint64(&message, state->until);
	pq_sendbyte(&message, state->has_before);
	if (state->has_before)
		pq_sendbytes(&message, (char *) &state->before, sizeof(LevelSample));
	pq_sendint64(&message, state->count);
	if (state->count > MaxAllocSize / sizeof(LevelSample))
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("too many samples for one group of time_weighted_sum in a parallel plan"),
				 errhint("Set max_parallel_workers_per_gather to 0 or use a shorter window.")));
	if (state->count > 0)
		pq_sendbytes(&message, (char *) state->samples, state->count * sizeof(LevelSample));
	PG_RETURN_BYTEA_P(pq_endtypsend(&message));
}

/*
 * The reverse of time_weighted_serialize.
 */
Datum
time_weighted_deserialize(PG_FUNCTION_ARGS)
{
	bytea	   *bytes = PG_GETARG_BYTEA_PP(0);
	TimeWeightedState *state;
	StringInfoData message;

	aggregate_memory(fcinfo);
	initStringInfo(&message);
	appendBinaryStringInfo(&message, VARDATA_ANY(bytes), VARSIZE_ANY_EXHDR(bytes));
	state = new_state(CurrentMemoryContext, 0, 0);
	state->from = pq_getmsgint64(&message);
	state->until = pq_getmsgint64(&message);
	state->has_before = pq_getmsgbyte(&message) != 0;
	if (state->has_before)
		pq_copymsgbytes(&message, (char *) &state->before, sizeof(LevelSample));
	state->capacity = state->count = (uint64) pq_getmsgint64(&message);
	if (state->count > MaxAllocSize / sizeof(LevelSample))
		elog(ERROR, "impossible state of time_weighted_sum");
	if (state->count > 0)
	{
		state->samples = palloc(state->count * sizeof(LevelSample));
		pq_copymsgbytes(&message, (char *) state->samples, (int) (state->count * sizeof(LevelSample)));
	}
	pq_getmsgend(&message);
	PG_RETURN_POINTER(state);
}

/* ---- result ---------------------------------------------------------- */

/* An exact sum of level times microseconds, in which small levels are added as integers. */
typedef struct Integral
{
	Fixed		fixed;
	Numeric		numeric;		/* of great levels; may be NULL */
} Integral;

/*
 * Adds to the numeric part.
 */
static void
integral_spill(Integral *sum, Numeric part)
{
	sum->numeric = sum->numeric == NULL ? part :
		DatumGetNumeric(DirectFunctionCall2(numeric_add, NumericGetDatum(sum->numeric),
											NumericGetDatum(part)));
}

/*
 * Adds level * microseconds.  Small levels cannot overflow together: each is
 * below 2^62, and all the microseconds of a window are below 2^64.
 */
static void
integral_add(Integral *sum, Fixed level, uint64 microseconds)
{
	if (fixed_magnitude(level) >> 62 == 0)
		sum->fixed += level * (Fixed) microseconds;
	else
		integral_spill(sum,
					   DatumGetNumeric(DirectFunctionCall2(numeric_mul,
														   NumericGetDatum(fixed_to_numeric(level)),
														   NumericGetDatum(fixed_to_numeric((Fixed) microseconds * FIXED_ONE)))));
}

/*
 * The sum in units of level * seconds.
 */
static Datum
integral_in_seconds(Integral *sum)
{
	const Fixed millionth = FIXED_ONE / 1000000;
	Datum		result;

	integral_spill(sum, fixed_to_numeric(sum->fixed));
	result = DirectFunctionCall2(numeric_mul, NumericGetDatum(sum->numeric),
								 NumericGetDatum(fixed_to_numeric(millionth)));
	return DirectFunctionCall1(numeric_trim_scale, result);
}

/*
 * Final function: the sum over the window of level times the seconds that it
 * held, exact.  Before the first sample the level is 0; without any sample
 * before the window's end the result is null.
 *
 * The list is sorted where it lies, which changes nothing for a set.
 */
Datum
time_weighted_result(PG_FUNCTION_ARGS)
{
	TimeWeightedState *state = PG_ARGISNULL(0) ? NULL : (TimeWeightedState *) PG_GETARG_POINTER(0);
	Integral	sum = {0};
	TimestampTz since;
	Fixed		level;

	aggregate_memory(fcinfo);
	if (state == NULL || (!state->has_before && state->count == 0))
		PG_RETURN_NULL();
	if (state->count > 0)
		qsort(state->samples, state->count, sizeof(LevelSample), compare_samples);
	since = state->from;
	level = state->has_before ? sample_level(&state->before) : 0;
	for (uint64 i = 0; i < state->count; i++)
	{
		integral_add(&sum, level, elapsed_microseconds(since, state->samples[i].at));
		since = state->samples[i].at;
		level = sample_level(&state->samples[i]);
	}
	integral_add(&sum, level, elapsed_microseconds(since, state->until));
	PG_RETURN_DATUM(integral_in_seconds(&sum));
}
