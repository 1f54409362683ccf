#!/usr/bin/env bash
# Makes a Debian 12 base image from the package mirror, for machines that cannot pull from a registry:
# `docker/debian-base.sh NAME`, then `make build BASE_IMAGE=NAME`. Needs root and debootstrap.
set -euo pipefail

name=${1:?usage: debian-base.sh NAME}
docker=$(sh "$(dirname "$0")/client.sh")
# shellcheck source=docker/versions.env
. "$(dirname "$0")/versions.env"
# An image that another version of this script made is made again.
made_by=$(sha256sum <"$0" | cut -c 1-16)
label='{{index .Config.Labels "kennel.base"}}'
if [ "$("$docker" image inspect --format "$label" "$name" 2>/dev/null)" = "$made_by" ]; then
    exit 0
fi
command -v debootstrap >/dev/null || { echo "debootstrap is missing: apt-get install debootstrap" >&2; exit 1; }
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
# The mirror that this machine uses, if its apt sources name one.
mirror=${DEBIAN_MIRROR:-$(sed -n 's/^URIs: *//p' /etc/apt/sources.list.d/debian.sources 2>/dev/null | head -n 1)}
debootstrap --variant=minbase bookworm "$root" ${mirror:+"$mirror"} >&2
mirror=$(awk '$1 == "deb" { print $2; exit }' "$root/etc/apt/sources.list") # or debootstrap's own
cat >"$root/etc/apt/sources.list" <<SOURCES
deb $mirror bookworm main
deb $mirror bookworm-updates main
deb ${DEBIAN_SECURITY_MIRROR:-${mirror%/}-security} bookworm-security main
SOURCES
chroot "$root" apt-get update >&2
DEBIAN_FRONTEND=noninteractive chroot "$root" apt-get upgrade --yes >&2
chroot "$root" apt-get clean
rm -rf "$root"/var/lib/apt/lists/* "$root"/var/log/* "$root"/var/cache/debconf/*-old "$root"/var/lib/dpkg/*-old \
    "$root"/var/cache/ldconfig/aux-cache "$root"/usr/share/man/* "$root"/usr/share/locale/* "$root"/etc/machine-id
find "$root/usr/share/doc" ! -type d ! -name copyright -delete
# Docker mounts its own files there: they must exist, or each layer would contain an empty one.
: >"$root/etc/resolv.conf"
: >"$root/etc/hosts"
: >"$root/etc/hostname"
find "$root" -type f -perm /6000 -exec chmod a-s {} +
# The same packages give the same image: sorted, and with one time.
tar --create --one-file-system --sort=name --mtime="@$SOURCE_DATE_EPOCH" --numeric-owner --directory "$root" . |
    "$docker" import --change "LABEL kennel.base=$made_by" - "$name" >&2
