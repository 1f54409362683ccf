# The base of both images: Python, torch with its CUDA libraries, and the entrypoint.
# It is a separate image so that its gigabytes are stored and pushed once.
#
#   BASE_IMAGE ─┬─▶ builder   uv, /opt/venv from docker/locks/torch.txt
#               │      │ /opt/venv
#               └─▶ torch     python3, entrypoint ──▶ train.Dockerfile, serve.Dockerfile
#
# docker/build.sh passes every ARG from docker/versions.env; a default here could become outdated.
ARG BASE_IMAGE

FROM ${BASE_IMAGE} AS builder
RUN --mount=type=bind,source=docker/install.sh,target=/install.sh \
    --mount=type=secret,id=ca \
    sh /install.sh apt python3 python3-venv ca-certificates
ARG UV_VERSION
RUN --mount=type=bind,source=docker/install.sh,target=/install.sh \
    --mount=type=bind,source=docker/locks/build.txt,target=/locks/build.txt \
    --mount=type=bind,source=docker/locks/torch.txt,target=/locks/torch.txt \
    --mount=type=secret,id=ca --mount=type=secret,id=index \
    sh /install.sh lock torch

FROM ${BASE_IMAGE} AS torch
RUN --mount=type=bind,source=docker/install.sh,target=/install.sh \
    --mount=type=secret,id=ca \
    sh /install.sh apt python3 ca-certificates
COPY --from=builder /opt/venv /opt/venv
COPY --chmod=755 docker/entrypoint.sh /opt/kennel/entrypoint.sh
# NVIDIA_*: nvidia/cuda sets them; repeated for a BASE_IMAGE that is a plain distribution.
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONPATH=/opt/kennel \
    PYTHONUNBUFFERED=1 \
    LANG=C.UTF-8 \
    NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility
ENTRYPOINT ["/opt/kennel/entrypoint.sh"]
