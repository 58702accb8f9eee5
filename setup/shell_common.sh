# Sourced by the scripts of setup/ and docker/, which set $me: messages, a lock, a private apt. Plain sh.

say() { printf '%s: %s\n' "$me" "$*"; }

# fail LINE...: prints the error, then what to do next, a line each, and ends the script.
fail() {
  printf '%s: error: %s\n' "$me" "$1" >&2
  shift
  for line; do printf '  %s\n' "$line" >&2; done
  exit 1
}

have() { command -v "$1" >/dev/null 2>&1; }

# whole_path PATH: prints PATH, absolute and with links resolved. Makes its parent folder, which must be writable.
whole_path() {
  mkdir -p "$(dirname "$1")" || exit 1
  path=$(readlink -f "$1") || fail "$1 is not a usable path" "name another folder"
  [ -w "$(dirname "$path")" ] || fail "$(dirname "$path") cannot be written to by $(id -un)" "name another folder"
  printf '%s\n' "$path"
}

# one_at_a_time PLACE: waits until no other call works on PLACE, and holds its lock until this script ends. The kernel
# frees the lock, also after kill -9. The file PLACE.lock is never renamed or removed. NFS needs it open for writing.
one_at_a_time() {
  exec 9>>"$1.lock"
  flock -n 9 && return
  say "another call works on $1: waiting for it"
  flock 9
}

# debian_sites: prints the machine's mirrors, lines `SITE SUITE`. They are those that `apt-get update` would read;
# `apt-get indextargets` prints nothing before the first update.
debian_sites() {
  apt-get --print-uris update 2>/dev/null | sed -n "/^'cdrom:/d; s|^'\(.*\)/dists/\(.*\)/InRelease' .*|\1 \2|p"
}

# private_apt FOLDER: from here on apt-get keeps its lists, downloads and locks in FOLDER. Any user can run it, and the
# machine's own state does not change. An interrupted download continues.
# apt reads the machine's configuration after the file in APT_CONFIG, so its settings would override ours, and its hooks
# delete downloads. We therefore switch it off and copy only its settings for proxies and TLS.
private_apt() {
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

# quietly WHAT COMMAND...: runs an apt command; prints its output only if it fails, as an error that begins with WHAT.
quietly() {
  what=$1
  shift
  output=$("$@" 2>&1) || fail "$what; apt-get said:" "$(printf '%s\n' "$output" | grep '^[EW]: ' | head -n 4)" \
    "check the network and call again: finished downloads are kept"
}
