/*-------------------------------------------------------------------------
 *
 * dialect.h
 *	  Rules that only one product has.
 *
 *-------------------------------------------------------------------------
 */
#ifndef BILLING_TARIFF_DIALECT_H
#define BILLING_TARIFF_DIALECT_H

#include "tariff/steps.h"

/* Numbers on disk: the position in tariff_dialects. */
typedef enum TariffDialectId
{
	DIALECT_NONE = 0,
	DIALECT_LAGO = 1,
	DIALECT_OPENMETER = 2,
	DIALECT_STRIPE = 3,
	DIALECT_FLEXPRICE = 4,
	DIALECT_METEROID = 5,
	DIALECT_KILLBILL = 6,
	DIALECT_CLOUDKITTY = 7,
	DIALECT_WALDUR = 8
} TariffDialectId;

/* The lines of a bill. */
typedef struct DialectLines
{
	Fixed	   *amounts;
	int			count;
} DialectLines;

extern TariffBillRounding dialect_bill_rounding(uint8 dialect);
extern TariffBillRounding tariff_bill_rounding(const Tariff *tariff);
extern bool dialect_lines_total(const DialectLines *lines, Fixed *total);
extern void dialect_lines(const Tariff *tariff, Rating *rating, Fixed total, DialectLines *lines);
extern Fixed dialect_round(const Tariff *tariff, Fixed amount);
extern bool dialect_negative(const Tariff *tariff, Rating *rating, Number *amount);
extern bool lago_negative(const Tariff *tariff, Rating *rating, Number *amount);
extern bool lago_dynamic_units(Jsonb *quantities, Rating *rating);
extern bool openmeter_volume_waits(Rating *rating, Number *amount);
extern void detail_lines(const Tariff *tariff, Rating *rating, DialectLines *lines);

#endif							/* BILLING_TARIFF_DIALECT_H */
