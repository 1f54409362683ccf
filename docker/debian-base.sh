#!/usr/bin/env bash
# Makes a Debian 12 base image out of the package mirror, where no registry can be pulled from:
# `docker/debian-base.sh NAME`, then `make build BASE_IMAGE=NAME`. Needs root and debootstrap.
set -euo pipefail

name=${1:?which name is the image to have?}
docker=$(sh "$(dirname "$0")/client.sh")
if "$docker" image inspect "$name" >/dev/null 2>&1; then
    exit 0
fi
command -v debootstrap >/dev/null || { echo "no debootstrap: apt-get install debootstrap" >&2; exit 1; }
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
# The mirror this machine uses itself, where it says so.
mirror=${DEBIAN_MIRROR:-$(sed -n 's/^URIs: *//p' /etc/apt/sources.list.d/debian.sources 2>/dev/null | head -n 1)}
debootstrap --variant=minbase bookworm "$root" ${mirror:+"$mirror"} >&2
rm -rf "$root"/var/cache/apt/archives/*.deb "$root"/var/lib/apt/lists/*
tar --create --one-file-system --directory "$root" . | "$docker" import - "$name" >&2
