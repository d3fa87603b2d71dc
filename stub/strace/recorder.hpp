// Sees the system calls of the guest's tasks on the vCPU threads, pairs each entry with its return, and
// writes records of those that are asked for.
//
// A task's calls are paired by its task_struct, on whatever vCPU they begin and end.  A task runs on one vCPU
// at a time, but tasks on several vCPUs share a shard: each has a lock, held while one record is made.
// Thread: on_hit() vCPU threads, several at once; everything else the hub.
#pragma once

#include <array>
#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "stub/guestos/kernel.hpp"
#include "stub/strace/call.hpp"
#include "stub/strace/record.hpp"
#include "stub/strace/ring.hpp"
#include "stub/strace/syscalls.hpp"
#include "stub/strace/trace_options.hpp"
#include "stub/tracer/port.hpp"

namespace ringside::strace {

class Recorder final : public tracer::Watcher {
 public:
  // `wake` is called on a vCPU's thread when there is something to read after there was nothing.
  Recorder(std::shared_ptr<const guestos::Kernel> kernel, Options options, std::size_t vcpus,
           std::function<void()> wake);

  // Where it wants to be asked.
  std::vector<Gva> places() const;
  // With an answer, the ring is full and the vCPU is to wait (--overflow=block), or the trigger has been met.
  enum class Mark : std::uint64_t { kFull = 1 };
  std::optional<std::uint64_t> on_hit(const tracer::Hit& hit) noexcept override;

  // Those of places() that tell nothing which others do not, now that the guest has been seen to come there:
  // once, after `wake`.
  std::vector<Gva> take_spare_places();

  Ring& ring() { return ring_; }
  const Options& options() const { return options_; }
  // mode=count: what has been counted so far, as records.
  void write_counts();
  // Whether signals can be shown: the kernel says where they are kept.
  bool sees_signals() const { return signal_info_.has_value(); }

 private:
  using Site = guestos::SyscallSite;
  using Kind = Site::Kind;

  // A call under way, or what else is known of a task.
  struct Task {
    bool known = false;  // whether it is traced has been decided
    bool traced = false;
    bool in_call = false;
    Call call;
    Gva regs;  // its pt_regs
    std::uint64_t began_ns = 0;
    Gva signal;             // where get_signal puts what it finds
    bool kept = false;      // its entry is written at the return
    bool reread = false;    // and its arguments are read then
    bool doubtful = false;  // so is whether it has a path that is asked for
    std::string entry;      // its text
    std::string stack;      // of the entry, where that is asked for
  };
  struct Shard {
    std::mutex mutex;
    std::unordered_map<std::uint64_t, Task> tasks;  // by task_struct
  };
  // What one hit works with; of one vCPU.
  struct Desk {
    std::vector<char> text;
    std::vector<char> result;
    Bytes encoded;
    std::optional<Gva> per_cpu_area;
  };
  struct Moment;  // one hit

  static constexpr std::size_t kShards = 32;
  static constexpr std::size_t kMostTasksInShard = 4096;

  void dispatch(Moment& moment, Task& task, Kind kind) noexcept;
  void entry(Moment& moment, Task& task) noexcept;
  void result(Moment& moment, Task& task, std::int64_t value) noexcept;
  void new_task(Moment& moment, const Task& parent) noexcept;
  void exit(Moment& moment, Task& task) noexcept;
  void signal(Moment& moment, Task& task) noexcept;
  void handle(Moment& moment, Kind kind) noexcept;
  void adopt(Gva child) noexcept;
  bool is_in(std::string_view function, const Site& site) const;
  Gva per_cpu_area(const tracer::Hit& hit) noexcept;
  void keep_stack(Moment& moment, Task& task) noexcept;
  bool concerns(Moment& moment, Kind kind) const noexcept;
  bool is_traced(Moment& moment, Task& task) const noexcept;
  bool wants(Moment& moment) const noexcept;
  bool has_path(const Moment& moment, const Call& call, bool& certain) const noexcept;
  void count(const Call& call, std::uint64_t took_ns) noexcept;
  std::optional<Gva> executed_path(const Moment& moment, const Task& task) const noexcept;
  void write_executed(Moment& moment, const Task& task, const Process& process) noexcept;
  void write_kept_entry(Moment& moment, const Task& task, const Process& process) noexcept;
  void write_entry(Moment& moment, const Task& task, std::string_view text) noexcept;
  void write(Moment& moment, Record& record) noexcept;
  Shard& shard_of(Gva task) { return shards_[(task.value >> 6) % kShards]; }

  const std::shared_ptr<const guestos::Kernel> kernel_;
  const std::vector<Site> sites_;
  const Options options_;
  std::function<void()> wake_;
  Ring ring_;
  std::optional<Gva> trigger_;
  std::optional<std::uint64_t> signal_info_;  // of siginfo in struct ksignal
  std::optional<std::uint64_t> mm_;           // in task_struct
  std::optional<std::uint64_t> env_end_;      // in mm_struct
  std::atomic<std::int64_t> calls_under_way_{0};
  std::optional<Gva> leave64_;  // where 64-bit calls come back, unless the CPU has FRED
  bool spares_taken_ = false;
  std::atomic<bool> leaves_{false};  // they have been seen there
  std::vector<Desk> desks_;          // by vCPU
  std::array<Shard, kShards> shards_;

  struct Count {
    std::atomic<std::uint64_t> calls{0};
    std::atomic<std::uint64_t> errors{0};
    std::atomic<std::uint64_t> ns{0};
  };
  static constexpr std::size_t kCountedCalls =
      kSyscallNumbers + 1;  // of each ABI; the last stands for all beyond
  std::array<std::array<Count, kCountedCalls>, 2> counts_;
};

}  // namespace ringside::strace
