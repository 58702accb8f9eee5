#!/bin/sh
# apt_sources.sh: sets the image's sources of Debian packages. It adds contrib and non-free, which hold CUDA. If
# DEBIAN_MIRROR is set, it is the only source; the index of a snapshot has expired, so its date is not checked.
# Packages ask no questions while they are installed.
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
