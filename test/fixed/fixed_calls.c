/*-------------------------------------------------------------------------
 *
 * fixed_calls.c
 *	  The functions of src/monetary/fixed.c behind plain C calls, for a program
 *	  that has no server around it.  128-bit numbers travel as 16 bytes.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "monetary/fixed.h"

#include <stdlib.h>

/* What fixed.c wants of the server. */
void *
palloc(Size size)
{
	return malloc(size);
}

#if PG_VERSION_NUM >= 160000
void
ExceptionalCondition(const char *condition, const char *file, int line)
#else
void
ExceptionalCondition(const char *condition, const char *type, const char *file, int line)
#endif
{
	abort();
}

static Fixed
load(const void *bytes)
{
	Fixed		value;

	memcpy(&value, bytes, sizeof(value));
	return value;
}

static int
store(bool fits, Fixed value, void *bytes)
{
	memcpy(bytes, &value, sizeof(value));
	return fits;
}

extern int	call_add(const void *a, const void *b, void *result);
extern int	call_sub(const void *a, const void *b, void *result);
extern int	call_mul_div(const void *a, const void *b, const void *c, int rounding, void *result);
extern void call_mul_divmod(const void *a, const void *b, const void *c, void *quotient, void *remainder);
extern int	call_round_to(const void *value, const void *quantum, int rounding, void *result);
extern int	call_sum_product(void *sum, const void *a, const void *b);
extern int	call_sum_round(const void *sum, void *result);
extern int	call_parse(const char *text, int length, void *result, int *exact);
extern int	call_format(const void *value, int min_decimals, char *buffer);
extern int	call_numeric(const void *value, int min_decimals, void *result, int *exact);

int
call_add(const void *a, const void *b, void *result)
{
	Fixed		value = 0;
	bool		fits = fixed_add(load(a), load(b), &value);

	return store(fits, value, result);
}

int
call_sub(const void *a, const void *b, void *result)
{
	Fixed		value = 0;
	bool		fits = fixed_sub(load(a), load(b), &value);

	return store(fits, value, result);
}

int
call_mul_div(const void *a, const void *b, const void *c, int rounding, void *result)
{
	Fixed		value = 0;
	bool		fits = fixed_mul_div(load(a), load(b), load(c), (FixedRounding) rounding, &value);

	return store(fits, value, result);
}

void
call_mul_divmod(const void *a, const void *b, const void *c, void *quotient, void *remainder)
{
	uint128		whole;
	uint128		rest;

	fixed_mul_divmod((uint128) load(a), (uint128) load(b), (uint128) load(c), &whole, &rest);
	memcpy(quotient, &whole, sizeof(whole));
	memcpy(remainder, &rest, sizeof(rest));
}

int
call_round_to(const void *value, const void *quantum, int rounding, void *result)
{
	Fixed		rounded = 0;
	bool		fits = fixed_round_to(load(value), load(quantum), (FixedRounding) rounding, &rounded);

	return store(fits, rounded, result);
}

int
call_sum_product(void *sum, const void *a, const void *b)
{
	return fixed256_add_product((Fixed256 *) sum, load(a), load(b));
}

int
call_sum_round(const void *sum, void *result)
{
	Fixed		value = 0;
	bool		fits = fixed256_round((const Fixed256 *) sum, &value);

	return store(fits, value, result);
}

int
call_parse(const char *text, int length, void *result, int *exact)
{
	Fixed		value = 0;
	bool		is_exact = false;
	FixedParseResult outcome = fixed_parse(text, length, &value, &is_exact);

	*exact = is_exact;
	(void) store(true, value, result);
	return (int) outcome;
}

int
call_format(const void *value, int min_decimals, char *buffer)
{
	return fixed_format(load(value), min_decimals, buffer);
}

/* There and back through numeric. */
int
call_numeric(const void *value, int min_decimals, void *result, int *exact)
{
	Numeric		numeric = fixed_to_numeric_padded(load(value), min_decimals);
	Fixed		back = 0;
	bool		is_exact = false;
	bool		fits = fixed_from_numeric(numeric, &back, &is_exact);

	free(numeric);
	*exact = is_exact;
	return store(fits, back, result);
}
