#!/bin/bash
# Does without Docker what the Dockerfile does: makes a bare Debian root from packages, runs install.sh in it, and
# predicts a folder there, without a network, as an unprivileged user, with the root file system read-only.
#
#   container/try.sh [OPTION ...] ROOT OUT
#
# ROOT is a folder for the root file system (2 GB). If it exists, it is used as it is. OUT is the folder that
# takes the place of the volume /work; it receives the results. Needs root, Linux and mmdebstrap.
#
#   --bind FROM[:TO]  show FROM of this machine during the installation, read-only: a package index on disk, certificates
#   --env NAME=VALUE  set a variable during the installation, such as TORCH_INDEX or PIP_FIND_LINKS
#   --mirror URL      mirror of Debian, default http://deb.debian.org/debian
set -euo pipefail
here=$(realpath "$(dirname "$0")/..")
# In a mount namespace of its own, so that every mount ends with the script
[[ ${INSIDE:-} ]] || INSIDE=1 exec unshare --mount --propagation private "$0" "$@"

mirror=http://deb.debian.org/debian binds=() settings=()
while [[ ${1:-} == --* ]]; do
  case $1 in
    --bind) binds+=("$2") ;;
    --env) settings+=("$2") ;;
    --mirror) mirror=$2 ;;
    *) echo "unknown option $1" >&2; exit 2 ;;
  esac
  shift 2
done
(($# == 2)) || { echo "usage: try.sh [OPTION ...] ROOT OUT" >&2; exit 2; }
root=$(realpath -m "$1") out=$(realpath -m "$2")

show() {  # show FROM TO: FROM of this machine at TO of the root, read-only
  if [[ -d $1 ]]; then mkdir -p "$root$2"; else mkdir -p "$(dirname "$root$2")"; touch "$root$2"; fi
  mount --bind "$1" "$root$2"
  mount -o remount,bind,ro "$root$2"
}

mount_system() {
  mount -t proc proc "$root/proc"
  mount -t tmpfs -o mode=755,nosuid tmpfs "$root/dev"
  mknod -m 666 "$root/dev/null" c 1 3
  mknod -m 666 "$root/dev/zero" c 1 5
  mknod -m 666 "$root/dev/urandom" c 1 9
  ln -s /proc/self/fd "$root/dev/fd"
  mkdir "$root/dev/shm"
  mount -t tmpfs -o mode=1777,size=64m tmpfs "$root/dev/shm"  # Docker's size
  mount -t tmpfs -o mode=1777,nosuid,nodev tmpfs "$root/tmp"
}

[[ -d $root ]] || mmdebstrap --quiet --variant=minbase bookworm "$root" "$mirror"
mount --bind "$root" "$root"
mount_system
if [[ ! -x $root/opt/medseg/bin/medseg ]]; then
  source=$(mktemp -d)
  cp -R "$here"/{medseg,configs,container,pyproject.toml,README.md,LICENSE,constraints.txt} "$source"
  shown=(/etc/resolv.conf "${binds[@]}")
  show "$source" /source
  for path in "${shown[@]}"; do show "${path%%:*}" "${path#*:}"; done
  chroot "$root" /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root "${settings[@]}" \
    /source/container/install.sh /source
  for path in /source "${shown[@]}"; do umount "$root${path#*:}"; done
  rm -rf "$source"
fi
echo "size of the root: $(du -sh --one-file-system "$root" | cut -f 1)"

mkdir -p "$out"
chown 10001:10001 "$out"
mount --bind "$out" "$root/work"
mount -o remount,bind,ro "$root"
# The lines of ENV in the Dockerfile, a NAME=VALUE each
mapfile -t environment < <(sed -n '/^ENV /,/[^\\]$/{s/^ENV //;s/ *\\$//;s/^ *//;p}' "$here/Dockerfile")

enter() {  # enter COMMAND ...: runs it as process 1 of a container without a network
  unshare --net --ipc --pid --fork --mount-proc="$root/proc" \
    chroot --userspec="${USER_ID:-10001:10001}" "$root" /usr/bin/env -i -C /work "${environment[@]}" "$@"
}

echo "user: $(enter id)"
if enter touch /opt/medseg/x 2>/dev/null || enter touch /etc/x 2>/dev/null; then
  echo "the root file system can be written to" >&2
  exit 1
fi
enter medseg demo demo.minutes=0.2 demo.num_cases=12 demo.num_new=4 demo.size=96 output.dir=demo
enter medseg predict model=demo/model/best.pt input.dir=demo/new_data/images output.dir=masks \
  'output.formats=[seg,png,nifti,overlay]'
echo "files left outside of the volume: $(enter find /tmp /dev/shm -type f | wc -l)"
cut -d , -f 1-3 "$out/masks/report.csv"
find "$out/masks" -name '*.dcm' -o -name '*.png' -o -name '*.nii.gz' | sed "s|$out/||; s|/[^/]*$||" | sort | uniq -c
