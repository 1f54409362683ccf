#!/usr/bin/env bash
# Builds the images: `docker/build.sh [train] [serve]` makes kennel-train:TAG and kennel-serve:TAG.
#
#   TAG         the images' tag (default: local)
#   BASE_IMAGE  the base image (default: the one in docker/versions.env)
#   CA_BUNDLE   CA certificates for the package index (default: $SSL_CERT_FILE)
#
# The build also uses the environment's PIP_* and UV_* index settings and HTTP proxies. CA and index
# can contain passwords, so they are passed as BuildKit secrets and are not stored in the images.
set -euo pipefail
cd "$(dirname "$0")/.."

base_given=${BASE_IMAGE:-}
# shellcheck source=docker/versions.env
. docker/versions.env
BASE_IMAGE=${base_given:-$BASE_IMAGE}
tag=${TAG:-local}
docker=$(sh docker/client.sh)
# SageMaker's hosting accepts plain image manifests only, no index with attestations.
export DOCKER_BUILDKIT=1 BUILDX_NO_DEFAULT_ATTESTATIONS=1

secrets=$(mktemp -d)
trap 'rm -rf "$secrets"' EXIT
arguments=()
ca=${CA_BUNDLE:-${SSL_CERT_FILE:-}}
[ -z "$ca" ] || arguments+=(--secret "id=ca,src=$ca")
for name in PIP_INDEX_URL PIP_EXTRA_INDEX_URL UV_DEFAULT_INDEX UV_INDEX UV_INDEX_URL UV_EXTRA_INDEX_URL UV_INDEX_STRATEGY; do
    [ -z "${!name:-}" ] || printf '%s=%q\n' "$name" "${!name}" >>"$secrets/index"
done
[ ! -e "$secrets/index" ] || arguments+=(--secret "id=index,src=$secrets/index")
for name in HTTP_PROXY HTTPS_PROXY NO_PROXY http_proxy https_proxy no_proxy; do
    [ -z "${!name:-}" ] || arguments+=(--build-arg "$name")
done

locked() { sed -n "s/^$1==\([^ ]*\).*/\1/p" docker/locks/torch.txt; }
revision=$(git rev-parse --verify HEAD 2>/dev/null || echo unknown)
[ -z "$(git status --porcelain 2>/dev/null)" ] || revision+=-dirty
# The commit's time, not the clock's: the same sources give the same image.
created=$(git log -1 --format=%cI 2>/dev/null || echo 1970-01-01T00:00:00Z)

build() {
    echo "building kennel-$1:$tag on $BASE_IMAGE" >&2
    "$docker" build --file "docker/$1.Dockerfile" --tag "kennel-$1:$tag" "${arguments[@]}" \
        --build-arg "UV_VERSION=$UV_VERSION" "${@:2}" .
}

if ! "$docker" image inspect "$BASE_IMAGE" >/dev/null 2>&1 && ! "$docker" pull --quiet "$BASE_IMAGE" >/dev/null; then
    echo "the base image $BASE_IMAGE is not on this machine and cannot be pulled: check the network and the" \
        "proxy, or make a base from Debian's packages: docker/debian-base.sh kennel-base, then" \
        "BASE_IMAGE=kennel-base make build (docs/images.md)" >&2
    exit 1
fi
build torch --build-arg "BASE_IMAGE=$BASE_IMAGE"
[ $# -gt 0 ] || set -- train serve
for image in "$@"; do
    build "$image" --build-arg "TORCH_IMAGE=kennel-torch:$tag" \
        --build-arg "VERSION=$(sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)" \
        --build-arg "REVISION=$revision" \
        --build-arg "CREATED=$created" \
        --build-arg "BASE_IMAGE=$BASE_IMAGE" \
        --build-arg "TORCH_VERSION=$(locked torch)" \
        --build-arg "CUDA_VERSION=$(locked cuda-toolkit)"
done
