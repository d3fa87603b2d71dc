// The boot sector of the Bochs lab: kernel, initrd and start info are in memory already (see pvh.py), so all that is
// left is to enter protected mode and jump to the kernel's PVH entry, as the Xen boot ABI (hvm/start_info.h) asks.
        .code16
        .globl  _start
_start: cli
        xorw    %ax, %ax
        movw    %ax, %ds
        inb     $0x92, %al              // A20
        orb     $2, %al
        outb    %al, $0x92
        lgdtl   gdtr
        movl    %cr0, %eax
        orb     $1, %al
        movl    %eax, %cr0
        ljmpl   $8, $flat
        .code32
flat:   movw    $16, %ax
        movw    %ax, %ds
        movw    %ax, %es
        movw    %ax, %ss
        movl    $START_INFO, %ebx
        movl    $ENTRY, %eax
        jmp     *%eax
        .balign 8
gdt:    .quad   0, 0x00cf9b000000ffff, 0x00cf93000000ffff
gdtr:   .word   gdtr - gdt - 1
        .long   gdt
        .org    510
        .word   0xaa55
