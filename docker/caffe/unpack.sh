#!/bin/sh
# unpack.sh SOURCE DEST: unpacks Caffe's source from SOURCE, a folder of setup/get_caffe_source.sh, into the new folder
# DEST and applies Debian's patches, then ours. Each of our patches begins with its reason.
set -eu
here=$(cd "$(dirname "$0")" && pwd -P)
source=$(cd "$1" && pwd -P)
mkdir "$2"
cd "$2"
tar -xf "$source"/caffe_*.orig.tar.gz
tar -xf "$source"/caffe_*.debian.tar.xz
while read -r name; do patch -p1 <"debian/patches/$name"; done <debian/patches/series
for file in "$here"/patches/*.patch; do patch -p1 <"$file"; done
