#!/bin/sh
# The steps of the Dockerfiles: `install.sh apt PACKAGE…`, `updates IMAGE`, `uv`, `lock NAME`, `code FOLDER…`,
# `tidy`.
# Each step ends with `tidy`, so that the same inputs give the same layer.
# A company's own CA and package index are BuildKit secrets, so no layer contains them.
set -eu

: "${SOURCE_DATE_EPOCH:?pass it as --build-arg, as docker/build.sh does}"
here=$(dirname "$0")
ca=$here/secrets/ca
if [ -s "$ca" ]; then
    export SSL_CERT_FILE="$ca" PIP_CERT="$ca"
fi
if [ -s "$here/secrets/index" ]; then
    set -a
    # shellcheck source=/dev/null
    . "$here/secrets/index"
    set +a
fi
# pip installs uv, uv installs the rest; neither reads the other's settings.
index=${UV_DEFAULT_INDEX:-${UV_INDEX_URL:-${PIP_INDEX_URL:-}}}
if [ -n "$index" ]; then
    export UV_DEFAULT_INDEX="$index" PIP_INDEX_URL="${PIP_INDEX_URL:-$index}"
fi
export DEBIAN_FRONTEND=noninteractive UV_PYTHON_DOWNLOADS=never
# No cache: it would be as large as torch, which is rarely reinstalled.
export UV_NO_CACHE=1

apt() {
    # For apt an empty CAInfo means the system's own certificates. Of the documentation only the licences are unpacked.
    apt-get -o "Acquire::https::CAInfo=${SSL_CERT_FILE:-}" -o Acquire::Retries=3 \
        -o Dpkg::Options::=--force-unsafe-io -o 'Dpkg::Options::=--path-exclude=/usr/share/man/*' \
        -o 'Dpkg::Options::=--path-exclude=/usr/share/locale/*' -o 'Dpkg::Options::=--path-exclude=/usr/share/info/*' \
        -o 'Dpkg::Options::=--path-exclude=/usr/share/doc/*/*' \
        -o 'Dpkg::Options::=--path-include=/usr/share/doc/*/copyright' "$@"
}

# What a package manager leaves, and all that says when or by whom a layer was made.
tidy() {
    apt-get clean
    rm -rf /var/lib/apt/lists/* /var/cache/ldconfig/aux-cache /var/cache/debconf/*-old /var/lib/dpkg/*-old \
        /root/.cache /opt/venv/.lock /tmp/* /var/tmp/*
    find /var/log -type f -delete
    # No program needs another user's rights: the server drops its own, and nobody logs in.
    find / -xdev -type f -perm /6000 -exec chmod a-s {} +
    # Docker mounts the files that are left out.
    find / -xdev ! -path /proc ! -path /sys ! -path /dev ! -path /etc/hosts ! -path /etc/resolv.conf \
        -newermt "@$SOURCE_DATE_EPOCH" -exec touch --no-dereference --date="@$SOURCE_DATE_EPOCH" {} +
}

# What of the Python packages no image uses: it is for those who compile, profile or test them, or for other
# processors and formats than ours.
slim() {
    packages=$(echo /opt/venv/lib/python3*/site-packages)
    find "$packages" -type f \( -name '*.a' -o -name 'libcusolverMg.so*' -o -name 'libnvperf_*.so*' \
        -o -name 'libnvshmem_device*.bc' -o -path '*/torch/bin/protoc*' \
        -o -name '*.h' -o -name '*.hpp' -o -name '*.cuh' -o -name '*.c' -o -name '*.pxd' -o -name '*.pyx' \) -delete
    rm -rf /opt/venv/include/site
    # The tests of `future` have private keys, which a scanner for secrets reports.
    find "$packages" -type d \( -name test -o -name tests -o -path '*/nvidia/*/include' -o -path '*/torch/include' \
        -o -path '*/torch/share' -o -path '*/openvino/include' \) -prune -exec rm -rf {} +
    if [ -d "$packages/openvino" ]; then
        find "$packages/openvino/libs" -type f \( -name 'libopenvino_intel_gpu_*' -o -name 'libopenvino_intel_npu_*' \
            -o -name 'libopenvino_tensorflow*' -o -name 'libopenvino_paddle*' \
            -o -name 'libopenvino_jax*' -o -name 'libopenvino_gguf*' -o -name cache.json \) -delete
    fi
}

# The symbol tables of torch and NCCL, which only a debugger reads: 235 MB. binutils is in the stage `tools`, whose
# /usr is mounted.
strip() {
    [ -d "$here/usr" ] || return 0
    packages=$(echo /opt/venv/lib/python3*/site-packages)
    LD_LIBRARY_PATH=$(echo "$here"/usr/lib/*-linux-gnu) "$here/usr/bin/strip" --strip-unneeded \
        "$packages"/torch/lib/*.so "$packages"/nvidia/nccl/lib/*.so*
}

case "$1" in
apt)
    shift
    apt update
    apt install --yes --no-install-recommends "$@"
    tidy
    ;;
updates)
    # UPDATES is the day of docker/versions.env: another day makes this layer again.
    : "${UPDATES:?pass it as --build-arg, as docker/build.sh does}"
    apt update
    apt upgrade --yes --no-install-recommends
    mkdir -p /opt/kennel
    python3 "$here/sbom.py" "$2" >/opt/kennel/sbom.cdx.json
    tidy
    ;;
uv)
    : "${UV_VERSION:?pass it as --build-arg, as docker/build.sh does}"
    python3 -m venv /opt/uv
    /opt/uv/bin/pip install --quiet --no-cache-dir "uv==$UV_VERSION"
    ;;
lock)
    python3 -c 'import sys; v = sys.version_info[:2]; (3, 11) <= v <= (3, 13) or sys.exit(f"the base image has Python {v}; Kennel runs on 3.11 to 3.13")'
    # Without pip: the training image has the one of its lock, for a user's requirements.txt.
    [ -x /opt/venv/bin/python ] || python3 -m venv --without-pip /opt/venv
    # No debug information: it would contain the name of a temporary folder.
    CFLAGS=-g0 "$here/uv/bin/uv" pip sync --python /opt/venv/bin/python --require-hashes \
        --link-mode copy --build-constraints "$here/locks/build.txt" "$here/locks/$2.txt"
    slim
    strip
    tidy
    # Bytecode is compiled here; a container would otherwise compile it at every start. It names the
    # time of its source, so it comes after the times are set. Some packages carry files of Python 2, and
    # sympy is imported by nothing that we run.
    /opt/venv/bin/python -m compileall -q -j 0 -x '/(sympy|networkx)/' --invalidation-mode timestamp /opt/venv/lib ||
        echo "some files have no bytecode: see above"
    tidy
    ;;
code)
    shift
    mkdir -p /opt/kennel
    for folder in "$@"; do
        cp --recursive --no-preserve=all "$here/$folder" /opt/kennel/
    done
    chmod -R u=rwX,go=rX /opt/kennel
    chmod 755 /opt/kennel/entrypoint.sh
    tidy
    /opt/venv/bin/python -m compileall -q -j 0 --invalidation-mode timestamp /opt/kennel
    tidy
    ;;
tidy) tidy ;;
*)
    echo "install.sh: unknown command '$1': use apt, updates, uv, lock, code or tidy" >&2
    exit 64
    ;;
esac
