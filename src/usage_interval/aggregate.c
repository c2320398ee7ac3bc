/*-------------------------------------------------------------------------
 *
 * aggregate.c
 *	  sum() and total() of usage_interval values.
 *
 * sum keeps where the usage lies: its state and result are a usage_interval.
 * total keeps the quantity alone, which makes it invertible: its state is the
 * type usage_total, a sum and a count.  Both states are plain SQL values, so
 * that they can travel between parallel workers and between nodes, and both
 * are updated in place.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "common/int.h"
#include "fmgr.h"
#include "libpq/pqformat.h"
#include "utils/builtins.h"

#include "monetary/soft_error.h"
#include "usage_interval/usage_interval.h"

PG_FUNCTION_INFO_V1(usage_interval_accumulate);
PG_FUNCTION_INFO_V1(usage_total_in);
PG_FUNCTION_INFO_V1(usage_total_out);
PG_FUNCTION_INFO_V1(usage_total_recv);
PG_FUNCTION_INFO_V1(usage_total_send);
PG_FUNCTION_INFO_V1(usage_total_accumulate);
PG_FUNCTION_INFO_V1(usage_total_remove);
PG_FUNCTION_INFO_V1(usage_total_combine);
PG_FUNCTION_INFO_V1(usage_total_result);

/* State of total: how much, of how many values. */
typedef struct UsageTotal
{
	uint64		quantity_halves[2]; /* a Fixed; see UsageInterval */
	int64		count;
} UsageTotal;

StaticAssertDecl(sizeof(UsageTotal) == 24, "usage_total has 24 bytes without padding");

#define PG_GETARG_USAGE_TOTAL_P(n) ((UsageTotal *) PG_GETARG_POINTER(n))

/*
 * The state in argument 0: itself inside an aggregate, which owns it, else a
 * copy.
 */
static void *
own_state(FunctionCallInfo fcinfo, Size size)
{
	void	   *state = PG_GETARG_POINTER(0);

	if (AggCheckCallContext(fcinfo, NULL))
		return state;
	return memcpy(palloc(size), state, size);
}

/*
 * Transition and combine function of sum: the hull of both spans with the sum
 * of both quantities.  Raises 22003.
 */
Datum
usage_interval_accumulate(PG_FUNCTION_ARGS)
{
	UsageInterval *state = own_state(fcinfo, sizeof(UsageInterval));
	UsageInterval *value = PG_GETARG_USAGE_INTERVAL_P(1);
	Fixed		sum;

	if (!fixed_add(usage_interval_quantity(state), usage_interval_quantity(value), &sum))
		usage_quantity_range_error();
	usage_interval_set_quantity(state, sum);
	state->start = Min(state->start, value->start);
	state->end = Max(state->end, value->end);
	PG_RETURN_USAGE_INTERVAL_P(state);
}

/* ---- the state of total ---------------------------------------------- */

static inline Fixed
total_quantity(const UsageTotal *total)
{
	Fixed		quantity;

	memcpy(&quantity, total->quantity_halves, sizeof(quantity));
	return quantity;
}

static inline void
total_set_quantity(UsageTotal *total, Fixed quantity)
{
	memcpy(total->quantity_halves, &quantity, sizeof(quantity));
}

/*
 * Moves a total by a quantity of so many values.  Raises 22003.
 */
static void
total_move(UsageTotal *total, Fixed quantity, int64 count)
{
	Fixed		sum;

	if (!fixed_add(total_quantity(total), quantity, &sum) ||
		pg_add_s64_overflow(total->count, count, &total->count))
		usage_quantity_range_error();
	total_set_quantity(total, sum);
}

/*
 * usage_total_in(cstring) reads 'QUANTITY COUNT', as in '5.25 3'.  Soft errors:
 * 22P02, 22003.
 */
Datum
usage_total_in(PG_FUNCTION_ARGS)
{
	char	   *text = PG_GETARG_CSTRING(0);
	Node	   *escontext = fcinfo->context;
	UsageTotal *result = palloc(sizeof(UsageTotal));
	char	   *blank = strchr(text, ' ');
	FixedParseResult outcome = FIXED_PARSE_SYNTAX;
	Fixed		quantity;
	bool		exact;
	char	   *end;

	if (blank != NULL && blank[1] >= '0' && blank[1] <= '9')
		outcome = fixed_parse(text, blank - text, &quantity, &exact);
	errno = 0;
	if (outcome == FIXED_PARSE_OK)
	{
		result->count = strtoi64(blank + 1, &end, 10);
		if (*end != '\0')
			outcome = FIXED_PARSE_SYNTAX;
		else if (errno == ERANGE)
			outcome = FIXED_PARSE_OUT_OF_RANGE;
	}
	if (outcome == FIXED_PARSE_SYNTAX)
		ereturn(escontext, (Datum) 0,
				(errcode(ERRCODE_INVALID_TEXT_REPRESENTATION),
				 errmsg("invalid input syntax for type %s: \"%s\"", "usage_total", text)));
	if (outcome == FIXED_PARSE_OUT_OF_RANGE)
		ereturn(escontext, (Datum) 0,
				(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
				 errmsg("value \"%s\" is out of range for type %s", text, "usage_total")));
	total_set_quantity(result, quantity);
	PG_RETURN_POINTER(result);
}

/*
 * usage_total_out(usage_total) writes what usage_total_in reads.
 */
Datum
usage_total_out(PG_FUNCTION_ARGS)
{
	UsageTotal *total = PG_GETARG_USAGE_TOTAL_P(0);
	char		quantity[FIXED_TEXT_SIZE];

	fixed_format(total_quantity(total), 0, quantity);
	PG_RETURN_CSTRING(psprintf("%s " INT64_FORMAT, quantity, total->count));
}

/*
 * usage_total_recv(internal): 16 bytes of quantity, 8 of count, big-endian.
 * Raises 22P03 for the one number that is no quantity and a negative count.
 */
Datum
usage_total_recv(PG_FUNCTION_ARGS)
{
	StringInfo	message = (StringInfo) PG_GETARG_POINTER(0);
	UsageTotal *result = palloc(sizeof(UsageTotal));
	uint64		high = (uint64) pq_getmsgint64(message);
	uint64		low = (uint64) pq_getmsgint64(message);
	Fixed		quantity = (Fixed) ((uint128) high << 64 | low);

	result->count = pq_getmsgint64(message);
	if (quantity < -FIXED_MAX || result->count < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_BINARY_REPRESENTATION),
				 errmsg("impossible binary value for type %s", "usage_total")));
	total_set_quantity(result, quantity);
	PG_RETURN_POINTER(result);
}

/*
 * usage_total_send(usage_total)
 */
Datum
usage_total_send(PG_FUNCTION_ARGS)
{
	UsageTotal *total = PG_GETARG_USAGE_TOTAL_P(0);
	uint128		quantity = (uint128) total_quantity(total);
	StringInfoData message;

	pq_begintypsend(&message);
	pq_sendint64(&message, (uint64) (quantity >> 64));
	pq_sendint64(&message, (uint64) quantity);
	pq_sendint64(&message, total->count);
	PG_RETURN_BYTEA_P(pq_endtypsend(&message));
}

/* ---- total ----------------------------------------------------------- */

/*
 * Transition function.  Raises 22003.
 */
Datum
usage_total_accumulate(PG_FUNCTION_ARGS)
{
	UsageTotal *state = own_state(fcinfo, sizeof(UsageTotal));

	total_move(state, usage_interval_quantity(PG_GETARG_USAGE_INTERVAL_P(1)), 1);
	PG_RETURN_POINTER(state);
}

/*
 * Inverse transition function, for moving window frames.  Raises 22003.
 */
Datum
usage_total_remove(PG_FUNCTION_ARGS)
{
	UsageTotal *state = own_state(fcinfo, sizeof(UsageTotal));

	total_move(state, -usage_interval_quantity(PG_GETARG_USAGE_INTERVAL_P(1)), -1);
	PG_RETURN_POINTER(state);
}

/*
 * Combine function.  Raises 22003.
 */
Datum
usage_total_combine(PG_FUNCTION_ARGS)
{
	UsageTotal *state = own_state(fcinfo, sizeof(UsageTotal));
	UsageTotal *other = PG_GETARG_USAGE_TOTAL_P(1);

	total_move(state, total_quantity(other), other->count);
	PG_RETURN_POINTER(state);
}

/*
 * Final function: null for no values, as SQL has it.
 */
Datum
usage_total_result(PG_FUNCTION_ARGS)
{
	UsageTotal *state = PG_GETARG_USAGE_TOTAL_P(0);

	if (state->count == 0)
		PG_RETURN_NULL();
	PG_RETURN_NUMERIC(fixed_to_numeric(total_quantity(state)));
}
