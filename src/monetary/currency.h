/*-------------------------------------------------------------------------
 *
 * currency.h
 *	  Currency codes and what ISO 4217 says about each.
 *
 * The facts are compiled in: the input function of a type must not read a
 * table, or an index built yesterday could disagree with today's values.
 *
 *-------------------------------------------------------------------------
 */
#ifndef BILLING_CURRENCY_H
#define BILLING_CURRENCY_H

#include "monetary/fixed.h"

/* Three upper-case ASCII letters, the first in bits 16 to 23. */
typedef uint32 CurrencyCode;

#define CURRENCY_CODE(a, b, c) \
	(((CurrencyCode) (a) << 16) | ((CurrencyCode) (b) << 8) | (CurrencyCode) (c))

/* Never the code of a currency. */
#define CURRENCY_NONE ((CurrencyCode) 0)

/* Room for the three letters and the terminator. */
#define CURRENCY_TEXT_SIZE 4

typedef struct CurrencyFacts
{
	CurrencyCode code;
	int			numeric_code;	/* -1: none */
	int			minor_unit;		/* decimals; -1: no minor unit */
	int64		cash_increment; /* in 10^-15; 0: the minor unit itself */
	const char *withdrawn;		/* when ISO 4217 withdrew it; NULL: active */
	const char *name;			/* English, UTF-8 */
} CurrencyFacts;

extern const CurrencyFacts *currency_facts(CurrencyCode code);
extern CurrencyCode currency_lookup(const char *letters, size_t length);
extern CurrencyCode currency_required(const char *letters, size_t length);
extern int	currency_minor_unit(CurrencyCode code);
extern bool currency_is_withdrawn(CurrencyCode code);
extern void currency_to_text(CurrencyCode code, char *text);

#endif							/* BILLING_CURRENCY_H */
