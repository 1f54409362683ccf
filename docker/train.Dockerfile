# The training image: SageMaker's training contract (train/) on sagemaker-training, and smdebug.
#
#   TORCH_IMAGE ─┬─▶ builder   gcc, uv, /opt/venv completed from docker/locks/train.txt
#  (torch.Docker-│      │ new files of /opt/venv
#          file) └─▶ floor     security updates
#                      └─▶ train   our code in /opt/kennel
#
# docker/build.sh passes every ARG, and makes the floor first.
# What a step reads is mounted below /dev, which is never part of a layer.
ARG TORCH_IMAGE
ARG FLOOR_IMAGE

FROM ${TORCH_IMAGE} AS builder
ARG SOURCE_DATE_EPOCH
RUN --mount=type=bind,source=docker/install.sh,target=/dev/kennel/install.sh \
    --mount=type=secret,id=ca,target=/dev/kennel/secrets/ca \
    sh /dev/kennel/install.sh apt gcc libc6-dev python3-dev python3-venv
ARG UV_VERSION
RUN --mount=type=bind,source=docker/install.sh,target=/dev/kennel/install.sh \
    --mount=type=secret,id=ca,target=/dev/kennel/secrets/ca --mount=type=secret,id=index,target=/dev/kennel/secrets/index \
    sh /dev/kennel/install.sh uv
# sagemaker-training is compiled, so this step cannot be in the image itself, which has no compiler.
RUN --mount=type=bind,source=docker/install.sh,target=/dev/kennel/install.sh \
    --mount=type=bind,source=docker/locks/build.txt,target=/dev/kennel/locks/build.txt \
    --mount=type=bind,source=docker/locks/train.txt,target=/dev/kennel/locks/train.txt \
    --mount=type=secret,id=ca,target=/dev/kennel/secrets/ca --mount=type=secret,id=index,target=/dev/kennel/secrets/index \
    ln -s /opt/uv /dev/kennel/uv && sh /dev/kennel/install.sh lock train

FROM ${TORCH_IMAGE} AS floor
ARG SOURCE_DATE_EPOCH
# kennel-torch already has torch: `--update` skips its files, so its layer remains shared.
RUN --mount=type=bind,source=docker/install.sh,target=/dev/kennel/install.sh \
    --mount=type=bind,from=builder,source=/opt/venv,target=/dev/kennel/venv \
    cp --archive --update /dev/kennel/venv/. /opt/venv/ && sh /dev/kennel/install.sh tidy
ARG UPDATES
RUN --mount=type=bind,source=docker/install.sh,target=/dev/kennel/install.sh \
    --mount=type=bind,source=docker/sbom.py,target=/dev/kennel/sbom.py \
    --mount=type=secret,id=ca,target=/dev/kennel/secrets/ca \
    sh /dev/kennel/install.sh updates kennel-train

FROM ${FLOOR_IMAGE} AS train
ARG SOURCE_DATE_EPOCH
RUN --mount=type=bind,source=docker/install.sh,target=/dev/kennel/install.sh \
    --mount=type=bind,source=docker/entrypoint.sh,target=/dev/kennel/entrypoint.sh \
    --mount=type=bind,source=pictures,target=/dev/kennel/pictures \
    --mount=type=bind,source=classifier,target=/dev/kennel/classifier \
    --mount=type=bind,source=debugger,target=/dev/kennel/debugger \
    --mount=type=bind,source=train,target=/dev/kennel/train \
    sh /dev/kennel/install.sh code entrypoint.sh pictures classifier debugger train
# /opt/ml/code must remain empty: sagemaker-training unpacks a user's own script only if it is.
# The second folder's sitecustomize.py lets a user's own script import smdebug.
ENV SAGEMAKER_TRAINING_MODULE=train.entry:main \
    PYTHONPATH=/opt/kennel:/opt/kennel/train/recording/site
CMD ["train"]
ARG VERSION
ARG REVISION
ARG CREATED
ARG BASE_NAME
ARG TORCH_VERSION
ARG CUDA_VERSION
LABEL org.opencontainers.image.title="kennel-train" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.created="${CREATED}" \
      org.opencontainers.image.base.name="${BASE_NAME}" \
      org.opencontainers.image.licenses="Apache-2.0" \
      kennel.torch.version="${TORCH_VERSION}" \
      kennel.cuda.version="${CUDA_VERSION}"
