#!/bin/sh
# docker/run.sh TARGET COMMAND...: runs a command in the image caffe-transfer:TARGET, as the calling user, in the
# current folder, which is /work in the container. The target `cuda` sees the machine's GPUs under docker and podman.
#
# CONTAINER_ENGINE   docker, podman or buildah (default: the first of these that works here)
# RUN_AS             another user, such as 1000:1000; empty: the image's own
# GPUS, PER_GPU      the pipeline's settings
set -eu
me=run
. "$(dirname "$0")/engine.sh"

main() {
  target=$1
  shift
  choose_engine
  if [ "$engine" = buildah ]; then start_buildah "$@"; else start "$@"; fi
}

start() {
  set -- "$(image "$target")" "$@"
  if [ "$target" = cuda ] && nvidia-smi -L >/dev/null 2>&1; then
    case $engine in
      docker) set -- --gpus all "$@" ;;
      podman) set -- --device nvidia.com/gpu=all "$@" ;;
    esac
  fi
  # rootless podman maps the caller to user 0 in the container, except with keep-id
  [ "$engine" != podman ] || [ "$(id -u)" = 0 ] || set -- --userns keep-id "$@"
  run "$engine" run --rm "$@"
}

# buildah has no `run --rm`: this makes a container from the image, runs the command in it and removes it.
start_buildah() {
  container=$(buildah from --pull-never "$(image "$target")")
  trap 'buildah rm "$container" >/dev/null' EXIT
  run buildah run "$container" "$@"
}

# run ENGINE run [OPTION...] IMAGE COMMAND...: adds the options that all engines share after `run`.
run() {
  engine=$1
  shift 2
  user=${RUN_AS-$(id -u):$(id -g)}
  [ -z "$user" ] || set -- --user "$user" "$@"
  [ -z "${GPUS+set}" ] || set -- --env "GPUS=$GPUS" "$@"
  [ -z "${PER_GPU+set}" ] || set -- --env "PER_GPU=$PER_GPU" "$@"
  "$engine" run --volume "$PWD:/work" "$@"
}

main "$@"
