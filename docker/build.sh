#!/bin/sh
# docker/build.sh TARGET: builds the image caffe-transfer:TARGET from the Dockerfile's target of that name.
#
# CONTAINER_ENGINE   docker, podman or buildah (default: the first of these that works here)
# CAFFE_SOURCE       a folder that setup/get_caffe_source.sh made, so that Caffe's source is not downloaded
# CAFFE_MIRROR       a mirror of Debian, or of its archive or snapshots, that still has bullseye's caffe
# DEBIAN_MIRROR      a mirror or snapshot for all other packages of Debian
# PIP_INDEX_URL, PIP_CERT   pip's own settings
set -eu
me=image
. "$(dirname "$0")/engine.sh"
cd "$(dirname "$0")/.."
target=$1
source=docker/caffe/source

choose_engine
# the engine reads files of the checkout only, so the source is copied into it
if [ -n "${CAFFE_SOURCE:-}" ]; then sh setup/get_caffe_source.sh "$source"; else rm -rf "$source"; fi

certificates=${PIP_CERT:-/etc/ssl/certs/ca-certificates.crt}
[ -r "$certificates" ] || certificates=/dev/null
set -- -f Dockerfile --target "$target" --tag "$(image "$target")" --secret "id=certificates,src=$certificates"
[ "$engine" = docker ] || set -- --layers "$@"
for setting in CAFFE_MIRROR DEBIAN_MIRROR PIP_INDEX_URL; do
  eval "value=\${$setting:-}"
  [ -z "$value" ] || set -- "$@" --build-arg "$setting=$value"
done

say "building $(image "$target") with $engine"
DOCKER_BUILDKIT=1 "$engine" build "$@" . || fail "$engine could not build $(image "$target"): see above" \
  "without a registry for debian:bookworm-slim, make it here, as root: make image-base"
