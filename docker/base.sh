#!/bin/sh
# docker/base.sh: builds the image debian:bookworm-slim from this machine's mirror of Debian, signatures verified, for a
# container engine without access to a registry. Needs root and debootstrap.
set -eu
me=image-base
. "$(dirname "$0")/engine.sh"
base=debian:bookworm-slim

choose_engine
if "$engine" inspect "$base" >/dev/null 2>&1; then
  say "$base exists: nothing to do"
  exit 0
fi
have debootstrap || fail "no debootstrap here" "apt-get install debootstrap"
[ "$(id -u)" = 0 ] || fail "debootstrap needs root" "sudo make image-base"
site=$(debian_sites | awk '$2 == "bookworm" {print $1; exit}')
security=$(debian_sites | awk '$2 == "bookworm-security" {print $1; exit}')
[ -n "$site" ] || fail "apt knows no mirror of bookworm here" "run this on Debian bookworm"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
say "unpacking bookworm from $site"
debootstrap --variant=minbase --keyring=/usr/share/keyrings/debian-archive-keyring.gpg \
  bookworm "$work/root" "$site" >"$work/log" || fail "debootstrap failed:" "$(tail -n 3 "$work/log")"
{
  echo "deb $site bookworm main"
  [ -z "$security" ] || echo "deb $security bookworm-security main"
} >"$work/root/etc/apt/sources.list"
# like Debian's own slim image: no manuals, no translations (of later packages either), no lists and caches of apt
for path in doc man locale; do echo "path-exclude /usr/share/$path/*"; done >"$work/root/etc/dpkg/dpkg.cfg.d/slim"
echo 'path-include /usr/share/doc/*/copyright' >>"$work/root/etc/dpkg/dpkg.cfg.d/slim"
find "$work/root/usr/share/doc" "$work/root/usr/share/man" "$work/root/usr/share/locale" \
  ! -type d ! -name copyright -delete
find "$work/root/var/cache/apt" "$work/root/var/lib/apt/lists" -type f -delete
tar --numeric-owner -C "$work/root" -cf "$work/root.tar" .
printf 'FROM scratch\nADD root.tar /\nCMD ["bash"]\n' >"$work/Dockerfile"
rm -rf "$work/root"
"$engine" build --tag "$base" "$work"
say "done: $base"
