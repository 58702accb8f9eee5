#!/bin/sh
# `make` in the image: with the Python environment that was made there; and in a folder that is no checkout, such as a
# disk for data, with the image's own project.
set -- VENV=/opt/venv "$@"
[ -e Makefile ] || set -- -f /opt/caffe-transfer/Makefile PROJECT=/opt/caffe-transfer "$@"
exec /usr/bin/make "$@"
