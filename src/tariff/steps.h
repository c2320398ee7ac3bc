/*-------------------------------------------------------------------------
 *
 * steps.h
 *	  The readable steps of one rating.
 *
 *-------------------------------------------------------------------------
 */
#ifndef BILLING_TARIFF_STEPS_H
#define BILLING_TARIFF_STEPS_H

#include "tariff/model.h"

typedef struct RatingStep
{
	RatingStepKind kind;
	bool		has_from;
	bool		has_to;
	bool		has_price;
	Number		tier_from;
	Number		tier_to;
	Number		quantity;
	Number		unit_price;
	Number		exact;			/* amount, divided */
	Fixed		amount;			/* rounded by itself, within what monetary holds */
	char	   *what;
} RatingStep;

typedef struct RatingSteps
{
	List	   *list;			/* of RatingStep */
	bool		overflow;		/* an amount of a step was not within that */
} RatingSteps;

extern void steps_settle(RatingSteps *steps, Fixed total);

#endif							/* BILLING_TARIFF_STEPS_H */
