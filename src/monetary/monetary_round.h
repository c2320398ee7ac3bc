/*-------------------------------------------------------------------------
 *
 * monetary_round.h
 *	  Rounding modes by name, and the steps to which amounts are rounded.
 *
 *-------------------------------------------------------------------------
 */
#ifndef BILLING_MONETARY_ROUND_H
#define BILLING_MONETARY_ROUND_H

#include "monetary/monetary.h"

extern FixedRounding monetary_rounding_mode(const char *name, size_t length, bool *cash);
extern Fixed monetary_minor_quantum(CurrencyCode currency);
extern Fixed monetary_digits_quantum(int digits);

#endif							/* BILLING_MONETARY_ROUND_H */
