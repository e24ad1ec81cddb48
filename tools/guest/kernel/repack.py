#!/usr/bin/python3
"""repack.py VMLINUZ OUT: Debian's kernel, packed with LZ4 in place of XZ.

An emulated processor takes some four seconds to unpack XZ, and half a second for LZ4. The kernel
itself is not touched: the real-mode setup, which BIOS boot loaders call, stays as it is, and
entry.S takes the place of the decompressor behind it. EFI needs the original: its entry is in the
part that is replaced. Header fields: Documentation/arch/x86/boot.rst of the kernel.
"""

import lzma
import pathlib
import struct
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
LOAD_ADDRESS = 0x100000        # where boot loaders put a bzImage
KERNEL_ADDRESS = 0x1000000     # where Debian's kernel is linked
SCRATCH_ADDRESS = 0x4b00000    # page tables and a stack, above the kernel's bss and brk
SCRATCH_SIZE = 0x8000
CFLAGS = ["-m64", "-O2", "-ffreestanding", "-fno-pic", "-fno-stack-protector",
          "-fcf-protection=none", "-mno-red-zone", "-mgeneral-regs-only",
          "-fno-asynchronous-unwind-tables", "-fno-tree-loop-distribute-patterns"]


class Header:
    """The boot protocol's header; fields by offset and format."""

    SETUP_SECTORS = 0x1f1, "<B"
    SYSTEM_PARAGRAPHS = 0x1f4, "<I"
    RELOCATABLE = 0x234, "<B"
    EXTENDED_FLAGS = 0x236, "<H"
    PAYLOAD_OFFSET = 0x248, "<I"
    PAYLOAD_LENGTH = 0x24c, "<I"
    PREFERRED_ADDRESS = 0x258, "<Q"
    MEMORY_NEEDED = 0x260, "<I"
    EFI_HANDOVER_OFFSET = 0x264, "<I"

    def __init__(self, image):
        self.image = image

    def __getitem__(self, field):
        offset, form = field
        return struct.unpack_from(form, self.image, offset)[0]

    def __setitem__(self, field, value):
        offset, form = field
        struct.pack_into(form, self.image, offset, value)


def split(image):
    """The setup code, and the ELF kernel that the decompressor would have unpacked."""
    header = Header(image)
    setup_size = (header[Header.SETUP_SECTORS] + 1) * 512
    start = setup_size + header[Header.PAYLOAD_OFFSET]
    # The last four bytes are the unpacked size.
    payload = image[start:start + header[Header.PAYLOAD_LENGTH] - 4]
    return bytearray(image[:setup_size]), lzma.decompress(payload)


def link_image(kernel, directory):
    """What is loaded at LOAD_ADDRESS: the entry, the unpacker, the packed kernel."""
    def run(*command):
        subprocess.run(command, check=True, cwd=directory)

    (directory / "vmlinux").write_bytes(kernel)
    # The kernel clears these sections itself.
    run("objcopy", "-O", "binary", "-R", ".bss", "-R", ".brk", "-R", ".init.scratch",
        "-R", ".notes", "vmlinux", "flat")
    run("lz4", "-q", "-l", "-9", "flat", "packed")
    with open(directory / "packed", "ab") as packed:
        packed.write(bytes(4))
    run("gcc", f"-DKERNEL_ADDRESS={KERNEL_ADDRESS}", '-DPAYLOAD="packed"', "-c",
        HERE / "entry.S", "-o", "entry.o")
    run("gcc", *CFLAGS, "-c", HERE / "unpack.c", "-o", "unpack.o")
    run("ld", "-static", "--no-warn-rwx-segments", "-T", HERE / "image.ld",
        f"--defsym=LOAD_ADDRESS={LOAD_ADDRESS}", f"--defsym=KERNEL_ADDRESS={KERNEL_ADDRESS}",
        f"--defsym=SCRATCH_ADDRESS={SCRATCH_ADDRESS}", "entry.o", "unpack.o", "-o", "image.elf")
    run("objcopy", "-O", "binary", "-j", ".image", "image.elf", "image")
    image = (directory / "image").read_bytes()
    return image + bytes(-len(image) % 16)


def main():
    source, target = sys.argv[1:]
    setup, kernel = split(bytearray(pathlib.Path(source).read_bytes()))
    with tempfile.TemporaryDirectory() as directory:
        image = link_image(kernel, pathlib.Path(directory))
    header = Header(setup)
    header[Header.SYSTEM_PARAGRAPHS] = len(image) // 16
    header[Header.RELOCATABLE] = 0
    header[Header.EXTENDED_FLAGS] = 0
    header[Header.PREFERRED_ADDRESS] = LOAD_ADDRESS
    header[Header.MEMORY_NEEDED] = SCRATCH_ADDRESS + SCRATCH_SIZE - LOAD_ADDRESS
    header[Header.EFI_HANDOVER_OFFSET] = 0
    pathlib.Path(target).write_bytes(setup + image)


if __name__ == "__main__":
    main()
