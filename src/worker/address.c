/*-------------------------------------------------------------------------
 *
 * address.c
 *	  Which addresses an endpoint may lead to.
 *
 * Asked with the address that is about to be connected to, after the name
 * was resolved, so that a name that changes its mind gains nothing.  Private
 * and loopback addresses need the option allow_private; link-local ones,
 * where clouds keep their metadata, and those that are no single host are
 * never allowed.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <netinet/in.h>
#include <sys/socket.h>

#include "worker/worker.h"

typedef enum AddressKind
{
	ADDRESS_PUBLIC,
	ADDRESS_PRIVATE,
	ADDRESS_NEVER
} AddressKind;

typedef struct Ipv4Block
{
	uint32		start;
	int			bits;
	AddressKind kind;
} Ipv4Block;

/* IANA's registry of special-purpose addresses, as far as it is not public */
static const Ipv4Block ipv4_blocks[] = {
	{0x00000000, 8, ADDRESS_NEVER}, /* this network */
	{0x0a000000, 8, ADDRESS_PRIVATE},
	{0x64400000, 10, ADDRESS_PRIVATE},	/* behind carriers' NAT */
	{0x7f000000, 8, ADDRESS_PRIVATE},	/* loopback */
	{0xa9fe0000, 16, ADDRESS_NEVER},	/* link-local */
	{0xac100000, 12, ADDRESS_PRIVATE},
	{0xc0000000, 24, ADDRESS_NEVER},	/* protocol assignments */
	{0xc0a80000, 16, ADDRESS_PRIVATE},
	{0xc6120000, 15, ADDRESS_PRIVATE},	/* benchmarks */
	{0xe0000000, 4, ADDRESS_NEVER}, /* multicast */
	{0xf0000000, 4, ADDRESS_NEVER}, /* reserved, broadcast */
};

static AddressKind
ipv4_kind(uint32 address)
{
	for (int i = 0; i < (int) lengthof(ipv4_blocks); i++)
		if ((address >> (32 - ipv4_blocks[i].bits)) == (ipv4_blocks[i].start >> (32 - ipv4_blocks[i].bits)))
			return ipv4_blocks[i].kind;
	return ADDRESS_PUBLIC;
}

static uint32
ipv4_at(const unsigned char *bytes)
{
	return ((uint32) bytes[0] << 24) | ((uint32) bytes[1] << 16) | ((uint32) bytes[2] << 8) | bytes[3];
}

/* Addresses that carry one of version 4 are what that one is. */
static AddressKind
ipv6_kind(const unsigned char *bytes)
{
	static const unsigned char zero[16] = {0};
	static const unsigned char mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
	static const unsigned char translated[12] = {0x00, 0x64, 0xff, 0x9b};

	if (memcmp(bytes, mapped, 12) == 0 || memcmp(bytes, translated, 12) == 0)
		return ipv4_kind(ipv4_at(bytes + 12));
	if (bytes[0] == 0x20 && bytes[1] == 0x02)
		return ipv4_kind(ipv4_at(bytes + 2));
	if (memcmp(bytes, zero, 15) == 0)
		return bytes[15] == 1 ? ADDRESS_PRIVATE : ADDRESS_NEVER;
	if (memcmp(bytes, zero, 12) == 0)
		return ipv4_kind(ipv4_at(bytes + 12));
	if ((bytes[0] & 0xfe) == 0xfc)
		return ADDRESS_PRIVATE;
	if (bytes[0] == 0xfe && (bytes[1] & 0xc0) == 0xc0)
		return ADDRESS_PRIVATE; /* site-local of old */
	if (bytes[0] == 0xff || (bytes[0] == 0xfe && (bytes[1] & 0xc0) == 0x80))
		return ADDRESS_NEVER;
	return ADDRESS_PUBLIC;
}

/* Whether an endpoint may be at this address.  Called from libcurl: must not raise. */
bool
address_is_allowed(const struct sockaddr *address, bool allow_private)
{
	AddressKind kind = ADDRESS_NEVER;

	if (address->sa_family == AF_INET)
		kind = ipv4_kind(ntohl(((const struct sockaddr_in *) address)->sin_addr.s_addr));
	else if (address->sa_family == AF_INET6)
		kind = ipv6_kind(((const struct sockaddr_in6 *) address)->sin6_addr.s6_addr);
	return kind == ADDRESS_PUBLIC || (kind == ADDRESS_PRIVATE && allow_private);
}
