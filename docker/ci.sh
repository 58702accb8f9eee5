#!/bin/sh
# docker/ci.sh: `make test-image` with buildah, for machines that have no engine and reach no registry, as root. It
# takes longer than all other tests, so it is left out where everything that goes into the image (.dockerignore names it) and
# the tests of it are as they were when it last passed here: their checksum is kept in the user's cache.
set -eu
me=ci
. "$(dirname "$0")/engine.sh"
cd "$(dirname "$0")/.."

inputs() {
  { echo .dockerignore && echo tests/image && sed -n 's/^!//p' .dockerignore; } | xargs git ls-files -z -- |
    xargs -0 sha256sum | sha256sum | cut -c 1-64
}

passed=${XDG_CACHE_HOME:-$HOME/.cache}/caffe-transfer/image-passed
now=$(inputs)
if [ "$(cat "$passed" 2>/dev/null)" = "$now" ]; then
  say "the image and its tests are as they were when they passed here ($passed): not built again"
  exit 0
fi

if ! have buildah || ! have debootstrap; then
  say "installing Debian's packages buildah and debootstrap"
  export DEBIAN_FRONTEND=noninteractive
  apt-get -qq update
  apt-get -qq -y --no-install-recommends install buildah debootstrap >/dev/null
fi
# where this machine is itself a container, runc may not start another
export CONTAINER_ENGINE=buildah BUILDAH_ISOLATION=chroot
make image-base test-image
mkdir -p "$(dirname "$passed")"
echo "$now" >"$passed.part"
mv "$passed.part" "$passed"
