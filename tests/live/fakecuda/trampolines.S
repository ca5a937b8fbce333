// The exported entry points of the fake driver, byte for byte the shape that drivers 535 to 555
// have: 30 bytes, a compare with the "driver is gone" word, a jump through a slot in .data, and
// `return CUDA_ERROR_DEINITIALIZED`. The jump leaves no frame: no exported name is ever on a stack.

.macro ENTRY name
  .text
  .p2align 4
  .globl \name
  .type \name, @function
\name:
  .cfi_startproc
  cmpl $0x321cba00, driver_state(%rip)
  je 1f
  jmp *slot_\name(%rip)
  .byte 0x66, 0x0f, 0x1f, 0x44, 0x00, 0x00  // the compiler's padding in the real driver
1:
  movl $4, %eax
  ret
  .cfi_endproc
  .size \name, . - \name

  // Filled by a RELATIVE relocation, so this page is always written and always in a core.
  .data
  .p2align 3
slot_\name:
  .quad impl_\name
.endm

ENTRY cuInit
ENTRY cuDriverGetVersion
ENTRY cuCtxSynchronize
ENTRY cuMemFree_v2
ENTRY cuStreamAddCallback
ENTRY cuOccupancyMaxPotentialBlockSize

.section .note.GNU-stack, "", @progbits
