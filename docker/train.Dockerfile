# The training image: SageMaker's training contract (train/) on sagemaker-training, and smdebug.
#
#   TORCH_IMAGE ─┬─▶ builder   gcc, /opt/venv completed from docker/locks/train.txt
#  (torch.Docker-│      │ new files of /opt/venv
#          file) └─▶ train     our code in /opt/kennel
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
    --mount=type=bind,source=docker/locks/train.txt,target=/locks/train.txt \
    --mount=type=secret,id=ca --mount=type=secret,id=index \
    sh /install.sh lock train

FROM ${TORCH_IMAGE} AS train
# kennel-torch already has torch: `--update` skips its files, so its layer remains shared.
RUN --mount=type=bind,from=builder,source=/opt/venv,target=/mnt/venv \
    cp --archive --update /mnt/venv/. /opt/venv/
COPY pictures /opt/kennel/pictures
COPY classifier /opt/kennel/classifier
COPY debugger /opt/kennel/debugger
COPY train /opt/kennel/train
# /opt/ml/code must remain empty: sagemaker-training unpacks a user's own script only if it is.
# The second folder's sitecustomize.py lets a user's own script import smdebug.
ENV SAGEMAKER_TRAINING_MODULE=train.entry:main \
    PYTHONPATH=/opt/kennel:/opt/kennel/train/recording/site
CMD ["train"]
ARG VERSION
ARG REVISION
ARG CREATED
ARG BASE_IMAGE
ARG TORCH_VERSION
ARG CUDA_VERSION
LABEL org.opencontainers.image.title="kennel-train" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.created="${CREATED}" \
      org.opencontainers.image.base.name="${BASE_IMAGE}" \
      org.opencontainers.image.licenses="Apache-2.0" \
      kennel.torch.version="${TORCH_VERSION}" \
      kennel.cuda.version="${CUDA_VERSION}"
