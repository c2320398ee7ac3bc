# shellcheck shell=bash
# Throwaway PostgreSQL servers for tests and demonstrations; to be sourced by bash.
#
#     . test/lib/server.sh
#     install_packages                      # what building and running needs, from the distribution, if it is missing
#     make_work_folder                      # $WORK, removed at exit together with every server started in it
#     make_private_tree                     # $WORK/tree: a PostgreSQL of our own to install into; sets PG_CONFIG and PATH
#     build_into_tree gcc                   # out of tree, the checkout is only read
#     start_server ledger shared_buffers=256MB
#     psql -d postgres                      # PGHOST, PGPORT, PGUSER and PGDATABASE are set
#     stop_server
#
# Nothing that exists is touched: the extension is installed into a copy of the distribution's files, the server listens on a
# socket in its own folder and on no network address.  Works as root (the server then runs as user postgres) and as anyone else,
# who needs sudo only when packages are missing.

BILLING_SOURCE=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
WORK=
KEEP_WORK_FOLDER=

# One line that says what happens now, to a person who waits.
progress() {
	printf '%s  %s\n' "$(date +%H:%M:%S)" "$*" >&2
}

# Ends the script with a message.
give_up() {
	printf 'error: %s\n' "$*" >&2
	exit 1
}

as_root() {
	if [ "$(id -u)" -eq 0 ]; then
		"$@"
	elif command -v sudo >/dev/null; then
		sudo "$@"
	else
		give_up "this needs root: $*"
	fi
}

# Runs a command as the user the servers run as; PostgreSQL refuses to run as root.
as_server_user() {
	if [ "$(id -u)" -eq 0 ]; then
		runuser -u postgres -- "$@"
	else
		"$@"
	fi
}

# is_installed PACKAGE
is_installed() {
	[ "$(dpkg-query -W -f '${db:Status-Abbrev}' "$1" 2>/dev/null)" = 'ii ' ]
}

# require_packages PACKAGE …: installs those that are missing; does not talk to the network when there are none.
require_packages() {
	local package missing=()
	for package in "$@"; do
		is_installed "$package" || missing+=("$package")
	done
	[ ${#missing[@]} -gt 0 ] || return 0
	refresh_package_lists
	progress "installing ${missing[*]}"
	as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends -o Dpkg::Use-Pty=0 "${missing[@]}" \
		</dev/null >"${PACKAGE_LOG:=$(mktemp)}" 2>&1 || { tail -n 20 "$PACKAGE_LOG" >&2; give_up "could not install ${missing[*]}"; }
}

# apt-get update, at most once a process.
refresh_package_lists() {
	[ -z "${PACKAGE_LISTS_FRESH:-}" ] || return 0
	progress 'fetching package lists'
	as_root apt-get update -q </dev/null >/dev/null 2>&1 || progress 'apt-get update reported errors; trying with the lists at hand'
	PACKAGE_LISTS_FRESH=yes
}

# The PostgreSQL of this distribution, as "15"; BILLING_PG_VERSION chooses another one that is installed.
server_version() {
	local version=${BILLING_PG_VERSION:-}
	[ -n "$version" ] || version=$(LC_ALL=C apt-cache depends postgresql 2>/dev/null | sed -n 's/^ *Depends: postgresql-\([0-9]*\)$/\1/p' | head -n 1)
	if [ -z "$version" ]; then
		refresh_package_lists
		version=$(LC_ALL=C apt-cache depends postgresql | sed -n 's/^ *Depends: postgresql-\([0-9]*\)$/\1/p' | head -n 1)
	fi
	printf '%s' "$version"
}

# Everything that building and running needs; arguments are packages to add.
install_packages() {
	command -v apt-get >/dev/null || give_up 'the automatic installation of what is missing needs Debian or a relative of it'
	PG_VERSION=$(server_version)
	[ -n "$PG_VERSION" ] || give_up 'the distribution offers no package "postgresql"'
	require_packages make gcc libc6-dev libcurl4-openssl-dev "postgresql-$PG_VERSION" "postgresql-client-$PG_VERSION" "postgresql-server-dev-$PG_VERSION" "$@"
}

# Makes $WORK and arranges that it and its servers go away at exit (KEEP_WORK_FOLDER=yes leaves both).
make_work_folder() {
	WORK=$(mktemp -d "${TMPDIR:-/tmp}/billing.XXXXXX")
	chmod 755 "$WORK"
	mkdir "$WORK/servers"
	[ "$(id -u)" -ne 0 ] || chown postgres: "$WORK/servers"
	trap clean_up EXIT
	trap 'exit 130' INT
	trap 'exit 143' TERM HUP
}

clean_up() {
	local folder
	[ -n "$WORK" ] && [ -z "$KEEP_WORK_FOLDER" ] || return 0
	for folder in "$WORK"/servers/*/; do
		[ ! -f "$folder/data/postmaster.pid" ] || server_control "$folder" stop -m immediate >/dev/null 2>&1
	done
	cd /
	rm -rf "$WORK"
}

# A copy of the distribution's server under $WORK/tree.  PostgreSQL finds its files relative to its own program, so that the copy,
# its pg_config and everything built with it stay inside the copy; headers are the distribution's.
make_private_tree() {
	local lib=lib/postgresql/$PG_VERSION share=share/postgresql/$PG_VERSION
	progress "copying PostgreSQL $PG_VERSION into a private tree"
	mkdir -p "$WORK/tree/$lib" "$WORK/tree/$share"
	cp -a "/usr/$lib/." "$WORK/tree/$lib/"
	cp -a "/usr/$share/." "$WORK/tree/$share/"
	ln -s /usr/include "$WORK/tree/include"
	find "/usr/lib" -maxdepth 1 -name '*-linux-*' -exec ln -s {} "$WORK/tree/lib/" \;
	find "$WORK/tree/$lib" "$WORK/tree/$share" -depth \( -name 'billing.*' -o -name 'billing_*.so' -o -name 'billing--*' -o -name billing \) -exec rm -rf {} +
	PG_CONFIG=$WORK/tree/$lib/bin/pg_config
	PATH=$WORK/tree/$lib/bin:/usr/bin:/bin:$PATH
	export PG_CONFIG PATH
}

# strict_flags COMPILER: every warning is an error.  Unused parameters are none: the server gives callbacks their signature and has
# such functions in its own headers.  Optimisation over files, which some distributions ask for, warns without reason and needs a
# plugin of the linker.  clang is told to accept flags and attributes of the gcc that compiled the server.
strict_flags() {
	printf -- '-Wall -Wextra -Werror -Wno-unused-parameter -fno-lto'
	[ "$1" != clang ] || printf ' -Wno-ignored-attributes -Wno-ignored-optimization-argument -Wno-unknown-warning-option'
}

# build_into_tree COMPILER [TARGET]: compiles the checkout out of tree and installs it into the private tree.
# Output goes to $WORK/build-COMPILER.log; returns make's status.
build_into_tree() {
	local compiler=$1 target=${2:-install} folder=$WORK/build-$1
	mkdir -p "$folder"
	make -C "$folder" -f "$BILLING_SOURCE/Makefile"  -k -j"$(nproc)" CC="$compiler" PG_CONFIG="$PG_CONFIG" PROFILE="$(strict_flags "$compiler")" "$target" \
		>"$folder.log" 2>&1 </dev/null
}

# server_control FOLDER ACTION …: pg_ctl for the server in that folder.
server_control() {
	local folder=$1
	shift
	(cd / && as_server_user "$(dirname "$PG_CONFIG")/pg_ctl" -D "$folder/data" -l "$folder/log" -s -w -t 60 "$@" </dev/null)
}

# start_server NAME [SETTING=VALUE …]: a new server of that name under $WORK/servers, with an empty database "billing";
# sets PGHOST, PGPORT, PGUSER, PGDATABASE and SERVER (its folder).
start_server() {
	local setting
	SERVER=$WORK/servers/$1
	shift
	as_server_user mkdir "$SERVER"
	(cd / && as_server_user "$(dirname "$PG_CONFIG")/initdb" -D "$SERVER/data" -U postgres -A trust --locale=C.UTF-8 -E UTF8 -N \
		</dev/null >"$WORK/initdb.log" 2>&1) || { cat "$WORK/initdb.log" >&2; give_up 'initdb failed'; }
	for setting in "listen_addresses=" "unix_socket_directories=$SERVER" port=54321 fsync=off max_connections=100 shared_buffers=256MB \
		max_wal_size=4GB log_line_prefix="%m [%p] %q%a " "$@"; do
		printf "%s = '%s'\n" "${setting%%=*}" "${setting#*=}"
	done | as_server_user tee -a "$SERVER/data/postgresql.conf" >/dev/null
	export PGHOST=$SERVER PGPORT=54321 PGUSER=postgres PGDATABASE=billing
	unset PGPASSWORD PGSERVICE PGOPTIONS PGHOSTADDR
	server_control "$SERVER" start || { tail -n 20 "$SERVER/log" >&2; give_up 'the server did not start'; }
	createdb "$PGDATABASE"
}

# Stops the server that was started last and removes its data.
stop_server() {
	server_control "$SERVER" stop -m fast || server_control "$SERVER" stop -m immediate || true
	as_server_user rm -rf "$SERVER/data"
}
