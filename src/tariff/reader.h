/*-------------------------------------------------------------------------
 *
 * reader.h
 *	  Reading the members of a tariff's JSON, with errors that say where.
 *
 * Nothing here raises on bad input: the first thing that is wrong is kept in
 * the reader, every later call returns false, and the input function reports
 * it, softly where the server can.
 *
 *-------------------------------------------------------------------------
 */
#ifndef BILLING_TARIFF_READER_H
#define BILLING_TARIFF_READER_H

#include "utils/jsonb.h"

#include "tariff/number.h"

typedef struct TariffReader
{
	int			sqlstate;		/* 0: no error so far */
	char	   *error;			/* what is wrong, and where */
	uint32		currency;		/* of the outermost tariff */
	int			nesting;		/* of the tariff being read */
} TariffReader;

/* One JSON object and the path that leads to it ("" or "tiers[2]."). */
typedef struct ReaderObject
{
	TariffReader *reader;
	JsonbContainer *container;
	const char *path;
} ReaderObject;

typedef struct ReaderArray
{
	TariffReader *reader;
	JsonbContainer *container;
	const char *path;			/* "tiers" */
	int			count;
} ReaderArray;

/* Limits of what a tariff may hold. */
#define TARIFF_MAX_TIERS		1000
#define TARIFF_MAX_CELLS		50000
#define TARIFF_MAX_DIMENSIONS	16
#define TARIFF_MAX_NESTING		4
#define TARIFF_MAX_TEXT			1000	/* bytes of a dimension's name or value */

extern bool reader_fail(TariffReader *reader, const char *format,...) pg_attribute_printf(2, 3);
extern bool reader_fail_range(TariffReader *reader, const char *format,...) pg_attribute_printf(2, 3);
extern void reader_root(TariffReader *reader, Jsonb *json, ReaderObject *object);
extern bool object_only_has(const ReaderObject *object, const char *const *names, const char *const *more_names, const char *model);
extern bool object_has(const ReaderObject *object, const char *name);
extern bool object_number(const ReaderObject *object, const char *name, Number *value);
extern bool object_optional_number(const ReaderObject *object, const char *name, Number *value, bool *given);
extern bool object_integer(const ReaderObject *object, const char *name, int minimum, int maximum, int *value);
extern bool object_text(const ReaderObject *object, const char *name, char **value);
extern bool object_scalar_text(const ReaderObject *object, const char *name, char **value);
extern bool object_choice(const ReaderObject *object, const char *name, const char *const *choices, uint8 *value);
extern bool object_boolean(const ReaderObject *object, const char *name, bool *value);
extern bool object_object(const ReaderObject *object, const char *name, ReaderObject *value);
extern bool object_array(const ReaderObject *object, const char *name, int maximum, ReaderArray *value);
extern bool array_object(const ReaderArray *array, int index, ReaderObject *value);
extern bool array_text(const ReaderArray *array, int index, char **value);
extern char *reader_scalar_text(const JsonbValue *value);

#endif							/* BILLING_TARIFF_READER_H */
