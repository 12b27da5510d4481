# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# shellcheck disable=SC2034,SC2154  # what the other side names or uses
#
# For the scripts beside this one: boots a real systemd in a throw-away container. Sourced with $machine (its
# name), $what (first word of each line said) and $self (the script) set; the script's first argument stays its own.
# The container sees this machine's root folder below a tmpfs overlay: nothing of it is written, and it
# has a network of its own with only the loopback. Needs root and Debian's systemd-container.
# Then $root is its root folder, in_it COMMAND runs in it, finish ends it (a trap does), and verdict says
# one line for each check (pass:, FAIL:); exit 77 with a reason when it cannot boot.

# Runs in mount, pid and cgroup name spaces of its own and becomes systemd-nspawn.
if [ "${1:-}" = --inner ]; then
  set -e
  work=$2
  if mountpoint -q /sys/fs/cgroup; then umount -R /sys/fs/cgroup; fi
  mount -t cgroup2 cgroup2 /sys/fs/cgroup
  mkdir -p "$work/fs"
  mount -t tmpfs -o mode=755,size=1g tmpfs "$work/fs"
  cd "$work/fs"
  mkdir up work root
  mount -t overlay -o "lowerdir=/,upperdir=$PWD/up,workdir=$PWD/work" overlay root
  # this machine's own services stay out of it, and so does an iicpd that it may have
  rm -rf root/etc/systemd/system root/etc/iicp root/etc/iicp.conf root/var/lib/iicp root/var/log/journal
  mkdir -p root/etc/systemd/system
  ln -s /lib/systemd/system/basic.target root/etc/systemd/system/default.target
  rm -f root/usr/sbin/policy-rc.d # of container images: no service is started by a package
  rm -f root/etc/machine-id root/etc/hostname root/etc/fstab
  : >root/etc/machine-id
  # what the kernel gives to the address filter only with bpf(2)
  exec systemd-nspawn --quiet -D "$PWD/root" -M "$machine" --boot --register=no --keep-unit --console=pipe \
    --link-journal=no --capability=CAP_BPF,CAP_NET_ADMIN,CAP_PERFMON --system-call-filter=bpf --private-network
fi
# A cgroup of its own, so that the container takes it for the root.
if [ "${1:-}" = --outer ]; then
  mnt=$(awk '$3 == "cgroup2" {print $2; exit}' /proc/mounts)
  own=$(sed -n 's/^0:://p' /proc/self/cgroup)
  [ -n "$mnt" ] && mkdir -p "$mnt${own%/}/$machine-$$" && echo "$mnt${own%/}/$machine-$$" >"$2/cgroup" &&
    echo $$ >"$mnt${own%/}/$machine-$$/cgroup.procs"
  exec unshare --mount --cgroup --pid --fork --kill-child --mount-proc "$self" --inner "$2"
fi

skip() { echo "skip: $machine: $*"; exit 77; }
[ "$(id -u)" = 0 ] || skip "needs root"
for p in systemd-nspawn unshare nsenter python3; do
  command -v "$p" >/dev/null || skip "$p is not installed"
done
[ -x /lib/systemd/systemd ] || skip "no systemd on this machine"

work=$(mktemp -d "/run/$machine.XXXXXX")
outer='' nspawn='' init=''
alive() { [ -n "$1" ] && kill -0 "$1" 2>/dev/null; }
# shellcheck disable=SC2317  # called by the trap
finish() {
  local d
  trap - EXIT
  alive "$nspawn" && kill -TERM "$nspawn" # asks the container to power off
  for _ in $(seq 100); do alive "$outer" || break; sleep 0.1; done
  alive "$outer" && kill -KILL "$outer" # ends the whole pid name space
  wait 2>/dev/null
  d=$(cat "$work/cgroup" 2>/dev/null)
  for _ in $(seq 20); do
    [ -d "${d:-/nowhere}" ] || break
    find "$d" -depth -type d -exec rmdir {} \; 2>/dev/null
    sleep 0.1
  done
  rm -rf --one-file-system "$work"
  rmdir /run/systemd/nspawn/propagate/"$machine" 2>/dev/null
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

setsid "$self" --outer "$work" </dev/null >"$work/console" 2>&1 &
outer=$!
for _ in $(seq 300); do
  sleep 0.1
  alive "$outer" || break
  nspawn=$(pgrep -P "$outer" -x systemd-nspawn) || continue
  for p in $(pgrep -P "$nspawn"); do
    [ "$(cat "/proc/$p/comm" 2>/dev/null)" = systemd ] && [ -S "/proc/$p/root/run/systemd/private" ] && init=$p
  done
  [ -z "$init" ] || break
done
[ -n "$init" ] || skip "the container does not boot: $(tail -n 1 "$work/console")"
root=/proc/$init/root

in_it() {
  nsenter -t "$init" -m -u -i -n -p -C -r -w -- env -i HOME=/root LANG=C.UTF-8 \
    PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin "$@"
}
case $(in_it timeout 60 systemctl is-system-running --wait) in
  running | degraded) ;;
  *) skip "the container's boot does not end" ;;
esac

# ---- checks ----

failed=0
verdict() { # TEXT COMMAND...
  local text=$1
  shift
  if "$@" >"$work/said" 2>&1; then
    echo "pass: $what: $text"
  else
    echo "FAIL: $what: $text"
    tail -n 5 "$work/said" | cut -c1-400 | sed 's/^/    /'
    failed=1
  fi
}
soon() { # SECONDS COMMAND...
  local end=$((SECONDS + $1))
  shift
  until "$@"; do
    [ $SECONDS -lt $end ] || return 1
    sleep 0.2
  done
}
not() { ! "$@"; }
exits() { # STATUS COMMAND...
  local want=$1 rc=0
  shift
  "$@" || rc=$?
  [ $rc = "$want" ] || { echo "exit $rc, not $want"; return 1; }
}
modes() { # MODE:USER:GROUP PATH
  local is
  is=$(in_it stat -c %a:%U:%G "$2") && [ "$is" = "$1" ] || { echo "$2 is $is"; return 1; }
}

# ---- the service in it ----

prop() { in_it systemctl show -p "$1" --value iicpd; }
prop_is() { [ "$(prop "$1")" = "$2" ] || { echo "$1=$(prop "$1"), not $2"; return 1; }; }
prop_has() { [[ $(prop "$1") == *"$2"* ]] || { echo "$1=$(prop "$1"), without $2"; return 1; }; }
oper() { in_it runuser -u oper -- "$@"; }
journal_has() { in_it journalctl -u iicpd -o json --no-pager | grep -q "$1"; }
journal_finds() { # EVENT: by the id that log.c makes of its name
  local id
  id=$(printf 'iicpd-event:%s' "$1" | sha256sum | cut -c1-32)
  in_it journalctl -u iicpd -o json --no-pager "MESSAGE_ID=$id" | grep "\"IICP_EVENT\":\"$1\""
}
node_id() { in_it iicpctl status --json | python3 -c 'import json, sys; print(json.load(sys.stdin)["node"]["node_id"])'; }
ask() { oper env IICP_DIRECTORY_URL=http://127.0.0.1:8440 IICP_PROXY_ALLOW_LOOPBACK_NODES=1 iicp ask "Why?"; }
backend_says() { # METHOD PATH [BODY]
  in_it python3 -c 'import sys, urllib.request as u
m, path, *body = sys.argv[1:]
print(u.urlopen(u.Request("http://127.0.0.1:8441" + path, body[0].encode() if body else None,
    {"Content-Type": "application/json"}, method=m), timeout=3).read().decode())' "$@" >/dev/null 2>&1
}
a_task_runs() { in_it iicpctl metrics | grep -E '^iicp_active_tasks [1-9]'; }
