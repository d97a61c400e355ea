#!/usr/bin/env bash
# Lets the Linux kernel's own driver judge an emulated chip: boots a distribution kernel in QEMU, attaches the
# emulated adapter over USB/IP, and has rtw88 bring it up, tune it and capture.
#
#   tests/mainline/run.sh [--chip NAME] [--ours|--cpu|--libusb-bench] [--golden|--check] [--quick] [--lenient]
#                         [--out FOLDER] [STEP...]
#
# The chip is rtl8812au unless --chip names another of tests/src/adapters.rs.
#
# A STEP is BUSID:CHANNEL:WIDTH:FRAMES:MODE, for example 1-1:11:HT20:5:no: how many frames to capture in monitor
# mode, and what else to do:
#   no      nothing
#   switch  let the adapter leave the bus first, and come back, at super speed if the port has it
#   scan    an active scan in managed mode before
#   inject  send frames in monitor mode, and look for them on the air; above channel 14 by the rules of the United
#           States, since mac80211 lets nobody inject there without some country's
#   feed    capture made-up packets
#   busy    have so many of them arrive that the driver aggregates them
# Each step has an adapter of its own. The bus's number says what kind it is (tests/src/adapters.rs), what follows is
# free. CHANNEL may be several, 6/1, to be gone to one after the other: a driver starts on channel 1, and does nothing
# when asked for the one that it is on. Without a step all those of the golden files run (tests/src/plan.rs), the first
# with a capture; with --quick one of each mode. --golden writes those files anew, --check compares with them, both with
# the stand-in firmware; --lenient lets accesses pass that break a rule of strict mode, to see all of them (the run fails
# nevertheless).
#
# --ours runs our own `airlift capture` in the guest, through libusb on the adapter that the guest's kernel has
# enumerated: `ours` as the MODE while mainline's driver is not loaded, `detach` while it has the adapter. Both are
# the steps of --ours unless others are named.
#
# --cpu measures what a capture of 20,000 frames at 2,000 a second costs the guest, and how long the adapter takes to
# come up: mode `load-ours` with our program, `load` with mainline's driver and tcpdump. --libusb-bench measures the
# libusb backend beside a bare loop over libusb, on a device that answers at once (mode `bench`). README.md tells what
# they gave.
#
#   AIRLIFT_MAINLINE_DIR  folder with the unpacked packages; filled by fetch.sh if it is empty (25 MB, 300 MB on the
#                         way). Default: target/mainline
#   AIRLIFT_EXPORTER      a program to run in place of airlift-export
#   AIRLIFT_LIBUSB_BENCH  one to run in place of the libusb_overhead of --libusb-bench, of the same name
#   AIRLIFT_TIMEOUT       seconds for the whole run (default 900)
#
# Exit code: 0 every step passed; 1 one did not; 74 an answer did not come in time, of the adapter or of the whole run: if
# it comes again, something hangs; 75 the machine was too busy to tell, the driver's watchdog came before the state could
# be taken; 77 it cannot run here (and says why).
set -uo pipefail

here=$(dirname "$(realpath "$0")")
root=$(realpath "$here/../..")
chip=rtl8812au
golden=
lenient=
ours=
cpu=
bench=
quick=
out=$root/target/mainline/out
steps=()
while [ $# -gt 0 ]; do
    case $1 in
        --chip) chip=$2; shift ;;
        --golden) golden=write ;;
        --check) golden=check ;;
        --ours) ours=$root/target/release/airlift ;;
        --cpu) ours=$root/target/release/airlift; cpu=yes ;;
        --libusb-bench) ours=${AIRLIFT_LIBUSB_BENCH:-$root/target/release/examples/libusb_overhead}; bench=yes ;;
        --quick) quick=--quick ;;
        --lenient) lenient=--lenient ;;
        --out) out=$2; shift ;;
        --*) echo "unknown option $1" >&2; exit 2 ;;
        *) steps+=("$1") ;;
    esac
    shift
done
cannot() { echo "mainline: cannot run: $*" >&2; exit 77; }
for tool in qemu-system-x86_64 busybox bash iw tcpdump modprobe depmod cpio xz cc; do
    command -v $tool > /dev/null || [ -x /usr/sbin/$tool ] || cannot "$tool is not installed"
done

# room FOLDER MB: whether so much is free where the folder is, or will be.
room() {
    local folder free
    folder=$(realpath -m "$1")
    until [ -e "$folder" ]; do folder=$(dirname "$folder"); done
    free=$(df -Pm "$folder" | awk 'NR == 2 { print $4 }')
    [ "$free" -ge "$2" ] || cannot "$free MB are free in $folder, of $2 MB that are needed there"
}

# 1. What boots.
fetched=${AIRLIFT_MAINLINE_DIR:-$root/target/mainline}
if ! compgen -G "$fetched/linux-binary-*" > /dev/null || [ ! -d "$fetched/wireless-regdb" ]; then
    echo "mainline: fetching kernel and firmware into $fetched"
    room "$fetched" 300
    "$here/fetch.sh" "$fetched" || cannot "the packages could not be fetched; see above"
fi
kernel=$(basename "$(compgen -G "$fetched/linux-binary-*" | sort -V | tail -1)" | sed 's/^linux-binary-//')
vmlinuz=$(compgen -G "$fetched/linux-binary-$kernel/*/lib/modules/$kernel/vmlinuz" \
    || compgen -G "$fetched/linux-binary-$kernel/boot/vmlinuz-*") || cannot "no vmlinuz for $kernel in $fetched"
mkdir -p "$out"
# Traces, states and the initramfs; what it is built of.
room "$out" 150
room "${TMPDIR:-/tmp}" 100
rm -f "$out"/*.state "$out"/*.trace "$out"/*.pcap "$out"/*.pcapng "$out"/*.scan "$out"/*.bulk
echo "mainline: kernel $kernel"

# 2. What is judged.
exporter=${AIRLIFT_EXPORTER:-}
if [ -z "$exporter" ]; then
    # Of its own, beside what a release build of the program leaves; or all of it.
    if [ -d "$root/target/release/deps" ]; then room "$root/target" 250; else room "$root/target" 700; fi
    (cd "$root" && cargo build -q --release -p airlift-tests --bins) || exit 1
    exporter=$root/target/release/airlift-export
fi
facts=$("$exporter" --facts "$chip") || exit 2
read -r module firmware_name identity folder <<< "$facts"
if [ ${#steps[@]} = 0 ] && [ -n "$bench" ]; then
    steps=(1-1:0:HT20:0:bench)
elif [ ${#steps[@]} = 0 ] && [ -n "$cpu" ]; then
    # In pairs, each driver first in turn.
    steps=(1-1:11:HT20:20000:load-ours 1-2:11:HT20:20000:load 1-3:11:HT20:20000:load 1-4:11:HT20:20000:load-ours
        1-5:11:HT20:20000:load-ours 1-6:11:HT20:20000:load)
elif [ ${#steps[@]} = 0 ] && [ -n "$ours" ]; then
    steps=(1-1:11:HT20:20:ours 1-2:36:80MHz:20:ours 1-3:11:HT20:20:detach)
elif [ ${#steps[@]} = 0 ]; then
    read -r -a steps <<< "$("$exporter" --steps "$chip" $quick)"
fi
"$exporter" --frames > "$out/frames" || exit 1
firmware=
if [ -n "$golden" ]; then
    # The tests that read the golden files have no other.
    firmware=$out/stand-in.bin
    "$exporter" --stand-in-firmware "$chip" > "$firmware" || exit 1
fi
if [ -n "$bench" ]; then
    [ -n "${AIRLIFT_LIBUSB_BENCH:-}" ] \
        || (cd "$root" && cargo build -q --release -p airlift-hcd --example libusb_overhead) || exit 1
elif [ -n "$ours" ]; then
    (cd "$root" && cargo build -q --release -p airlift) || exit 1
fi
"$here/initramfs.sh" "$fetched" "$kernel" "$out/initramfs.gz" "$module" "$firmware_name" "$out/frames" "$firmware" "$ours" \
    || cannot "the initramfs could not be built"
coproc EXPORT { exec "$exporter" "$out" "$chip" $lenient "${steps[@]}"; }
export_pid=$EXPORT_PID
exec {export_in}>&"${EXPORT[1]}" {export_out}<&"${EXPORT[0]}"
# Closing its standard input ends the exporter.
trap 'exec {export_in}>&-; kill "$export_pid" 2> /dev/null' EXIT
read -r -t 20 _ port control <&"$export_out" || { echo "mainline: the exporter did not start" >&2; exit 1; }
sed 's/^/exporter: /' <&"$export_out" &
log_pid=$!

# 3. The run.
plan=$(IFS=,; echo "${steps[*]}")
# The processor's time is the number of its instructions, 2^n ns each, however little of the machine is left for it: the
# guest has hardly begun when the driver's watchdog comes otherwise. A fast one for the driver's own time limits, one like
# any other for measurements.
shift=0
[ -z "$cpu$bench" ] || shift=2
timeout "${AIRLIFT_TIMEOUT:-900}" qemu-system-x86_64 -accel tcg,thread=single -icount shift=$shift,sleep=on,align=off \
    -cpu Nehalem -m 1024 -smp 1 -nodefaults -serial stdio -display none -no-reboot -kernel "$vmlinuz" -initrd "$out/initramfs.gz" \
    -netdev user,id=net0 -device e1000,netdev=net0 \
    -append "console=ttyS0 quiet panic=-1 airlift.port=$port airlift.control=$control airlift.module=$module \
airlift.identity=$identity airlift.plan=$plan" \
    < /dev/null 2>&1 | stdbuf -oL tr -d '\r' | tee "$out/console.log" \
    | grep --line-buffered -v -e 'ACPI: PM' -e 'reboot: Power down'
guest_status=${PIPESTATUS[0]}
exec {export_in}>&-
exec {EXPORT[1]}>&-
# One that hangs would keep this script for ever.
status=0
if ! timeout 60 tail --pid="$export_pid" -f /dev/null; then
    echo "mainline: FAILED: the exporter does not end"
    kill -KILL "$export_pid"
    status=1
fi
wait $log_pid

# 4. The verdict.
injected() {
    grep '^injected wrongly' "$1"
    grep -q '^on the air: [1-9]' "$1" && ! grep -q '^injected wrongly' "$1"
}
# Whether there is a step that the guest did not get through, and one that breaks rules.
stuck= broken=
for step in "${steps[@]}"; do
    IFS=: read -r id _ _ frames mode <<< "$step"
    case $mode in
        ours | detach) file=$id.pcapng ;;
        # What these captured is counted in the guest.
        load | load-ours) frames=0 file=$id.pcap ;;
        *) file=$id.pcap ;;
    esac
    captured=$(tcpdump -r "$out/$file" 2> /dev/null | wc -l)
    violations=
    if [ -f "$out/$id.end.state" ] && grep -q '^violation' "$out/$id.end.state"; then
        violations=yes broken=yes
        echo "mainline: FAILED $step: accesses break rules of strict mode:"
        grep '^violation' "$out/$id.end.state" | sort | uniq -c | sort -rn | head -40
    fi
    if ! grep -q "^guest: step $id: passed" "$out/console.log"; then
        echo "mainline: FAILED $step: the guest did not get through, $captured frames captured"
        stuck=yes
    elif [ -n "$violations" ]; then
        status=1
    elif [ "$captured" -lt "$frames" ]; then
        echo "mainline: FAILED $step: captured $captured frames of the virtual air"
        status=1
    elif [ "$mode" = scan ] && ! grep -q 'from Probe Response' "$out/$id.scan"; then
        # An answer shows that what mainline sends reaches the air, and is understood there.
        echo "mainline: FAILED $step: no access point answered mainline's probe requests"
        status=1
    elif [ "$mode" = inject ] && ! injected "$out/$id.injected.state"; then
        echo "mainline: FAILED $step: what mainline injected is not on the air as it should be"
        status=1
    else
        echo "mainline: passed $step"
    fi
done
# Why the guest did not get through; what it did get through is judged all the same.
if [ $status = 0 ] && [ -n "$stuck" ]; then
    last=$(grep '^guest: ' "$out/console.log" | tail -2)
    if [ "$guest_status" = 124 ]; then
        echo "mainline: the run took longer than ${AIRLIFT_TIMEOUT:-900} s: something hangs, or the machine is very slow" >&2
        exit 74
    elif [[ $last = *'a transfer timed out'* ]]; then
        echo "mainline: the adapter did not answer in time, again and again: it hangs, or the machine is very slow" >&2
        exit 74
    elif [ -z "$broken" ] && [[ $last = *'the guest ran late'* ]]; then
        echo "mainline: the guest ran late, again and again: nothing follows from this run" >&2
        exit 75
    fi
fi
[ -z "$stuck" ] || status=1
if [ -n "$cpu" ]; then
    echo "mainline: medians of the capture's cost"
    for who in mainline ours; do
        for what in guest process 'up in'; do
            sed -n "s/^guest: load .*: $who: .*$what \([0-9]*\) ms.*/\1/p" "$out/console.log" | sort -n \
                | awk -v who="$who" -v what="$what" '{ all[NR] = $1 }
                    END { if (NR) printf "  %-8s  %-7s  %6d ms  (%d to %d)\n", who, what, all[int((NR + 1) / 2)], all[1], all[NR] }'
        done
    done
fi
files=$root/tests/golden/$folder
if [ $status = 0 ] && [ "$golden" = write ]; then
    "$root/target/release/airlift-golden" "$chip" "$kernel" "$out" "$files" "${steps[@]}" || status=1
elif [ $status = 0 ] && [ "$golden" = check ]; then
    rm -rf "$out/golden"
    "$root/target/release/airlift-golden" "$chip" "$kernel" "$out" "$out/golden" "${steps[@]}" || status=1
    # Another kernel may be of the same mind.
    if [ $status = 0 ] && [ -d "$out/golden" ] && ! "$root/target/release/airlift-golden" --compare "$files" "$out/golden"; then
        echo "mainline: FAILED: it does something else than the golden files say, see above"
        status=1
    fi
fi
exit $status
