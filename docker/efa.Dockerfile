# The training image with EFA, for NCCL between hosts with Elastic Fabric Adapters (ml.p4d, ml.p5, …). Opt-in:
#
#   docker build --file docker/efa.Dockerfile --build-arg TRAIN_IMAGE=kennel-train:local \
#       --build-arg EFA_VERSION=… --build-arg EFA_SHA256=… --tag kennel-train-efa:local docker
#
# AWS's installer brings libfabric and aws-ofi-nccl. Take its version and its checksum from
# https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/efa-changelog.html and docs/images.md.
# The trap: on a machine without EFA, NCCL with this plug-in can hang at its first call. Use this image only on
# instance types that have EFA, and with EFA's security group (all traffic from itself to itself).
ARG TRAIN_IMAGE

FROM ${TRAIN_IMAGE}
ARG EFA_VERSION
ARG EFA_SHA256
WORKDIR /tmp
SHELL ["/bin/bash", "-euo", "pipefail", "-c"]
# hadolint ignore=DL3003,DL3008
RUN : "${EFA_VERSION:?pass it as --build-arg}" "${EFA_SHA256:?pass it as --build-arg}"; \
    apt-get update; \
    apt-get install --yes --no-install-recommends ca-certificates curl; \
    archive=aws-efa-installer-$EFA_VERSION.tar.gz; \
    curl --fail --silent --show-error --location --output "$archive" "https://efa-installer.amazonaws.com/$archive"; \
    echo "$EFA_SHA256  $archive" | sha256sum --check --strict; \
    tar --extract --gzip --file "$archive"; \
    cd aws-efa-installer || exit 1; \
    # The kernel's module is the host's; the limits are Docker's.
    ./efa_installer.sh --yes --skip-kmod --skip-limit-conf --no-verify; \
    apt-get purge --yes --auto-remove curl; \
    rm -rf /tmp/* /var/lib/apt/lists/*
# The plug-in is found by NCCL_NET_PLUGIN=ofi; without EFA, set NCCL_NET_PLUGIN=none in the job's environment.
ENV LD_LIBRARY_PATH=/opt/amazon/efa/lib:/opt/amazon/ofi-nccl/lib/x86_64-linux-gnu:/opt/amazon/ofi-nccl/lib
WORKDIR /
