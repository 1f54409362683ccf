#!/bin/sh
# What the Dockerfiles install from the network: `install.sh apt PACKAGE…` and `install.sh lock NAME`.
# A company's own CA and package index are BuildKit secrets, so no layer contains them.
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
# pip installs uv, uv installs the rest; neither reads the other's settings.
index=${UV_DEFAULT_INDEX:-${UV_INDEX_URL:-${PIP_INDEX_URL:-}}}
if [ -n "$index" ]; then
    export UV_DEFAULT_INDEX="$index" PIP_INDEX_URL="${PIP_INDEX_URL:-$index}"
fi

case "$1" in
apt)
    shift
    export DEBIAN_FRONTEND=noninteractive
    # For apt an empty CAInfo means the system's own certificates.
    options="-o Acquire::https::CAInfo=${SSL_CERT_FILE:-} -o Acquire::Retries=3"
    # shellcheck disable=SC2086 # two options of two words each
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
    # No cache: it would be as large as torch, which is rarely reinstalled.
    export UV_PYTHON_DOWNLOADS=never UV_NO_CACHE=1
    # Bytecode is compiled here; a container would otherwise compile it at every start.
    /opt/uv/bin/uv pip sync --python /opt/venv/bin/python --require-hashes \
        --build-constraints /locks/build.txt --compile-bytecode "/locks/$2.txt"
    ;;
*)
    echo "install.sh: unknown command '$1': use apt or lock" >&2
    exit 64
    ;;
esac
