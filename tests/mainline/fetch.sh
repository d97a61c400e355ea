#!/usr/bin/env bash
# Fetches what the harness boots, beside the system's own packages and without touching them: a Debian `sid`
# kernel with those of its modules that stand in `parts`, the vendor's firmware, and the rules of countries for
# transmitters. Usage: fetch.sh FOLDER
#
# What stays is about 25 MB; it takes 250 MB on the way, of which most are the archive of all modules.
#
# The mirror is AIRLIFT_APT_MIRROR, or the one that this system's own apt already uses.
set -euo pipefail

here=$(dirname "$(realpath "$0")")
folder=$1
mkdir -p "$folder"/apt/{lists/partial,cache/archives/partial} "$folder/debs"
folder=$(realpath "$folder")
trap 'rm -rf "${folder:?}"/{apt,debs,part}' EXIT
mirror=${AIRLIFT_APT_MIRROR:-$(apt-get indextargets --format '$(SITE)' | grep '/debian/\?$' | sort -u | head -1)}
if [ -z "$mirror" ]; then
    echo "fetch: no Debian mirror known; set AIRLIFT_APT_MIRROR" >&2
    exit 1
fi

echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror sid main non-free-firmware" \
    > "$folder/apt/sources.list"
cat > "$folder/apt/apt.conf" <<CONF
Dir::Etc::SourceList "$folder/apt/sources.list";
Dir::Etc::SourceParts "-";
Dir::State::Lists "$folder/apt/lists";
Dir::Cache "$folder/apt/cache";
Dir::Cache::pkgcache "";
Dir::Cache::srcpkgcache "";
Acquire::GzipIndexes "true";
Acquire::Languages "none";
CONF
export APT_CONFIG=$folder/apt/apt.conf

# Whatever the network does in between is tried again.
retried='-q -o Acquire::Retries=3'
apt-get $retried update
# Not the real-time kernel, nor the one for clouds, which has no USB.
kernel=$(apt-cache search --names-only '^linux-modules-7\.2.*-amd64$' | awk '{ print $1 }' \
    | sed 's/^linux-modules-//' | grep -Ev -e '-(rt|cloud)-' | sort -V | tail -1)
if [ -z "$kernel" ]; then
    echo "fetch: the mirror has no kernel 7.2" >&2
    exit 1
fi
cd "$folder/debs"
# take PACKAGE [PATTERN...]: downloads a package, unpacks it or what the patterns name of it, and throws the archive away.
take() {
    local package=$1
    shift
    apt-get $retried download "$package"
    rm -rf "${folder:?}/$package" "$folder/part"
    mkdir "$folder/part"
    # An archive of patterns that match nothing is an error, of one that matches little it is not.
    dpkg-deb --fsys-tarfile "$package"_*.deb | tar -x -C "$folder/part" --wildcards "$@"
    rm -f "$package"_*.deb
    mv "$folder/part" "$folder/$package"
}
take firmware-realtek '*/rtw88/*'
take wireless-regdb '*/regulatory.db*'
take "linux-modules-$kernel" $(sed 's|.*|*/kernel/&/*|' "$here/parts")
# The kernel last: it is what tells that all is there.
take "linux-binary-$kernel" '*/vmlinuz*'
echo "fetch: kernel $kernel in $folder"
