#!/usr/bin/env bash
# Builds the images: `docker/build.sh [train] [serve] [serve-cpu]` makes kennel-train:TAG and so on.
#
#   TAG             the images' tag (default: local)
#   BASE_IMAGE      the base image (default: the one in docker/versions.env)
#   CPU_BASE_IMAGE  the base of kennel-serve-cpu (default: BASE_IMAGE if that is given, else versions.env's)
#   FLOORS          a registry to look for floors in, such as 123456789012.dkr.ecr.us-east-1.amazonaws.com
#   NO_CACHE        1: what is built is built without the cache
#   CA_BUNDLE       CA certificates for the package index (default: $SSL_CERT_FILE)
#
# A floor is an image without our code: kennel-floor:NAME-HASH, where HASH is that of all it is made of. It is
# built once, or pulled from FLOORS.
#
# The build also uses the environment's PIP_* and UV_* index settings and HTTP proxies. CA and index
# can contain passwords, so they are passed as BuildKit secrets and are not stored in the images.
set -euo pipefail
cd "$(dirname "$0")/.."

base_given=${BASE_IMAGE:-}
cpu_base_given=${CPU_BASE_IMAGE:-$base_given}
# shellcheck source=docker/versions.env
. docker/versions.env
BASE_IMAGE=${base_given:-$BASE_IMAGE}
CPU_BASE_IMAGE=${cpu_base_given:-$CPU_BASE_IMAGE}
tag=${TAG:-local}
docker=$(sh docker/client.sh)
python=$(command -v python3)
# SageMaker's hosting accepts plain image manifests only, no index with attestations.
export DOCKER_BUILDKIT=1 BUILDX_NO_DEFAULT_ATTESTATIONS=1
# The time of all files in the images. The images themselves have the time of the commit.
export SOURCE_DATE_EPOCH

secrets=$(mktemp -d)
trap 'rm -rf "$secrets"' EXIT
arguments=(--build-arg "SOURCE_DATE_EPOCH=$SOURCE_DATE_EPOCH")
[ -z "${NO_CACHE:-}" ] || arguments+=(--no-cache)
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
created=$(TZ=UTC0 git log -1 --format=%cd --date=format-local:%Y-%m-%dT%H:%M:%SZ 2>/dev/null || echo 1970-01-01T00:00:00Z)
floors_created=$(date --utc --date="@$SOURCE_DATE_EPOCH" +%Y-%m-%dT%H:%M:%SZ)

# pulled IMAGE: IMAGE is on this machine, if need be from its registry.
pulled() {
    if ! "$docker" image inspect "$1" >/dev/null 2>&1 && ! "$docker" pull --quiet "$1" >/dev/null; then
        echo "the base image $1 is not on this machine and cannot be pulled: check the network and the" \
            "proxy, or make a base from Debian's packages: docker/debian-base.sh kennel-base, then" \
            "BASE_IMAGE=kennel-base make build (docs/images.md)" >&2
        exit 1
    fi
}

# floor NAME DOCKERFILE TARGET BELOW ARGUMENT…: sets `floor` to kennel-floor:NAME-HASH, and makes that image.
floor() {
    local hash below=()
    case $4 in kennel-floor:*) below=(--label "kennel.floor=$4") ;; esac
    hash=$({
        "$docker" image inspect --format '{{json .RootFS.Layers}} {{json .Config.Env}}' "$4"
        echo "$UV_VERSION $SOURCE_DATE_EPOCH"
        # Without the last stage of the Dockerfile, our code.
        sed '/^FROM ${FLOOR_IMAGE}/,$d' "docker/$2.Dockerfile"
        cat docker/install.sh docker/locks/build.txt "docker/locks/$1.txt"
        # The floor of torch has no updates, so that its gigabytes stay when the day changes.
        [ "$1" = torch ] || { echo "$UPDATES"; cat docker/sbom.py; }
        case $1 in serve*) cat docker/java_archive.py docker/locks/java.classes ;; esac
    } | sha256sum | cut -c 1-16)
    floor=kennel-floor:$1-$hash
    if "$docker" image inspect "$floor" >/dev/null 2>&1; then return; fi
    if [ -n "${FLOORS:-}" ] && "$docker" pull --quiet "$FLOORS/$floor" >/dev/null 2>&1; then
        "$docker" tag "$FLOORS/$floor" "$floor"
        return
    fi
    echo "building $floor on $4" >&2
    "$docker" build --file "docker/$2.Dockerfile" --target "$3" --tag "$floor" "${arguments[@]}" \
        --build-arg "UV_VERSION=$UV_VERSION" --build-arg "UPDATES=$UPDATES" --build-arg FLOOR_IMAGE=scratch "${below[@]}" "${@:5}" .
    "$python" docker/stamp.py "$docker" "$floor" "$floors_created"
}

[ $# -gt 0 ] || set -- train serve serve-cpu
for image in "$@"; do
    if [ "$image" = serve-cpu ]; then
        base=$CPU_BASE_IMAGE
        pulled "$base"
        floor serve-cpu serve-cpu floor "$base" --build-arg "BASE_IMAGE=$base"
    else
        base=$BASE_IMAGE
        pulled "$base"
        floor torch torch torch "$base" --build-arg "BASE_IMAGE=$base"
        "$docker" tag "$floor" "kennel-torch:$tag"
        floor "$image" "$image" floor "$floor" --build-arg "TORCH_IMAGE=$floor"
    fi
    echo "building kennel-$image:$tag on $floor" >&2
    "$docker" build --file "docker/$image.Dockerfile" --target "$image" --tag "kennel-$image:$tag" "${arguments[@]}" \
        --label "kennel.floor=$floor" \
        --build-arg "FLOOR_IMAGE=$floor" --build-arg BASE_IMAGE=scratch --build-arg TORCH_IMAGE=scratch \
        --build-arg "VERSION=$(sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)" \
        --build-arg "REVISION=$revision" \
        --build-arg "CREATED=$created" \
        --build-arg "BASE_NAME=$base" \
        --build-arg "TORCH_VERSION=$(locked torch)" \
        --build-arg "CUDA_VERSION=$(locked cuda-toolkit)" .
    "$python" docker/stamp.py "$docker" "kennel-$image:$tag" "$created"
    mkdir -p build/sbom
    "$docker" run --rm --entrypoint cat "kennel-$image:$tag" /opt/kennel/sbom.cdx.json >"build/sbom/kennel-$image.cdx.json"
done
