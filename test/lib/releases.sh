# shellcheck shell=bash
# The PostgreSQL versions of other releases, for "bash test/run all" and "bash test/run releases"; sourced by test/run after server.sh.
#
#     noble     Ubuntu 24.04, PostgreSQL 16
#     trixie    Debian 13, PostgreSQL 17
#     testing   Debian testing, PostgreSQL 18
#
# Each release is a root folder made once by debootstrap and kept in a cache; removing the cache folder makes them anew.  Debian comes
# from the mirror that apt uses here.  Ubuntu is made inside Debian 13, whose debootstrap knows the release and its mirror.  The
# checkout is copied into the root folder and its test/run started there, in a mount and process namespace of its own so that nothing
# outlives the run, at sample counts at most: full ones take hours, and what they look for depends on no release.  What cannot be had
# is a skip with its reason.

RELEASES='trixie testing noble'
RELEASE_CACHE=${BILLING_RELEASE_CACHE:-/var/tmp/billing-releases}
# testing moves; its root folder is made anew after so many days.
TESTING_KEEPS_DAYS=14

# What a release runs in.  It takes no signal while it waits for the one process it started, with which all others there end.
RELEASE_PROCESS=

stop_release() {
	[ -z "$RELEASE_PROCESS" ] || as_root pkill -KILL -P "$RELEASE_PROCESS"
}

# run_on_other_releases [SUITE …]
run_on_other_releases() {
	local release
	trap 'stop_release; clean_up' EXIT
	for release in $RELEASES; do
		SUITE=$release
		if [ "$(id -u)" -ne 0 ] && ! command -v sudo >/dev/null; then
			skip 'all suites' 'changing the root folder needs root or sudo'
		elif make_release "$release"; then
			run_in_release "$release" "$@"
		else
			skip 'all suites' "could not be made: $(tail -n 1 "$WORK/$release.log")"
		fi
	done
}

# The mirror that apt fetches this machine's release from.
package_mirror() {
	local codename
	codename=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")
	LC_ALL=C apt-get indextargets --format '$(SITE) $(RELEASE)' 'Created-By: Packages' | sed -n "s/ ${codename:-testing}\$//p" | head -n 1
}

# make_release NAME: its root folder, if there is none yet; output in $WORK/NAME.log.
make_release() {
	local release=$1 root=$RELEASE_CACHE/$1
	if [ "$release" = testing ] && [ -n "$(find "$root" -maxdepth 0 -mtime +$TESTING_KEEPS_DAYS 2>/dev/null)" ]; then
		as_root rm -rf --one-file-system "$root"
	fi
	[ ! -d "$root" ] || return 0
	require_packages debootstrap
	progress "making a root folder of $release, once"
	as_root mkdir -p "$RELEASE_CACHE"
	as_root rm -rf --one-file-system "$root.part"
	bootstrap "$release" "$root.part" >"$WORK/$release.log" 2>&1 </dev/null || return 1
	# No server is to start when its package is installed.
	printf '#!/bin/sh\nexit 101\n' | as_root tee "$root.part/usr/sbin/policy-rc.d" >/dev/null
	as_root chmod +x "$root.part/usr/sbin/policy-rc.d"
	as_root mv "$root.part" "$root"
}

# bootstrap NAME FOLDER.  An older debootstrap has no script by the name of a newer release, but all of Debian share one.
bootstrap() {
	local mirror
	if [ "$1" = noble ]; then
		make_release trixie && bootstrap_ubuntu "$1" "$2"
		return
	fi
	mirror=$(package_mirror)
	[ -n "$mirror" ] || { echo 'apt has no mirror for the release of this machine'; return 1; }
	as_root debootstrap --variant=minbase --include=ca-certificates "$1" "$2" "$mirror" /usr/share/debootstrap/scripts/sid
}

# bootstrap_ubuntu NAME FOLDER, inside Debian 13.
bootstrap_ubuntu() {
	local name=$1 folder=$2 root=$RELEASE_CACHE/trixie
	copy_network_settings "$root"
	as_root rm -rf --one-file-system "$root/srv/$name"
	as_root unshare --mount --pid --fork --kill-child --mount-proc="$root/proc" chroot "$root" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin \
		DEBIAN_FRONTEND=noninteractive ${http_proxy:+http_proxy="$http_proxy"} ${https_proxy:+https_proxy="$https_proxy"} sh -c "
			apt-get update -q && apt-get install -y -q --no-install-recommends debootstrap ubuntu-keyring &&
			debootstrap --variant=minbase --include=ca-certificates --components=main,universe $name /srv/$name" || return 1
	as_root mv "$root/srv/$name" "$folder"
}

# run_in_release NAME [SUITE …]: test/run in that root folder; its results are added to ours under the release's name.
run_in_release() {
	local release=$1 root=$RELEASE_CACHE/$1 begun=$SECONDS become=()
	shift
	progress "copying the checkout into $release"
	as_root rm -rf "$root/srv/billing" "$root/srv/results" "$root"/tmp/billing.*   # the last: of a run that was stopped
	as_root mkdir -p "$root/srv/billing" "$root/srv/shared"
	list_source_files | tar -C "$BILLING_SOURCE" --null --no-recursion -T - -c | as_root tar -C "$root/srv/billing" --no-same-owner -x
	copy_network_settings "$root"
	exec 3> >(sed -u "s/^/[$release] /")
	[ "$(id -u)" -eq 0 ] || become=(sudo)
	"${become[@]}" unshare --mount --pid --fork --kill-child bash -c "$(declare -f enter_release); enter_release \"\$@\"" - \
		"$root" "$BILLING_SHARED" "${FULL:+1}" "$release" "$@" </dev/null >&3 2>&1 3>&- &
	RELEASE_PROCESS=$!
	wait "$RELEASE_PROCESS"
	RELEASE_PROCESS=
	exec 3>&-
	if [ -s "$root/srv/results" ]; then
		sed "s/\t/\t$release: /" "$root/srv/results" >>"$RESULTS"
	else
		not_ok 'all suites' 'the run did not end, see above'
	fi
	progress "$release took $((SECONDS - begun)) s"
}

# Inside the new namespaces: enter_release ROOT SHARED SAMPLE NAME [SUITE …].
enter_release() {
	local root=$1 shared=$2 sample=$3 release=$4
	shift 4
	mount -t proc proc "$root/proc"
	mount --rbind /dev "$root/dev"
	[ ! -d "$shared" ] || mount --bind -o ro "$shared" "$root/srv/shared"
	exec chroot "$root" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 SAMPLE="$sample" \
		${http_proxy:+http_proxy="$http_proxy"} ${https_proxy:+https_proxy="$https_proxy"} ${no_proxy:+no_proxy="$no_proxy"} \
		BILLING_SHARED=/srv/shared BILLING_RESULTS=/srv/results BILLING_OTHER_RELEASE="$release" bash /srv/billing/test/run "$@"
}

# Names of the files of the checkout, ended by null bytes; without what earlier builds left.
list_source_files() {
	if git_of_anyone -C "$BILLING_SOURCE" rev-parse HEAD >/dev/null 2>&1; then
		git_of_anyone -C "$BILLING_SOURCE" ls-files -z --cached --others --exclude-standard --deduplicate |
			while IFS= read -r -d '' file; do
				[ ! -e "$BILLING_SOURCE/$file" ] && [ ! -L "$BILLING_SOURCE/$file" ] || printf '%s\0' "$file"
			done
	else
		(cd "$BILLING_SOURCE" && find . -type f ! -name '*.o' ! -name '*.bc' ! -name '*.so' -print0 -o -type l -print0)
	fi
}

# Name resolution and apt's transport settings are those of this machine.
copy_network_settings() {
	local root=$1 file
	for file in /etc/resolv.conf /etc/hosts; do
		[ ! -f "$file" ] || as_root cp -L "$file" "$root$file"
	done
	apt-config dump | grep -E '^Acquire::(http|https|ftp|Retries|Check)' | as_root tee "$root/etc/apt/apt.conf.d/99-as-outside" >/dev/null || true
}
