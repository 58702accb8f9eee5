#!/bin/sh
# setup/get_slurm.sh: installs Slurm (slurmctld, slurmd, its commands) and munge, with which the tests start a cluster of
# several nodes on this machine. On Debian, as root. Elsewhere it says what is missing, and succeeds: those tests are
# skipped then. No service is started.
set -eu
me=get_slurm
. "$(cd "$(dirname "$0")" && pwd -P)/shell_common.sh"
packages='slurmctld slurmd slurm-client munge'

main() {
  PATH=$PATH:/usr/sbin:/sbin
  is_there && return
  [ "$(id -u)" = 0 ] && have apt-get || skipped "it needs root and apt-get"
  say "installing $packages"
  install || { apt-get -qq update && install; } || skipped "apt-get could not install it"
  is_there || skipped "a program is missing after the installation"
}

is_there() { have munged && have slurmctld && have slurmd && have sbatch; }

# Exit 101: invoke-rc.d starts no service of the new packages.
install() {
  rules=$(mktemp -d)
  printf '#!/bin/sh\nexit 101\n' >"$rules/policy-rc.d"
  chmod 755 "$rules/policy-rc.d"
  status=0
  POLICYRCD=$rules/policy-rc.d DEBIAN_FRONTEND=noninteractive apt-get -qq -y --no-install-recommends install $packages \
    >/dev/null 2>&1 || status=$?
  rm -rf "$rules"
  return "$status"
}

skipped() {
  say "no Slurm ($1), so tests of EXECUTOR=slurm are skipped: apt-get install $packages"
  exit 0
}

main
