#!/bin/sh
# setup/get_caffe.sh [DEST]: real BVLC Caffe 1.0 (CPU, OpenBLAS) and pycaffe (Python 3.9) in the folder DEST (default:
# .caffe of the checkout). They come from Debian bullseye, the last release that has Caffe. Signatures are verified. The
# packages are only unpacked: no root, nothing outside DEST changes, and DEST can be moved.
#
#   DEST/caffe train --solver=...      DEST/caffe-gtest      DEST/convert_imageset ...      DEST/pycaffe script.py
#
# CAFFE_PYTHONPATH  where `caffe` and `pycaffe` look for Python layers, in place of PYTHONPATH
# CAFFE_KEEP_DEBS   a folder to which the .debs and their SHA256SUMS are copied
# CAFFE_DEBS        such a folder, to install from: offline, or when the mirrors no longer have bullseye
# CAFFE_MIRROR, CAFFE_SECURITY_MIRROR   mirrors of Debian or of its archive (default: the machine's apt sources)
# CAFFE_KEYRING     the keyring that verifies the signatures
set -eu
unset CDPATH
me=get_caffe
setup=$(cd "$(dirname "$0")" && pwd -P)
. "$setup/shell_common.sh"
. "$setup/get_caffe_debs.sh"

recipe="BVLC Caffe 1.0.0, Debian bullseye, recipe 1" # raise the number when the contents of DEST change
programs="caffe caffe-gtest compute_image_mean convert_imageset extract_features \
upgrade_net_proto_text upgrade_net_proto_binary upgrade_solver_proto_text"
needed_mb=750 # measured: 655 while it works, 345 at the end
elsewhere="or build BVLC Caffe yourself and set CAFFE=/path/to/caffe"

main() {
  [ $# -le 1 ] || fail "one argument at most, not $#" "usage: setup/get_caffe.sh [DEST]"
  dest=$(whole_path "${1:-$setup/../.caffe}")
  # ld.so splits library paths at : and ;, and expands $
  case "$dest" in *[:\;\$]*) fail "Caffe cannot live in a path with : ; or \$: $dest" "name another DEST" ;; esac
  is_complete && nothing_to_do
  check_machine
  one_at_a_time "$dest"
  is_complete && nothing_to_do
  check_dest
  part=$dest.part
  mkdir -p "$part"
  get_debs
  unpack
  keep_only_caffe
  add_commands
  try_out
  [ ! -e "$dest" ] || mv -T "$dest" "$part/old.$$"
  mv -T "$part/tree" "$dest"
  rm -rf "$part"
  say "done: $dest, $(megabytes "$dest") MB"
}

is_complete() { [ "$(cat "$dest/.recipe" 2>/dev/null)" = "$recipe" ]; }

nothing_to_do() {
  rm -rf "$dest.part" # left by a call that was killed just before its end
  [ -z "${CAFFE_KEEP_DEBS:-}" ] || [ -e "$CAFFE_KEEP_DEBS/SHA256SUMS" ] ||
    fail "$dest is complete: nothing was downloaded that could be kept in $CAFFE_KEEP_DEBS" "name another DEST"
  say "complete in $dest: nothing to do"
  exit 0
}

megabytes() { du -sm "$1" | cut -f1; }

check_machine() {
  have dpkg && have dpkg-deb || fail "no dpkg here: this is not Debian" \
    "run this on Debian or Ubuntu, amd64," "$elsewhere"
  [ -n "${CAFFE_DEBS:-}" ] || have apt-get || fail "no apt-get here: this is not Debian" \
    "name a folder of .debs that was kept on another machine (CAFFE_KEEP_DEBS there, CAFFE_DEBS here)," "$elsewhere"
  arch=$(dpkg --print-architecture)
  [ "$arch" = amd64 ] || fail "this machine is $arch; the packages are for amd64 only" \
    "run this on an amd64 machine," "$elsewhere"
}

check_dest() {
  if [ -e "$dest" ] && [ ! -e "$dest/.recipe" ] && ! rmdir "$dest" 2>/dev/null; then
    fail "$dest exists already and was not made by this script" "remove it, or name another DEST"
  fi
  free_mb=$(df -Pk "$(dirname "$dest")" | awk 'NR == 2 {print int($4 / 1024)}')
  [ "$free_mb" -ge $needed_mb ] || fail "no space: $(dirname "$dest") has $free_mb MB free, $needed_mb are needed" \
    "make room, or name a DEST on another disk"
}

unpack() {
  say "unpacking $(wc -l <"$debs/SHA256SUMS") packages"
  rm -rf "$part/tree"
  mkdir "$part/tree"
  if ! sed 's/^[^ ]* [ *]//' "$debs/SHA256SUMS" |
    xargs -P "$(nproc)" -I NAME dpkg-deb -x "$debs/NAME" "$part/tree" >"$part/unpack.log" 2>&1; then
    rm -rf "$part/tree" "$part/apt/archives"
    fail "unpacking failed:" "$(tail -n 3 "$part/unpack.log")" "make room in $(dirname "$dest") and call again"
  fi
  cp "$debs/SHA256SUMS" "$part/tree/"
}

# The packages contain a small Debian (a second dpkg, Perl, fonts). What Caffe does not load is removed.
keep_only_caffe() {
  (
    cd "$part/tree" || exit # never remove elsewhere
    rm -rf bin boot dev etc lib64 sbin var usr/games usr/include usr/sbin usr/share
    for program in usr/bin/*; do
      case " $programs python3.9 " in *" ${program##*/} "*) ;; *) rm -f "$program" ;; esac
    done
  )
  cp -R "$setup/pycaffe_needs/." "$part/tree/usr/lib/python3/dist-packages/"
}

add_commands() {
  for program in $programs; do add_command "$program" "$program"; done
  add_command pycaffe python3.9
}

# add_command NAME PROGRAM: a script that starts PROGRAM. Caffe needs the glibc and the libraries of its own Debian, so
# their loader starts it, without the machine's library cache and library path.
add_command() {
  cat >"$part/tree/$1" <<EOF
#!/bin/sh
here=\$(dirname "\$(readlink -f "\$0")")
lib=\$here/usr/lib/x86_64-linux-gnu
unset LD_PRELOAD LD_LIBRARY_PATH
export PYTHONHOME="\$here/usr" PYTHONNOUSERSITE=1 PYTHONPATH="\${CAFFE_PYTHONPATH:-}"
exec "\$here/lib/x86_64-linux-gnu/ld-2.31.so" --inhibit-cache \\
  --library-path "\$lib/openblas-pthread:\$here/lib/x86_64-linux-gnu:\$lib:\$here/usr/lib" "\$here/usr/bin/$2" "\$@"
EOF
  chmod 755 "$part/tree/$1"
}

try_out() {
  must_start caffe --version
  must_start pycaffe -c "import caffe"
  printf '%s\n' "$recipe" >"$part/tree/.recipe"
}

must_start() {
  command=$part/tree/$1
  shift
  output=$("$command" "$@" 2>&1) || fail "${command##*/} $* failed:" "$(printf '%s\n' "$output" | tail -n 5)" \
    "a disk mounted noexec cannot hold programs: name a DEST on another"
}

main "$@"
