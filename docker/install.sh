#!/bin/sh
# What the Dockerfiles fetch from the network: `install.sh apt PACKAGE…` and `install.sh lock NAME`.
# A company's own CA and package index arrive as BuildKit secrets, so no layer holds them.
set -eu

ca=/run/secrets/ca
if [ -s "$ca" ]; then
    export SSL_CERT_FILE="$ca" PIP_CERT="$ca"
fi
if [ -s /run/secrets/index ]; then
    set -a
    . /run/secrets/index
    set +a
fi
# pip fetches uv and uv the rest, and neither reads the other's setting.
index=${UV_DEFAULT_INDEX:-${UV_INDEX_URL:-${PIP_INDEX_URL:-}}}
if [ -n "$index" ]; then
    export UV_DEFAULT_INDEX="$index" PIP_INDEX_URL="${PIP_INDEX_URL:-$index}"
fi

case "$1" in
apt)
    shift
    export DEBIAN_FRONTEND=noninteractive
    # apt takes an empty CAInfo for "the system's own".
    options="-o Acquire::https::CAInfo=${SSL_CERT_FILE:-} -o Acquire::Retries=3"
    # shellcheck disable=SC2086 # two options, two words each
    apt-get $options update
    # shellcheck disable=SC2086
    apt-get $options install --yes --no-install-recommends "$@"
    apt-get clean
    rm -rf /var/lib/apt/lists/*
    ;;
lock)
    : "${UV_VERSION:?pass it as --build-arg, as docker/build.sh does}"
    python3 -c 'import sys; v = sys.version_info[:2]; (3, 11) <= v <= (3, 13) or sys.exit(f"the base image has Python {v}; Kennel runs on 3.11 to 3.13")'
    [ -x /opt/uv/bin/uv ] || python3 -m venv /opt/uv
    /opt/uv/bin/pip install --quiet --no-cache-dir "uv==$UV_VERSION"
    # `venv` and not `uv venv`: SageMaker's script mode runs pip from it for a user's requirements.txt.
    [ -x /opt/venv/bin/python ] || python3 -m venv /opt/venv
    # No cache: it would be as large as torch, and torch is seldom installed anew.
    export UV_PYTHON_DOWNLOADS=never UV_NO_CACHE=1
    # Bytecode is made here, since a container would make it again at every start.
    /opt/uv/bin/uv pip sync --python /opt/venv/bin/python --require-hashes \
        --build-constraints /locks/build.txt --compile-bytecode "/locks/$2.txt"
    ;;
*)
    echo "install.sh: no '$1'; it knows apt and lock" >&2
    exit 64
    ;;
esac
