#!/bin/bash
# tools/firmware/build.sh OUT_DIR: option ROMs with which EFI finds disks on the SCSI controllers that
# Debian's OVMF has no drivers for. Makes in OUT_DIR, each named after QEMU's device,
#   pvscsi.rom  lsi53c895a.rom  mptsas1068.rom
# from the source of Debian's own package, whose hash apt verifies; it is kept in OUT_DIR/source.
# Does nothing if OUT_DIR is up to date. Needs no root.
set -euo pipefail

source_dir=$(cd "$(dirname "$0")" && pwd)
out=$(realpath -m "${1:?usage: build.sh OUT_DIR}")
package=edk2

say() { echo "firmware: $*"; }

# Where this machine gets Debian's packages from, sources lie too.
source_lists() {
  apt-get indextargets 'Created-By: Packages' 'Origin: Debian' 'Component: main' --format \
    'deb-src [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $(REPO_URI) $(RELEASE) main' |
    sort -u
}

# apt keeps lists and caches of its own for it: the machine's sources stay as they are.
fetch_source() {
  local apt=(apt-get -q -o Dir::Etc::SourceList="$work/sources.list" -o Dir::Etc::SourceParts=/dev/null
    -o Dir::State::Lists="$work/lists" -o Dir::Cache="$work/cache" -o APT::Sandbox::User=root)
  say "fetching the source of $package"
  [ -n "$(source_lists)" ] || apt-get -q update
  source_lists >"$work/sources.list"
  mkdir -p "$work"/{lists,cache/archives}/partial "$work/source"
  "${apt[@]}" update
  (cd "$work/source" && "${apt[@]}" source --download-only --only-source $package)
  rm -rf "$out/source"
  mv "$work/source" "$out/source"
}

# quietly COMMAND...: its output is shown only when it fails.
quietly() {
  "$@" >"$work/log" 2>&1 || { tail -n 50 "$work/log" >&2; say "$1 failed" >&2; exit 1; }
}

unpack_source() {
  dpkg-source --no-check -x "$out"/source/*.dsc "$tree" && cp "$source_dir/drivers.dsc" "$tree/"
}

# Without this the LSI Logic's driver hangs when a disk answers with less than it was asked for, as
# QEMU's do: the controller stops at what it calls a phase mismatch. It can be told (CCNTL0, 56h) to go
# on elsewhere in the script (PMJAD1 and PMJAD2, C0h and C4h): where the status is read.
mend_lsi_logic() {
  local driver=$tree/OvmfPkg/LsiScsiDxe/LsiScsi.c step='9\. Get the SCSI status\.'
  grep -q "// $step" "$driver" && sed -i "/$step/i\\
  {\\
    UINT32 Next = LSI_SCSI_DMA_ADDR (Dev, Script) + (UINT32)((Script - Dev->Dma->Script) * sizeof *Script);\\
    Out32 (Dev, 0xC0, Next);\\
    Out32 (Dev, 0xC4, Next);\\
    Out8 (Dev, 0x56, 0x80);\\
  }" "$driver"
}

# Runs with the tree's own tools, and nothing of this machine's environment.
in_tree() {
  (cd "$tree" && env -i PATH=/usr/bin:/bin HOME="$work" PYTHON_COMMAND=/usr/bin/python3 \
    bash -c 'command=("$@") && set -- && . ./edksetup.sh && "${command[@]}"' edksetup "$@")
}

build_tools() {
  in_tree make -C BaseTools/Source/C -j "$(nproc)" APPLICATIONS="GenFw EfiRom"
}

build_drivers() {
  in_tree build -a X64 -t GCC5 -b RELEASE -n "$(nproc)" -p drivers.dsc
}

# make_rom NAME DRIVER VENDOR DEVICE: PCI ids, as QEMU's device has them.
make_rom() {
  in_tree EfiRom -f "$3" -i "$4" -l 0x010000 -ec "Build/RELEASE_GCC5/X64/$2.efi" -o "$work/$1.rom" &&
    install -m 644 "$work/$1.rom" "$out/$1.rom" # QEMU reads it as the guests' user
}

inputs=$(cd "$source_dir" && cat build.sh drivers.dsc | sha256sum)
if [ "$(cat "$out/inputs" 2>/dev/null)" = "$inputs" ]; then
  say "up to date in $out"
  exit 0
fi

mkdir -p "$out"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
tree=$work/tree
[ -n "$(ls "$out"/source/*.dsc 2>/dev/null)" ] || fetch_source
say "unpacking"
quietly unpack_source
quietly mend_lsi_logic
say "building the tools"
quietly build_tools
say "building the drivers"
quietly build_drivers
quietly make_rom pvscsi PvScsiDxe 0x15ad 0x07c0
quietly make_rom lsi53c895a LsiScsiDxe 0x1000 0x0012
quietly make_rom mptsas1068 MptScsiDxe 0x1000 0x0054
echo "$inputs" >"$out/inputs"
say "ready in $out"
