#!/bin/sh
# build.sh TREE cpu|cuda: builds Caffe's source TREE in the folder build next to it and installs it, stripped, in
# /opt/caffe. For cuda, ARCH_BIN lists the GPUs that get native code (52: sm_52), and ARCH_PTX the PTX for newer ones.
set -eu
tree=$1
build=$(dirname "$tree")/build

# pycaffe is built for the Python and the numpy of /opt/venv. BLAS=Generic is the one of Debian's alternatives:
# OpenBLAS. --as-needed drops Qt, which libopencv-dev would add.
set -- "$2" -DCMAKE_BUILD_TYPE=Release -DCMAKE_INSTALL_PREFIX=/opt/caffe -DCMAKE_UNITY_BUILD=ON \
  -DBLAS=Generic -DUSE_CUDNN=OFF -DUSE_NCCL=OFF -DBUILD_docs=OFF -DBUILD_matlab=OFF \
  -Dpython_version=3 -DPYTHON_EXECUTABLE=/opt/venv/bin/python \
  -DCMAKE_SHARED_LINKER_FLAGS=-Wl,--as-needed -DCMAKE_EXE_LINKER_FLAGS=-Wl,--as-needed

case $1 in
  cpu) set -- "$@" -DCPU_ONLY=ON ;;
  cuda)
    sh "$(dirname "$0")/unity.sh" "$tree" "$(nproc)"
    export CUDAHOSTCXX=g++-11 # nvcc 11.8 refuses newer ones; Debian's toolkit depends on g++-11
    set -- "$@" -DCPU_ONLY=OFF -DCUDA_ARCH_NAME=Manual "-DCUDA_ARCH_BIN=$ARCH_BIN" "-DCUDA_ARCH_PTX=$ARCH_PTX"
    ;;
  *) echo "build.sh: cpu or cuda, not $1" >&2 && exit 2 ;;
esac
shift
cmake -S "$tree" -B "$build" "$@"
make -C "$build" -j"$(nproc)" install
cp "$tree/LICENSE" /opt/caffe/ # required with every copy of Caffe

cd /opt/caffe
rm -rf include share python lib/*.a
strip --strip-unneeded bin/* lib/libcaffe.so.* lib/python3/dist-packages/caffe/_caffe.so
[ -e lib/python3/dist-packages/caffe/_caffe.so ] # cmake omits pycaffe, without an error, if a dependency is missing
