#!/bin/sh
# Build the Dockerfile without a container engine: buildah in a chroot, on a base by debootstrap.
# Usage, as root: build_image.sh DIRECTORY. Leaves DIRECTORY/image/{root,config.json}.
# Without layers: the driver vfs copies the whole tree for each of them, some 20 GB.
# Where a proxy breaks TLS, PIP_CERT names its certificate, as for pip itself.
set -eu
project=$(cd "$(dirname "$0")/../.." && pwd)
mkdir -p "$1/image"
cd "$1"
buildah() { command buildah --root "$PWD/storage" --runroot "$PWD/run" --storage-driver vfs "$@"; }

base=localhost/debian:trixie-slim
if ! buildah inspect --type image "$base" > /dev/null 2>&1; then
    debootstrap --variant=minbase trixie base http://deb.debian.org/debian
    tar -C base --exclude='./var/cache/apt/archives/*' -cf base.tar .
    container=$(buildah from scratch)
    buildah add "$container" base.tar / > /dev/null
    buildah commit --rm --quiet "$container" "$base"
    rm -r base base.tar
fi

set --
if [ -n "${PIP_CERT:-}" ]; then
    printf '[global]\ncert = /run/proxy.crt\n' > pip.conf
    set -- --volume "$PWD/pip.conf:/etc/pip.conf:ro" --volume "$PIP_CERT:/run/proxy.crt:ro"
fi
buildah build --isolation chroot --pull-never --format docker "$@" \
    --build-arg BASE="$base" --tag localhost/atelier "$project"
buildah inspect --type image localhost/atelier > image/config.json
ln -sfn "$(buildah mount "$(buildah from --pull-never localhost/atelier)")" image/root
