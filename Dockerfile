# BVLC Caffe 1.0, pycaffe and the pipeline, on Debian bookworm and its Python 3.11. Two targets:
#   cpu    trains on the CPU                                                                       make image
#   cuda   native code for GPUs of sm_52 (GTX Titan X) to sm_90 (H100, H200), PTX for newer ones   make image-cuda
# Caffe is built from the source package of Debian bullseye (bookworm has none), with Debian's patches and those of
# docker/caffe/patches. CUDA is bookworm's 11.8, which supports sm_52 and sm_90. There is no cuDNN: Caffe needs its
# version 7 or older. Packages of Debian are not pinned (DL3008), because a stable release keeps one version of each. To
# fix all of them, let DEBIAN_MIRROR name a snapshot of one day.
# hadolint global ignore=DL3008

FROM debian:bookworm-slim AS base
# A mirror of Debian, or a snapshot, to use in place of the base image's.
ARG DEBIAN_MIRROR=
COPY docker/apt_sources.sh /tmp/
RUN sh /tmp/apt_sources.sh && rm /tmp/apt_sources.sh

# --- build stages, not part of the result

FROM base AS python
RUN apt-get update && apt-get install -y --no-install-recommends ca-certificates python3 python3-venv \
 && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY requirements.txt ./
COPY docker/requirements.txt ./docker/
COPY setup/bootstrap.sh setup/shell_common.sh ./setup/
ARG PIP_INDEX_URL
# certificates: those that the building machine trusts, for networks whose proxy has its own certificate
RUN --mount=type=secret,id=certificates \
    if [ -s /run/secrets/certificates ]; then export PIP_CERT=/run/secrets/certificates; fi \
 && export PIP_NO_CACHE_DIR=1 \
 && sh setup/bootstrap.sh /opt/venv && /opt/venv/bin/python -m pip install -q --require-hashes \
      -r docker/requirements.txt \
 && printf '%s\n' /opt/caffe/lib/python3/dist-packages /opt/caffe-transfer/setup/pycaffe_needs \
      >/opt/venv/lib/python3.11/site-packages/pycaffe.pth

FROM base AS source
RUN apt-get update \
 && apt-get install -y --no-install-recommends cmake g++ libboost-dev libboost-filesystem-dev libboost-python-dev \
      libboost-system-dev libboost-thread-dev libgflags-dev libgoogle-glog-dev libhdf5-dev libleveldb-dev liblmdb-dev \
      libopenblas-pthread-dev libopencv-dev libprotobuf-dev libsnappy-dev make patch protobuf-compiler python3-dev \
      xz-utils \
 && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY setup/get_caffe_source.sh setup/shell_common.sh ./setup/
COPY docker/caffe ./docker/caffe
ARG CAFFE_MIRROR=
RUN if [ -d docker/caffe/source ]; then export CAFFE_SOURCE=/src/docker/caffe/source; fi \
 && sh setup/get_caffe_source.sh debian && sh docker/caffe/unpack.sh debian caffe

FROM source AS build-cpu
COPY --from=python /opt/venv /opt/venv
RUN sh docker/caffe/build.sh caffe cpu

FROM source AS build-cuda
RUN apt-get update && apt-get install -y --no-install-recommends nvidia-cuda-toolkit \
 && rm -rf /var/lib/apt/lists/*
COPY --from=python /opt/venv /opt/venv
ARG ARCH_BIN="52 61 70 75 80 86 90"
ARG ARCH_PTX="90"
RUN sh docker/caffe/build.sh caffe cuda

FROM build-cpu AS build-gtest
RUN make -C build -j"$(nproc)" test.testbin

# --- the images that run

FROM base AS runtime
RUN apt-get update \
 && apt-get install -y --no-install-recommends libboost-filesystem1.74.0 libboost-python1.74.0 libboost-thread1.74.0 \
      libgflags2.2 libgoogle-glog0v6 libhdf5-103-1 libhdf5-hl-100 libleveldb1d liblmdb0 libopenblas0-pthread \
      libopencv-imgcodecs406 libprotobuf32 libpython3.11 make python3 \
 && apt-get clean && rm -rf /var/lib/apt/lists/* \
 && useradd --no-log-init --no-create-home --home-dir /tmp --uid 1000 caffe \
 && install -d -o caffe -g caffe /work
COPY --from=python /opt/venv /opt/venv
COPY --chmod=755 docker/make.sh /usr/local/bin/make
# The container may run as any user id, so HOME and USER are set here: Snakemake asks for the user's name.
ENV PATH=/opt/caffe/bin:/opt/venv/bin:/usr/local/bin:/usr/bin:/bin HOME=/tmp USER=caffe
WORKDIR /work
CMD ["make"]

FROM runtime AS cuda
RUN apt-get update && apt-get install -y --no-install-recommends libcublas11 libcudart11.0 libcurand10 \
 && apt-get clean && rm -rf /var/lib/apt/lists/*
# NVIDIA's container runtime adds CUDA, and nvidia-smi, with which the pipeline finds the GPUs.
ENV NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility
COPY --from=build-cuda /opt/caffe /opt/caffe
COPY . /opt/caffe-transfer
USER 1000:1000

FROM runtime AS cpu
COPY --from=build-cpu /opt/caffe /opt/caffe
COPY . /opt/caffe-transfer
USER 1000:1000

# The image cpu with Caffe's own tests.
FROM cpu AS gtest
COPY --from=build-gtest /src/build/test/test.testbin /opt/caffe/bin/caffe-gtest
COPY --from=build-gtest /src/caffe/src/caffe/test/test_data /src/caffe/src/caffe/test/test_data
COPY --from=build-gtest /src/caffe/examples/images /src/caffe/examples/images
# cmake sets a program's library path when it installs it, and it does not install this one
ENV LD_LIBRARY_PATH=/opt/caffe/lib
WORKDIR /src/caffe
