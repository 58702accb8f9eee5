# Sourced by the other scripts in this folder, which set $me: chooses the container engine.
. "$(dirname "$0")/../setup/shell_common.sh"

# Sets $engine: CONTAINER_ENGINE, or else the first of docker, podman and buildah that works here.
choose_engine() {
  for engine in ${CONTAINER_ENGINE:-docker podman buildah}; do
    have "$engine" && "$engine" info >/dev/null 2>&1 || continue
    # without crun and runc, buildah can only run commands in a chroot
    have crun || have runc || export BUILDAH_ISOLATION="${BUILDAH_ISOLATION:-chroot}"
    return 0
  done
  fail "no ${CONTAINER_ENGINE:-docker, podman or buildah} works here: \`$engine info\` fails" \
    "install one: apt-get install podman; if docker is installed, ask to be a member of the group docker"
}

# an image's name: `caffe-transfer:cpu`
image() { echo "caffe-transfer:$1"; }
