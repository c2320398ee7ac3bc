/*-------------------------------------------------------------------------
 *
 * lint.h
 *	  Collecting what looks wrong in a tariff that is valid.
 *
 *-------------------------------------------------------------------------
 */
#ifndef BILLING_TARIFF_LINT_H
#define BILLING_TARIFF_LINT_H

#include "nodes/execnodes.h"

#include "tariff/compiled.h"

typedef enum LintSeverity
{
	LINT_ERROR,					/* cannot be meant */
	LINT_WARNING,				/* likely to surprise a customer or the seller */
	LINT_NOTICE					/* worth knowing */
} LintSeverity;

typedef struct TariffLint
{
	ReturnSetInfo *result;
	const char *path;			/* "" or "cells[3].tariff: " */
} TariffLint;

extern void lint_report(TariffLint *lint, LintSeverity severity, const char *code,
						const char *format,...) pg_attribute_printf(4, 5);
extern void lint_price_sign(TariffLint *lint, const char *member, Number price);
extern void tariff_lint_all(const Tariff *tariff, TariffLint *lint);

#endif							/* BILLING_TARIFF_LINT_H */
