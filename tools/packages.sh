#!/bin/bash
# tools/packages.sh GROUP...: installs what is missing of the Debian packages that tools/packages.list
# gives for these groups, and makes the user that guests run as. Does nothing when all is there.
set -euo pipefail

list=$(dirname "$0")/packages.list

# Services that come with a package must not start: Virga runs its own.
forbid_services() {
  local policy=/usr/sbin/policy-rc.d
  [ ! -e $policy ] || return 0
  printf '#!/bin/sh\nexit 101\n' >$policy
  chmod +x $policy
  trap "rm -f $policy" EXIT
}

install_missing() {
  local wanted missing
  wanted=$(awk -v groups=" $* " 'index(groups, " " $1 " ") {print $2}' "$list")
  missing=$(comm -23 <(sort -u <<<"$wanted") <(
    # shellcheck disable=SC2086
    dpkg-query -W -f '${db:Status-Abbrev}${Package}\n' $wanted 2>/dev/null |
      sed -n 's/^ii //p' | sort -u
  ))
  [ -n "$missing" ] || return 0
  echo "packages: installing" $missing
  if [ "$(id -u)" != 0 ]; then
    echo "packages: only root can install them" >&2
    exit 1
  fi
  forbid_services
  export DEBIAN_FRONTEND=noninteractive
  apt-get -q -o DPkg::Lock::Timeout=300 update
  # shellcheck disable=SC2086
  apt-get -q -y -o DPkg::Lock::Timeout=300 install --no-install-recommends $missing
}

make_guest_user() {
  getent passwd virga-guest >/dev/null && return
  useradd --system --user-group --no-create-home --home-dir /nonexistent \
    --shell /usr/sbin/nologin virga-guest
}

[ $# -gt 0 ] || { echo "usage: $0 GROUP..." >&2; exit 2; }
install_missing "$@"
case " $* " in *" runtime "*) make_guest_user ;; esac
