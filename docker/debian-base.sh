#!/usr/bin/env bash
# Makes a Debian 12 base image from the package mirror, for machines that cannot pull from a registry:
# `docker/debian-base.sh NAME`, then `make build BASE_IMAGE=NAME`. Needs root and debootstrap.
set -euo pipefail

name=${1:?usage: debian-base.sh NAME}
docker=$(sh "$(dirname "$0")/client.sh")
if "$docker" image inspect "$name" >/dev/null 2>&1; then
    exit 0
fi
command -v debootstrap >/dev/null || { echo "debootstrap is missing: apt-get install debootstrap" >&2; exit 1; }
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
# The mirror that this machine uses, if its apt sources name one.
mirror=${DEBIAN_MIRROR:-$(sed -n 's/^URIs: *//p' /etc/apt/sources.list.d/debian.sources 2>/dev/null | head -n 1)}
debootstrap --variant=minbase bookworm "$root" ${mirror:+"$mirror"} >&2
rm -rf "$root"/var/cache/apt/archives/*.deb "$root"/var/lib/apt/lists/*
tar --create --one-file-system --directory "$root" . | "$docker" import - "$name" >&2
