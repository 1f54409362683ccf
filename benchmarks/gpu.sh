#!/usr/bin/env bash
# Measures on one GPU what only a GPU can show: see benchmarks/gpu.py. Under 8 minutes, no network.
#
#   benchmarks/gpu.sh carry [3.12]   with a network: download the wheels that the GPU's machine lacks
#   benchmarks/gpu.sh [--dry …]      on the GPU's machine: use them, run, and print one table
#
# The machine needs python3 with torch, torchvision, numpy, Pillow, safetensors, psutil, tqdm and
# nvidia-ml-py. The wheels (3 MB) lie in build/gpu-wheels, or in $WHEELS; carry that folder along.
set -euo pipefail
cd "$(dirname "$0")/.."
wheels=${WHEELS:-build/gpu-wheels}
carried=(pydantic pydantic-core annotated-types typing-inspection typing-extensions)

if [ "${1:-}" = carry ]; then
  lock=docker/locks/train.txt
  mapfile -t pinned < <(for name in "${carried[@]}"; do grep -oE "^$name==[^ ;]+" "$lock"; done)
  [ "${#pinned[@]}" = "${#carried[@]}" ] || { echo "not every one of ${carried[*]} is in $lock" >&2; exit 1; }
  mkdir -p "$wheels"
  "${PYTHON:-python3}" -m pip download --quiet --no-deps --only-binary=:all: --python-version "${2:-3.12}" \
    --implementation cp --platform manylinux2014_x86_64 --platform manylinux_2_17_x86_64 \
    --dest "$wheels" "${pinned[@]}"
  du -sh "$wheels"
  exit
fi

python=${PYTHON:-$([ -x .venv/bin/python ] && echo .venv/bin/python || echo python3)}
if ! "$python" -c 'import pydantic' 2>/dev/null; then
  compgen -G "$wheels/*.whl" >/dev/null ||
    { echo "no wheels in $wheels: run benchmarks/gpu.sh carry where there is a network" >&2; exit 1; }
  site=$(mktemp -d)
  trap 'rm -rf "$site"' EXIT
  "$python" -m pip install --quiet --no-index --no-deps --no-compile --no-cache-dir --target "$site" "$wheels"/*.whl
  export PYTHONPATH=$site${PYTHONPATH:+:$PYTHONPATH}
fi
"$python" -m benchmarks.gpu "$@"
