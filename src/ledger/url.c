/*-------------------------------------------------------------------------
 *
 * url.c
 *	  Text as part of a URL, for connectors.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "fmgr.h"
#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"

#include "module/server_version.h"

PG_FUNCTION_INFO_V1(url_encode);

/* Characters that need no encoding anywhere in a URL (RFC 3986, 2.3). */
static bool
is_unreserved(unsigned char byte)
{
	return (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') || (byte >= '0' && byte <= '9') ||
		byte == '-' || byte == '.' || byte == '_' || byte == '~';
}

/*
 * url_encode(text) -> text
 *	  Every byte of the UTF-8 form that is not unreserved as %XX.
 */
Datum
url_encode(PG_FUNCTION_ARGS)
{
	char	   *text_form = text_to_cstring(PG_GETARG_TEXT_PP(0));
	char	   *bytes = pg_server_to_any(text_form, strlen(text_form), PG_UTF8);
	StringInfoData encoded;

	initStringInfo(&encoded);
	for (const char *at = bytes; *at != '\0'; at++)
	{
		if (is_unreserved((unsigned char) *at))
			appendStringInfoChar(&encoded, *at);
		else
			appendStringInfo(&encoded, "%%%02X", (unsigned char) *at);
	}
	PG_RETURN_TEXT_P(cstring_to_text_with_len(encoded.data, encoded.len));
}
