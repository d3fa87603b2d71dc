// Two vCPUs do what they like to a few bytes with int3 among them, beside a byte array to which the same is done at
// once.
#include <random>
#include <set>

#include "tests/unit/hub/guest_writes_testing.hpp"

namespace ringside::hub {
namespace {

constexpr std::uint64_t kArea = kText + 0x104;
constexpr std::size_t kAreaBytes = 40;
constexpr int kSteps = 20'000;

constexpr bool is_jump(std::uint64_t byte) { return byte == 0xe8 || byte == 0xe9; }

class GuestWritesModel : public GuestWritesTest, public testing::WithParamInterface<unsigned> {
 protected:
  enum class Stage { kIdle, kHasRead, kAgain, kAlone };

  GuestWritesModel() : random_(GetParam()) {
    for (std::uint8_t& byte : model_) byte = any_byte();
    put(kArea, model_);
    while (sites_.size() < 12) sites_.insert(kArea + any(kAreaBytes));
    for (const std::uint64_t site : sites_) insert(site);
  }

  std::uint64_t any(std::uint64_t below) { return random_() % below; }
  std::uint8_t any_byte() { return any(4) == 0 ? kInt3 : static_cast<std::uint8_t>(random_()); }
  std::uint64_t any_word() {
    std::uint64_t word = 0;
    for (unsigned i = 0; i < 8; ++i) word = word << 8 | any_byte();
    return word;
  }
  MemoryInsn any_insn();
  x86::CoreRegs any_registers(const MemoryInsn& insn);

  void step(std::uint32_t cpu);
  void begin(std::uint32_t cpu);
  void finish(std::uint32_t cpu);
  void is_through(std::uint32_t cpu);
  void is_alone(std::uint32_t cpu);
  void jump_and_back();
  void check();

  std::uint64_t in_model(Gpa where, std::size_t size) const {
    std::uint64_t value = 0;
    for (std::size_t i = size; i-- > 0;) value = value << 8 | model_[where.value - kArea + i];
    return value;
  }
  void execute_in_model(std::uint32_t cpu, std::uint64_t old);

  std::mt19937_64 random_;
  Bytes model_ = Bytes(kAreaBytes);
  std::set<std::uint64_t> sites_;
  std::array<Stage, 2> stages_{};
  std::array<std::uint64_t, 2> seen_{};  // what was in the model when it read
};

MemoryInsn GuestWritesModel::any_insn() {
  MemoryInsn insn{.op = static_cast<Op>(any(10)), .size = static_cast<std::uint8_t>(1u << any(4))};
  if (insn.op == Op::kBts && insn.size == 1) insn.size = 2;
  if (insn.op == Op::kCmpxchg8b) insn.size = 8;
  constexpr std::uint8_t kGprs[] = {x86::kRcx, x86::kRbx, x86::kRbp, x86::kRdi, x86::kR9, x86::kRsi};
  // The upper half of an address would be lost.
  const bool from_address = insn.op != Op::kBts && insn.size != 4;
  insn.gpr = kGprs[any(from_address ? 6 : 5)];
  insn.lock = insn.compares() || (insn.reads() && any(2) == 0);
  return insn;
}

x86::CoreRegs GuestWritesModel::any_registers(const MemoryInsn& insn) {
  x86::CoreRegs core;
  for (std::uint64_t& gpr : core.gpr) gpr = any_word();
  const Gva where{kKernel + kArea + any(kAreaBytes - insn.size + 1)};
  core.gpr[x86::kRsi] = where.value;
  if (insn.op == Op::kBts) {
    core.gpr[insn.gpr] = any(24u * insn.size);
    core.gpr[x86::kRsi] -= insn.where(core) - where;
  }
  // It wants what the guest sees there, an int3 of ours for all that is known to it.
  if (insn.compares() && any(2) == 0)
    insn.set_accumulator(core, load_at(Gpa{where - Gva{kKernel}}, insn.size));
  return core;
}

void GuestWritesModel::step(std::uint32_t cpu) {
  switch (stages_[cpu]) {
    case Stage::kIdle:
      if (any(50) == 0) return jump_and_back();
      cpus_[cpu].insn = any_insn();
      cpus_[cpu].before = any_registers(cpus_[cpu].insn);
      return begin(cpu);
    case Stage::kAgain:
      return begin(cpu);
    case Stage::kHasRead:
      return finish(cpu);
    case Stage::kAlone:
      if (stages_[1 - cpu] == Stage::kHasRead) finish(1 - cpu);  // a vCPU is stopped between instructions
      return is_alone(cpu);
  }
}

void GuestWritesModel::begin(std::uint32_t cpu) {
  Cpu& it = cpus_[cpu];
  read(cpu, it.insn, it.before);
  seen_[cpu] = in_model(it.where, it.insn.size);
  stages_[cpu] = Stage::kHasRead;
}

void GuestWritesModel::finish(std::uint32_t cpu) {
  Cpu& it = cpus_[cpu];
  x86::CoreRegs core = it.before;
  const std::uint64_t value = it.insn.execute(it.read, core);
  stages_[cpu] = Stage::kIdle;
  if (it.insn.size == 1 && is_jump(value)) return;  // it never comes to that
  const End end = write(cpu);
  if (end == End::kThrough) return is_through(cpu);
  stages_[cpu] = end == End::kAgain ? Stage::kAgain : Stage::kAlone;
  const bool half = it.insn.size == 4 && (it.insn.op == Op::kXchg || it.insn.op == Op::kXadd);
  if (half) it.before.gpr[it.insn.gpr] &= 0xffff'ffff;
  if (it.insn.compares()) it.before.rflags |= x86::rflags::kZf;  // which it will write again
  ASSERT_EQ(machine_.vcpu(cpu).core(), it.before);
}

void GuestWritesModel::is_through(std::uint32_t cpu) {
  const Cpu& it = cpus_[cpu];
  const bool failed = it.insn.compares() && (machine_.vcpu(cpu).core().rflags & x86::rflags::kZf) == 0;
  if (!failed) {
    return execute_in_model(cpu, it.insn.is_atomic() ? in_model(it.where, it.insn.size) : seen_[cpu]);
  }
  // Its value is from when it read, but for what is under an int3.
  Bytes bytes(bytes_of(seen_[cpu]).begin(), bytes_of(seen_[cpu]).end());
  for (std::size_t i = 0; i < it.insn.size; ++i) {
    if (sites_.contains(it.where.value + i)) bytes[i] = model_[it.where.value - kArea + i];
  }
  x86::CoreRegs expected = it.before;
  expected.rip += it.insn.code().size();
  expected.rflags &= ~x86::rflags::kZf;
  it.insn.set_accumulator(expected, load<std::uint64_t>(bytes.data()));
  ASSERT_EQ(machine_.vcpu(cpu).core(), expected);
}

void GuestWritesModel::is_alone(std::uint32_t cpu) {
  run_alone(cpu);
  stages_[cpu] = Stage::kIdle;
  execute_in_model(cpu, in_model(cpus_[cpu].where, cpus_[cpu].insn.size));
}

void GuestWritesModel::execute_in_model(std::uint32_t cpu, std::uint64_t old) {
  const Cpu& it = cpus_[cpu];
  x86::CoreRegs expected = it.before;
  const std::uint64_t value = it.insn.execute(old, expected);
  std::copy_n(bytes_of(value).begin(), it.insn.size,
              model_.begin() + static_cast<std::ptrdiff_t>(it.where.value - kArea));
  ASSERT_EQ(machine_.vcpu(cpu).core(), expected);
}

// The kernel puts the same bytes back that it has seen; but its own first one, where a jump is not looked for.
void GuestWritesModel::jump_and_back() {
  const std::uint64_t at = kArea + any(kAreaBytes - 4);
  Bytes back = raw(at, 5);
  back[0] = model_[at - kArea];
  if (is_jump(back[0])) return;
  Bytes jump{0xe9, 0, 0, 0, 0};
  for (std::size_t i = 1; i < jump.size(); ++i) jump[i] = static_cast<std::uint8_t>(any(kInt3));
  ASSERT_TRUE(writes_.write_text(machine_.vcpu(0), points_, Gva{kKernel + at}, jump));
  ASSERT_EQ(own(at, 5), jump);
  if (sites_.contains(at)) jump[0] = kInt3;
  ASSERT_EQ(raw(at, 5), jump);
  ASSERT_TRUE(writes_.write_text(machine_.vcpu(0), points_, Gva{kKernel + at}, back));
}

void GuestWritesModel::check() {
  ASSERT_EQ(own(kArea, kAreaBytes), model_);
  for (const std::uint64_t site : sites_) ASSERT_TRUE(view_.stands_at(Gpa{site}));
}

TEST_P(GuestWritesModel, IsWhatTheGuestSees) {
  for (int i = 0; i < kSteps; ++i) {
    const auto cpu = static_cast<std::uint32_t>(any(2));
    step(cpu);
    check();
    if (HasFatalFailure()) {
      const MemoryInsn& insn = cpus_[cpu].insn;
      FAIL() << "step " << i << ", vCPU " << cpu << ": instruction " << static_cast<int>(insn.op) << " of "
             << int{insn.size} << " bytes at " << cpus_[cpu].where.value - kArea;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Seed, GuestWritesModel, testing::Range(1u, 9u));

}  // namespace
}  // namespace ringside::hub
