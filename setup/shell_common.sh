# Sourced by get_caffe.sh and bootstrap.sh, which set $me: messages, a lock, and an apt of one's own. Plain sh.

say() { printf '%s: %s\n' "$me" "$*"; }

# fail LINE...: the error, then what to do next, a line each.
fail() {
  printf '%s: error: %s\n' "$me" "$1" >&2
  shift
  for line; do printf '  %s\n' "$line" >&2; done
  exit 1
}

have() { command -v "$1" >/dev/null 2>&1; }

# whole_path PATH: PATH made absolute, links followed; its parent is made, and must be writable.
whole_path() {
  mkdir -p "$(dirname "$1")" || exit 1
  path=$(readlink -f "$1") || fail "$1 is no usable path" "name another folder"
  [ -w "$(dirname "$path")" ] || fail "$(dirname "$path") cannot be written to by $(id -un)" "name another folder"
  printf '%s\n' "$path"
}

# one_at_a_time PLACE: waits until no other call works on PLACE, until this script ends. The kernel frees the lock, also
# after kill -9. It is a file of its own that nothing renames or removes, and open for writing, as NFS wants it.
one_at_a_time() {
  exec 9>>"$1.lock"
  flock -n 9 && return
  say "another call is at work on $1: waiting for it"
  flock 9
}

# debian_sites: the machine's mirrors, lines `SITE SUITE`. Read from what `apt-get update` would download:
# `apt-get indextargets` would know nothing before the first update.
debian_sites() {
  apt-get --print-uris update 2>/dev/null | sed -n "/^'cdrom:/d; s|^'\(.*\)/dists/\(.*\)/InRelease' .*|\1 \2|p"
}

# apt_of_our_own FOLDER: from here on apt-get keeps its lists, downloads and locks in FOLDER, so that any user can run
# it and the machine's own state stays as it is. What an interrupted call left in FOLDER is taken up again.
# The file that APT_CONFIG names is read before the machine's configuration, which would win (and whose hooks delete
# downloads): so that is not read at all, and only what it says of proxies and TLS is carried over.
apt_of_our_own() {
  case "$1" in *[\"\\]*) fail "apt cannot work in a path with \" or \\: $1" "name another folder" ;; esac
  mkdir -p "$1/lists/partial" "$1/archives/partial"
  : >"$1/status"
  apt-config dump | grep -i '^Acquire::https\{0,1\}::' >"$1/new.conf" || :
  cat >>"$1/new.conf" <<EOF
Dir::Etc::main "/dev/null"; Dir::Etc::parts "/dev/null";
Dir::State "$1"; Dir::State::status "$1/status"; Dir::State::lists "$1/lists";
Dir::Cache "$1"; Dir::Cache::archives "$1/archives";
APT::Install-Recommends "false"; APT::Sandbox::User "root";
Acquire::Languages "none"; Acquire::Retries "3"; Acquire::Check-Valid-Until "false";
EOF
  mv "$1/new.conf" "$1/apt.conf"
  export APT_CONFIG="$1/apt.conf" LC_ALL=C
}

# quietly WHAT COMMAND...: runs an apt command whose output is shown, as an error, only where it fails.
quietly() {
  what=$1
  shift
  output=$("$@" 2>&1) || fail "$what; apt-get said:" "$(printf '%s\n' "$output" | grep '^[EW]: ' | head -n 4)" \
    "see that the network is up, and call again: what was downloaded so far is kept"
}
