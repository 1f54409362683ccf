#!/bin/sh
# Prints the first docker on PATH (or $DOCKER) that reaches an engine and can build with BuildKit.
# Machines often have several, and clients from version 23 on build only with the buildx plugin.
set -u

IFS=:
for folder in ${DOCKER:+"$(dirname "$(command -v "$DOCKER")")"} $PATH; do
    docker=$folder/docker
    [ -x "$docker" ] || continue
    major=$("$docker" version --format '{{.Client.Version}}' 2>/dev/null) || continue
    if [ "${major%%.*}" -lt 23 ] || "$docker" buildx version >/dev/null 2>&1; then
        echo "$docker"
        exit 0
    fi
done
echo "No usable Docker: start the engine (dockerd), or install the buildx plugin for docker 23 or newer." >&2
exit 1
