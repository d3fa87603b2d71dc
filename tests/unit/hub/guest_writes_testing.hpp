// Instructions of two vCPUs on a watched page, each in its two halves, and what the policy does with them.
#pragma once

#include <array>

#include <gtest/gtest.h>

#include "stub/hub/guest_writes.hpp"
#include "stub/hub/memory_view.hpp"
#include "tests/fakes/fake_machine.hpp"
#include "tests/fakes/memory_insn.hpp"

namespace ringside::hub {

using api::WriteVerdict;
using fakes::kKernel;
using fakes::MemoryInsn;
using Op = MemoryInsn::Op;

inline constexpr std::uint64_t kText = 0xa000;  // the watched page

class GuestWritesTest : public testing::Test {
 protected:
  // What has become of an instruction.
  enum class End { kThrough, kAgain, kAlone };

  GuestWritesTest() { points_.watched_pages = {{Gpa{kText}, Gpa{kText + kPageSize}}}; }

  void put(std::uint64_t at, const Bytes& bytes) { machine_.put(at, bytes); }
  void insert(std::uint64_t at) {
    ASSERT_TRUE(view_.insert(Gva{kKernel + at}, Gpa{at}));
    auto site = std::make_shared<Site>();
    site->original = view_.site_at(Gpa{at})->original;
    site->places = {{.at = Gva{kKernel + at}, .wishes = {}, .plan = {}}};
    const auto behind = points_.from(Gpa{at});
    points_.int3.emplace(behind, Gpa{at}, site);
  }
  std::shared_ptr<const Watch> watch(std::uint64_t at, std::uint64_t length) {
    auto one = std::make_shared<Watch>();
    one->spec = {PointKind::kWrite, Gva{kKernel + at}, length};
    points_.watches.push_back({{Gpa{at}, Gpa{at + length}}, Gva{kKernel + at}, one});
    return one;
  }
  Bytes raw(std::uint64_t at, std::size_t size) {
    Bytes bytes(size);
    EXPECT_TRUE(machine_.memory().read(Gpa{at}, bytes));
    return bytes;
  }
  Bytes own(std::uint64_t at, std::size_t size) { return view_.read_physical(Gpa{at}, size); }

  // A write that is nothing else.
  WriteVerdict store(std::uint64_t at, const Bytes& data, std::uint32_t cpu = 0) {
    return writes_.write(machine_.vcpu(cpu), points_, registers_, cpus_[cpu].state, Gpa{at}, data);
  }
  // A whole instruction, with the rest of what the policy does.
  void store_all(std::uint64_t at, const Bytes& data) {
    EXPECT_NE(store(at, data), WriteVerdict::kNotWatched);
    writes_.begin_next(cpus_[0].state);
  }

  // An instruction reads what it is to change ...
  void read(std::uint32_t cpu, const MemoryInsn& insn, x86::CoreRegs core) {
    put(code_of_[cpu], insn.code());
    core.rip = kKernel + code_of_[cpu];
    const Gpa where{insn.where(core) - Gva{kKernel}};
    cpus_[cpu].insn = insn;
    cpus_[cpu].before = core;
    cpus_[cpu].where = where;
    cpus_[cpu].read = load_at(where, insn.size);
  }
  // ... and some time later it writes that.
  End write(std::uint32_t cpu) {
    Cpu& it = cpus_[cpu];
    x86::CoreRegs core = it.before;
    const std::uint64_t value = it.insn.execute(it.read, core);
    machine_.vcpu(cpu).set_core(core);
    const Bytes data(bytes_of(value).begin(), bytes_of(value).begin() + it.insn.size);
    const WriteVerdict verdict = store(it.where.value, data, cpu);
    EXPECT_NE(verdict, WriteVerdict::kNotWatched);
    const bool again = it.state.again && GuestWrites::run_again(machine_.vcpu(cpu), it.state);
    const End end = !again ? End::kThrough : it.state.beside_int3 ? End::kAlone : End::kAgain;
    if (verdict == WriteVerdict::kTell) writes_.begin_next(it.state);
    return end;
  }
  // While no other vCPU runs, with nothing inserted and nothing watched.
  void run_alone(std::uint32_t cpu) {
    const Cpu& it = cpus_[cpu];
    x86::CoreRegs core = machine_.vcpu(cpu).core();
    view_.lift_all();
    const Gpa where{it.insn.where(core) - Gva{kKernel}};
    const std::uint64_t value = it.insn.execute(load_at(where, it.insn.size), core);
    put(where.value, Bytes(bytes_of(value).begin(), bytes_of(value).begin() + it.insn.size));
    view_.lower_all();
    machine_.vcpu(cpu).set_core(core);
  }
  End run(const MemoryInsn& insn, const x86::CoreRegs& core) {
    read(0, insn, core);
    const End end = write(0);
    if (end == End::kAlone) run_alone(0);
    return end;
  }
  std::uint64_t load_at(Gpa where, std::size_t size) {
    Bytes bytes = raw(where.value, size);
    bytes.resize(8);
    return load<std::uint64_t>(bytes.data());
  }
  std::uint64_t gpr(x86::Gpr which, std::uint32_t cpu = 0) { return machine_.vcpu(cpu).core().gpr[which]; }

  struct Cpu {
    GuestWrite state;
    MemoryInsn insn;
    x86::CoreRegs before;
    Gpa where;
    std::uint64_t read = 0;
  };

  fakes::FakeMachine machine_{2};
  MemoryView view_{machine_.memory()};
  PointSnapshot points_;
  x86::RegisterFile registers_;
  std::array<Cpu, 2> cpus_;
  std::array<std::uint64_t, 2> code_of_{0x8010, 0x8110};
  int rewritten_ = 0;
  GuestWrites writes_{machine_.memory(), [this] { ++rewritten_; }};
};

}  // namespace ringside::hub
