/*-------------------------------------------------------------------------
 *
 * tiers.c
 *	  The table of tiers that graduated and volume prices share: reading,
 *	  printing, finding the tier of a quantity.
 *
 * Body: count (two bytes), flags, the columns up_to (without the open last
 * one), price, and, where the flags say so, flat and offset.  A percentage is
 * stored as the price of one unit of money, a hundredth of it.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "tariff/tiers.h"

const char *const tiers_members[] = {"tiers", "beyond", NULL};

static const char *const beyond_words[] = {NULL, "error", "free", ""};

/* The tiers while they are read. */
typedef struct TierNumbers
{
	Number		up_to[TARIFF_MAX_TIERS];
	Number		price[TARIFF_MAX_TIERS];
	Number		flat[TARIFF_MAX_TIERS];
	Number		offset[TARIFF_MAX_TIERS];
	bool		have_flat;
	bool		finite;			/* the last tier has up_to */
} TierNumbers;

/* Check one bound against the one before. */
static bool
tier_check_bound(const ReaderArray *array, int index, TierNumbers *tiers)
{
	if (index == 0 && number_sign(tiers->up_to[0]) <= 0)
		return reader_fail(array->reader, "%s[0].up_to must be greater than 0, not %s",
						   array->path, number_to_text(tiers->up_to[0]));
	if (index > 0 && number_compare(tiers->up_to[index], tiers->up_to[index - 1]) <= 0)
		return reader_fail(array->reader,
						   "%s[%d].up_to must be greater than %s[%d].up_to, but %s is not greater than %s",
						   array->path, index, array->path, index - 1,
						   number_to_text(tiers->up_to[index]),
						   number_to_text(tiers->up_to[index - 1]));
	return true;
}

/* Read tier number index. */
static bool
tier_read(const ReaderArray *array, int index, bool percent, TierNumbers *tiers)
{
	static const char *const members[] = {"up_to", "unit_price", "flat", NULL};
	static const char *const percent_members[] = {"up_to", "percent", "flat", NULL};
	const char *price_name = percent ? "percent" : "unit_price";
	ReaderObject tier;
	bool		given;
	bool		has_price;
	bool		has_flat;

	tiers->price[index] = tiers->flat[index] = number_zero();
	if (!array_object(array, index, &tier) ||
		!object_only_has(&tier, percent ? percent_members : members, NULL, NULL) ||
		!object_optional_number(&tier, "up_to", &tiers->up_to[index], &given) ||
		!object_optional_number(&tier, price_name, &tiers->price[index], &has_price) ||
		!object_optional_number(&tier, "flat", &tiers->flat[index], &has_flat))
		return false;
	if (!has_price && !has_flat)
		return reader_fail(tier.reader, "%s%s is missing", tier.path, price_name);
	if (percent && tiers->price[index].mantissa != 0)
		tiers->price[index].scale += 2;
	number_normalise(&tiers->price[index]);
	tiers->have_flat |= number_sign(tiers->flat[index]) != 0;
	tiers->finite = given;
	if (given)
		return tier_check_bound(array, index, tiers);
	if (index < array->count - 1)
		return reader_fail(tier.reader, "%sup_to is missing; only the last tier may be open", tier.path);
	return true;
}

/* Read "beyond", which a finite last tier must have and an open one must not. */
static bool
tiers_read_beyond(const ReaderObject *object, bool finite, int last, uint8 *beyond)
{
	if (!object_choice(object, "beyond", beyond_words, beyond))
		return false;
	if (finite && *beyond == 0)
		return reader_fail(object->reader,
						   "%stiers[%d] ends at its up_to, so %sbeyond must say what a greater quantity costs: error or free",
						   object->path, last, object->path);
	if (!finite && *beyond != 0)
		return reader_fail(object->reader,
						   "%sbeyond has no meaning because tiers[%d] has no up_to", object->path, last);
	return true;
}

/*
 * Compute the offsets: at the border between two tiers the amount does not
 * jump but by the flat, so offset[i] = offset[i - 1] + flat[i] +
 * (price[i - 1] - price[i]) * up_to[i - 1].  False when they need more digits
 * than a mantissa has.
 */
static bool
tiers_sum_offsets(TierNumbers *tiers, int count)
{
	Number		offset = number_zero();
	int			i;

	for (i = 0; i < count; i++)
	{
		offset = number_add(offset, tiers->flat[i]);
		if (i > 0)
			offset = number_add(offset,
								number_multiply(number_subtract(tiers->price[i - 1], tiers->price[i]),
												tiers->up_to[i - 1]));
		if (offset.wide != NULL)
			return false;
		number_normalise(&offset);
		tiers->offset[i] = offset;
	}
	return true;
}

/* Append what was read. */
static bool
tiers_put(const ReaderArray *array, TierNumbers *tiers, uint8 flags, bool graduated, StringInfo out)
{
	uint16		count = array->count;
	int			flags_at = out->len + sizeof(count);

	if (tiers->have_flat)
		flags |= TIERS_HAVE_FLAT;
	compiled_put_bytes(out, &count, sizeof(count));
	compiled_put_bytes(out, &flags, sizeof(flags));
	if (!compiled_put_column(out, tiers->up_to, tiers->finite ? count : count - 1) ||
		!compiled_put_column(out, tiers->price, count) ||
		(tiers->have_flat && !compiled_put_column(out, tiers->flat, count)))
		return reader_fail_range(array->reader,
								 "%s: the numbers of all tiers together span more than %d digits",
								 array->path, NUMBER_MAX_DIGITS);
	if (graduated && tiers_sum_offsets(tiers, count) &&
		compiled_put_column(out, tiers->offset, count))
		out->data[flags_at] |= TIERS_HAVE_OFFSET;
	return true;
}

/*
 * Read "tiers" and "beyond".  percent: the tiers have a percentage instead of
 * a unit price; graduated: store the offsets too.
 */
bool
tiers_compile(const ReaderObject *object, StringInfo out, bool percent, bool graduated)
{
	TierNumbers *tiers;
	ReaderArray array;
	uint8		beyond;
	int			i;

	if (!object_array(object, "tiers", TARIFF_MAX_TIERS, &array))
		return false;
	tiers = palloc0(sizeof(TierNumbers));
	for (i = 0; i < array.count; i++)
		if (!tier_read(&array, i, percent, tiers))
			return false;
	return tiers_read_beyond(object, tiers->finite, array.count - 1, &beyond) &&
		tiers_put(&array, tiers, beyond, graduated, out);
}

/* Find the columns of a stored table; nothing is copied. */
void
tiers_open(const Tariff *tariff, TierTable *table)
{
	const char *cursor = tariff->body;
	uint16		count;

	compiled_get(&cursor, count);
	compiled_get(&cursor, table->flags);
	table->count = count;
	table->bounds = (table->flags & TIERS_FINITE) ? count : count - 1;
	table->up_to = compiled_get_column(&cursor, table->bounds);
	table->price = compiled_get_column(&cursor, count);
	if (table->flags & TIERS_HAVE_FLAT)
		table->flat = compiled_get_column(&cursor, count);
	if (table->flags & TIERS_HAVE_OFFSET)
		table->offset = compiled_get_column(&cursor, count);
}

/* Print "tiers", and "beyond" where it was said. */
void
tiers_print(const Tariff *tariff, StringInfo json, bool percent)
{
	TierTable	table;
	int			i;

	tiers_open(tariff, &table);
	appendStringInfoString(json, ",\"tiers\":[");
	for (i = 0; i < table.count; i++)
	{
		Number		price = column_value(&table.price, i);
		Number		flat = tiers_flat(&table, i);

		appendStringInfoString(json, i == 0 ? "{" : ",{");
		if (i < table.bounds)
			json_put_number(json, "up_to", column_value(&table.up_to, i));
		if (percent)
			price = number_multiply(price, number_make(100, 0));
		json_put_number(json, percent ? "percent" : "unit_price", price);
		if (number_sign(flat) != 0)
			json_put_number(json, "flat", flat);
		appendStringInfoChar(json, '}');
	}
	appendStringInfoChar(json, ']');
	if (table.flags & TIERS_FINITE)
		json_put_word(json, "beyond", beyond_words[table.flags & TIERS_FINITE]);
}

/*
 * The tier whose bounds hold the quantity, or count when none does.  Plain
 * 64-bit bounds are searched as integers: a quantity with more decimals than
 * the bounds is beyond a bound just when its next whole step is.
 */
static inline int
tiers_search(const TierTable *table, const Rating *rating, Number quantity)
{
	int			low = 0;
	int			high = table->bounds;
	int64		whole;

	if (likely(!rating->divided && table->up_to.size == sizeof(int64) &&
			   number_ceiling(quantity, table->up_to.scale, &whole)))
	{
		while (low < high)
		{
			int			middle = (low + high) / 2;
			int64		bound;

			memcpy(&bound, table->up_to.data + middle * sizeof(bound), sizeof(bound));
			if (whole <= bound)
				high = middle;
			else
				low = middle + 1;
		}
		return low;
	}
	while (low < high)
	{
		int			middle = (low + high) / 2;

		if (number_compare(quantity, rating_scaled(rating, column_value(&table->up_to, middle))) <= 0)
			high = middle;
		else
			low = middle + 1;
	}
	return low;
}

/*
 * Find the tier of a quantity above 0.  Beyond a finite last tier, either fail
 * or cut the quantity at its bound.
 */
bool
tiers_locate(const TierTable *table, Rating *rating, Number *quantity, int *tier)
{
	Number		end;

	*tier = tiers_search(table, rating, *quantity);
	if (likely(*tier < table->count))
		return true;
	end = column_value(&table->up_to, table->count - 1);
	if (table->flags & TIERS_BEYOND_ERROR)
		return rating_fail(rating, ERRCODE_TARIFF_BEYOND_LAST_TIER, NULL,
						   "quantity %s is beyond the last tier, which ends at %s",
						   rating_quantity_text(rating, *quantity), number_to_text(end));
	*quantity = rating_scaled(rating, end);
	(*tier)--;
	return true;
}

/* The bounds of a tier, for its step; *bounded is false for an open one. */
void
tiers_limits(const TierTable *table, int tier, Number *lower, Number *upper, bool *bounded)
{
	*lower = tiers_lower(table, tier);
	*bounded = tier < table->bounds;
	*upper = *bounded ? column_value(&table->up_to, tier) : number_zero();
}

/*
 * The amount at quantity 0: nothing, because tiers begin above 0, unless
 * "on_zero" says that the flat of the first tier is due.
 */
bool
tiers_zero_price(const Tariff *tariff, const TierTable *table, Rating *rating, Number *amount)
{
	*amount = number_zero();
	if (tariff->head.on_zero == TARIFF_ON_ZERO_CHARGE)
	{
		*amount = rating_scaled(rating, tiers_flat(table, 0));
		if (rating->steps)
			rating_note(rating, STEP_LINE, *amount, "tier 1: flat amount, due without usage");
	}
	else if (rating->steps)
		rating_note(rating, STEP_NOTE, *amount, "no units: no tier is entered");
	return true;
}

/* Does the amount fall where the next tier begins? */
static void
tiers_lint_cliff(const TierTable *table, int tier, struct TariffLint *lint)
{
	Number		bound = column_value(&table->up_to, tier);
	Number		at_bound = number_add(tiers_flat(table, tier),
									  number_multiply(bound, column_value(&table->price, tier)));
	Number		above = number_add(tiers_flat(table, tier + 1),
								   number_multiply(bound, column_value(&table->price, tier + 1)));

	if (number_compare(above, at_bound) < 0)
		lint_report(lint, LINT_WARNING, "cliff",
					"%s units cost %s, but a little more costs only %s: using more makes the bill smaller",
					number_to_text(bound), number_to_text(at_bound), number_to_text(above));
}

/* Bounds such as 10, 11 and 20, 21 look copied from "11 to 20" ranges. */
static void
tiers_lint_bounds(const TierTable *table, int tier, struct TariffLint *lint)
{
	Number		width = number_subtract(column_value(&table->up_to, tier), tiers_lower(table, tier));

	if (tier > 0 && number_compare(width, number_make(1, 0)) == 0)
		lint_report(lint, LINT_NOTICE, "narrow_tier",
					"tiers[%d] holds one unit only: up_to belongs to the tier, the next one begins right above it", tier);
}

/*
 * Report what looks wrong in the tiers.  graduated: amounts cannot fall at a
 * border.
 */
void
tiers_lint(const Tariff *tariff, struct TariffLint *lint, bool graduated)
{
	const char *price = tariff->head.model == TARIFF_MODEL_GRADUATED_PERCENTAGE ? "percent" : "unit_price";
	TierTable	table;
	int			i;

	tiers_open(tariff, &table);
	for (i = 0; i < table.count; i++)
	{
		lint_price_sign(lint, psprintf("tiers[%d].%s", i, price), column_value(&table.price, i));
		lint_price_sign(lint, psprintf("tiers[%d].flat", i), tiers_flat(&table, i));
		if (i < table.bounds)
			tiers_lint_bounds(&table, i, lint);
		if (!graduated && i + 1 < table.count)
			tiers_lint_cliff(&table, i, lint);
		if (i + 1 < table.count &&
			number_compare(column_value(&table.price, i), column_value(&table.price, i + 1)) == 0 &&
			number_sign(tiers_flat(&table, i + 1)) == 0 &&
			(graduated || number_sign(tiers_flat(&table, i)) == 0))
			lint_report(lint, LINT_NOTICE, "same_price",
						"tiers[%d] and tiers[%d] have the same price", i, i + 1);
	}
	if (number_sign(tiers_flat(&table, 0)) != 0)
	{
		if (tariff->head.on_zero == TARIFF_ON_ZERO_DEFAULT)
			lint_report(lint, LINT_NOTICE, "flat_on_zero",
						"tiers[0].flat is not due without usage; say \"on_zero\": \"charge\" if it should be");
		else if (tariff->head.on_zero == TARIFF_ON_ZERO_CHARGE)
			lint_report(lint, LINT_NOTICE, "flat_on_zero",
						"tiers[0].flat is due even without usage");
	}
	if (table.flags & TIERS_BEYOND_FREE)
		lint_report(lint, LINT_WARNING, "free_beyond",
					"units above %s cost nothing",
					number_to_text(column_value(&table.up_to, table.count - 1)));
	if (table.flags & TIERS_BEYOND_ERROR)
		lint_report(lint, LINT_NOTICE, "error_beyond",
					"a quantity above %s cannot be rated",
					number_to_text(column_value(&table.up_to, table.count - 1)));
}
