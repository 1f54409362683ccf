#!/bin/sh
# PID 1 of both images: `train`, `serve`, or any other command, always by exec, so that SageMaker's
# SIGTERM reaches the program itself.
set -eu

# An image's CUDA may be newer than the host's driver. The compat package then brings the newer half of
# the driver; with a driver as new as itself it must stay out of the way. Its library carries the driver
# version it was made for in its name: libcuda.so.1 -> libcuda.so.595.45.04.
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
        echo "kennel: '$1' is the other image's work" >&2
        exit 64
    fi
    # `train` is sagemaker-training's console script.
    [ "$1" = train ] || { shift; set -- python -m serve.entry "$@"; }
    exec "$@"
    ;;
*) exec "$@" ;;
esac
