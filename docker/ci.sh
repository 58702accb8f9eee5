#!/bin/sh
# docker/ci.sh: `make test-image` with buildah, for machines without a container engine and without access to a
# registry. Needs root. It takes longer than all other tests. After it has passed it keeps the checksum of the image's
# contents (the files that .dockerignore lists) and of the image's tests in the user's cache, and does nothing while
# that is the same.
set -eu
me=ci
. "$(dirname "$0")/engine.sh"
cd "$(dirname "$0")/.."

inputs() {
  { echo .dockerignore tests/image ':!setup/packages' && sed -n 's/^!//p' .dockerignore; } | xargs git ls-files -z -- |
    xargs -0 sha256sum | sha256sum | cut -c 1-64
}

passed=${XDG_CACHE_HOME:-$HOME/.cache}/caffe-transfer/image-passed
now=$(inputs)
if [ "$(cat "$passed" 2>/dev/null)" = "$now" ]; then
  say "the image and its tests have not changed since they passed here ($passed): nothing to do"
  exit 0
fi

if ! have buildah || ! have debootstrap; then
  say "installing Debian's packages buildah and debootstrap"
  export DEBIAN_FRONTEND=noninteractive
  apt-get -qq update
  apt-get -qq -y --no-install-recommends install buildah debootstrap >/dev/null
fi
# inside a container, runc may not start another one
export CONTAINER_ENGINE=buildah BUILDAH_ISOLATION=chroot
make image-base test-image
mkdir -p "$(dirname "$passed")"
echo "$now" >"$passed.part"
mv "$passed.part" "$passed"
