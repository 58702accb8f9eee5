#!/bin/sh
# apt_sources.sh: where the image takes Debian's packages from: contrib and non-free too, which hold CUDA; and if
# DEBIAN_MIRROR is set, from there alone. A snapshot's index is out of date by design. No package asks questions.
set -eu
echo 'debconf debconf/frontend select Noninteractive' | debconf-set-selections
if [ -n "${DEBIAN_MIRROR:-}" ]; then
  rm -f /etc/apt/sources.list.d/*
  echo "deb $DEBIAN_MIRROR bookworm main" >/etc/apt/sources.list
  echo 'Acquire::Check-Valid-Until "false";' >/etc/apt/apt.conf.d/snapshot
fi
find /etc/apt -name '*.list' -o -name '*.sources' | while read -r file; do
  sed -i -E 's/^(deb .*|Components:.*) main$/& contrib non-free/' "$file"
done
