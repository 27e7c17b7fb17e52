#!/usr/bin/env bash
# The set-up on a fresh machine: a minimal Debian root with nothing but Node, npm and Python 3, in which an ordinary
# user clones the repository, runs `npm start`, calls it and ends it. Skipped, with the reason, where it is not permitted.
set -euo pipefail
repository=$(cd "$(dirname "$0")/.." && pwd)

skip() { echo "skipped: the set-up in a clean root: $1"; exit 0; }

[ "$(id -u)" = 0 ] || skip 'needs root for chroot'
unshare --mount --pid --fork true 2>/dev/null || skip 'mount and process namespaces are not permitted here'
command -v debootstrap >/dev/null \
  || DEBIAN_FRONTEND=noninteractive apt-get install -y -qq debootstrap >/dev/null 2>&1 \
  || skip 'no debootstrap, and it cannot be installed'

root=$(mktemp -d /var/tmp/modelserve-root-XXXXXX)
chmod 755 "$root" # it is the root folder of an ordinary user
# What is mounted below lives in a namespace that has ended by then; should it not have, it must not be emptied.
trap 'rm -rf --one-file-system "$root" "$root.log"' EXIT

mirror=$(cat /etc/apt/sources.list /etc/apt/sources.list.d/*.list /etc/apt/sources.list.d/*.sources 2>/dev/null \
  | awk '/^URIs: /{print $2; exit} /^deb /{for (i = 2; i <= NF; i++) if ($i ~ /^http/) {print $i; exit}}' || true)
timeout 300 debootstrap --variant=minbase --include=python3,ca-certificates bookworm "$root" ${mirror:+"$mirror"} \
  >"$root.log" 2>&1 || { tail -n 5 "$root.log"; skip 'no Debian packages can be had'; }

# Node and npm as on this machine, and its way to the package registries.
npm_folder=$(dirname "$(dirname "$(readlink -f "$(command -v npm)")")")
install -D "$(readlink -f "$(command -v node)")" "$root/usr/local/bin/node"
mkdir -p "$root/usr/local/lib/node_modules"
cp -r "$npm_folder" "$root/usr/local/lib/node_modules/npm"
ln -s ../lib/node_modules/npm/bin/npm-cli.js "$root/usr/local/bin/npm"
cp /etc/resolv.conf /etc/hosts "$root/etc/"
cp -L /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/"
ldd "$(command -v node)" | awk '/=> \//{print $3}' | while read -r library; do
  [ -e "$root$library" ] || install -D "$library" "$root$library"
done
npm config get registry >"$root/registry" 2>/dev/null
npm config get cafile >"$root/cafile" 2>/dev/null

chroot "$root" useradd --create-home newcomer
git -C "$repository" archive --format=tar --prefix=modelserve/ HEAD | tar -x -C "$root/home/newcomer"
cp "$repository/scripts/clean-root-visit.sh" "$root/visit.sh"
chroot "$root" chown -R newcomer /home/newcomer

# Mounts and processes of the visit end with it, whatever becomes of it.
timeout --kill-after=10 480 unshare --mount --pid --fork --kill-child bash -euc '
  mount -t proc proc "$1/proc"
  mount --bind /dev "$1/dev"
  chroot "$1" su newcomer -c "bash /visit.sh"
' visit "$root"
