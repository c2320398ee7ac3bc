/*-------------------------------------------------------------------------
 *
 * tiers.h
 *	  The table of tiers that graduated and volume prices share.
 *
 *-------------------------------------------------------------------------
 */
#ifndef BILLING_TARIFF_TIERS_H
#define BILLING_TARIFF_TIERS_H

#include "tariff/lint.h"
#include "tariff/model.h"

/* Bits of TierTable.flags, stored. */
#define TIERS_BEYOND_ERROR		0x01	/* a finite last tier: beyond it raises ... */
#define TIERS_BEYOND_FREE		0x02	/* ... or costs nothing more */
#define TIERS_HAVE_FLAT			0x04	/* some flat is not 0 */
#define TIERS_HAVE_OFFSET		0x08	/* offsets are stored */
#define TIERS_FINITE			(TIERS_BEYOND_ERROR | TIERS_BEYOND_FREE)

/*
 * Tier i holds the quantities in (up_to[i - 1], up_to[i]], the first from 0.
 * A graduated price is a straight line inside a tier: price[i] * quantity +
 * offset[i], where the offset has the flats and what lower tiers cost more or
 * less than this one.
 */
typedef struct TierTable
{
	int			count;
	int			bounds;			/* count, or one less when the last is open */
	uint8		flags;
	TariffColumn up_to;
	TariffColumn price;
	TariffColumn flat;			/* only with TIERS_HAVE_FLAT */
	TariffColumn offset;		/* only with TIERS_HAVE_OFFSET */
} TierTable;

extern const char *const tiers_members[];

extern bool tiers_compile(const ReaderObject *object, StringInfo out, bool percent, bool graduated);
extern void tiers_print(const Tariff *tariff, StringInfo json, bool percent);
extern void tiers_open(const Tariff *tariff, TierTable *table);
extern bool tiers_locate(const TierTable *table, Rating *rating, Number *quantity, int *tier);
extern void tiers_limits(const TierTable *table, int tier, Number *lower, Number *upper, bool *bounded);
extern bool tiers_zero_price(const Tariff *tariff, const TierTable *table, Rating *rating, Number *amount);
extern void tiers_lint(const Tariff *tariff, struct TariffLint *lint, bool graduated);
extern bool graduated_price(const Tariff *tariff, Rating *rating, Number *amount);
extern bool graduated_price_each(const Tariff *tariff, Rating *rating,
								 const RatedEvent *events, int count, Number *amount);

/* The flat of a tier; a table without flats stores none. */
static inline Number
tiers_flat(const TierTable *table, int tier)
{
	return (table->flags & TIERS_HAVE_FLAT) ? column_value(&table->flat, tier) : number_zero();
}

/* The lower bound of a tier, which does not belong to it. */
static inline Number
tiers_lower(const TierTable *table, int tier)
{
	return tier == 0 ? number_zero() : column_value(&table->up_to, tier - 1);
}

#endif							/* BILLING_TARIFF_TIERS_H */
