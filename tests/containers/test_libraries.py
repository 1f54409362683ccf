"""What was removed from the images is needed by nothing that remains. Needs no GPU."""

import json
import re

import pytest

from tests.containers.engine import Images

pytestmark = pytest.mark.docker
ALL = pytest.mark.parametrize("which", ["train", "serve", "serve_cpu"])
TORCH = pytest.mark.parametrize("which", ["train", "serve"])
# What each library of the image links to and the loader does not find.
UNRESOLVED = """
import json, pathlib, re, subprocess
packages = next(pathlib.Path("/opt/venv/lib").glob("python3*/site-packages"))
places = (packages, pathlib.Path("/usr/lib"))
libraries = sorted(one for place in places for one in place.rglob("*.so*") if one.is_file())
# torch loads CUDA's libraries before its own, and Java its own.
found = [*packages.glob("nvidia/*/lib"), *packages.glob("torch/lib")]
found += [one.parent for one in packages.rglob("libjvm.so")]
found += [one.parent for one in packages.rglob("libjava.so")]
loader = next(pathlib.Path("/lib64").glob("ld-linux*"))
missing = {}
for one in libraries:
    if one.read_bytes()[:4] != b"\\x7fELF":
        continue
    done = subprocess.run(
        [loader, "--library-path", ":".join(map(str, found)), "--list", one],
        capture_output=True, text=True,
    )
    for name in re.findall(r"([^\\s:]+)(?:: cannot open| => not found)", done.stdout + done.stderr):
        missing.setdefault(one.name, []).append(name)
print(json.dumps({"libraries": len(libraries), "missing": missing}))
"""
# A driver's libraries are the host's.
DRIVER = ["libcuda.so.1"], ["libnvidia-ml.so.1"]
# Loaded only where a network's, launcher's, desktop's or sound card's own libraries are installed.
PLUG_INS = "libcufile_rdma|nvshmem_(bootstrap|transport)_|libawt_xawt|libjawt|libjsound|libsplash"
PLUG_INS += "|q_atm"
# OpenVINO's bindings of formats that are left out; a Fortran library that nothing links to.
UNUSED = "py_(jax|paddle|tensorflow)_frontend|libgfortran"
EXPECTED = re.compile(f"{PLUG_INS}|{UNUSED}")
# Loads a library and looks up all that it uses, as the first call on a GPU would.
LOADED = """
import ctypes, json, os, pathlib
import torch, torchvision
packages = pathlib.Path(torch.__file__).parents[1]
failed, loaded = {}, []
for pattern in ("torch/lib/*.so*", "nvidia/c*/lib/*.so*", "nvidia/nccl/lib/*.so*"):
    for one in sorted(packages.glob(pattern)):
        try:
            ctypes.CDLL(str(one), mode=os.RTLD_NOW)
            loaded.append(one.name)
        except OSError as error:
            failed[one.name] = str(error)
print(json.dumps({"loaded": loaded, "failed": failed}))
"""
# torch and cuDNN load these by name when they are first used.
BY_NAME = (
    *("libtorch_cuda_linalg.so", "libcusolver.so", "libnvJitLink.so", "libnvrtc.so"),
    *("libcudnn_adv.so", "libcudnn_cnn.so", "libcudnn_ops.so", "libcudnn_graph.so"),
    *("libcudnn_heuristic.so", "libcudnn_engines_precompiled.so"),
    *("libcudnn_engines_runtime_compiled.so", "libcudnn_engines_tensor_ir.so"),
)
IMPORTED = """
import importlib, json, pkgutil, sys
failed, count = {}, 0
for name in ("torch.cuda", "torch.backends.cuda", "torch.backends.cudnn", *sys.argv[1:]):
    package = importlib.import_module(name)
    parts = pkgutil.walk_packages(getattr(package, "__path__", []), f"{name}.")
    for part in [name, *(one.name for one in parts if not one.name.endswith("__main__"))]:
        if part == "serve.worker":  # it is a program, and tests of serving run it
            continue
        count += 1
        try:
            importlib.import_module(part)
        except ImportError as error:
            failed[part] = str(error)
print(json.dumps({"count": count, "failed": failed}))
"""


@ALL
def test_every_library_finds_what_it_links_to(images: Images, which: str) -> None:
    done = images.run(getattr(images, which), "python", "-c", UNRESOLVED)
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["libraries"] > 100
    missing = found["missing"]
    if which != "serve_cpu":
        assert DRIVER[0] in missing.values(), "there is no driver here, and the check finds that"
    others = {name: lacks for name, lacks in missing.items() if lacks not in DRIVER}
    assert {name: lacks for name, lacks in others.items() if not EXPECTED.match(name)} == {}


@TORCH
def test_every_library_of_cuda_can_be_loaded(images: Images, which: str) -> None:
    done = images.run(getattr(images, which), "python", "-c", LOADED)
    found = json.loads(done.stdout.splitlines()[-1])
    others = {name: why for name, why in found["failed"].items() if "libcuda.so.1" not in why}
    assert {name: why for name, why in others.items() if not EXPECTED.match(name)} == {}
    for name in BY_NAME:
        assert any(one.startswith(name) for one in found["loaded"]), name


def test_all_that_serves_on_a_gpu_is_imported(images: Images) -> None:
    done = images.run(images.serve, "python", "-c", IMPORTED, "serve")
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["count"] > 40
    assert found["failed"] == {}
