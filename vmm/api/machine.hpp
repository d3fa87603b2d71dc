// Waist 1: what a machine is.  vmm/run implements it on KVM, tests/fakes by script; the hub knows only this.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "arch/addr.hpp"
#include "arch/guest_view.hpp"
#include "arch/result.hpp"
#include "arch/x86/apic.hpp"
#include "vmm/api/vcpu.hpp"

namespace ringside::api {

enum class Verdict : std::uint8_t {
  kResume,
  kStop,
  kStepAlone,      // the instruction here can be passed only while no other vCPU runs
  kStepUnwatched,  // so can this one, and only while no memory is watched
  kReview,         // what is inserted has to be looked at before this vCPU goes on
};

// What a write of the guest to watched memory has come to.
enum class WriteVerdict : std::uint8_t {
  kNotWatched,  // not the policy's: a device's, or nobody's
  kDone,
  kTell,  // after_guest_write() wants to know when the instruction is through
};

// Decides on a vCPU's debug exits without asking anyone: the hub's code that runs on vCPU threads.
// Thread: the vCPU's own, several vCPUs at once.
class DebugPolicy {
 public:
  virtual ~DebugPolicy() = default;
  // After run(), before the first entry: says what the debug hardware should do.  It may have done all that
  // was to be done: then it stops, with `exit` as if the guest had been entered.
  virtual Verdict before_run(VcpuAccess& vcpu, DebugExit& exit) noexcept = 0;
  // In the middle of something that must not be seen: the vCPU is entered again before anything else is done
  // with it, and has to come out with a debug exit soon.  Called between two entries, when something waits.
  virtual bool unfinished(VcpuAccess&) noexcept { return false; }
  // May change what is reported.
  virtual Verdict on_debug_exit(VcpuAccess& vcpu, DebugExit& exit) noexcept = 0;
  // A write of the guest's to memory that Machine::watch_writes() watches, of 1 to 8 bytes, has not been done:
  // that is up to the policy.  RIP may be behind the instruction already; an instruction may write in pieces.
  virtual WriteVerdict on_guest_write(VcpuAccess&, Gpa, ByteView) noexcept {
    return WriteVerdict::kNotWatched;
  }
  // After kTell, once all pieces have been written.  Stops with `exit` as if it were a debug exit.
  virtual Verdict after_guest_write(VcpuAccess&, DebugExit&) noexcept { return Verdict::kResume; }
  // An instruction at RIP that the machine cannot execute while memory is watched.  kStop: it is a failure.
  virtual Verdict on_unemulated(VcpuAccess&) noexcept { return Verdict::kStop; }
  // True: the vCPU parks as if pause() had come for it.
  virtual bool on_event(VcpuAccess&, const GuestEvent&) noexcept { return false; }
};

class MachineListener {
 public:
  virtual ~MachineListener() = default;
  // Thread: the vCPU's own.  The vCPU is parked when this is called.
  virtual void on_stop(StopReport report) noexcept = 0;
  // Any thread.  The guest has ended of itself; no vCPU runs on after this.
  virtual void on_end(GuestEnd end, std::string detail) noexcept = 0;
};

// Where the guest kernel's image was put by the monitor, or would be found.
struct KernelImage {
  std::string version;                 // "6.1.0-49-cloud-amd64 (...) #1 SMP …"
  Gva link_text;                       // address of _text in the unrelocated vmlinux
  std::optional<std::uint64_t> slide;  // known when the monitor placed the image; else to be found in memory
  std::optional<Gpa> at;               // where _text lies; known when the monitor placed the image
  std::uint64_t bytes = 0;             // of the image in memory, with `at`
  Gva link_banner;                     // address of linux_banner in the unrelocated vmlinux, 0 when not found
  std::string banner;                  // its text, by which a running kernel's slide can be found
  std::optional<Gpa> unpacker;  // of a kernel that unpacks itself: its 32-bit entry; that for 64 bits is
                                // 0x200 on (boot.rst)
};

struct MachineInfo {
  std::string engine;  // "KVM"
  std::uint64_t ram_bytes = 0;
  std::vector<GpaRange> ram;  // where the guest has it, by address
  x86::CpuFeatures features;
  std::vector<std::uint32_t> msrs;  // the numbers of those that can be read
  std::optional<KernelImage> kernel;
  bool watches_writes = false;  // watch_writes() works
  bool tells_of_efer = false;   // GuestEvent::kReadEfer and kWroteEfer come
  std::optional<Gpa>
      scratch;  // 2 MiB on a 2 MiB border of which the guest is not told, for code of the monitor
};

class Machine {
 public:
  virtual ~Machine() = default;
  virtual std::size_t vcpu_count() const = 0;
  virtual Vcpu& vcpu(VcpuId id) = 0;
  virtual PhysicalMemory& memory() = 0;
  virtual const MachineInfo& info() const = 0;

  // As it is at this moment.
  virtual Result<x86::IoApic> io_apic() const = 0;

  // Gives every vCPU its thread; all are parked.  The references must outlive the machine.
  virtual Result<void> start(DebugPolicy& policy, MachineListener& listener) = 0;
  // Back to the first instruction, RAM as after loading; nothing is watched.  Thread: hub, every vCPU parked.
  virtual Result<void> reset() = 0;

  // What the guest writes to these pages is handed to DebugPolicy::on_guest_write(); it goes on reading and
  // executing them freely.  Sorted, page borders, disjoint, RAM; takes the place of what was watched before.
  // A page table must not be among them.  Thread: hub, every vCPU parked.
  virtual Result<void> watch_writes(std::span<const GpaRange> pages) = 0;
};

}  // namespace ringside::api
