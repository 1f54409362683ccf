# The floor of kennel-train and kennel-serve: Python, torch with its CUDA libraries.
# It is a separate image so that its gigabytes are stored and pushed once.
#
#   BASE_IMAGE ─┬─▶ tools   uv, binutils
#               └─▶ torch   python3, /opt/venv from docker/locks/torch.txt ──▶ train.Dockerfile, serve.Dockerfile
#
# docker/build.sh passes every ARG from docker/versions.env; a default here could become outdated.
# What a step reads is mounted below /dev, which is never part of a layer.
ARG BASE_IMAGE

FROM ${BASE_IMAGE} AS tools
ARG SOURCE_DATE_EPOCH
RUN --mount=type=bind,source=docker/install.sh,target=/dev/kennel/install.sh \
    --mount=type=secret,id=ca,target=/dev/kennel/secrets/ca \
    sh /dev/kennel/install.sh apt python3 python3-venv ca-certificates binutils
ARG UV_VERSION
RUN --mount=type=bind,source=docker/install.sh,target=/dev/kennel/install.sh \
    --mount=type=secret,id=ca,target=/dev/kennel/secrets/ca --mount=type=secret,id=index,target=/dev/kennel/secrets/index \
    sh /dev/kennel/install.sh uv

FROM ${BASE_IMAGE} AS torch
ARG SOURCE_DATE_EPOCH
RUN --mount=type=bind,source=docker/install.sh,target=/dev/kennel/install.sh \
    --mount=type=secret,id=ca,target=/dev/kennel/secrets/ca \
    sh /dev/kennel/install.sh apt python3 ca-certificates
RUN --mount=type=bind,source=docker/install.sh,target=/dev/kennel/install.sh \
    --mount=type=bind,source=docker/locks/build.txt,target=/dev/kennel/locks/build.txt \
    --mount=type=bind,source=docker/locks/torch.txt,target=/dev/kennel/locks/torch.txt \
    --mount=type=bind,from=tools,source=/opt/uv,target=/dev/kennel/uv \
    --mount=type=bind,from=tools,source=/usr,target=/dev/kennel/usr \
    --mount=type=secret,id=ca,target=/dev/kennel/secrets/ca --mount=type=secret,id=index,target=/dev/kennel/secrets/index \
    sh /dev/kennel/install.sh lock torch
# NVIDIA_*: nvidia/cuda sets them; repeated for a BASE_IMAGE that is a plain distribution.
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONPATH=/opt/kennel \
    PYTHONUNBUFFERED=1 \
    LANG=C.UTF-8 \
    NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility
ENTRYPOINT ["/opt/kennel/entrypoint.sh"]
