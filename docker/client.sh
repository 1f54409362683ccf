#!/bin/sh
# Prints the first docker on PATH (or $DOCKER) that reaches an engine and can build with BuildKit.
# More than one is common, and newer clients build only with the buildx plugin beside them.
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
echo "No usable Docker: start the engine (dockerd), or install the buildx plugin for a client of 23 or newer." >&2
exit 1
