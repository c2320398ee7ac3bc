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
	bool		has_quantity;
	bool		has_price;
	Number		tier_from;
	Number		tier_to;
	Fixed		quantity;
	Number		unit_price;
	Fixed		amount;			/* rounded by itself */
	char	   *what;
} RatingStep;

typedef struct RatingSteps
{
	List	   *list;			/* of RatingStep */
	bool		overflow;		/* a number of a step is out of range */
} RatingSteps;

extern bool steps_settle(RatingSteps *steps, Fixed total);

#endif							/* BILLING_TARIFF_STEPS_H */
