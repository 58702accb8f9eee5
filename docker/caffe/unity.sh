#!/bin/sh
# unity.sh TREE COUNT: merges the CUDA sources of Caffe's tree into COUNT files, one for each core that compiles them.
# nvcc parses the headers of Caffe, Boost and thrust for every file and every architecture, so two files compile about
# three times faster than 64. CMAKE_UNITY_BUILD does the same for C++, but not with FindCUDA, which Caffe uses.
set -eu
cd "$1/src/caffe"
i=0
for file in layers/*.cu solvers/*.cu util/*.cu; do
  mv "$file" "$file.inc"
  case $file in layers/cudnn_*) continue ;; esac # the build has no cuDNN
  unity=unity_$((i % $2)).cu
  # nvcc compiles Boost's thread header only if it comes before thrust's
  [ -e "$unity" ] || echo '#include <boost/thread.hpp>' >"$unity"
  echo "#include \"$file.inc\"" >>"$unity"
  i=$((i + 1))
done
