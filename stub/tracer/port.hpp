// Waist 2: all that a tracer may ask.  A tracer is one connection; its Port is its place in the hub.
//
// Destroying the Port detaches: the tracer's points and holds go, the guest runs on, nobody else notices.
// Thread: hub, for every call and every callback.  A callback may come before the call returns.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <boost/asio/any_io_executor.hpp>

#include "arch/addr.hpp"
#include "arch/bytes.hpp"
#include "arch/guest_view.hpp"
#include "arch/ids.hpp"
#include "arch/result.hpp"
#include "arch/x86/apic.hpp"
#include "arch/x86/regs.hpp"
#include "stub/agent/program.hpp"
#include "stub/guestos/kernel.hpp"
#include "stub/tracer/code_place.hpp"
#include "stub/tracer/events.hpp"

namespace ringside::tracer {

template <typename T>
using Done = std::move_only_function<void(Result<T>)>;

// What happens to one vCPU at a resume.  A vCPU not named keeps its state.
struct ResumeAction {
  enum class Kind : std::uint8_t { kContinue, kStep, kStepRange };
  VcpuId vcpu;
  Kind kind = Kind::kContinue;
  GvaRange range;  // kStepRange: go on stepping while RIP is in it
};

// A probe is a software breakpoint of the monitor's own for one of its tracers: beside what a user sets
// there.
enum class PointKind : std::uint8_t { kSoftware, kProbe, kHardware, kWrite, kRead, kAccess };

struct PointSpec {
  PointKind kind = PointKind::kSoftware;
  Gva at;
  std::uint64_t length = 1;  // bytes, of a watch
  auto operator<=>(const PointSpec&) const = default;
};

// A breakpoint hit, as it is shown to a Watcher.  All of it is good for the call only.
class Hit {
 public:
  virtual ~Hit() = default;
  virtual VcpuId vcpu() const noexcept = 0;
  virtual Gva at() const noexcept = 0;
  virtual const x86::CoreRegs& core() const noexcept = 0;
  // Segments and control registers too: may cost a system call, and makes each hit dearer while it is asked
  // for.
  virtual const x86::CpuContext& context() const noexcept = 0;
  // As the vCPU sees it.  What is the kernel's costs less than what is the user's (see context()).
  virtual const VirtualMemory& memory() const noexcept = 0;
};

// Somebody who looks at every hit of a breakpoint while the guest is on its way, instead of stopping it.
class Watcher {
 public:
  virtual ~Watcher() = default;
  // With an answer the vCPU stops here after all, for the tracer whose breakpoint it is, and the answer comes
  // with the stop (StopEvent::mark).
  // Thread: the vCPU's own, several at once.  Takes as long as the guest is to wait; makes no system call.
  virtual std::optional<std::uint64_t> on_hit(const Hit& hit) noexcept = 0;
};

// What is done when a breakpoint is hit, instead of stopping always.  Decided on the vCPU's own thread.
struct PointActions {
  std::vector<agent::Program> conditions;  // it counts if any of them holds; without one it always does
  std::vector<agent::Program> commands;    // with these: they are run, and nobody stops
  bool persist = false;                    // the commands stay when the tracer leaves, and print to the log
  std::shared_ptr<Watcher> watcher;  // asked instead of conditions and commands, of which there are none
};

enum class AddressSpace : std::uint8_t { kVirtual, kPhysical };

// What the kernel's symbols have to be moved by; nothing while it cannot be known yet.
struct KernelSlide {
  Gva link_text;  // _text in the unrelocated vmlinux
  std::uint64_t slide;
  std::optional<Gpa> at = {};  // where _text lies, if that is known
};

// What the hub tells a tracer without being asked.
class Events {
 public:
  virtual ~Events() = default;
  // All-stop: every vCPU is held for this tracer when this is called.
  virtual void on_stop(const StopEvent& event) = 0;
  // The guest is gone: powered off, or ended.  No on_stop follows.
  virtual void on_guest_end(std::string detail) = 0;
  // One line for the person at the other end, newline not included ("waiting for tracer 2, which holds …").
  virtual void on_message(const std::string& text) = 0;
  // What this tracer's commands have printed, as they printed it.
  virtual void on_print(const std::string& text) = 0;
  // False for one that only records: what stops everybody passes it by.
  virtual bool wants_stops() const { return true; }
};

class Port {
 public:
  virtual ~Port() = default;
  virtual TracerId id() const = 0;
  virtual std::size_t vcpu_count() const = 0;
  virtual x86::CpuFeatures features() const = 0;
  virtual std::vector<GpaRange> ram() const = 0;         // what the guest has; by address
  virtual std::string vcpu_note(VcpuId vcpu) const = 0;  // "halted", "held by tracer 2": for thread lists

  // Stops every vCPU and holds it for this tracer; answered once all are parked.
  virtual void stop_all(Done<StopEvent> done) = 0;
  // Like ^C: does nothing when already stopped, else an on_stop with reason kNone follows.
  virtual void interrupt() = 0;
  // Drops this tracer's holds on the vCPUs named.  on_stop() follows when something happens.
  virtual Result<void> resume(std::vector<ResumeAction> actions) = 0;

  // Non-stop: this tracer's stops hold their own vCPU only, and each vCPU is told of by an on_stop() of its
  // own (stop_all()'s answer is the first of them).  resume() passes over vCPUs that it sees running.
  virtual void set_non_stop(bool on) = 0;
  // Non-stop: an on_stop() with reason kNone follows for each of these that it sees running.
  virtual void stop(const std::vector<VcpuId>& vcpus) = 0;

  // Read through the vCPU's address space, inserted points hidden.  The prefix that is there is returned;
  // an error when not even the first byte is.
  virtual void read_memory(VcpuId vcpu, AddressSpace space, Gva at, std::size_t size, Done<Bytes> done) = 0;
  virtual void write_memory(VcpuId vcpu, AddressSpace space, Gva at, Bytes data, Done<void> done) = 0;
  virtual void search_memory(VcpuId vcpu, AddressSpace space, Gva at, std::uint64_t size, Bytes pattern,
                             Done<std::optional<Gva>> done) = 0;

  // `count` instructions as text, one a line.  Where a code segment has a base the offset in it is shown, too.
  virtual void disassemble(VcpuId vcpu, AddressSpace space, CodePlace where, std::size_t count,
                           Done<std::string> done) = 0;

  virtual void read_registers(VcpuId vcpu, x86::RegGroups groups, Done<const x86::RegisterFile*> done) = 0;
  virtual void write_registers(VcpuId vcpu, std::vector<std::pair<x86::Reg, Bytes>> values,
                               Done<void> done) = 0;

  // By number, as Port::msrs() has them; nothing for one that the CPU does not have, or does not tell.
  struct Msr {
    std::uint32_t number = 0;
    std::optional<std::uint64_t> value;
  };
  virtual std::vector<std::uint32_t> msrs() const = 0;
  virtual void read_msrs(VcpuId vcpu, std::vector<std::uint32_t> numbers, Done<std::vector<Msr>> done) = 0;
  virtual void read_local_apic(VcpuId vcpu, Done<x86::LocalApic> done) = 0;
  virtual Result<x86::IoApic> read_io_apic() const = 0;
  // Guest physical memory at once, inserted points hidden; the prefix that is there.
  virtual Bytes physical(Gpa at, std::size_t size) const = 0;

  // Inserting what is already there, and removing what is not, both succeed (RSP "Z").
  // A point inserted again gets the new actions instead of its old ones; null: it always stops.
  virtual void insert_point(VcpuId vcpu, const PointSpec& spec, std::shared_ptr<const PointActions> actions,
                            Done<void> done) = 0;
  virtual void remove_point(const PointSpec& spec, Done<void> done) = 0;

  // Where callbacks run; anybody may post to it.
  virtual boost::asio::any_io_executor executor() const = 0;

  virtual void kernel_slide(VcpuId vcpu, Done<std::optional<KernelSlide>> done) = 0;

  // What is known of the guest's Linux, looked for when first asked: everything of it is good until the guest
  // is reset.  The error says why it is not known; it may be later.
  virtual void guest_kernel(Done<std::shared_ptr<const guestos::Kernel>> done) = 0;
  // The kernel's address space at this moment, inserted points hidden; null while no kernel is known.
  virtual std::unique_ptr<VirtualMemory> kernel_memory() const = 0;
  // Where a file with its symbols is on this machine: the installed vmlinux, or one made from the kernel's
  // own.
  virtual void symbol_file(Done<std::string> done) = 0;
  // Who runs on a vCPU at this moment; nothing while no kernel is known.
  virtual std::optional<guestos::TaskIds> task_on(VcpuId vcpu) const = 0;

  // Single steps hold interrupts back unless switched off.
  virtual void set_step_holds_interrupts(bool hold) = 0;

  // The monitor's commands that concern everybody.
  virtual std::string describe_tracers() const = 0;
  virtual std::string describe_points() const = 0;
  virtual std::string points_as_script() const = 0;  // of this tracer, as gdb commands
  // Probes left behind by tracers that have gone (PointActions::persist) go; how many that were.
  virtual std::size_t drop_left_points() = 0;
  virtual std::string describe_machine() const = 0;
  // Where the monitor stops everybody, as a list; and more of it ("start_kernel", with `trouble` "panic").
  virtual std::string describe_stops() const = 0;
  virtual Result<void> stop_at(std::string_view names, bool trouble) = 0;
  virtual std::string describe_exits() const = 0;  // how often each vCPU has come out of the guest
  virtual void reset_machine(Done<void> done) = 0;
  // Takes away another tracer's holds, for one that is stuck.  It stays attached, and is told by whom.
  virtual Result<void> release(TracerId other) = 0;
  virtual Result<void> quit_machine() = 0;

  // The same tracer, from now on read-only: its points and holds are given up.  Takes the place of this Port,
  // which is of no more use.
  virtual std::unique_ptr<Port> observer() = 0;
};

struct AttachOptions {
  bool read_only = false;  // an observer: reads, also of a running guest, and never holds a vCPU
};

// Where connections become tracers.
class PortFactory {
 public:
  virtual ~PortFactory() = default;
  // `label` says who it is in listings: "127.0.0.1:40312".  `events` must outlive the Port.
  virtual Result<std::unique_ptr<Port>> attach(std::string label, Events& events,
                                               AttachOptions options = {}) = 0;
};

}  // namespace ringside::tracer
