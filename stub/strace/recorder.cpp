#include "stub/strace/recorder.hpp"

#include <algorithm>
#include <ctime>
#include <utility>

#include "stub/strace/decode.hpp"
#include "stub/strace/pt_regs.hpp"

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

class ProcessView final : public Process {
 public:
  ProcessView(const guestos::Kernel& kernel, Gva task, const VirtualMemory& memory)
      : kernel_(kernel), task_(task), memory_(memory) {}
  const VirtualMemory& memory() const noexcept override { return memory_; }
  bool fd_path(int fd, Text& into) const noexcept override {
    std::array<char, 4096> path;
    const auto size = kernel_.fd_path(task_, fd, memory_, path);
    if (size) into.add(std::string_view(path.data(), *size));
    return size.has_value();
  }
  bool working_directory(Text& into) const noexcept override {
    std::array<char, 4096> path;
    const auto size = kernel_.working_directory(task_, memory_, path);
    if (size) into.add(std::string_view(path.data(), *size));
    return size.has_value();
  }

 private:
  const guestos::Kernel& kernel_;
  Gva task_;
  const VirtualMemory& memory_;
};

}  // namespace

struct Recorder::Moment {
  const tracer::Hit& hit;
  Desk& desk;
  guestos::TaskIds ids;
  std::uint64_t now = 0;
  PtRegs regs{};
  bool is_full = false;
};

Recorder::Recorder(std::shared_ptr<const guestos::Kernel> kernel, Options options, std::size_t vcpus,
                   std::function<void()> wake)
    : kernel_(std::move(kernel)),
      options_(std::move(options)),
      wake_(std::move(wake)),
      ring_(options_.ring_bytes, options_.overflow),
      desks_(vcpus) {
  for (Desk& desk : desks_) {
    desk.text.resize(kTextBytes);
    desk.result.resize(kTextBytes);
    desk.encoded.resize(kRecordBytes);
  }
}

// The calls first: where debug registers are free, those who come first have them.
std::vector<Gva> Recorder::places() const {
  std::vector<Gva> places;
  const auto rank = [](const Site& site) { return site.kind == Kind::kEntry64 || site.kind == Kind::kResult ? 0 : 1; };
  for (const int turn : {0, 1}) {
    for (const Site& site : kernel_->syscall_sites()) {
      if (rank(site) == turn && site.kind != Kind::kExecDone) places.push_back(site.at);
    }
  }
  if (!options_.trigger.empty()) {
    if (const auto at = kernel_->symbol(options_.trigger)) places.push_back(*at);
  }
  return places;
}

std::optional<std::uint64_t> Recorder::on_hit(const tracer::Hit& hit) noexcept {
  Desk& desk = desks_[hit.vcpu.number];
  Moment moment{.hit = hit, .desk = desk, .ids = {}};
  const auto current = kernel_->current_task({hit.context.gs_base}, hit.memory);
  if (!options_.trigger.empty() && kernel_->symbol(options_.trigger) == hit.at) {
    ring_.freeze();
    wake_();
  }
  if (!current) return std::nullopt;
  const auto site = std::ranges::find(kernel_->syscall_sites(), hit.at, &Site::at);
  if (site == kernel_->syscall_sites().end()) return std::nullopt;
  const auto ids = kernel_->task_ids(*current, hit.memory);
  if (!ids) return std::nullopt;
  moment.ids = *ids;
  moment.now = now_ns();
  Shard& shard = shard_of(*current);
  const std::lock_guard lock(shard.mutex);
  if (shard.tasks.size() >= kMostTasksInShard && !shard.tasks.contains(current->value)) return std::nullopt;
  Task& task = shard.tasks[current->value];
  const Kind kind = site->kind;
  dispatch(moment, task, kind);
  if (kind == Kind::kExit) shard.tasks.erase(current->value);
  return answer_of(moment);
}

std::optional<std::uint64_t> Recorder::answer_of(const Moment& moment) const noexcept {
  if (!moment.is_full) return std::nullopt;
  return static_cast<std::uint64_t>(Mark::kFull);
}

void Recorder::dispatch(Moment& moment, Task& task, Kind kind) noexcept {
  const auto& gpr = moment.hit.context.core.gpr;
  if (!is_traced(moment, task)) return;
  const auto regs_at = [&](std::uint64_t address) {
    const auto regs = moment.hit.memory.load_at<PtRegs>({address});
    if (regs) moment.regs = *regs;
    return regs.has_value();
  };
  switch (kind) {
    case Kind::kEntry64:
      if (regs_at(gpr[x86::kRdi])) entry(moment, task, Abi::kX64);
      return;
    case Kind::kEntry32:
      if (regs_at(gpr[x86::kRdi])) entry(moment, task, Abi::kI386);
      return;
    case Kind::kResult:
      if (task.in_call && regs_at(gpr[x86::kRdi])) result(moment, task, static_cast<std::int64_t>(moment.regs.ax));
      return;
    case Kind::kResultRax:
      if (task.in_call) result(moment, task, static_cast<std::int64_t>(gpr[x86::kRax]));
      return;
    case Kind::kLeave:
      if (task.in_call && regs_at(gpr[x86::kRsp])) result(moment, task, static_cast<std::int64_t>(moment.regs.ax));
      return;
    case Kind::kNewTask:
      new_task(moment, task);
      return;
    case Kind::kExit:
      exit(moment, task);
      return;
    case Kind::kSignalEntry:
      task.signal = {gpr[x86::kRdi]};
      return;
    case Kind::kSignalReturn:
      if ((gpr[x86::kRax] & 0xff) != 0) signal(moment, task);
      task.signal = {};
      return;
    case Kind::kExecDone:
      return;
  }
}

// Those that are asked for, and all that descends from them.  Decided once for each task: a new one is decided
// on by its parent before it runs, those that are there already by their ancestors.
bool Recorder::is_traced(const Moment& moment, Task& task) noexcept {
  constexpr int kMostAncestors = 64;
  if (task.known) return task.traced;
  task.known = true;
  task.traced = options_.pids.empty();
  Gva at = moment.ids.task;
  for (int i = 0; i < kMostAncestors && !task.traced; ++i) {
    const auto ids = kernel_->task_ids(at, moment.hit.memory);
    if (!ids) break;
    task.traced = options_.pids.contains(ids->pid) || options_.pids.contains(ids->tgid);
    const auto parent = kernel_->parent(at, moment.hit.memory);
    if (!parent || *parent == at) break;
    at = *parent;
  }
  return task.traced;
}

bool Recorder::wants(const Moment& moment, const Call& call) const noexcept {
  if (options_.cpu && *options_.cpu != moment.hit.vcpu.number) return false;
  if (!options_.comm.empty() && moment.ids.comm() != options_.comm) return false;
  return options_.filter.wants_call(call.abi, call.number);
}

bool Recorder::wants_paths_of(Moment& moment, const Call& call) const noexcept {
  constexpr Style kWhole{.string_limit = 4096, .fd_paths = true};
  const ProcessView process(*kernel_, moment.ids.task, moment.hit.memory);
  Text text(moment.desk.text);
  print_entry(call, process, kWhole, text);
  return options_.filter.wants_paths_in(text.view());
}

void Recorder::entry(Moment& moment, Task& task, Abi abi) noexcept {
  if (task.in_call) return;  // seen already: a 32-bit call that passed two places
  Call call = call_from(moment.regs, abi);
  if (!wants(moment, call)) return;
  call.stack = moment.regs.sp;
  const ProcessView process(*kernel_, moment.ids.task, moment.hit.memory);
  if (options_.filter.has_paths() && !wants_paths_of(moment, call)) return;
  task.in_call = true;
  task.call = call;
  task.began_ns = moment.now;
  task.shown = false;
  if (options_.count) return;
  task.call.noted = note_entry(call, process);
  Text text(moment.desk.text);
  print_entry(task.call, process, options_.style, text);
  if (options_.filter.needs_result()) {
    task.entry.assign(text.view());
    return;
  }
  write_entry(moment, task, text.view());
  task.shown = true;
}

void Recorder::write_entry(Moment& moment, const Task& task, std::string_view text) noexcept {
  Record record{.kind = Record::Kind::kEntry, .time_ns = task.began_ns};
  record.abi = task.call.abi;
  record.number = task.call.number;
  record.name = name_of(task.call.abi, task.call.number);
  record.text = text;
  record.more = !complete_at_entry(task.call);
  write(moment, record);
}

void Recorder::result(Moment& moment, Task& task, std::int64_t value) noexcept {
  task.in_call = false;
  if (task.call.abi == Abi::kI386) value = static_cast<std::int32_t>(value);
  task.call.result = value;
  const std::uint64_t took = moment.now - std::min(moment.now, task.began_ns);
  if (options_.count) {
    count(task.call, took);
    return;
  }
  if (options_.filter.needs_result()) {
    if (!options_.filter.wants_result(task.call)) return;
    write_entry(moment, task, task.entry);
  }
  const ProcessView process(*kernel_, moment.ids.task, moment.hit.memory);
  Text text(moment.desk.text);
  Text outcome(moment.desk.result);
  print_return(task.call, process, options_.style, text);
  print_result(task.call, process, options_.style, outcome);
  Record record{.kind = Record::Kind::kReturn, .time_ns = moment.now};
  record.abi = task.call.abi;
  record.number = task.call.number;
  record.name = name_of(task.call.abi, task.call.number);
  record.text = text.view();
  record.result = value;
  record.result_text = outcome.view();
  record.took_ns = took;
  write(moment, record);
}

void Recorder::new_task(Moment& moment, const Task& parent) noexcept {
  const Gva task{moment.hit.context.core.gpr[x86::kRdi]};
  const auto ids = kernel_->task_ids(task, moment.hit.memory);
  if (!ids || ids->kernel_thread || options_.count) return;
  Record record{.kind = Record::Kind::kNewTask, .time_ns = moment.now};
  record.parent = moment.ids.pid;
  const guestos::TaskIds maker = std::exchange(moment.ids, *ids);
  if (parent.traced && !options_.filter.needs_result()) write(moment, record);
  moment.ids = maker;
}

void Recorder::exit(Moment& moment, Task& task) noexcept {
  if (moment.ids.kernel_thread || options_.count) return;
  if (task.signal.value != 0) signal(moment, task);
  Record record{.kind = Record::Kind::kExit, .time_ns = moment.now};
  record.code = static_cast<std::int32_t>(moment.hit.context.core.gpr[x86::kRdi]);
  if (!options_.filter.needs_result()) write(moment, record);
}

// struct ksignal ends with the number; before it stand the action and the information, at offsets that BTF
// knows.
void Recorder::signal(Moment& moment, Task& task) noexcept {
  constexpr std::size_t kInfoBytes = 48;  // struct kernel_siginfo
  const VirtualMemory& memory = moment.hit.memory;
  const auto info_at = kernel_->member("ksignal", "info");
  if (!info_at || task.signal.value == 0 || options_.count) return;
  std::array<std::uint8_t, kInfoBytes> info;
  if (!memory.read(task.signal + *info_at, info)) return;
  std::int32_t number = 0;
  std::copy_n(info.begin(), sizeof number, reinterpret_cast<std::uint8_t*>(&number));
  if (number <= 0 || number > 64 || number == 9 || !options_.filter.wants_signal(number)) return;
  Text text(moment.desk.text);
  print_signal(number, info, text);
  Record record{.kind = Record::Kind::kSignal, .time_ns = moment.now};
  record.number = static_cast<std::uint32_t>(number);
  record.text = text.view();
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
      record.name = name_of(record.abi, record.number);
      record.calls = one.calls.load(kRelaxed);
      record.errors = one.errors.load(kRelaxed);
      record.took_ns = one.ns.load(kRelaxed);
      std::array<std::uint8_t, 256> bytes;
      if (const auto size = encode(record, bytes)) ring_.push(ByteView(bytes).first(*size));
    }
  }
}

void Recorder::note(std::string_view text) {
  const Record record{.kind = Record::Kind::kNote, .time_ns = now_ns(), .text = text};
  Bytes bytes(text.size() + 64);
  if (const auto size = encode(record, bytes)) ring_.push(ByteView(bytes).first(*size));
}

void Recorder::write(Moment& moment, Record& record) noexcept {
  record.cpu = moment.hit.vcpu.number;
  record.pid = moment.ids.pid;
  record.tgid = moment.ids.tgid;
  record.comm = moment.ids.comm();
  const auto size = encode(record, moment.desk.encoded);
  if (!size) return;
  const Ring::Pushed pushed = ring_.push(ByteView(moment.desk.encoded).first(*size));
  moment.is_full = moment.is_full || pushed.full;
  if (pushed.first) wake_();
}

}  // namespace ringside::strace
