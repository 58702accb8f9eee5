#!/bin/sh
# `make` in the image. It uses the image's Python environment. In a folder that is not a checkout, such as a disk for
# data, it uses the image's own copy of the project.
project=/opt/caffe-transfer
if [ ! -e Makefile ]; then
  set -- -f $project/Makefile PROJECT=$project "$@"
elif ! cmp -s requirements.txt $project/requirements.txt; then
  echo "make: error: $PWD/requirements.txt is not the one that this image was built with" >&2
  echo "  build the image from this checkout (make image), or mount a folder that is no checkout" >&2
  exit 2
fi
exec /usr/bin/make VENV=/opt/venv "$@"
