#include "stub/strace/recorder.hpp"

#include <algorithm>
#include <ctime>
#include <utility>

#include "stub/strace/decode.hpp"
#include "stub/strace/process_view.hpp"
#include "stub/strace/pt_regs.hpp"
#include "stub/strace/stack_text.hpp"

namespace ringside::strace {
namespace {

constexpr std::size_t kTextBytes = 64 << 10;
constexpr std::size_t kRecordBytes = 2 * kTextBytes + 4096;
constexpr auto kRelaxed = std::memory_order_relaxed;

Call call_from(const PtRegs& regs, Abi abi) {
  Call call{.abi = abi, .number = static_cast<std::uint32_t>(regs.orig_ax), .args = {}};
  if (abi == Abi::kX64) {
    call.args = {regs.di, regs.si, regs.dx, regs.r10, regs.r8, regs.r9};
  } else {
    call.args = {regs.bx, regs.cx, regs.dx, regs.si, regs.di, regs.bp};
    for (std::uint64_t& arg : call.args) arg &= 0xffffffffu;
  }
  return call;
}

std::uint64_t now_ns() noexcept {
  timespec now{};
  ::clock_gettime(CLOCK_REALTIME, &now);
  return static_cast<std::uint64_t>(now.tv_sec) * 1'000'000'000u + static_cast<std::uint64_t>(now.tv_nsec);
}

bool is_error(std::int64_t result) { return result < 0 && result >= -4095; }

bool replaces_memory(const Call& call) {
  const std::string_view name = name_of(call.abi, call.number);
  return call.result == 0 && (name == "execve" || name == "execveat");
}

}  // namespace

struct Recorder::Moment {
  const tracer::Hit& hit;
  Desk& desk;
  const guestos::Kernel& kernel;
  Gva task;
  std::uint64_t now = 0;
  PtRegs regs{};
  Call call{};  // that begins
  bool is_full = false;
  std::optional<Gva> child;
  std::optional<guestos::TaskIds> known_ids;

  // Most hits end before anybody asks.
  const guestos::TaskIds& ids() {
    if (!known_ids) known_ids = kernel.task_ids(task, hit.memory()).value_or(guestos::TaskIds{.task = task});
    return *known_ids;
  }
  // As the kernel's first steps will have them (arch/x86/entry/common.c): of int 0x80 the number goes from ax to
  // orig_ax; of sysenter and syscall the 6th argument comes from the user's stack.
  bool load_entry(Site::Kind kind) {
    if (!load_regs(x86::kRdi)) return false;
    if (kind == Site::Kind::kEntryInt80) regs.orig_ax = static_cast<std::uint32_t>(regs.ax);
    if (kind == Site::Kind::kEntryFast32) {
      const auto sixth = hit.memory().load_at<std::uint32_t>({static_cast<std::uint32_t>(regs.sp)});
      if (sixth) regs.bp = *sixth;
    }
    return true;
  }
  bool load_regs(x86::Gpr where) { return load_regs(Gva{hit.core().gpr[where]}); }
  bool load_regs(Gva at) {
    const auto loaded = hit.memory().load_at<PtRegs>(at);
    if (loaded) regs = *loaded;
    return loaded.has_value();
  }
};

Recorder::Recorder(std::shared_ptr<const guestos::Kernel> kernel, Options options, std::size_t vcpus,
                   std::function<void()> wake)
    : kernel_(std::move(kernel)),
      sites_(kernel_->syscall_sites().begin(), kernel_->syscall_sites().end()),
      options_(std::move(options)),
      wake_(std::move(wake)),
      ring_(options_.ring_bytes, options_.overflow),
      desks_(vcpus) {
  if (!options_.trigger.empty()) trigger_ = kernel_->symbol(options_.trigger);
  signal_info_ = kernel_->member("ksignal", "info");
  for (const Site& site : sites_) {
    if (site.kind == Kind::kLeave && is_in("entry_SYSCALL_64_after_hwframe", site)) leave64_ = site.at;
  }
  mm_ = kernel_->member("task_struct", "mm");
  env_end_ = kernel_->member("mm_struct", "env_end");
  for (Desk& desk : desks_) {
    desk.text.resize(kTextBytes);
    desk.result.resize(kTextBytes);
    desk.encoded.resize(kRecordBytes);
  }
}

// The calls first: where debug registers are free, those who come first have them.
std::vector<Gva> Recorder::places() const {
  std::vector<Gva> places;
  const auto rank = [this](const Site& site) {
    return site.kind == Kind::kEntry64 || site.kind == Kind::kResult || site.at == leave64_ ? 0 : 1;
  };
  for (const int turn : {0, 1}) {
    for (const Site& site : sites_) {
      if (rank(site) == turn) places.push_back(site.at);
    }
  }
  if (trigger_) places.push_back(*trigger_);
  return places;
}

// Whether a CPU comes back by the entry code, or has FRED, is only seen when it does.
std::vector<Gva> Recorder::take_spare_places() {
  std::vector<Gva> spare;
  if (spares_taken_ || !leaves_.load(kRelaxed)) return spare;
  spares_taken_ = true;
  for (const Site& site : sites_) {
    if (site.kind == Kind::kResultRax && is_in("do_syscall_64", site)) spare.push_back(site.at);
  }
  return spare;
}

bool Recorder::is_in(std::string_view function, const Site& site) const {
  const auto near = kernel_->nearest(site.at);
  return near && near->name == function;
}

std::optional<std::uint64_t> Recorder::on_hit(const tracer::Hit& hit) noexcept {
  if (trigger_ == hit.at()) {
    ring_.freeze();
    wake_();
    return std::nullopt;
  }
  const auto site = std::ranges::find(sites_, hit.at(), &Site::at);
  if (site == sites_.end()) return std::nullopt;
  if (leave64_ == site->at && !leaves_.load(kRelaxed) && !leaves_.exchange(true)) wake_();
  Moment moment{.hit = hit,
                .desk = desks_[hit.vcpu().number],
                .kernel = *kernel_,
                .task = {},
                .child = {},
                .known_ids = {}};
  if (!concerns(moment, site->kind)) return std::nullopt;
  const auto current = kernel_->current_task(per_cpu_area(hit), hit.memory());
  if (!current) return std::nullopt;
  moment.task = *current;
  moment.now = now_ns();
  handle(moment, site->kind);
  if (moment.child) adopt(*moment.child);
  if (!moment.is_full) return std::nullopt;
  return static_cast<std::uint64_t>(Mark::kFull);
}

// A CPU has had its own area since before there were processes, and keeps it.
Gva Recorder::per_cpu_area(const tracer::Hit& hit) noexcept {
  auto& known = desks_[hit.vcpu().number].per_cpu_area;
  if (!known) known = Gva{hit.context().gs_base};
  return *known;
}

void Recorder::handle(Moment& moment, Kind kind) noexcept {
  Shard& shard = shard_of(moment.task);
  const std::lock_guard lock(shard.mutex);
  if (shard.tasks.size() >= kMostTasksInShard && !shard.tasks.contains(moment.task.value))
    return ring_.lose();
  Task& task = shard.tasks[moment.task.value];
  dispatch(moment, task, kind);
  if (kind != Kind::kExit) return;
  if (task.in_call) calls_under_way_.fetch_sub(1, kRelaxed);
  shard.tasks.erase(moment.task.value);
}

// The child of a task that is traced is, too, whoever becomes its parent later.
void Recorder::adopt(Gva child) noexcept {
  Shard& shard = shard_of(child);
  const std::lock_guard lock(shard.mutex);
  if (shard.tasks.size() >= kMostTasksInShard) return;
  Task& task = shard.tasks[child.value];
  task = Task{.known = true, .traced = true, .call = {}, .regs = {}, .signal = {}, .entry = {}, .stack = {}};
}

// The cheap questions, before anything is known of the task.
bool Recorder::concerns(Moment& moment, Kind kind) const noexcept {
  switch (kind) {
    case Kind::kEntry64:
    case Kind::kEntry32:
    case Kind::kEntryInt80:
    case Kind::kEntryFast32: {
      if (!moment.load_entry(kind)) return false;
      const Abi abi = kind == Kind::kEntry64 ? Abi::kX64 : Abi::kI386;
      moment.call = demultiplexed(call_from(moment.regs, abi), moment.hit.memory());
      return options_.filter.wants_call(abi, moment.call.number);
    }
    case Kind::kResult:
    case Kind::kResultRax:
    case Kind::kLeave:
      return calls_under_way_.load(kRelaxed) > 0;
    default:
      return true;
  }
}

void Recorder::dispatch(Moment& moment, Task& task, Kind kind) noexcept {
  if (!is_traced(moment, task)) return;
  switch (kind) {
    case Kind::kEntry64:
    case Kind::kEntry32:
    case Kind::kEntryInt80:
    case Kind::kEntryFast32:
      entry(moment, task);
      return;
    case Kind::kResult:
      if (task.in_call && moment.load_regs(x86::kRdi))
        result(moment, task, static_cast<std::int64_t>(moment.regs.ax));
      return;
    case Kind::kResultRax:
      if (task.in_call) result(moment, task, static_cast<std::int64_t>(moment.hit.core().gpr[x86::kRax]));
      return;
    case Kind::kLeave:
      if (task.in_call && moment.load_regs(x86::kRsp))
        result(moment, task, static_cast<std::int64_t>(moment.regs.ax));
      return;
    case Kind::kNewTask:
      new_task(moment, task);
      return;
    case Kind::kExit:
      exit(moment, task);
      return;
    case Kind::kSignalEntry:
      // Of a call that was refused before it was made this is the last moment before its signal's handler
      // changes what it has returned.
      if (task.in_call && moment.load_regs(task.regs))
        result(moment, task, static_cast<std::int64_t>(moment.regs.ax));
      task.signal = {moment.hit.core().gpr[x86::kRdi]};
      return;
    case Kind::kSignalReturn:
      if ((moment.hit.core().gpr[x86::kRax] & 0xff) != 0) signal(moment, task);
      task.signal = {};
      return;
  }
}

// Those that are asked for, and all that descends from them.  Decided once for each task: a new one is
// decided on by its parent before it runs, those that are there already by their ancestors.
bool Recorder::is_traced(Moment& moment, Task& task) const noexcept {
  constexpr int kMostAncestors = 64;
  if (task.known) return task.traced;
  task.known = true;
  task.traced = options_.pids.empty();
  Gva at = moment.task;
  for (int i = 0; i < kMostAncestors && !task.traced; ++i) {
    const auto ids = kernel_->task_ids(at, moment.hit.memory());
    if (!ids) break;
    task.traced = options_.pids.contains(ids->pid) || options_.pids.contains(ids->tgid);
    const auto parent = kernel_->parent(at, moment.hit.memory());
    if (!parent || *parent == at) break;
    at = *parent;
  }
  return task.traced;
}

bool Recorder::wants(Moment& moment) const noexcept {
  if (options_.cpu && *options_.cpu != moment.hit.vcpu().number) return false;
  if (!options_.comm.empty() && moment.ids().comm() != options_.comm) return false;
  return true;
}

// -P: a path may lie in a page that is there only when the kernel has read it.
bool Recorder::has_path(const Moment& moment, const Call& call, bool& certain) const noexcept {
  if (!options_.filter.has_paths()) return true;
  const WatchedMemory seen(moment.hit.memory());
  const bool has = options_.filter.wants_paths_of(call, ProcessView(*kernel_, moment.task, seen));
  certain = has || !seen.missed();
  return has;
}

void Recorder::entry(Moment& moment, Task& task) noexcept {
  if (std::exchange(task.in_call, false))
    calls_under_way_.fetch_sub(1, kRelaxed);  // its return has been missed
  Call call = moment.call;
  bool certain = true;
  if (!wants(moment) || (!has_path(moment, call, certain) && certain)) return;
  call.stack = moment.regs.sp;
  task.regs = {moment.hit.core().gpr[x86::kRdi]};
  task.in_call = true;
  calls_under_way_.fetch_add(1, kRelaxed);
  task.call = call;
  task.began_ns = moment.now;
  if (options_.count) return;
  const WatchedMemory seen(moment.hit.memory());
  const ProcessView process(*kernel_, moment.task, seen);
  if (options_.stack) keep_stack(moment, task);
  task.call.noted = note_entry(call, process);
  Text text(moment.desk.text);
  print_entry(task.call, process, options_.style, text);
  // A page that the process has not touched yet will be there when the kernel has read it: then it is shown.
  task.reread = seen.missed();
  task.doubtful = !certain;
  task.kept = task.reread || task.doubtful || options_.filter.needs_result();
  if (task.kept) {
    task.entry.assign(text.finish());
  } else {
    write_entry(moment, task, text.finish());
  }
}

void Recorder::keep_stack(Moment& moment, Task& task) noexcept {
  Text text(moment.desk.result);
  add_stack(*kernel_, moment.hit, &moment.regs, text);
  task.stack.assign(text.finish());
}

void Recorder::write_entry(Moment& moment, const Task& task, std::string_view text) noexcept {
  Record record{.kind = Record::Kind::kEntry, .time_ns = task.began_ns};
  record.abi = task.call.abi;
  record.number = task.call.number;
  const ShownName name(task.call.abi, task.call.number);
  record.name = name.view();
  record.text = text;
  record.more = !complete_at_entry(task.call);
  write(moment, record);
}

// The path of an execve that has succeeded, where it could not be read before: the kernel's copy of it lies on
// the new stack, behind the environment (Linux: fs/exec.c, bprm->exec).
std::optional<Gva> Recorder::executed_path(const Moment& moment, const Task& task) const noexcept {
  if (!mm_ || !env_end_ || name_of(task.call.abi, task.call.number) != "execve") return std::nullopt;
  const VirtualMemory& memory = moment.hit.memory();
  const auto mm = memory.load_at<std::uint64_t>(moment.task + *mm_);
  const auto end = mm ? memory.load_at<std::uint64_t>(Gva{*mm} + *env_end_) : std::nullopt;
  return end ? std::optional(Gva{*end}) : std::nullopt;
}

void Recorder::write_executed(Moment& moment, const Task& task, const Process& process) noexcept {
  const std::string_view kept = task.entry;
  const auto path = kept.starts_with("0x") ? executed_path(moment, task) : std::nullopt;
  if (!path) return write_entry(moment, task, kept);
  Text text(moment.desk.text);
  print_path(*path, process, options_.style, text);
  text.add(kept.substr(std::min(kept.find(Text::kNextArgument), kept.size())));
  write_entry(moment, task, text.finish());
}

void Recorder::write_kept_entry(Moment& moment, const Task& task, const Process& process) noexcept {
  if (!task.reread) return write_entry(moment, task, task.entry);
  if (replaces_memory(task.call)) return write_executed(moment, task, process);
  Text text(moment.desk.text);
  print_entry(task.call, process, options_.style, text);
  write_entry(moment, task, text.finish());
}

void Recorder::result(Moment& moment, Task& task, std::int64_t value) noexcept {
  task.in_call = false;
  calls_under_way_.fetch_sub(1, kRelaxed);
  if (task.call.abi == Abi::kI386) value = static_cast<std::int32_t>(value);
  task.call.result = value;
  const std::uint64_t took = moment.now - std::min(moment.now, task.began_ns);
  if (options_.count) {
    count(task.call, took);
    return;
  }
  bool certain = true;
  if (!options_.filter.wants_result(task.call.result)) return;
  if (task.doubtful && !has_path(moment, task.call, certain)) return;
  const ProcessView process(*kernel_, moment.task, moment.hit.memory());
  if (task.kept) write_kept_entry(moment, task, process);
  Text text(moment.desk.text);
  Text outcome(moment.desk.result);
  print_return(task.call, process, options_.style, text);
  print_result(task.call, process, options_.style, outcome);
  Record record{.kind = Record::Kind::kReturn, .time_ns = moment.now};
  record.abi = task.call.abi;
  record.number = task.call.number;
  const ShownName name(task.call.abi, task.call.number);
  record.name = name.view();
  record.text = text.finish();
  record.result = value;
  record.result_text = outcome.finish();
  record.took_ns = took;
  record.stack = task.stack;
  write(moment, record);
}

void Recorder::new_task(Moment& moment, const Task& parent) noexcept {
  const Gva task{moment.hit.core().gpr[x86::kRdi]};
  const auto ids = kernel_->task_ids(task, moment.hit.memory());
  if (parent.traced) moment.child = task;
  if (!parent.traced || !ids || ids->kernel_thread || options_.count || options_.filter.needs_result())
    return;
  Record record{.kind = Record::Kind::kNewTask, .time_ns = moment.now};
  record.parent = moment.ids().pid;
  moment.known_ids = ids;
  write(moment, record);
}

void Recorder::exit(Moment& moment, Task& task) noexcept {
  if (options_.count || moment.ids().kernel_thread) return;
  const bool shown = !task.doubtful && !options_.filter.needs_result();
  if (task.in_call && task.kept && shown) write_entry(moment, task, task.entry);
  if (task.signal.value != 0) signal(moment, task);
  Record record{.kind = Record::Kind::kExit, .time_ns = moment.now};
  record.code = static_cast<std::int32_t>(moment.hit.core().gpr[x86::kRdi]);
  if (!options_.filter.needs_result()) write(moment, record);
}

void Recorder::signal(Moment& moment, Task& task) noexcept {
  constexpr std::size_t kInfoBytes = 48;  // struct kernel_siginfo
  const VirtualMemory& memory = moment.hit.memory();
  if (!signal_info_ || task.signal.value == 0 || options_.count) return;
  std::array<std::uint8_t, kInfoBytes> info;
  if (!memory.read(task.signal + *signal_info_, info)) return;
  std::int32_t number = 0;
  std::copy_n(info.begin(), sizeof number, reinterpret_cast<std::uint8_t*>(&number));
  if (number <= 0 || number > 64 || number == 9 || !options_.filter.wants_signal(number)) return;
  Text text(moment.desk.text);
  print_signal(number, info, text);
  Record record{.kind = Record::Kind::kSignal, .time_ns = moment.now};
  record.number = static_cast<std::uint32_t>(number);
  record.text = text.finish();
  Text stack(moment.desk.result);
  if (options_.stack) add_stack(*kernel_, moment.hit, nullptr, stack);
  record.stack = stack.finish();
  write(moment, record);
}

void Recorder::count(const Call& call, std::uint64_t took_ns) noexcept {
  const std::size_t abi = call.abi == Abi::kX64 ? 0 : 1;
  Count& one = counts_[abi][std::min<std::size_t>(call.number, kCountedCalls - 1)];
  one.calls.fetch_add(1, kRelaxed);
  one.ns.fetch_add(took_ns, kRelaxed);
  if (is_error(call.result)) one.errors.fetch_add(1, kRelaxed);
}

void Recorder::write_counts() {
  for (std::size_t abi = 0; abi < counts_.size(); ++abi) {
    for (std::size_t number = 0; number < kCountedCalls; ++number) {
      const Count& one = counts_[abi][number];
      if (one.calls.load(kRelaxed) == 0) continue;
      Record record{.kind = Record::Kind::kCount};
      record.abi = abi == 0 ? Abi::kX64 : Abi::kI386;
      record.number = static_cast<std::uint32_t>(number);
      const ShownName name(record.abi, record.number);
      record.name = name.view();
      record.calls = one.calls.load(kRelaxed);
      record.errors = one.errors.load(kRelaxed);
      record.took_ns = one.ns.load(kRelaxed);
      std::array<std::uint8_t, 256> bytes;
      if (const auto size = encode(record, bytes)) ring_.push(ByteView(bytes).first(*size));
    }
  }
}

void Recorder::write(Moment& moment, Record& record) noexcept {
  record.cpu = moment.hit.vcpu().number;
  record.pid = moment.ids().pid;
  record.tgid = moment.ids().tgid;
  record.comm = moment.ids().comm();
  const auto size = encode(record, moment.desk.encoded);
  if (!size) return ring_.lose();
  const Ring::Pushed pushed = ring_.push(ByteView(moment.desk.encoded).first(*size));
  moment.is_full = moment.is_full || pushed.full;
  if (pushed.first) wake_();
}

}  // namespace ringside::strace
