#!/usr/bin/env bash
# The set-up on a fresh machine: a minimal Debian root with nothing but Node, npm and Python 3, in which an ordinary
# user clones the repository, runs the set-up, starts a head and calls it. Skipped, with the reason, where it is not permitted.
set -euo pipefail
repository=$(cd "$(dirname "$0")/.." && pwd)

skip() { echo "skipped: the set-up in a clean root: $1"; exit 0; }

[ "$(id -u)" = 0 ] || skip 'needs root for chroot'
command -v debootstrap >/dev/null || apt-get install -y -qq debootstrap >/dev/null 2>&1 || skip 'no debootstrap, and it cannot be installed'
npm_folder=$(dirname "$(dirname "$(readlink -f "$(command -v npm)")")")

root=$(mktemp -d /var/tmp/modelserve-root-XXXXXX)
cleanup() {
  umount "$root/proc" "$root/dev" 2>/dev/null || true
  rm -rf "$root"
}
trap cleanup EXIT

mirror=$(sed -n 's/^URIs: *\(.*\)/\1/p; s/^deb \(http[^ ]*\).*/\1/p' /etc/apt/sources.list /etc/apt/sources.list.d/* 2>/dev/null | head -n 1)
debootstrap --variant=minbase --include=python3,ca-certificates bookworm "$root" ${mirror:+"$mirror"} >"$root.log" 2>&1 \
  || { tail -n 5 "$root.log"; rm -f "$root.log"; skip 'no Debian packages can be had'; }
rm -f "$root.log"

# Node and npm as on this machine, and its way to the package registries.
install -D "$(command -v node)" "$root/usr/local/bin/node"
mkdir -p "$root/usr/local/lib/node_modules"
cp -r "$npm_folder" "$root/usr/local/lib/node_modules/npm"
ln -s ../lib/node_modules/npm/bin/npm-cli.js "$root/usr/local/bin/npm"
cp /etc/resolv.conf /etc/hosts "$root/etc/"
cp -L /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/"
ldd "$(command -v node)" | awk '/=> \//{print $3}' | while read -r library; do
  [ -e "$root$library" ] || install -D "$library" "$root$library"
done
mount -t proc proc "$root/proc"
mount --bind /dev "$root/dev"

chroot "$root" useradd --create-home newcomer
git -C "$repository" archive --format=tar --prefix=modelserve/ HEAD | tar -x -C "$root/home/newcomer"
npm config get registry >"$root/registry"
npm config get cafile >"$root/cafile"
cp "$repository/scripts/clean-root-visit.sh" "$root/visit.sh"
chroot "$root" chown -R newcomer /home/newcomer
chroot "$root" su newcomer -c 'bash /visit.sh'
