#!/bin/bash
# Install the Debian 12 packages that are missing; nothing to do and no network
# needed when all are there.
#
#	tools/deps.sh run	what building and `make run` need
#	tools/deps.sh all	what the tests and the bench need too
set -u

build="gcc libc6-dev make pkg-config liburing-dev libnbd-dev libjansson-dev
	libblkid-dev libisal-dev libinih-dev libzstd-dev nettle-dev
	libxxhash-dev"
tests="libcmocka-dev clang-14 libclang-rt-14-dev clang-format-14 clang-tidy-14
	libnbd-bin nbdkit nbd-server nbd-client qemu-utils qemu-system-x86
	qemu-system-common fio e2fsprogs kmod busybox-static lz4 xz-utils
	procps python3 netcat-openbsd
	iproute2 nftables"

case ${1-} in
run) want=$build ;;
all) want="$build $tests" ;;
*)
	echo "usage: tools/deps.sh run|all" >&2
	exit 2
	;;
esac

if ! command -v dpkg-query > /dev/null; then
	echo "deps: this is not Debian; see to it that these are there:" $want >&2
	exit 0
fi
missing=
for p in $want; do
	s=$(dpkg-query -W -f '${db:Status-Status}' "$p" 2> /dev/null)
	[ "$s" = installed ] || missing="$missing $p"
done
[ -n "$missing" ] || exit 0

if [ "$(id -u)" != 0 ]; then
	echo "deps: not installed:$missing" >&2
	echo "deps: as root, run: apt-get install --no-install-recommends$missing" >&2
	exit 1
fi
export DEBIAN_FRONTEND=noninteractive
opts="-y -q --no-install-recommends -o Dpkg::Use-Pty=0"
echo "deps: installing$missing"
# shellcheck disable=SC2086
apt-get install $opts $missing < /dev/null > /dev/null 2>&1 && exit 0
# Perhaps the lists of packages are old, or there are none yet.
if ! apt-get update -q < /dev/null; then
	echo "deps: cannot reach a Debian archive to install:$missing" >&2
	exit 1
fi
# shellcheck disable=SC2086
apt-get install $opts $missing < /dev/null || {
	echo "deps: apt-get could not install:$missing" >&2
	exit 1
}
