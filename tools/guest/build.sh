#!/bin/bash
# tools/guest/build.sh OUT_DIR: a tiny real Linux made of Debian's packages. Makes in OUT_DIR
#   guest.img         a disk that boots by BIOS and by EFI; host name virga-guest
#   welcome.img       the same with the host name welcome
#   secure.img        a disk that boots by EFI with Secure Boot; host name secure
#   guest.iso         a CD-ROM that boots by BIOS, labelled VIRGA
#   vmlinuz, initrd   what they boot by EFI; by BIOS they boot
#   vmlinuz-bios      the same kernel, packed to start fast: kernel/repack.py
# Everything runs from memory; what the guest prints: root/etc/witness. Does nothing if OUT_DIR is
# up to date. Needs no mounts and no root.
set -euo pipefail

source_dir=$(cd "$(dirname "$0")" && pwd)
out=$(realpath -m "${1:?usage: build.sh OUT_DIR}")
packages=$out/packages
kernel_arguments="console=ttyS0,115200 console=tty0 quiet nokaslr mitigations=off"
partition_start=2048 # sectors
partition_sectors=$((62 * 2048))

say() { echo "guest: $*"; }

fetch_packages() {
  local kernel
  apt-cache show linux-image-amd64 >/dev/null 2>&1 || apt-get -q update
  kernel=$(apt-cache depends linux-image-amd64 | sed -n 's/.*Depends: //p')
  say "fetching $kernel, qemu-guest-agent and signed boot loaders"
  mkdir -p "$packages"
  # They are only unpacked: installing them would change this machine's boot and services.
  (cd "$packages" && apt-get -q -o APT::Sandbox::User=root download "$kernel" qemu-guest-agent \
    shim-signed grub-efi-amd64-signed)
}

unpack_packages() {
  dpkg-deb --fsys-tarfile "$packages"/linux-image-*.deb | tar -C "$work" -x ./boot ./lib/modules
  dpkg-deb --fsys-tarfile "$packages"/qemu-guest-agent_*.deb | tar -C "$work" -x ./usr/sbin/qemu-ga
  dpkg-deb --fsys-tarfile "$packages"/shim-signed_*.deb | tar -C "$work" -x ./usr/lib/shim
  dpkg-deb --fsys-tarfile "$packages"/grub-efi-amd64-signed_*.deb | tar -C "$work" -x ./usr/lib/grub
}

# The modules that the list names with what they depend on, under the same paths.
install_modules() {
  local version module file
  version=$(ls "$work/lib/modules")
  depmod -b "$work" "$version"
  grep -v '^#' "$source_dir/modules" | while read -r module; do
    modprobe -d "$work" -S "$version" --show-depends --ignore-install "$module"
  done | sed -n 's/^insmod \([^ ]*\).*/\1/p' | sort -u | while read -r file; do
    install -D -m 644 "$file" "$root/${file#"$work"/}"
  done
  cp "$work/lib/modules/$version"/modules.{builtin,builtin.modinfo,order} "$root/lib/modules/$version/"
  depmod -b "$root" "$version"
}

# A program and the shared libraries that the dynamic linker would load for it.
install_program() {
  local library
  install -D "$1" "$root/bin/$(basename "$1")"
  ldd "$1" | grep -o '/[^ ]*' | while read -r library; do
    install -D "$(realpath "$library")" "$root/$library"
  done
}

make_root() {
  local applet
  mkdir -p "$root"/{bin,dev,proc,sys,run,root,tmp,mnt,var/log}
  ln -s bin "$root/sbin"
  for applet in $(busybox --list); do ln -s busybox "$root/bin/$applet"; done
  install /bin/busybox "$root/bin/busybox"
  ln -s bin/init "$root/init"
  cp -r --remove-destination "$source_dir/root/." "$root/"
  install_program "$work/usr/sbin/qemu-ga"
  install_modules
}

make_initrd() {
  # Decompressing is the slow part of an emulated boot, reading the disk is not.
  (cd "$root" && find . | LC_ALL=C sort | cpio -o -H newc -R 0:0 --quiet) | lz4 -l -9 -c >"$out/initrd"
}

# boot_menu KERNEL HOST_NAME: the configuration of a boot loader.
boot_menu() {
  cat <<END
DEFAULT virga
PROMPT 0
TIMEOUT 0
LABEL virga
  KERNEL /$1
  APPEND initrd=/initrd $kernel_arguments hostname=$2
END
}

# make_partition DISK: a disk with one empty partition, $partition to mtools.
make_partition() {
  partition=$1@@$((partition_start * 512))
  rm -f "$1"
  truncate -s $(((partition_start + partition_sectors) * 512)) "$1"
  echo "start=$partition_start, size=$partition_sectors, type=c, bootable" | sfdisk -q "$1"
  mformat -i "$partition" -T $partition_sectors -h 64 -s 32 -H $partition_start -v VIRGA ::
  mmd -i "$partition" ::/EFI ::/EFI/BOOT
}

make_disk() {
  local disk=$1 host_name=$2 partition
  make_partition "$disk"
  dd if=/usr/lib/syslinux/mbr/mbr.bin of="$disk" bs=440 count=1 conv=notrunc status=none
  mcopy -i "$partition" "$out/vmlinuz" "$out/vmlinuz-bios" "$out/initrd" ::/
  boot_menu vmlinuz-bios "$host_name" | mcopy -i "$partition" - ::/syslinux.cfg
  boot_menu vmlinuz "$host_name" | mcopy -i "$partition" - ::/EFI/BOOT/syslinux.cfg
  mcopy -i "$partition" /usr/lib/SYSLINUX.EFI/efi64/syslinux.efi ::/EFI/BOOT/BOOTX64.EFI
  mcopy -i "$partition" /usr/lib/syslinux/modules/efi64/ldlinux.e64 ::/EFI/BOOT/
  syslinux --install --offset $((partition_start * 512)) "$disk"
}

# Microsoft's key signs shim, Debian's in it GRUB and the kernel.
make_secure_disk() {
  local disk=$1 partition
  make_partition "$disk"
  mmd -i "$partition" ::/EFI/debian
  mcopy -i "$partition" "$out/vmlinuz" "$out/initrd" ::/
  mcopy -i "$partition" "$work/usr/lib/shim/shimx64.efi.signed" ::/EFI/BOOT/BOOTX64.EFI
  mcopy -i "$partition" "$work/usr/lib/grub/x86_64-efi-signed/grubx64.efi.signed" \
    ::/EFI/BOOT/grubx64.efi
  printf '%s\n' "linux /vmlinuz $kernel_arguments hostname=secure" "initrd /initrd" boot |
    mcopy -i "$partition" - ::/EFI/debian/grub.cfg
}

make_cdrom() {
  local tree=$work/cdrom
  mkdir -p "$tree/isolinux"
  cp "$out/vmlinuz-bios" "$out/initrd" "$tree/"
  cp /usr/lib/ISOLINUX/isolinux.bin /usr/lib/syslinux/modules/bios/ldlinux.c32 "$tree/isolinux/"
  boot_menu vmlinuz-bios virga-guest >"$tree/isolinux/isolinux.cfg"
  genisoimage -quiet -V VIRGA -R -J -no-emul-boot -boot-load-size 4 -boot-info-table \
    -b isolinux/isolinux.bin -c isolinux/boot.cat -o "$out/guest.iso" "$tree"
}

inputs=$(cd "$source_dir" && find . -type f | LC_ALL=C sort | xargs sha256sum | sha256sum)
if [ "$(cat "$out/inputs" 2>/dev/null)" = "$inputs" ]; then
  say "up to date in $out"
  exit 0
fi

mkdir -p "$out"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
root=$work/root
ls "$packages"/{linux-image-,qemu-guest-agent_,shim-signed_,grub-efi-amd64-signed_}*.deb \
  >/dev/null 2>&1 || fetch_packages
say "unpacking"
unpack_packages
cp "$work"/boot/vmlinuz-* "$out/vmlinuz"
say "repacking the kernel"
"$source_dir/kernel/repack.py" "$out/vmlinuz" "$out/vmlinuz-bios"
say "making the initial RAM disk"
make_root
make_initrd
say "making the disks and the CD-ROM"
make_disk "$out/guest.img" virga-guest
make_disk "$out/welcome.img" welcome
make_secure_disk "$out/secure.img"
make_cdrom
echo "$inputs" >"$out/inputs"
say "ready in $out: $(du -h --apparent-size "$out"/*.img "$out/guest.iso" |
  sed 's|\t.*/| |' | awk '{printf "%s %s, ", $2, $1}' | sed 's/, $//')"
