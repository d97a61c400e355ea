#!/usr/bin/env bash
# Fetches what the harness boots, beside the system's own packages and without touching them: a Debian `sid`
# kernel with its modules, and the vendor's firmware. Usage: fetch.sh FOLDER
#
# The mirror is AIRLIFT_APT_MIRROR, or the one that this system's own apt already uses.
set -euo pipefail

folder=$1
mkdir -p "$folder"/apt/{lists/partial,cache/archives/partial} "$folder/debs"
folder=$(realpath "$folder")
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
apt-get $retried download "linux-binary-$kernel" "linux-modules-$kernel" firmware-realtek
# The kernel last: it is what tells that all is there.
for package in firmware-realtek "linux-modules-$kernel" "linux-binary-$kernel"; do
    rm -rf "${folder:?}/$package" "$folder/part"
    dpkg-deb -x "$package"_*.deb "$folder/part"
    mv "$folder/part" "$folder/$package"
done
rm -rf "$folder/debs"
echo "fetch: kernel $kernel in $folder"
