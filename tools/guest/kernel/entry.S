/* Takes the place of the decompressor in a bzImage: unpacks the kernel with LZ4 and enters it.
 *
 * Entered as Documentation/arch/x86/boot.rst says for the 32-bit protocol: flat segments, paging
 * off, %esi = boot_params. Loaded at LOAD_ADDRESS; the kernel goes to KERNEL_ADDRESS, where Debian
 * linked it, so nothing needs relocating (the command line says nokaslr). Its entry point wants
 * long mode, memory mapped one to one, %rsi = boot_params.
 */
        .section .entry, "ax"
        .code32
        .globl entry
entry:
        cli
        movl    $page_tables, %edi      /* six pages: one PML4, one PDPT, four of 2 MiB entries */
        xorl    %eax, %eax
        movl    $(6 * 4096 / 4), %ecx
        rep stosl
        movl    $(page_tables + 4096 + 3), page_tables
        movl    $(page_tables + 2 * 4096 + 3), %eax
        xorl    %ecx, %ecx
1:      movl    %eax, page_tables + 4096(, %ecx, 8)
        addl    $4096, %eax
        incl    %ecx
        cmpl    $4, %ecx
        jne     1b
        movl    $0x83, %eax             /* present, writable, large */
        xorl    %ecx, %ecx
2:      movl    %eax, page_tables + 2 * 4096(, %ecx, 8)
        addl    $0x200000, %eax
        incl    %ecx
        cmpl    $2048, %ecx
        jne     2b

        movl    %cr4, %eax
        orl     $0x20, %eax             /* PAE */
        movl    %eax, %cr4
        movl    $page_tables, %eax
        movl    %eax, %cr3
        movl    $0xc0000080, %ecx       /* EFER */
        rdmsr
        orl     $0x100, %eax            /* LME */
        wrmsr
        movl    %cr0, %eax
        orl     $0x80000000, %eax       /* PG */
        movl    %eax, %cr0
        lgdt    gdt_pointer
        ljmp    $0x10, $long_mode

        .code64
long_mode:
        movl    $0x18, %eax
        movl    %eax, %ds
        movl    %eax, %es
        movl    %eax, %ss
        movl    $stack_end, %esp
        movl    %esi, %ebx              /* survives the call */
        movl    $payload, %edi
        movl    $KERNEL_ADDRESS, %esi
        call    unpack
        movl    %ebx, %esi
        movl    $KERNEL_ADDRESS, %eax
        jmp     *%rax

        .section .data
        .balign 8
gdt:    .quad   0
        .quad   0
        .quad   0x00af9a000000ffff      /* 0x10: 64-bit code, where Linux has its own */
        .quad   0x00cf92000000ffff      /* 0x18: data */
gdt_pointer:
        .word   . - gdt - 1
        .long   gdt

        .section .payload, "a"
        .globl payload
payload:
        .incbin PAYLOAD

        .section .note.GNU-stack, "", @progbits
