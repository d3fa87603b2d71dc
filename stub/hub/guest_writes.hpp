// What the guest writes to watched pages (api::Machine::watch_writes), done for it on the vCPU's own thread.
//
//   below an int3     the guest's byte is kept beside it; the int3 stays on top
//   watched           who watches is told, with what was there before, once the instruction is through
//   locked            the machine has read the old value some time before it brings the new one: when another
//                     vCPU has written there meanwhile, nothing is written, and the instruction is run again
//   jumped over       a jump that the guest puts over several instructions (a kprobe's) is not to have an int3 of ours
//                     in its displacement: that comes back when the guest puts the instructions back
//   read under int3   an instruction that has changed what it read, an int3 among it: run again where there is
//                     none
//
// Owner: the policy.  Thread: vCPUs', several at once; a lock orders what they write, as a bus would.
#pragma once

#include <array>
#include <functional>
#include <mutex>
#include <vector>

#include "arch/guest_view.hpp"
#include "disasm/read_modify_write.hpp"
#include "stub/hub/snapshot.hpp"
#include "vmm/api/machine.hpp"

namespace ringside::hub {

// Of one vCPU: the instruction under way.
struct GuestWrite {
  struct Hit {
    std::shared_ptr<const Watch> watch;
    Gva at;                  // of the first byte written that is watched
    std::uint8_t bytes = 0;  // from there on
    std::uint64_t before = 0;
    std::uint64_t after = 0;
  };

  std::vector<Hit> hits;
  std::uint64_t slots = 0;  // bits of DR6: debug registers that would have noticed
  std::optional<disasm::ReadModifyWrite> again;
  std::uint64_t brought = 0;  // with `again`: what it would have written
  std::uint64_t read = 0;     // with `again`, where no other vCPU came between: what it was made of
  bool beside_int3 = false;   // with `again`: where none is inserted
  bool review = false;        // an int3 stands where the guest has other things now
  bool stepped = false;       // it is one that was to be stepped
  std::uint64_t seen = 0;     // how many writes were done when it was entered

  void begin_next(std::uint64_t writes);
};

class GuestWrites {
 public:
  // `rewritten` is told that an instruction under an int3 has changed, or may have.
  GuestWrites(PhysicalMemory& memory, std::function<void()> rewritten)
      : memory_(memory), rewritten_(std::move(rewritten)) {}

  // Up to 8 bytes within a page.
  api::WriteVerdict write(api::VcpuAccess& vcpu, const PointSnapshot& points, x86::RegisterFile& registers,
                          GuestWrite& state, Gpa at, ByteView data);
  // The same for a whole write of the kernel's to its text, which nobody watches, at a virtual address; false
  // when there is no memory for all of it.
  bool write_text(api::VcpuAccess& vcpu, const PointSnapshot& points, Gva to, ByteView data);
  // Puts the vCPU back before the instruction; false when it need not be run again.
  static bool run_again(api::VcpuAccess& vcpu, const GuestWrite& state);
  // The instruction is through.
  void begin_next(GuestWrite& state);

 private:
  static constexpr std::size_t kWords = 1024;

  std::uint64_t& last_write(Gpa at) { return last_[at.value / 8 % kWords]; }
  bool is_stale(api::VcpuAccess& vcpu, const PointSnapshot& points, x86::RegisterFile& registers,
                GuestWrite& state, Gpa at, ByteView data, ByteView old);
  std::optional<disasm::ReadModifyWrite> writer_of(api::VcpuAccess& vcpu, const PointSnapshot& points,
                                                   x86::RegisterFile& registers, Gpa at, ByteView data) const;
  void note_watches(const PointSnapshot& points, GuestWrite& state, Gpa at, ByteView data) const;
  void note_slots(api::VcpuAccess& vcpu, const PointSnapshot& points, GuestWrite& state, Gpa at,
                  std::size_t bytes) const;
  void look_at_sites(api::VcpuAccess& vcpu, const PointSnapshot& points, GuestWrite& state, Gpa at,
                     std::size_t bytes);
  void put(const PointSnapshot& points, Gpa at, ByteView data);
  void make_room(const PointSnapshot& points, Gpa at, std::size_t bytes);

  PhysicalMemory& memory_;
  std::function<void()> rewritten_;
  std::mutex mutex_;
  std::uint64_t writes_ = 0;  // guarded by mutex_
  std::array<std::uint64_t, kWords>
      last_{};  // guarded by mutex_: the last write to a word, and others like it
};

}  // namespace ringside::hub
