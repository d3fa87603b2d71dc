// The kernel's log out of its ring buffer (kernel/printk/printk_ringbuffer.c), as dmesg prints it.
//
//   descs[id % count]  state_var: | 2 bits state | id |,  text_blk_lpos: begin and next in the text ring
//   infos[id % count]  seq, ts_nsec, text_len, level
//   text ring          | id | text … |, a block that does not fit before the end stands at the ring's begin
//
// Thread: any.  Allocates.  A record that the guest is writing at the moment is left out.
#pragma once

#include "arch/guest_view.hpp"
#include "arch/result.hpp"
#include "stub/guestos/layout.hpp"

namespace ringside::guestos {

Result<std::string> read_kernel_log(const LogLayout& layout, const VirtualMemory& memory);

}  // namespace ringside::guestos
