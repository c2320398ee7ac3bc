/*-------------------------------------------------------------------------
 *
 * monetary_aggregate.c
 *	  sum and avg of monetary values, and the type of their state.
 *
 * The state is an SQL type of its own, monetary_sum, not an internal pointer:
 * partial sums can then be computed in parallel workers or on other nodes and
 * travel like any value.  Its amount has 128 bits, so that a sum may leave the
 * range of monetary on the way as long as it comes back.
 *
 * Integer addition is exactly invertible, which is what the moving forms for
 * window frames rely on.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "fmgr.h"
#include "libpq/pqformat.h"
#include "utils/builtins.h"

#include "monetary/monetary.h"
#include "monetary/soft_error.h"

/* The state; without rows everything is 0. */
typedef struct MonetarySum
{
	Fixed		amount;
	int64		count;			/* rows in the sum */
	CurrencyCode currency;		/* CURRENCY_NONE without rows */
	uint32		unused;			/* always 0: no padding, one image a value */
} MonetarySum;

StaticAssertDecl(sizeof(MonetarySum) == 32, "monetary_sum has 32 bytes and no padding");

#define PG_GETARG_MONETARY_SUM_P(n) ((MonetarySum *) PG_GETARG_POINTER(n))

PG_FUNCTION_INFO_V1(monetary_sum_in);
PG_FUNCTION_INFO_V1(monetary_sum_out);
PG_FUNCTION_INFO_V1(monetary_sum_recv);
PG_FUNCTION_INFO_V1(monetary_sum_send);
PG_FUNCTION_INFO_V1(monetary_sum_add);
PG_FUNCTION_INFO_V1(monetary_sum_remove);
PG_FUNCTION_INFO_V1(monetary_sum_combine);
PG_FUNCTION_INFO_V1(monetary_sum_total);
PG_FUNCTION_INFO_V1(monetary_sum_average);

/* ---- input and output --------------------------------------------------- */

/*
 * Can this have come out of summing?
 */
static bool
monetary_sum_is_valid(const MonetarySum *state)
{
	if (state->count == 0)
		return state->currency == CURRENCY_NONE && state->amount == 0;
	return state->count > 0 && currency_facts(state->currency) != NULL &&
		fixed_magnitude(state->amount) <= (uint128) FIXED_MAX;
}

/*
 * Reads '(count,amount,currency)'; without rows the currency is empty.
 */
static bool
monetary_sum_parse(const char *text, MonetarySum *state)
{
	const char *amount = strchr(text, ',');
	const char *code = amount == NULL ? NULL : strchr(amount + 1, ',');
	Fixed		count;
	bool		exact;
	size_t		code_length;

	memset(state, 0, sizeof(*state));
	if (code == NULL || text[0] != '(' || text[strlen(text) - 1] != ')')
		return false;
	if (fixed_parse(text + 1, amount - text - 1, &count, &exact) != FIXED_PARSE_OK ||
		count % FIXED_ONE != 0 || count / FIXED_ONE > PG_INT64_MAX || count < 0)
		return false;
	state->count = (int64) (count / FIXED_ONE);
	if (fixed_parse(amount + 1, code - amount - 1, &state->amount, &exact) != FIXED_PARSE_OK)
		return false;
	code_length = strlen(code + 1) - 1;
	if (code_length > 0)
	{
		state->currency = currency_lookup(code + 1, code_length);
		if (state->currency == CURRENCY_NONE)
			return false;
	}
	return monetary_sum_is_valid(state);
}

/*
 * monetary_sum_in(cstring).  Soft error: 22P02.
 */
Datum
monetary_sum_in(PG_FUNCTION_ARGS)
{
	char	   *text = PG_GETARG_CSTRING(0);
	MonetarySum *state = (MonetarySum *) palloc(sizeof(MonetarySum));

	if (!monetary_sum_parse(text, state))
		ereturn(fcinfo->context, (Datum) 0,
				(errcode(ERRCODE_INVALID_TEXT_REPRESENTATION),
				 errmsg("invalid input syntax for type %s: \"%s\"", "monetary_sum", text),
				 errhint("Write a number of values, their sum and their currency, like \"(2,12.34,EUR)\".")));
	PG_RETURN_POINTER(state);
}

/*
 * monetary_sum_out(monetary_sum)
 */
Datum
monetary_sum_out(PG_FUNCTION_ARGS)
{
	MonetarySum *state = PG_GETARG_MONETARY_SUM_P(0);
	char		amount[FIXED_TEXT_SIZE];
	char		code[CURRENCY_TEXT_SIZE];

	fixed_format(state->amount, Max(currency_minor_unit(state->currency), 0), amount);
	currency_to_text(state->currency, code);
	PG_RETURN_CSTRING(psprintf("(" INT64_FORMAT ",%s,%s)", state->count, amount, code));
}

/*
 * monetary_sum_recv(internal): currency, count and amount, all big-endian.
 * Raises 22P03.
 */
Datum
monetary_sum_recv(PG_FUNCTION_ARGS)
{
	StringInfo	message = (StringInfo) PG_GETARG_POINTER(0);
	MonetarySum *state = (MonetarySum *) palloc0(sizeof(MonetarySum));
	uint64		high;

	state->currency = (CurrencyCode) pq_getmsgint(message, 4);
	state->count = pq_getmsgint64(message);
	high = (uint64) pq_getmsgint64(message);
	state->amount = (Fixed) ((uint128) high << 64 | (uint64) pq_getmsgint64(message));
	if (!monetary_sum_is_valid(state))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_BINARY_REPRESENTATION),
				 errmsg("invalid binary value for type %s", "monetary_sum")));
	PG_RETURN_POINTER(state);
}

/*
 * monetary_sum_send(monetary_sum): what monetary_sum_recv reads.
 */
Datum
monetary_sum_send(PG_FUNCTION_ARGS)
{
	MonetarySum *state = PG_GETARG_MONETARY_SUM_P(0);
	StringInfoData message;

	pq_begintypsend(&message);
	pq_sendint32(&message, state->currency);
	pq_sendint64(&message, (uint64) state->count);
	pq_sendint64(&message, (uint64) ((uint128) state->amount >> 64));
	pq_sendint64(&message, (uint64) state->amount);
	PG_RETURN_BYTEA_P(pq_endtypsend(&message));
}

/* ---- transitions --------------------------------------------------------- */

/*
 * The state to change: the argument itself inside an aggregate, whose state
 * nobody else sees; a copy when somebody calls the function directly.
 */
static inline MonetarySum *
monetary_sum_writable(FunctionCallInfo fcinfo)
{
	MonetarySum *state = PG_GETARG_MONETARY_SUM_P(0);
	MonetarySum *copy;

	if (AggCheckCallContext(fcinfo, NULL))
		return state;
	copy = (MonetarySum *) palloc(sizeof(MonetarySum));
	*copy = *state;
	return copy;
}

/*
 * Raises 22003: 128 bits did not suffice.
 */
pg_noreturn static void
monetary_sum_overflow(void)
{
	ereport(ERROR,
			(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
			 errmsg("sum of monetary values is out of range")));
}

/*
 * Adds rows of one currency to a state.
 */
static inline void
monetary_sum_merge(MonetarySum *state, CurrencyCode currency, Fixed amount, int64 count)
{
	if (state->currency != currency)
	{
		if (state->count != 0)
			monetary_currency_error(state->currency, currency);
		state->currency = currency;
	}
	if (!fixed_add(state->amount, amount, &state->amount) || state->count > PG_INT64_MAX - count)
		monetary_sum_overflow();
	state->count += count;
}

/*
 * monetary_sum_add(monetary_sum, monetary): transition of sum and avg.  Raises
 * 22023 when the currencies differ.
 */
Datum
monetary_sum_add(PG_FUNCTION_ARGS)
{
	MonetarySum *state = monetary_sum_writable(fcinfo);
	Monetary   *value = PG_GETARG_MONETARY_P(1);

	monetary_sum_merge(state, monetary_currency(value), monetary_amount(value), 1);
	PG_RETURN_POINTER(state);
}

/*
 * monetary_sum_remove(monetary_sum, monetary): takes back what
 * monetary_sum_add added.  Raises 22023 for a value that cannot be in the sum.
 */
Datum
monetary_sum_remove(PG_FUNCTION_ARGS)
{
	MonetarySum *state = monetary_sum_writable(fcinfo);
	Monetary   *value = PG_GETARG_MONETARY_P(1);

	if (state->count <= 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("cannot take a value out of a sum of no values")));
	if (state->currency != monetary_currency(value))
		monetary_currency_error(state->currency, monetary_currency(value));
	if (!fixed_sub(state->amount, monetary_amount(value), &state->amount))
		monetary_sum_overflow();
	state->count--;
	if (state->count == 0)
	{
		if (state->amount != 0)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("cannot take a value out of a sum that does not contain it")));
		state->currency = CURRENCY_NONE;
	}
	PG_RETURN_POINTER(state);
}

/*
 * monetary_sum_combine(monetary_sum, monetary_sum): the state of all rows of
 * both.  Raises 22023 when the currencies differ.
 */
Datum
monetary_sum_combine(PG_FUNCTION_ARGS)
{
	MonetarySum *state = monetary_sum_writable(fcinfo);
	MonetarySum *other = PG_GETARG_MONETARY_SUM_P(1);

	if (other->count != 0)
		monetary_sum_merge(state, other->currency, other->amount, other->count);
	PG_RETURN_POINTER(state);
}

/* ---- results ------------------------------------------------------------- */

/*
 * monetary_sum_total(monetary_sum): the sum, NULL without rows.  Raises 22003.
 */
Datum
monetary_sum_total(PG_FUNCTION_ARGS)
{
	MonetarySum *state = PG_GETARG_MONETARY_SUM_P(0);

	if (state->count == 0)
		PG_RETURN_NULL();
	PG_RETURN_MONETARY_P(monetary_new(state->currency, state->amount));
}

/*
 * monetary_sum_average(monetary_sum): the mean, rounded half to even at 15
 * decimals; NULL without rows.
 */
Datum
monetary_sum_average(PG_FUNCTION_ARGS)
{
	MonetarySum *state = PG_GETARG_MONETARY_SUM_P(0);
	Fixed		mean;

	if (state->count == 0)
		PG_RETURN_NULL();
	if (!fixed_mul_div(state->amount, 1, state->count, FIXED_ROUND_HALF_EVEN, &mean))
		monetary_sum_overflow();
	PG_RETURN_MONETARY_P(monetary_new(state->currency, mean));
}
