# `make` without a target lists the targets. Each target first makes what it needs.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= python3
TAG ?= local
OUT ?= run/train
MODEL ?= $(OUT)/model
PORT ?= 8080
SERVE ?= serve
SPEC ?= experiments/dogs.toml
VERSION ?= $(shell sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)
ENGINE ?= process
WORKERS ?= 2

UV := $(or $(shell command -v uv 2>/dev/null),.uv/bin/uv)
export UV_PYTHON_DOWNLOADS := never
# torch's threads sleep instead of spinning while they wait: jobs and servers share few cores here.
export OMP_WAIT_POLICY ?= PASSIVE
# Python keeps what it compiled: the tests start hundreds of processes, and each would compile our code again.
unexport PYTHONDONTWRITEBYTECODE
LOCK := $(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-header $(ARGS)
VENV := .venv/.locked
# OpenVINO's telemetry sends what a program does to its makers: it is in no lock.
# triton is in no image: it compiles kernels with a C compiler, and no image has one (docs/images.md).
# What the packages of the serving images require and our code there never imports: sparse matrices and the command
# line's colours; in serve-cpu also the toolkit's S3 client, which a user's code in the big image can use.
NOT_IN_SERVE := triton scipy openvino-telemetry typer rich shellingham pygments markdown-it-py mdurl annotated-doc
NOT_IN_SERVE_CPU := $(NOT_IN_SERVE) boto3 botocore s3transfer jmespath python-dateutil urllib3 retrying
LOCAL := $(PYTHON) -m scripts.make.local

# Where `make install` puts the command: the superuser's for all users, else your own.
PREFIX ?= $(if $(filter 0,$(shell id -u)),/usr/local,$(HOME)/.local)

.PHONY: help venv install lock check audit map docs test test-slow test-containers demo build push register local-train local-serve invoke clean

help:
	@sed -n 's/^\([a-z-]*\):.*## /\1 /p' Makefile | while read -r verb line; do printf '%-16s %s\n' "$$verb" "$$line"; done

venv: $(VENV)  ## make .venv from docker/locks/dev.txt

$(VENV): docker/locks/dev.txt docker/locks/build.txt pyproject.toml | $(UV)
	@$(PYTHON) scripts/make/check_python.py
	$(UV) venv --quiet --allow-existing --python "$$(command -v $(PYTHON))" .venv
	$(UV) pip sync --quiet --python .venv --require-hashes --build-constraints docker/locks/build.txt \
		--compile-bytecode docker/locks/dev.txt
	$(UV) pip install --quiet --python .venv --no-deps --no-build-isolation --editable .
	@touch $@

install: $(VENV)  ## the command kennel on your PATH, in an environment of its own
	@mkdir -p $(PREFIX)/bin
	ln -sf $(CURDIR)/.venv/bin/kennel $(PREFIX)/bin/kennel
	@case ":$$PATH:" in *":$(PREFIX)/bin:"*) ;; \
		*) echo 'add it to your PATH: export PATH="$(PREFIX)/bin:$$PATH"';; esac
	@$(PREFIX)/bin/kennel --version

.uv/bin/uv: docker/versions.env
	$(PYTHON) -m venv .uv
	.uv/bin/pip install --quiet "uv==$$(sed -n 's/^UV_VERSION=//p' $<)"
	@touch $@

# dev.txt includes the other locks and is made first, so the tests run the versions that the images have.
# Only dev.txt says why a package is there: in the others a changed comment would rebuild an image. sdk.txt
# and sdk2.txt are the environments of SageMaker's own SDKs, two clients that the tests run.
lock: | $(UV)  ## lock the dependencies again; ARGS=--upgrade takes newer versions
	$(LOCK) pyproject.toml --extra train --extra serve --extra serve-cpu --extra aws --extra data --extra emulator --extra ui \
		--extra writeup --extra docs --extra dev --no-emit-package openvino-telemetry \
		--output-file docker/locks/dev.txt
	$(LOCK) --no-annotate pyproject.toml --extra train --constraints docker/locks/dev.txt \
		--no-emit-package triton --no-emit-package openvino-telemetry --output-file docker/locks/train.txt
	$(LOCK) --no-annotate pyproject.toml --extra serve --constraints docker/locks/dev.txt \
		$(NOT_IN_SERVE:%=--no-emit-package %) --output-file docker/locks/serve.txt
	$(LOCK) --no-annotate pyproject.toml --extra serve-cpu --constraints docker/locks/dev.txt \
		$(NOT_IN_SERVE_CPU:%=--no-emit-package %) --output-file docker/locks/serve-cpu.txt
	printf '%s\n' torch torchvision | $(LOCK) --no-annotate - --constraints docker/locks/dev.txt \
		--no-emit-package triton --output-file docker/locks/torch.txt
	printf '%s\n' setuptools wheel | $(LOCK) --no-annotate - --constraints docker/locks/dev.txt \
		--output-file docker/locks/build.txt
	printf 'sagemaker>=3\n' | $(LOCK) --no-annotate - --output-file docker/locks/sdk.txt
	printf 'sagemaker>=2,<3\n' | $(LOCK) --no-annotate - --output-file docker/locks/sdk2.txt
	$(MAKE) --no-print-directory venv
	.venv/bin/python docker/java_archive.py docker/locks/java.classes --lock

check: $(VENV)  ## ruff, mypy, hadolint, and the imports between rooms and wings
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	.venv/bin/lint-imports
	.venv/bin/hadolint docker/*.Dockerfile
	.venv/bin/python -m scripts.make.house

audit: | $(UV)  ## known security problems of the images' packages, where the sources answer; [ARGS=--strict]
	$(PYTHON) -m scripts.make.audit --uv $(UV) $(ARGS)

map: $(VENV)  ## the folders of the code: files, imports between them, circles
	.venv/bin/python -m scripts.make.house

docs: $(VENV)  ## write the reference from the code, and the site to build/docs; a warning is an error
	.venv/bin/python -m scripts.make.reference
	.venv/bin/sphinx-build --fail-on-warning --keep-going --quiet -b html docs build/docs
	@echo "open build/docs/index.html"

# A file's tests run in one process, so that its fixtures are made once. Files keep their order, because
# those with few tests are not always the short ones.
PYTEST := .venv/bin/pytest --numprocesses $(WORKERS) --dist loadfile --no-loadscope-reorder

test: $(VENV)  ## the quick tests: units, and one story per contract; ARGS go to pytest
	$(PYTEST) -m 'not docker and not slow' $(ARGS)

test-slow: $(VENV)  ## the other tests without Docker: jobs, servers, browsers, kills
	$(PYTEST) -m 'slow and not docker' $(ARGS)

test-containers: $(VENV)  ## build the images and test them in a Docker engine
	.venv/bin/pytest -m docker $(ARGS)

demo: $(VENV)  ## tune, train and serve handwritten digits here, without AWS; [ENGINE=docker]
	.venv/bin/python -m scripts.make.demo --engine $(ENGINE) $(ARGS)

build:  ## build kennel-train, kennel-serve and kennel-serve-cpu; [BASE_IMAGE=…] [FLOORS=…] [TAG=local]
	TAG=$(TAG) docker/build.sh

push: $(VENV)  ## push the images to ECR: [VERSION=0.1.0] [TAG=local]
	.venv/bin/kennel push --tag "$(VERSION)" --local-tag "$(TAG)" $(ARGS)

register: $(VENV)  ## register them with SageMaker: [SPEC=…] [ARGS="--alias …"]
	.venv/bin/kennel register "$(SPEC)" $(ARGS)

local-train:  ## train in the image: DATA=photos/ [HP="epochs=5 …"] [OUT=run/train]
	$(LOCAL) train --image kennel-train:$(TAG) --data "$(DATA)" --out "$(OUT)" $(HP)

local-serve:  ## serve a bundle in the image: [MODEL=run/train/model] [PORT=8080] [SERVE=serve-cpu]
	$(LOCAL) serve --image kennel-$(SERVE):$(TAG) --model "$(MODEL)" --port $(PORT)

invoke:  ## ask what local-serve serves: IMAGE=photo.jpg [PORT=8080]
	$(LOCAL) invoke --port $(PORT) "$(IMAGE)"

clean:  ## remove .venv and caches; run/ and the images stay
	rm -rf .venv .uv build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
