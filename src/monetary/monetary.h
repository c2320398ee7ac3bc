/*-------------------------------------------------------------------------
 *
 * monetary.h
 *	  The type monetary: an amount of one currency in 16 bytes.
 *
 * A value is one big-endian 128-bit word: the three letters of the currency in
 * the upper 24 bits, below them the amount in 10^-15 units as a 104-bit two's
 * complement number.  Every value has exactly one image, the same on every
 * machine, so that equality, hashing and deduplication may look at bytes.
 *
 *-------------------------------------------------------------------------
 */
#ifndef BILLING_MONETARY_H
#define BILLING_MONETARY_H

#include "port/pg_bswap.h"

#include "monetary/currency.h"
#include "monetary/fixed.h"

typedef struct Monetary
{
	uint8		bytes[16];
} Monetary;

StaticAssertDecl(sizeof(Monetary) == 16, "monetary has 16 bytes and no padding");

/* Amounts reach from -10^16 to 10^16 units, both included. */
#define MONETARY_MAX_UNITS INT64CONST(10000000000000000)
#define MONETARY_MAX ((Fixed) MONETARY_MAX_UNITS * FIXED_ONE)

/* Amounts of two currencies met where one currency is needed. */
#define MONETARY_ERRCODE_CURRENCY ERRCODE_INVALID_PARAMETER_VALUE

/* Room for an amount as text, a blank and the currency. */
#define MONETARY_TEXT_SIZE (FIXED_TEXT_SIZE + 1 + CURRENCY_TEXT_SIZE)

#define DatumGetMonetaryP(x) ((Monetary *) DatumGetPointer(x))
#define MonetaryPGetDatum(x) PointerGetDatum(x)
#define PG_GETARG_MONETARY_P(n) DatumGetMonetaryP(PG_GETARG_DATUM(n))
#define PG_RETURN_MONETARY_P(x) return MonetaryPGetDatum(x)

/* The amount's sign bit, seen from the upper half of the word. */
#define MONETARY_HIGH_SIGN_BIT (UINT64CONST(1) << 39)

/* The halves of the word, as numbers of this machine. */
static inline uint64
monetary_high(const Monetary *value)
{
	uint64		half;

	memcpy(&half, value->bytes, sizeof(half));
	return pg_ntoh64(half);
}

static inline uint64
monetary_low(const Monetary *value)
{
	uint64		half;

	memcpy(&half, value->bytes + sizeof(half), sizeof(half));
	return pg_ntoh64(half);
}

/* The amount in 10^-15 units. */
static inline Fixed
monetary_amount(const Monetary *value)
{
	uint64		high = monetary_high(value) & (MONETARY_HIGH_SIGN_BIT * 2 - 1);
	uint128		amount = (uint128) high << 64 | monetary_low(value);
	uint128		sign_bit = (uint128) MONETARY_HIGH_SIGN_BIT << 64;

	return (Fixed) ((amount ^ sign_bit) - sign_bit);
}

static inline CurrencyCode
monetary_currency(const Monetary *value)
{
	return (CurrencyCode) (monetary_high(value) >> 40);
}

/* Can a monetary hold this amount? */
static inline bool
monetary_in_range(Fixed amount)
{
	return amount >= -MONETARY_MAX && amount <= MONETARY_MAX;
}

/* Stores a currency and an amount that is known to be in range. */
static inline void
monetary_store(CurrencyCode currency, Fixed amount, Monetary *result)
{
	uint64		high = (uint64) currency << 40 |
		((uint64) ((uint128) amount >> 64) & (MONETARY_HIGH_SIGN_BIT * 2 - 1));
	uint64		half = pg_hton64(high);

	memcpy(result->bytes, &half, sizeof(half));
	half = pg_hton64((uint64) amount);
	memcpy(result->bytes + sizeof(half), &half, sizeof(half));
}

extern void monetary_make(CurrencyCode currency, Fixed amount, Monetary *result);
extern Monetary *monetary_new(CurrencyCode currency, Fixed amount);
pg_noreturn extern void monetary_range_error(CurrencyCode currency);
pg_noreturn extern void monetary_currency_error(CurrencyCode a, CurrencyCode b);
extern CurrencyCode monetary_common_currency(const Monetary *a, const Monetary *b);
extern int	monetary_format(const Monetary *value, char *buffer);
extern int	monetary_compare(const Monetary *a, const Monetary *b);

/* Do two values have the same bytes? */
static inline bool
monetary_equal(const Monetary *a, const Monetary *b)
{
	return memcmp(a->bytes, b->bytes, sizeof(a->bytes)) == 0;
}

#endif							/* BILLING_MONETARY_H */
