#!/bin/sh
# unity.sh TREE COUNT: folds the CUDA sources of Caffe's tree into COUNT files, one for each core that compiles them.
# nvcc parses Caffe's, Boost's and thrust's headers again for every file and every architecture: as two files the 64
# compile about three times faster. CMAKE_UNITY_BUILD does this for C++, but not for the FindCUDA that Caffe uses.
set -eu
cd "$1/src/caffe"
i=0
for file in layers/*.cu solvers/*.cu util/*.cu; do
  mv "$file" "$file.inc"
  case $file in layers/cudnn_*) continue ;; esac # built without cuDNN
  unity=unity_$((i % $2)).cu
  # nvcc takes Boost's header for threads only ahead of thrust's
  [ -e "$unity" ] || echo '#include <boost/thread.hpp>' >"$unity"
  echo "#include \"$file.inc\"" >>"$unity"
  i=$((i + 1))
done
