#!/usr/bin/env bash
# Builds the initramfs of the harness: busybox, bash (whose /dev/tcp opens the socket that vhci_hcd takes over),
# iw, tcpdump, the firmware and the modules in the order in which they load.
# Usage: initramfs.sh FETCHED-FOLDER KERNEL-VERSION OUTPUT MODULE FIRMWARE-NAME FRAMES [FIRMWARE [PROGRAM]]; MODULE is
# mainline's driver, which loads FIRMWARE-NAME; FRAMES are those to inject, FIRMWARE is the vendor's unless told
# otherwise, and PROGRAM (our own) is for the steps of guest-ours.
set -euo pipefail

here=$(dirname "$(realpath "$0")")
fetched=$(realpath "$1")
kernel=$2
output=$(realpath -m "$3")
module_of_mainline=$4
firmware_name=$5
frames=$6
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# depmod looks only at the parts of the tree that the harness needs, should the whole be there.
tree=$work/tree/lib/modules/$kernel
modules=$fetched/linux-modules-$kernel/usr/lib/modules/$kernel/kernel
for part in $(cat "$here/parts"); do
    mkdir -p "$tree/kernel/$(dirname $part)"
    ln -s "$modules/$part" "$tree/kernel/$part"
done
depmod -b "$work/tree" "$kernel" 2> "$work/depmod.log" || { cat "$work/depmod.log" >&2; exit 1; }

root=$work/root
mkdir -p "$root"/{bin,sbin,dev,proc,sys,tmp,etc,run,modules,lib/firmware/rtw88}
echo 'root:x:0:0:root:/:/bin/sh' > "$root/etc/passwd"
cp "$here/guest-init" "$root/init"
cp "$(command -v busybox)" "$root/bin/busybox"
for applet in $(busybox --list); do
    [ "$applet" = busybox ] || ln -s busybox "$root/bin/$applet"
done

# Programs with the libraries that they name.
program_of_ours=${8:-}
[ -z "$program_of_ours" ] || cp "$here/guest-ours" "$root/ours"
cp "$here/guest-load" "$root/load"
for program in bash iw tcpdump $program_of_ours; do
    path=$(command -v $program || ls /usr/sbin/$program)
    name=$(basename "$program")
    rm -f "$root/bin/$name"
    cp -L "$path" "$root/bin/$name"
    ldd "$path" | awk '$2 == "=>" { print $3 } $1 ~ /^\// { print $1 }' | while read -r library; do
        mkdir -p "$root$(dirname "$library")"
        cp -Ln "$library" "$root$library"
    done
done

# The injector, and what it sends.
cc -static -O1 -Wall -o "$root/bin/inject" "$here/inject.c"
cp "$frames" "$root/frames"

# Modules, decompressed, numbered in load order.
for module in e1000 usbmon vhci-hcd "$module_of_mainline"; do
    modprobe -d "$work/tree" -S "$kernel" --show-depends $module
done | awk '!seen[$2]++ { print $2 }' > "$work/order"
number=100
while read -r module; do
    name=$(basename "$module")
    case $name in
        *.xz) xz -dc "$module" > "$root/modules/$number-${name%.xz}" ;;
        *.zst) zstd -qdc "$module" > "$root/modules/$number-${name%.zst}" ;;
        *) cp "$module" "$root/modules/$number-$name" ;;
    esac
    number=$((number + 1))
done < "$work/order"
firmware=${7:-$(find "$fetched/firmware-realtek" -name "$firmware_name")}
cp "$firmware" "$root/lib/firmware/rtw88/$firmware_name"

# The rules of countries, signed for the distribution's kernel, not yet where that looks for them.
mkdir "$root/regulatory"
for file in regulatory.db regulatory.db.p7s; do
    cp "$(find "$fetched/wireless-regdb" -name "$file-debian")" "$root/regulatory/$file"
done

(cd "$root" && find . | cpio -o -H newc --quiet | gzip -1) > "$output"
