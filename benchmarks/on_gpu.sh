#!/bin/sh
# benchmarks/on_gpu.sh: everything that is to be measured on a GPU, on a machine without a network, in ten minutes.
#
#     benchmarks/on_gpu.sh prepare FOLDER [IMAGES]     here: the packages and images that the other machine lacks
#     benchmarks/on_gpu.sh FOLDER OUT                  there, in a checkout: measures, and leaves at most 8 files in OUT
#     benchmarks/on_gpu.sh --cpu FOLDER OUT            the same without a GPU, small: does it run at all?
#
# prepare puts into FOLDER: wheels of what requirements.txt pins, for PYTHON_VERSION (3.12) on x86-64; the files of
# Fashion-MNIST; and CLASSES (20) classes from IMAGES, a folder of Tiny-ImageNet, for the experiment tiny. The names in
# HAVE (numpy protobuf h5py opencv-python-headless) are packages that the other machine has: they are left out.
# The other machine needs a Python with PyTorch and these. PYTHON names it (python3). It is not changed: wheels are
# unpacked into a temporary folder, and only those that it lacks.
# SECONDS_LEFT (570) is the time for all. Each part has its share; what a part leaves is for the runs of tiny.
set -eu
unset CDPATH
me=on_gpu
checkout=$(cd "$(dirname "$0")/.." && pwd -P)
. "$checkout/setup/shell_common.sh"
usage='benchmarks/on_gpu.sh prepare FOLDER [IMAGES], or benchmarks/on_gpu.sh [--cpu] FOLDER OUT'

main() {
  case "${1:-}" in
    prepare) shift; [ $# -ge 1 ] && [ $# -le 2 ] || fail "prepare takes one or two folders" "$usage"; prepare "$@" ;;
    --cpu) shift; cpu=yes; [ $# -eq 2 ] || fail "--cpu takes two folders" "$usage"; measure "$@" ;;
    -*|'') fail "unknown: ${1:-no argument}" "$usage" ;;
    *) cpu=; [ $# -eq 2 ] || fail "two folders are needed" "$usage"; measure "$@" ;;
  esac
}

# ---- here: what the other machine lacks

prepare() {
  folder=$(whole_path "$1")
  images=${2:-}
  classes=${CLASSES:-20}
  [ -z "$images" ] || [ -d "$images/train" ] || fail "$images: no folder train/" "name the folder of Tiny-ImageNet"
  python=${PYTHON:-$checkout/.venv/bin/python}
  mkdir -p "$folder/wheels" "$folder/fashion-mnist"
  prepare_wheels
  (cd "$checkout" && "$python" -m tools fetch experiments/demo.yaml)
  cp "$checkout"/data/fashion-mnist/*.gz "$folder/fashion-mnist/"
  [ -z "$images" ] || prepare_images
  say "done: $(du -sh "$folder" | cut -f 1) in $folder"
}

# The pins of requirements.txt without those of its tests' tools, of HAVE, and of what only these need.
prepare_wheels() {
  "$python" - "$checkout/requirements.txt" ${HAVE:-numpy protobuf h5py opencv-python-headless} >"$folder/wheels.txt" <<'PY'
import re
import sys

unused = {"mypy", "mypy-extensions", "ruff", "selenium", "hatchling", "editables", "librt", "ast-serialize", "trove-classifiers"}
left_out = {re.sub("[-_.]+", "-", name).lower() for name in sys.argv[2:]} | unused
for name, version in re.findall(r"(?m)^([\w.-]+)==(\S+)", open(sys.argv[1]).read()):
    if name not in left_out and not name.startswith("types-") and not name.endswith("-stubs"):
        print(f"{name}=={version}")
PY
  version=${PYTHON_VERSION:-3.12}
  platforms=
  for glibc in 39 35 34 31 28 27 26 24 17 12 5; do platforms="$platforms --platform manylinux_2_${glibc}_x86_64"; done
  platforms="$platforms --platform manylinux2014_x86_64 --platform manylinux1_x86_64"
  say "bringing $(wc -l <"$folder/wheels.txt") wheels for Python $version"
  : >"$folder/pip.log"
  while read -r wanted; do
    # shellcheck disable=SC2086  # a list of words
    pip download -q --only-binary=:all: --python-version "$version" --implementation cp $platforms -d "$folder/wheels" "$wanted" ||
      pip wheel -q -w "$folder/wheels" "$wanted" || # of pure Python, without a wheel: it is made here
      fail "pip could not bring $wanted" "read $folder/pip.log"
  done <"$folder/wheels.txt"
  for wheel in "$folder"/wheels/*.whl; do
    case $wheel in *-any.whl | *x86_64.whl) ;; *) fail "$wheel does not fit the other machine" "put it into HAVE" ;; esac
  done
}

pip() { "$python" -m pip "$@" --disable-pip-version-check --no-deps 2>>"$folder/pip.log"; }

# The first CLASSES classes by name, as a folder of images: train/CLASS/*.JPEG, val/CLASS/*.JPEG.
prepare_images() {
  rm -rf "$folder/images.part"
  mkdir -p "$folder/images.part/train" "$folder/images.part/val"
  find "$images/train" -mindepth 1 -maxdepth 1 -type d | sort | head -n "$classes" | while read -r class; do
    name=${class##*/}
    mkdir -p "$folder/images.part/train/$name" "$folder/images.part/val/$name"
    cp "$class"/images/* "$folder/images.part/train/$name/"
    awk -v class="$name" '$2 == class { print $1 }' "$images/val/val_annotations.txt" |
      while read -r file; do cp "$images/val/images/$file" "$folder/images.part/val/$name/"; done
  done
  (cd "$folder/images.part" && tar cf ../images.tar.part train val)
  mv "$folder/images.tar.part" "$folder/images.tar"
  rm -rf "$folder/images.part"
}

# ---- there: the measurements

measure() {
  [ -d "$1/wheels" ] || fail "$1: no folder wheels/ in it" "make it with: benchmarks/on_gpu.sh prepare $1"
  prepared=$(cd "$1" && pwd -P)
  out=$(whole_path "$2")
  mkdir -p "$out"
  [ -z "$(ls -A "$out")" ] || fail "$out is not empty" "name a new folder"
  python=${PYTHON:-python3}
  deadline=$(($(date +%s) + ${SECONDS_LEFT:-570}))
  work=$(mktemp -d)
  trap 'rm -rf "$work"' EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM
  failed=
  bring_packages >"$work/packages.txt" 2>&1 || fail "the wheels could not be unpacked:" "$(tail -n 5 "$work/packages.txt")"
  environment >"$out/environment.txt" 2>&1
  [ -n "$cpu" ] || "$python" -c 'import sys, torch; sys.exit(not torch.cuda.is_available())' ||
    fail "PyTorch sees no GPU" "--cpu shows that everything runs"
  part 150 gpu-tests.txt gpu_tests
  part 200 bench-gpu.txt bench_gpu
  for runs in 1 2 4; do part 60 "demo-per-gpu-$runs.txt" demo_sweep "$runs"; done
  part 600 tiny.txt tiny_sweep
  collect >"$out/results.tar.gz"
  say "done, $(($(date +%s) + ${SECONDS_LEFT:-570} - deadline)) s: $(find "$out" -type f | wc -l) files, $(du -sh "$out" | cut -f 1) in $out"
  [ -z "$failed" ] || fail "these parts failed, and their files say why:$failed" "the others are complete"
}

# part SECONDS FILE COMMAND...: runs COMMAND for at most so long, its output in OUT/FILE with the status and time last.
part() {
  seconds=$1 file=$2
  shift 2
  left=$((deadline - $(date +%s) - 20)) # 20 s for what follows
  [ "$left" -ge "$seconds" ] || seconds=$left
  if [ "$seconds" -lt 10 ]; then
    say "no time left" | tee "$out/$file"
    failed="$failed $file"
    return
  fi
  say "$file: at most $seconds s"
  started=$(date +%s)
  status=0
  "$@" >"$out/$file" 2>&1 || status=$?
  echo "status $status after $(($(date +%s) - started)) s" >>"$out/$file"
  tail -n 3 "$out/$file"
  # 124: its time was up. That is no failure of tiny, which has more runs than there is time for.
  [ "$status" -eq 0 ] || { [ "$file" = tiny.txt ] && [ "$status" -eq 124 ]; } || failed="$failed $file"
}

limited() { timeout --signal=INT --kill-after=15 "$seconds" "$@"; }

# Unpacks the wheels of packages that Python lacks, and makes the command torchcaffe.
bring_packages() {
  "$python" - "$prepared/wheels" >"$work/missing" <<'PY'
import importlib.metadata
import pathlib
import sys

for wheel in sorted(pathlib.Path(sys.argv[1]).glob("*.whl")):
    try:
        importlib.metadata.version(wheel.name.split("-")[0])
    except importlib.metadata.PackageNotFoundError:
        print(wheel)
PY
  if [ -s "$work/missing" ]; then
    xargs -d '\n' "$python" -m pip install -q --disable-pip-version-check --no-index --no-deps --no-compile \
      --target "$work/site" <"$work/missing"
  fi
  mkdir -p "$work/bin"
  printf '#!/bin/sh\nexec "%s" -m torchcaffe "$@"\n' "$(command -v "$python")" >"$work/bin/torchcaffe"
  chmod +x "$work/bin/torchcaffe"
  export PYTHONPATH="$checkout:$work/site" CAFFE="$work/bin/torchcaffe" PYTHONDONTWRITEBYTECODE=1
}

environment() {
  date -u
  git -C "$checkout" rev-parse HEAD 2>/dev/null || :
  uname -srm
  nproc --all
  nvidia-smi 2>/dev/null || echo 'no nvidia-smi'
  "$python" -c 'import sys, torch, numpy, cv2; print(sys.version, torch.__version__, numpy.__version__, cv2.__version__)'
  echo "unpacked: $(sed 's|.*/||; s|-py.*||; s|-cp.*||' "$work/missing" | tr '\n' ' ')"
}

gpu_tests() { (cd "$checkout" && limited "$python" -m pytest -q -p no:cacheprovider tests/torchcaffe/test_gpu.py); }

bench_gpu() {
  small=
  [ -z "$cpu" ] || small='--cpu --batch 4 --images 64 --window 2 --windows 2 --gemm 256 --workers 0 --conditions S7T'
  # shellcheck disable=SC2086  # a list of words
  (cd "$checkout" && unset CAFFE && limited "$python" benchmarks/gpu.py $small)
}

# A folder to sweep in, with the checkout's files. Its models and results are its own.
project() {
  mkdir -p "$work/$1/data"
  for name in experiments prototxt solvers tools caffeformat Snakefile torchcaffe pyproject.toml requirements.txt; do
    ln -s "$checkout/$name" "$work/$1/$name"
  done
  ln -s "$checkout/data/cards" "$checkout/data/classes" "$work/$1/data/"
  cd "$work/$1"
}

sweep() {
  [ -z "$cpu" ] || export GPUS=
  limited "$python" -m tools sweep "$@"
}

# The demo's first seed with RUNS runs on a GPU at a time: the time of the whole sweep, data included.
demo_sweep() (
  project "demo-$1"
  cp -r "$prepared/fashion-mnist" data/
  settings='seeds=[0]'
  [ -z "$cpu" ] || settings='seeds=[0] full_size=100 sizes=[10] directions=[A2B] conditions=[S2T]
    max_iter=20 test_interval=20 snapshot=20'
  PER_GPU=$1 sweep experiments/demo.yaml --jobs "$1" --set "$settings"
)

tiny_sweep() (
  [ -e "$prepared/images.tar" ] || { echo 'no images.tar was prepared'; exit 1; }
  project tiny
  mkdir images
  tar xf "$prepared/images.tar" -C images
  settings='dataset=folder path=images'
  [ -z "$cpu" ] || settings="$settings sizes=[50] full_size=50 directions=[A2B] conditions=[S7T] max_iter=2 test_interval=2 snapshot=2
    train_batch_size=4 test_batch_size=50"
  PER_GPU=4 sweep experiments/tiny.yaml --jobs 4 --set "$settings"
)

# The tables, logs, records and figures of all sweeps, without nets.
collect() {
  cd "$work"
  find . -path '*/results/*' -type f ! -name '*.part' -o -path '*/models/*' \( -name '*.csv' -o -name '*.json' -o -name '*.log' \) |
    tar czf - -T -
}

main "$@"
