# Sourced by get_caffe.sh: puts the .debs of Caffe and its dependencies, and their SHA256SUMS, into the folder $debs.
# They come from the folder CAFFE_DEBS, or else from a mirror of Debian, with a private apt in $part/apt.

packages="caffe libopenblas0-pthread python3.9 python3-protobuf python3-six python3-scipy libboost-python1.74.0
libimagequant0 libwebpdemux2 libwebpmux3 libxcb1"
# without their dependencies: IPython, pandas, matplotlib, scikit-image and Perl
without_dependencies="python3-caffe python3-pil"

get_debs() {
  [ -z "${CAFFE_KEEP_DEBS:-}" ] || mkdir -p "$CAFFE_KEEP_DEBS"
  if [ -n "${CAFFE_DEBS:-}" ]; then take_kept_debs; else download_debs; fi
  [ -z "${CAFFE_KEEP_DEBS:-}" ] || keep_debs
}

keep_debs() {
  say "copying the .debs to $CAFFE_KEEP_DEBS"
  cp "$debs"/*.deb "$CAFFE_KEEP_DEBS/"
  cp "$debs/SHA256SUMS" "$CAFFE_KEEP_DEBS/SHA256SUMS.part"
  mv "$CAFFE_KEEP_DEBS/SHA256SUMS.part" "$CAFFE_KEEP_DEBS/SHA256SUMS"
}

take_kept_debs() {
  [ -r "$CAFFE_DEBS/SHA256SUMS" ] ||
    fail "CAFFE_DEBS=$CAFFE_DEBS has no SHA256SUMS that can be read" "name a folder that CAFFE_KEEP_DEBS made"
  debs=$(readlink -f "$CAFFE_DEBS")
  say "checking the .debs of $debs, $(megabytes "$debs") MB"
  bad=$(cd "$debs" && sha256sum --quiet -c SHA256SUMS 2>&1) ||
    fail "CAFFE_DEBS=$CAFFE_DEBS is damaged:" "$(printf '%s\n' "$bad" | head -n 5)" \
      "copy the folder again, or make it again: CAFFE_KEEP_DEBS=FOLDER setup/get_caffe.sh OTHER_DEST"
}

download_debs() {
  keyring=${CAFFE_KEYRING:-/usr/share/keyrings/debian-archive-keyring.gpg}
  [ -r "$keyring" ] || fail "the keyring $keyring cannot be read, so no signature can be verified" \
    "install the package debian-archive-keyring, or name the keyring: CAFFE_KEYRING=FILE"
  mirrors=$(debian_sites)
  sites=${CAFFE_MIRROR:-$(echo "$mirrors" | awk '$2 !~ /-security$/ && !seen[$1]++ {print $1}')}
  security=${CAFFE_SECURITY_MIRROR-$(echo "$mirrors" | awk '$2 ~ /-security$/ {print $1; exit}')}
  [ -n "$sites" ] || fail "apt knows no mirror here: /etc/apt has no sources" \
    "name a mirror of Debian: CAFFE_MIRROR=URL, or a folder of .debs: CAFFE_DEBS=FOLDER"
  configure_apt "$part/apt"
  read_index
  debs=$part/apt/archives
  rm -f "$debs/SHA256SUMS"
  (
    cd "$debs" || exit
    with_counter quietly "no download" apt-get -qq -y --download-only install $packages
    quietly "no download" apt-get -qq download $without_dependencies
    sha256sum -- *.deb >SHA256SUMS
  )
}

configure_apt() {
  private_apt "$1"
  # The keyring is the only file of a trusted.gpg.d folder, because `signed-by` cannot name a path with spaces. apt
  # recognizes an ASCII-armoured keyring by its suffix.
  rm -rf "$1/keys"
  mkdir "$1/keys"
  case "$keyring" in *.asc) cp "$keyring" "$1/keys/debian.asc" ;; *) cp "$keyring" "$1/keys/debian.gpg" ;; esac
  cat >>"$1/apt.conf" <<EOF
Dir::Etc::sourcelist "$1/sources.list"; Dir::Etc::sourceparts "/dev/null";
Dir::Etc::preferences "/dev/null"; Dir::Etc::preferencesparts "/dev/null";
Dir::Etc::trusted "/dev/null"; Dir::Etc::trustedparts "$1/keys";
APT::Architecture "amd64"; APT::Architectures { "amd64"; }; APT::Update::Error-Mode "any";
EOF
}

# Reads the index of the first mirror that has bullseye with Debian's signature. The machine's sources may also name
# repositories of others.
read_index() {
  : >"$part/apt/update.log"
  for site in $sites; do
    say "reading the index of Debian bullseye at $site"
    update "$site bullseye" || continue
    [ -n "$security" ] || return 0
    update "$site bullseye" "$security bullseye-security" && return
    say "note: no bullseye-security at $security: using the packages of the original release"
    update "$site bullseye" && return
  done
  fail "no mirror gave a signed index of Debian bullseye; apt-get said:" \
    "$(grep '^[EW]: ' "$part/apt/update.log" | head -n 4)" \
    "If the network is up, this mirror no longer has bullseye. Name a mirror of Debian's archive or snapshots with" \
    "CAFFE_MIRROR=URL, or a folder of .debs that an earlier call kept with CAFFE_DEBS=FOLDER."
}

# update "SITE SUITE"...: reads the index of these sources only.
update() {
  for source; do echo "deb $source main"; done >"$part/apt/sources.list"
  apt-get -qq update >>"$part/apt/update.log" 2>&1
}

# with_counter COMMAND...: runs a download and shows progress: a counter on a terminal, else a line every ten seconds.
with_counter() {
  todo=$(apt-get -qq -y --print-uris install $packages |
    awk '{n++; mb += $3 / 1e6} END {printf "%d packages, %d MB", n, mb}')
  say "downloading $todo"
  count_megabytes &
  counter=$!
  "$@"
  kill $counter
  wait $counter 2>/dev/null || : # sh would print "Terminated"
  [ ! -t 1 ] || echo
}

count_megabytes() {
  exec 9>&- # only the caller holds the lock
  seconds=0
  while sleep 1 >/dev/null 2>&1 && kill -0 $$ 2>/dev/null; do
    seconds=$((seconds + 1))
    if [ -t 1 ]; then
      printf '\r%s: %s MB, %s s ' "$me" "$(megabytes "$debs")" $seconds
    elif [ $((seconds % 10)) = 0 ]; then
      say "$(megabytes "$debs") MB, $seconds s"
    fi
  done
}
