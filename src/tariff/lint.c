/*-------------------------------------------------------------------------
 *
 * lint.c
 *	  lint(): what looks wrong in a tariff that is valid.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "funcapi.h"
#include "utils/builtins.h"

#include "tariff/lint.h"
#include "tariff/tariff.h"

PG_FUNCTION_INFO_V1(tariff_lint);

static const char *const severity_words[] = {"error", "warning", "notice"};

/* Add one finding. */
void
lint_report(TariffLint *lint, LintSeverity severity, const char *code, const char *format,...)
{
	StringInfoData detail;
	Datum		values[3];
	bool		nulls[3] = {false, false, false};

	initStringInfo(&detail);
	appendStringInfoString(&detail, lint->path);
	for (;;)
	{
		va_list		arguments;
		int			needed;

		va_start(arguments, format);
		needed = appendStringInfoVA(&detail, format, arguments);
		va_end(arguments);
		if (needed == 0)
			break;
		enlargeStringInfo(&detail, needed);
	}
	values[0] = CStringGetTextDatum(severity_words[severity]);
	values[1] = CStringGetTextDatum(code);
	values[2] = PointerGetDatum(cstring_to_text_with_len(detail.data, detail.len));
	tuplestore_putvalues(lint->result->setResult, lint->result->setDesc, values, nulls);
}

/* A price below 0 pays the customer; 0 is worth a remark only as per_unit. */
void
lint_price_sign(TariffLint *lint, const char *member, Number price)
{
	if (number_sign(price) < 0)
		lint_report(lint, LINT_WARNING, "negative_price",
					"%s is %s: usage makes the bill smaller", member, number_to_text(price));
}

/* The members around the model. */
static void
lint_wrappers(const Tariff *tariff, TariffLint *lint)
{
	Number		discount;
	Number		maximum;
	Number		minimum;
	bool		has_minimum = tariff_number(tariff, TARIFF_HAS_MINIMUM, &minimum);

	if (tariff_number(tariff, TARIFF_HAS_DISCOUNT, &discount) &&
		number_compare(discount, number_make(100, 0)) == 0)
		lint_report(lint, LINT_WARNING, "full_discount", "discount_percent is 100: all usage is free");
	if (has_minimum && tariff_number(tariff, TARIFF_HAS_MAXIMUM, &maximum) &&
		number_compare(minimum, maximum) > 0)
		lint_report(lint, LINT_ERROR, "minimum_above_maximum",
					"minimum %s is greater than maximum %s; the minimum wins",
					number_to_text(minimum), number_to_text(maximum));
	if (has_minimum && tariff->head.window != 0)
		lint_report(lint, LINT_NOTICE, "minimum_per_window",
					"minimum is due for every %s, even one without usage that is rated",
					tariff_windows[tariff->head.window]);
}

/* Report everything about one tariff; path leads to a nested one. */
void
tariff_lint_all(const Tariff *tariff, TariffLint *lint)
{
	lint_wrappers(tariff, lint);
	if (tariff_model(tariff)->lint != NULL)
		tariff_model(tariff)->lint(tariff, lint);
}

/* SQL: lint(tariff). */
Datum
tariff_lint(PG_FUNCTION_ARGS)
{
	Tariff		tariff;
	TariffLint	lint;

	InitMaterializedSRF(fcinfo, 0);
	lint.result = (ReturnSetInfo *) fcinfo->resultinfo;
	lint.path = "";
	tariff_open(VARDATA_ANY(tariff_fetch(fcinfo, PG_GETARG_DATUM(0))), &tariff);
	tariff_lint_all(&tariff, &lint);
	PG_RETURN_NULL();
}
