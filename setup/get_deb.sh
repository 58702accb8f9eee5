#!/bin/sh
# setup/get_deb.sh PACKAGE DEST: unpacks the files of one Debian package into the folder DEST: no root, no dependencies,
# nothing installed. apt verifies the signature of the index and the checksum of the package.
set -eu
unset CDPATH
me=get_deb
setup=$(cd "$(dirname "$0")" && pwd -P)
. "$setup/shell_common.sh"

[ $# -eq 2 ] || fail "two arguments, not $#" "usage: setup/get_deb.sh PACKAGE DEST"
package=$1
dest=$(whole_path "$2")
for program in apt-get apt-config dpkg-deb; do
  have $program || fail "no $program here: this is not Debian" "get the files of $package another way"
done

one_at_a_time "$dest"
part=$dest.part
rm -rf "$part/tree" "$part"/*.deb
mkdir -p "$part"
cd "$part"
# First tries the machine's index. If it is missing or out of date, uses a new one in a private folder.
apt-get -qq download "$package" >/dev/null 2>&1 || {
  rm -f ./*.deb
  private_apt "$part/apt"
  say "reading Debian's index"
  apt-get -qq update >update.log 2>&1 || : # one broken source among several must not stop it
  quietly "no download of $package" apt-get -qq download "$package"
}
dpkg-deb -x ./*.deb tree
rm -rf "$dest"
mv -T tree "$dest"
cd /
rm -rf "$part"
