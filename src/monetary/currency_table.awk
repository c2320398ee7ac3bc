# Turns currencies.tsv into currency_table.h: one C initializer a currency, sorted by code, so that currency.c can search it by halves.
# Runs under any POSIX awk.  A row that is malformed or out of order stops the build.
#
#   awk -f currency_table.awk currencies.tsv > currency_table.h

function fail(reason)
{
	print FILENAME ":" FNR ": " reason > "/dev/stderr"
	failed = 1
	exit 1
}

# A decimal as the integer number of 10^-15 units, made by moving characters: floating point would not be exact.
function fixed(decimal, parts, digits)
{
	split(decimal, parts, ".")
	digits = parts[1] substr(parts[2] "000000000000000", 1, 15)
	sub(/^0+/, "", digits)
	return "INT64CONST(" digits ")"
}

function quoted(text)
{
	gsub(/["\\]/, "\\\\&", text)
	return "\"" text "\""
}

BEGIN {
	FS = "\t"
	print "/* Generated from currencies.tsv by currency_table.awk; do not edit. */"
}

/^#/ { next }

$1 == "code" { next }

{
	if (NF != 6)
		fail("six columns expected, found " NF)
	if ($1 !~ /^[A-Z][A-Z][A-Z]$/ || $1 <= previous)
		fail("code \"" $1 "\" is not three letters or not in order")
	if ($2 !~ /^([0-9][0-9][0-9]|-)$/ || $3 !~ /^([0-9]|-)$/ || $5 !~ /^([0-9]+([.][0-9]+)?|-)$/)
		fail("malformed number in the row of " $1)
	previous = $1
	printf "{CURRENCY_CODE('%s', '%s', '%s'), %s, %s, %s, %s, %s},\n",
		substr($1, 1, 1), substr($1, 2, 1), substr($1, 3, 1),
		$2 == "-" ? "-1" : $2 + 0,
		$3 == "-" ? "-1" : $3,
		$5 == "-" ? "0" : fixed($5),
		$4 == "-" ? "NULL" : quoted($4),
		quoted($6)
}

END {
	if (!failed && previous == "")
		fail("no currency found")
}
