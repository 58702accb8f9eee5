#!/bin/sh
# setup/get_caffe_source.sh DEST: downloads the source of BVLC Caffe 1.0 from Debian bullseye, the release and Debian's
# patches, 8.5 MB, into the folder DEST. The checksums below are those of Debian's signed
# caffe_1.0.0+git20180821.99bd997-8.dsc. The Dockerfile builds from it. It never changes: keep a copy, in case
# no mirror has it any more.
#
# CAFFE_SOURCE   a folder that an earlier call made: nothing is downloaded
# CAFFE_MIRROR   a mirror of Debian, or of its archive or snapshots (default: the machine's apt sources)
set -eu
unset CDPATH
me=get_caffe_source
setup=$(cd "$(dirname "$0")" && pwd -P)
. "$setup/shell_common.sh"

sums='e0eb3f06794f7402c77b7dec8e8480273ee1a1bb192e9122b621a69d4147ad0c  caffe_1.0.0+git20180821.99bd997.orig.tar.gz
07cf073227494a6b07234e40cb5df91db566616593eef9baafdc4d06ad159f21  caffe_1.0.0+git20180821.99bd997-8.debian.tar.xz'
names=$(echo "$sums" | cut -c 67-)

main() {
  [ $# -eq 1 ] || fail "one argument, not $#" "usage: setup/get_caffe_source.sh DEST"
  dest=$(whole_path "$1")
  is_complete "$dest" && nothing_to_do
  one_at_a_time "$dest"
  is_complete "$dest" && nothing_to_do
  [ ! -e "$dest" ] || rmdir "$dest" 2>/dev/null || fail "$dest exists already and is not Caffe's complete source" \
    "remove it, or name another DEST"
  part=$dest.part
  rm -rf "$part"
  mkdir "$part"
  if [ -n "${CAFFE_SOURCE:-}" ]; then take_kept; else download; fi
  mv -T "$part" "$dest"
  say "done: $dest"
}

is_complete() { (cd "$1" 2>/dev/null && echo "$sums" | sha256sum --status -c 2>/dev/null); }

nothing_to_do() {
  say "complete in $dest: nothing to do"
  exit 0
}

take_kept() {
  bad=$(cd "$CAFFE_SOURCE" 2>&1 && echo "$sums" | sha256sum --quiet -c 2>&1) ||
    fail "CAFFE_SOURCE=$CAFFE_SOURCE is not Caffe's complete source:" "$bad" \
      "name a folder that setup/get_caffe_source.sh made, or none, to download it"
  for name in $names; do cp "$CAFFE_SOURCE/$name" "$part/"; done
}

# From the first mirror that has both files. Their checksums are pinned, so the mirror needs no index and no signature.
download() {
  [ -x /usr/lib/apt/apt-helper ] || fail "no apt here: this is not Debian" \
    "run this on Debian or Ubuntu, and bring the folder here: CAFFE_SOURCE=FOLDER"
  sites=${CAFFE_MIRROR:-$(debian_sites | awk '!seen[$1]++ {print $1}')}
  [ -n "$sites" ] || fail "apt knows no mirror here: /etc/apt has no sources" \
    "name a mirror of Debian: CAFFE_MIRROR=URL, or a folder that was kept: CAFFE_SOURCE=FOLDER"
  for site in $sites; do
    say "downloading Caffe's source from $site"
    download_from "$site" >"$part/log" 2>&1 && rm "$part/log" && return
  done
  fail "no mirror gave Caffe's source; apt said:" "$(grep '^[EW]: ' "$part/log" | head -n 4)" \
    "If the network is up, this mirror no longer has bullseye. Name a mirror of Debian's archive or snapshots with" \
    "CAFFE_MIRROR=URL, or a folder that an earlier call made with CAFFE_SOURCE=FOLDER."
}

download_from() {
  for name in $names; do
    sum=$(echo "$sums" | sed -n "s/  $name\$//p")
    LC_ALL=C /usr/lib/apt/apt-helper download-file "$1/pool/main/c/caffe/$name" "$part/$name" "SHA256:$sum" || return
  done
}

main "$@"
