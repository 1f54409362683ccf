#!/bin/sh
# Entrypoint of both images: `train`, `serve`, or any other command, always started with exec, so that
# SageMaker's SIGTERM reaches the program itself.
set -eu

# The image's CUDA can be newer than the host's driver. The compat package contains the newer half of
# the driver, but must not be used with a driver that is at least as new. The name of its library has
# the driver version it was made for: libcuda.so.1 -> libcuda.so.595.45.04.
compat=${CUDA_COMPAT_DIR:-/usr/local/cuda/compat}
driver_file=${NVIDIA_DRIVER_FILE:-/proc/driver/nvidia/version}
if [ -r "$driver_file" ] && [ -e "$compat/libcuda.so.1" ]; then
    ours=$(basename "$(readlink -f "$compat/libcuda.so.1")")
    ours=${ours#libcuda.so.}
    # "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.65.06  Release Build …"
    host=$(sed -n 's/^NVRM version: [^.]* \([0-9][0-9.]*\) .*/\1/p' "$driver_file")
    oldest=$(printf '%s\n%s\n' "$host" "$ours" | sort --version-sort | head -n 1)
    if [ -n "$host" ] && [ "$host" != "$ours" ] && [ "$oldest" = "$host" ]; then
        export LD_LIBRARY_PATH="$compat${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
        echo "kennel: driver $host is older than the image's CUDA; using compat $ours" >&2
    fi
fi

case "${1:-}" in
train | serve)
    if [ ! -d "/opt/kennel/$1" ]; then
        echo "kennel: this image cannot $1: use kennel-$1" >&2
        exit 64
    fi
    # `train` is sagemaker-training's console script.
    [ "$1" = train ] || { shift; set -- python -m serve.entry "$@"; }
    exec "$@"
    ;;
*) exec "$@" ;;
esac
