/*-------------------------------------------------------------------------
 *
 * tariff_errors.h
 *	  SQLSTATEs of rating that callers need to tell apart.
 *
 * A billing run stores the state of a failed rating and reports the reason,
 * so each reason that asks for another act of the operator has a code of its
 * own.  Class BL is used by no PostgreSQL release.
 *
 *-------------------------------------------------------------------------
 */
#ifndef BILLING_TARIFF_ERRORS_H
#define BILLING_TARIFF_ERRORS_H

#include "utils/elog.h"

/* A matrix has no cell for the dimensions and no default. */
#define ERRCODE_TARIFF_UNMATCHED_CELL	MAKE_SQLSTATE('B', 'L', '0', '0', '1')

/* The quantity is below zero and the price has no meaning there. */
#define ERRCODE_TARIFF_NEGATIVE_QUANTITY	MAKE_SQLSTATE('B', 'L', '0', '0', '2')

/* The price needs something that was not given: events, dimensions. */
#define ERRCODE_TARIFF_INPUT_MISSING	MAKE_SQLSTATE('B', 'L', '0', '0', '3')

/* The quantity lies beyond a finite last tier that says "beyond": "error". */
#define ERRCODE_TARIFF_BEYOND_LAST_TIER	MAKE_SQLSTATE('B', 'L', '0', '0', '4')

/* Quantities of several units were given to a price of one unit. */
#define ERRCODE_TARIFF_UNITS	MAKE_SQLSTATE('B', 'L', '0', '0', '5')

#endif							/* BILLING_TARIFF_ERRORS_H */
