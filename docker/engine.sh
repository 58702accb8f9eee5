# Sourced by the scripts beside it, which set $me: what builds and runs the images.
. "$(dirname "$0")/../setup/shell_common.sh"

# $engine: CONTAINER_ENGINE, or else the first of docker, podman and buildah that works here.
choose_engine() {
  for engine in ${CONTAINER_ENGINE:-docker podman buildah}; do
    have "$engine" && "$engine" info >/dev/null 2>&1 || continue
    # where nothing starts containers (crun, runc), buildah does so itself, in a chroot
    have crun || have runc || export BUILDAH_ISOLATION="${BUILDAH_ISOLATION:-chroot}"
    return 0
  done
  fail "no ${CONTAINER_ENGINE:-docker, podman or buildah} works here: \`$engine info\` fails" \
    "install one: apt-get install podman; or, where the daemon runs, ask to be in its group"
}

# an image's name: `caffe-transfer:cpu`
image() { echo "caffe-transfer:$1"; }
