/*-------------------------------------------------------------------------
 *
 * model.h
 *	  What a price model is, and what it works with.
 *
 * One file implements one model and fills in one TariffModel.  Adding a model
 * is a new file, a line in model.c and a number in TariffModelId.
 *
 *-------------------------------------------------------------------------
 */
#ifndef BILLING_TARIFF_MODEL_H
#define BILLING_TARIFF_MODEL_H

#include "datatype/timestamp.h"
#include "nodes/pg_list.h"

#include "monetary/currency.h"
#include "tariff/compiled.h"
#include "tariff/reader.h"
#include "tariff/tariff_errors.h"

struct RatingSteps;

/*
 * What a call site keeps of a tariff that many rows have in common, unpacked
 * by its model.  It lives as long as the bytes, which are constant or a copy.
 */
typedef struct TariffUnpacked
{
	const char *body;			/* of the tariff that it was made from */
	void	   *form;
} TariffUnpacked;

/* One rating: what was given, and what came out. */
typedef struct Rating
{
	Number		quantity;		/* still to be divided by divisor, if divided */
	Number		divisor;		/* of the quantity and of every amount */
	bool		divided;
	bool		complete;		/* the period is over */
	bool		events_given;
	int64		events;
	Datum		fraction;		/* numeric, of a full period */
	Datum		dimensions;		/* jsonb, or 0 when not given */
	Datum		units;			/* jsonb of quantities by unit, or 0 */
	struct RatingSteps *steps;	/* NULL unless somebody wants to see them */
	const TariffUnpacked *unpacked; /* NULL unless the call site has it */

	/* Filled in when rating fails. */
	int			sqlstate;
	char	   *message;
	const char *hint;
} Rating;

/* What the pipeline has to know about a tariff before rating. */
typedef struct TariffFacts
{
	List	   *dimensions;		/* of C strings, each once */
	bool		needs_events;
	bool		per_event;		/* only rate_each can rate it */
} TariffFacts;

struct TariffLint;

/* One event of rate_each: full units, and the part of the period they count. */
typedef struct RatedEvent
{
	TimestampTz at;
	Number		units;
	Number		fraction;
} RatedEvent;

/* Which common members mean something to a model; in the order of compile.c. */
#define MODEL_TAKES_CONVERT		0x01
#define MODEL_TAKES_FREE		0x02
#define MODEL_TAKES_ON_ZERO		0x04
#define MODEL_TAKES_UNITS		0x08	/* prices several units, looked up by name */

typedef struct TariffModel
{
	const char *name;
	const char *const *members; /* its own ones; ends with NULL */
	int			takes;			/* MODEL_TAKES bits */
	uint8		on_zero;		/* its default, if it takes it */

	/* Reads the members and appends the body; false after reader_fail. */
	bool		(*compile) (const ReaderObject *object, StringInfo out);

	/* Appends the members, each after a comma. */
	void		(*print) (const Tariff *tariff, StringInfo json);

	/*
	 * The exact amount of rating->quantity, times rating->divisor.  Returns
	 * false after rating_fail.
	 */
	bool		(*price) (const Tariff *tariff, Rating *rating, Number *amount);

	/*
	 * A form of the tariff for rating many rows, in a context of the call
	 * site; NULL: none is quicker than the stored one.
	 */
	void	   *(*unpack) (const Tariff *tariff, MemoryContext context);

	/*
	 * The same for single events in time order, where that differs from the
	 * price of their sum; NULL: it never does.
	 */
	bool		(*price_each) (const Tariff *tariff, Rating *rating,
							   const RatedEvent *events, int count, Number *amount);

	/*
	 * What each unit costs, if the amount is the quantity times that whatever
	 * the quantity; otherwise false.  Reads rating->dimensions only.  NULL: no
	 * price of this model is so.
	 */
	bool		(*unit_price) (const Tariff *tariff, Rating *rating, Number *unit_price);

	/* Adds to the facts; NULL: nothing to add. */
	void		(*describe) (const Tariff *tariff, TariffFacts *facts);

	/* Reports what looks wrong; NULL: nothing can. */
	void		(*lint) (const Tariff *tariff, struct TariffLint *lint);
} TariffModel;

extern const TariffModel tariff_flat;
extern const TariffModel tariff_per_unit;
extern const TariffModel tariff_graduated;
extern const TariffModel tariff_volume;
extern const TariffModel tariff_package;
extern const TariffModel tariff_percentage;
extern const TariffModel tariff_graduated_percentage;
extern const TariffModel tariff_matrix;
extern const TariffModel tariff_blocks;
extern const TariffModel tariff_hashmap;

extern const TariffModel *const tariff_models[];

/* compile.c */
extern bool tariff_compile(const ReaderObject *object, StringInfo out);

/* print.c */
extern void tariff_print(const Tariff *tariff, StringInfo json);
extern void json_put_number(StringInfo json, const char *name, Number value);
extern void json_put_word(StringInfo json, const char *name, const char *word);
extern void json_put_text(StringInfo json, TariffText text);

/* evaluate.c */
extern bool tariff_price(const Tariff *tariff, Rating *rating, Number *amount);
extern bool tariff_adjust(const Tariff *tariff, Rating *rating, Number *amount);
extern bool tariff_price_each(const Tariff *tariff, Rating *rating,
							  const RatedEvent *events, int count, Number *amount);
extern bool rating_fail(Rating *rating, int sqlstate, const char *hint, const char *format,...) pg_attribute_printf(4, 5);
extern bool rating_fail_negative(Rating *rating, const char *model);
extern bool rating_fraction(Rating *rating, Number *fraction);
extern Number rating_plain(const Rating *rating, Number value);
extern char *rating_quantity_text(const Rating *rating, Number quantity);
extern char *rating_counted(const Rating *rating, Number quantity, const char *singular);

/* rate.c */
extern bool rating_decode_quantity(Rating *rating, const JsonbValue *value, Number *quantity);

/* each.c */
extern Number rating_prorated_units(const RatedEvent *events, int count);

/* inspect.c */
extern void tariff_describe(const Tariff *tariff, TariffFacts *facts);
extern bool tariff_unit_price(const Tariff *tariff, Rating *rating, Number *unit_price);
extern void facts_add_dimension(TariffFacts *facts, TariffText name);

/* steps.c */
typedef enum RatingStepKind
{
	STEP_NOTE,					/* nothing is charged: units converted, a cell found */
	STEP_LINE,					/* units or a fee that are charged */
	STEP_DISCOUNT,
	STEP_MAXIMUM,
	STEP_MINIMUM
} RatingStepKind;

extern void rating_step(Rating *rating, const Number *tier_from, const Number *tier_to,
						Number quantity, const Number *unit_price, Number amount,
						const char *format,...) pg_attribute_printf(7, 8);
extern void rating_note(Rating *rating, RatingStepKind kind, Number amount,
						const char *format,...) pg_attribute_printf(4, 5);

/* The model of an open tariff. */
static inline const TariffModel *
tariff_model(const Tariff *tariff)
{
	return tariff_models[tariff->head.model];
}

/* The unpacked form of the tariff itself, not of one that it is nested in. */
static inline const void *
rating_unpacked(const Tariff *tariff, const Rating *rating)
{
	return rating->unpacked != NULL && rating->unpacked->body == tariff->body ?
		rating->unpacked->form : NULL;
}

/* An amount or bound of the tariff in the units of the running quantity. */
static inline Number
rating_scaled(const Rating *rating, Number value)
{
	return rating->divided ? number_multiply(value, rating->divisor) : value;
}

#endif							/* BILLING_TARIFF_MODEL_H */
