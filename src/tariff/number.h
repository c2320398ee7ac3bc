/*-------------------------------------------------------------------------
 *
 * number.h
 *	  Exact decimals for rating.
 *
 * A Number is a 128-bit integer with a decimal scale as long as the value
 * fits, and a PostgreSQL numeric from there on.  Every operation is exact and
 * chooses by itself, so that the price models are written once: the common
 * case runs without memory, division or function calls, and no quantity is
 * too large or too fine.
 *
 * Inline operations take Numbers by value and go to the general ones with
 * copies: so their parameters have no address and stay in registers.  Moving a
 * Number through memory costs more than computing with it.
 *
 *-------------------------------------------------------------------------
 */
#ifndef BILLING_TARIFF_NUMBER_H
#define BILLING_TARIFF_NUMBER_H

#include "common/int.h"
#include "utils/numeric.h"

#include "monetary/fixed.h"

typedef struct Number
{
	int128		mantissa;		/* value is mantissa * 10^-scale ... */
	int64		scale;			/* 64 bits leave no padding, which would cost a copy */
	Numeric		wide;			/* ... unless this is set */
} Number;

typedef enum NumberRounding
{
	NUMBER_ROUND_NONE = 0,		/* stored on disk: never renumber */
	NUMBER_ROUND_UP = 1,		/* away from zero */
	NUMBER_ROUND_DOWN = 2,		/* toward zero */
	NUMBER_ROUND_HALF_UP = 3,	/* halves away from zero */
	NUMBER_ROUND_HALF_EVEN = 4
} NumberRounding;

/* Digits that a number of a tariff may have; 10^38 is below 2^127. */
#define NUMBER_MAX_DIGITS 36

/* Room for the text of a number of a tariff. */
#define NUMBER_TEXT_SIZE 96

/*
 * Mantissas stay within +-2^126, so that adding two of them cannot overflow
 * before the result is checked.
 */
#define NUMBER_MANTISSA_LIMIT (((int128) 1) << 126)
#define number_mantissa_fits(m) \
	((m) < NUMBER_MANTISSA_LIMIT && (m) > -NUMBER_MANTISSA_LIMIT)
#define number_mantissa_is_small(m) ((m) == (int128) (int64) (m))

/* What a numeric turned out to be. */
typedef enum NumberDecode
{
	NUMBER_DECODED,
	NUMBER_NOT_FINITE,
	NUMBER_TOO_LONG,			/* more digits than rating accepts */
	NUMBER_MALFORMED
} NumberDecode;

extern NumberDecode number_from_datum(Datum datum, Number *result);
extern NumberDecode number_from_text(const char *text, Number *result);
extern Number number_from_fixed(Fixed value);
extern Numeric number_to_numeric(Number a);
extern bool number_parse(const char *text, Number *result, bool *too_long);
extern void number_print(Number a, char *text);
extern char *number_to_text(Number a);
extern bool number_rescale(Number *a, int scale);
extern void number_normalise(Number *a);
extern Number number_add_general(const Number *a, const Number *b);
extern Number number_multiply_general(const Number *a, const Number *b);
extern int	number_compare_general(const Number *a, const Number *b);
extern int	number_sign_general(const Number *a);
extern Number number_negate_general(const Number *a);
extern Number number_quotient(Number a, Number b, NumberRounding rounding);
extern bool number_to_fixed(const Number *a, const Number *divisor, Fixed *result);

/* mantissa * 10^-scale. */
static inline Number
number_make(int128 mantissa, int64 scale)
{
	Number		result = {mantissa, scale, NULL};

	return result;
}

/* 0, at scale 0. */
static inline Number
number_zero(void)
{
	return number_make(0, 0);
}

/* a + b, exactly. */
static inline Number
number_add(Number a, Number b)
{
	if (likely(a.wide == NULL && b.wide == NULL && a.scale == b.scale))
	{
		int128		sum = a.mantissa + b.mantissa;

		if (likely(number_mantissa_fits(sum)))
			return number_make(sum, a.scale);
	}
	{
		Number		x = a;
		Number		y = b;

		return number_add_general(&x, &y);
	}
}

/* a * b, exactly. */
static inline Number
number_multiply(Number a, Number b)
{
	if (likely(a.wide == NULL && b.wide == NULL &&
			   number_mantissa_is_small(a.mantissa) &&
			   number_mantissa_is_small(b.mantissa)))
		return number_make((int128) (int64) a.mantissa * (int64) b.mantissa,
						   a.scale + b.scale);
	{
		Number		x = a;
		Number		y = b;

		return number_multiply_general(&x, &y);
	}
}

/* -1, 0 or 1 for a below, equal to or above b. */
static inline int
number_compare(Number a, Number b)
{
	if (likely(a.wide == NULL && b.wide == NULL && a.scale == b.scale))
		return (a.mantissa > b.mantissa) - (a.mantissa < b.mantissa);
	{
		Number		x = a;
		Number		y = b;

		return number_compare_general(&x, &y);
	}
}

/* -1, 0 or 1 */
static inline int
number_sign(Number a)
{
	if (likely(a.wide == NULL))
		return (a.mantissa > 0) - (a.mantissa < 0);
	{
		Number		x = a;

		return number_sign_general(&x);
	}
}

/* -a. */
static inline Number
number_negate(Number a)
{
	if (likely(a.wide == NULL))
		return number_make(-a.mantissa, a.scale);
	{
		Number		x = a;

		return number_negate_general(&x);
	}
}

/* a - b, exactly. */
static inline Number
number_subtract(Number a, Number b)
{
	return number_add(a, number_negate(b));
}

extern const int64 number_powers[];

/*
 * The least whole multiple of 10^-scale that is not below a positive number,
 * or false when that is not known at a glance.
 */
static inline bool
number_ceiling(Number a, int scale, int64 *result)
{
	int64		mantissa = (int64) a.mantissa;
	int			shift = scale - a.scale;

	if (unlikely(a.wide != NULL || !number_mantissa_is_small(a.mantissa) ||
				 shift > 18 || shift < -18))
		return false;
	if (shift > 0)
		return !pg_mul_s64_overflow(mantissa, number_powers[shift], result);
	*result = mantissa;
	if (shift < 0)
		*result = (mantissa - 1) / number_powers[-shift] + 1;
	return true;
}

#endif							/* BILLING_TARIFF_NUMBER_H */
