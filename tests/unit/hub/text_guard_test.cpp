// What a kernel may know of its text while int3 of ours stand in it.
#include "stub/hub/text_guard.hpp"

#include <gmock/gmock.h>

#include "tests/fakes/fake_machine.hpp"
#include "tests/fakes/stub_kernel.hpp"

namespace ringside::hub {
namespace {

using fakes::kKernel;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr Gva at(std::uint64_t offset) { return Gva{kKernel + offset}; }

// Code at 0x9000 with an int3 of ours in its second instruction; the caller's buffer at 0xa000, its stack at 0xb000.
class Guard : public testing::Test {
 protected:
  Guard() {
    kernel_->symbols = {{"copy_from_kernel_nofault", at(0x100)},
                        {"__text_poke", at(0x200)},
                        {"text_poke_memcpy", at(0x300)},
                        {"text_poke_memset", at(0x310)},
                        {"recover_probed_instruction", at(0x400)},
                        {"arch_prepare_kprobe", at(0x500)},
                        {"arch_prepare_optimized_kprobe", at(0x600)},
                        {"behind", at(0x700)},
                        {"__start___jump_table", at(0x10000)},
                        {"__stop___jump_table", at(0x10020)},
                        {"__return_sites", at(0x10100)},
                        {"__return_sites_end", at(0x10104)},
                        {"alternatives_patched", at(0x10200)},
                        {"__SCT__tea", at(0x9800)},
                        {"modules", at(0x11000)}};
    kernel_->members = {{"module.list", 8}, {"module.jump_entries", 32}, {"module.num_jump_entries", 40}};
    word32(0x10000, 0x9100 - 0x10000);
    word32(0x10010, 0x9200 - 0x10010);
    word32(0x10100, 0x9300 - 0x10100);
    // A list of one module, with one static key, whose code is behind the kernel's image.
    word64(0x11000, kKernel + 0x12008);
    word64(0x12008, kKernel + 0x11000);
    word64(0x12000 + 32, kKernel + 0x13000);
    word32(0x12000 + 40, 1);
    word32(0x13000, 0x18000 - 0x13000);
    machine_.put(0x9000, {0x55, 0x48, 0x89, 0xe5, 0xc3});
    insert(0x9001);
  }
  void word32(std::uint64_t offset, std::int64_t value) {
    machine_.memory().put(offset, static_cast<std::uint32_t>(value));
  }
  void word64(std::uint64_t offset, std::uint64_t value) { machine_.memory().put(offset, value); }
  void insert(std::uint64_t offset) {
    auto site = std::make_shared<Site>();
    site->original = machine_.byte(offset);
    machine_.put(offset, {kInt3});
    points_.int3.emplace_back(Gpa{offset}, site);
    sites_[offset] = site;
  }
  fakes::FakeVcpu& vcpu() { return machine_.vcpu(0); }

  struct Memory final : VirtualMemory {
    explicit Memory(fakes::FakeMachine& whose) : machine(whose) {}
    bool read(Gva from, MutableByteView to) const noexcept override {
      return machine.memory().read(Gpa{from - at(0)}, to);
    }
    fakes::FakeMachine& machine;
  };
  TextGuard guard() {
    const KnownKernel known{
        .kernel = kernel_, .image = {at(0), Gpa{0}, 0x18000}, .page_table = {}, .five_levels = {}};
    return TextGuard(known, memory_);
  }
  // The vCPU stands at a function's entry, called from `caller`; true when all of it is done.
  bool call(std::uint64_t function, std::uint64_t a, std::uint64_t b, std::uint64_t c, std::uint64_t d = 0,
            std::uint64_t caller = 0x510) {
    x86::CoreRegs core = vcpu().core();
    core.rip = kKernel + function;
    core.gpr[x86::kRsp] = kKernel + 0xb000;
    core.gpr[x86::kRdi] = a;
    core.gpr[x86::kRsi] = b;
    core.gpr[x86::kRdx] = c;
    core.gpr[x86::kRcx] = d;
    vcpu().set_core(core);
    word64(0xb000, kKernel + caller);
    return guard().serve(vcpu(), at(function), points_, machine_.memory(), writes_);
  }
  bool has_returned(std::uint64_t result, std::uint64_t caller = 0x510) {
    const x86::CoreRegs& core = vcpu().core();
    return core.rip == kKernel + caller && core.gpr[x86::kRsp] == kKernel + 0xb008 &&
           core.gpr[x86::kRax] == result;
  }
  Bytes there(std::uint64_t offset, std::size_t size) {
    Bytes bytes(size);
    EXPECT_TRUE(machine_.memory().read(Gpa{offset}, bytes));
    return bytes;
  }

  fakes::FakeMachine machine_;
  Memory memory_{machine_};
  std::shared_ptr<fakes::StubKernel> kernel_ = std::make_shared<fakes::StubKernel>();
  PointSnapshot points_;
  std::map<std::uint64_t, std::shared_ptr<Site>> sites_;
  int rewritten_ = 0;
  GuestWrites writes_{machine_.memory(), [this] { ++rewritten_; }};
};

TEST_F(Guard, ACopyOfTextHasTheKernelsOwnBytes) {
  ASSERT_TRUE(call(0x100, kKernel + 0xa000, kKernel + 0x9000, 5));
  EXPECT_TRUE(has_returned(0));
  EXPECT_THAT(there(0xa000, 5), ElementsAre(0x55, 0x48, 0x89, 0xe5, 0xc3));
}

TEST_F(Guard, WhatHasNoInt3IsTheKernelsOwnBusiness) {
  EXPECT_FALSE(call(0x100, kKernel + 0xa000, kKernel + 0x9002, 3));
  EXPECT_FALSE(call(0x100, kKernel + 0xa000, kKernel + 0x9000, 4097));  // more than is ever copied
  EXPECT_FALSE(call(0x200, kKernel + 0x300, kKernel + 0x9002, kKernel + 0xa000, 1));
  EXPECT_FALSE(call(0x400, kKernel + 0xa000, kKernel + 0x9000, 0));
}

TEST_F(Guard, APokeGoesBelowTheInt3AndIsSeenWhenItIsReadBack) {
  machine_.put(0xa000, {0x0f, 0x1f, 0x00});
  ASSERT_TRUE(call(0x200, kKernel + 0x300, kKernel + 0x9001, kKernel + 0xa000, 3));
  EXPECT_TRUE(has_returned(kKernel + 0x9001));
  EXPECT_THAT(there(0x9000, 5), ElementsAre(0x55, kInt3, 0x1f, 0x00, 0xc3));
  EXPECT_EQ(sites_[0x9001]->original, 0x0f);
  EXPECT_EQ(rewritten_, 1);
}

TEST_F(Guard, ATrampolineMadeOfTextHasNoneOfOurs) {
  insert(0x9300);
  ASSERT_TRUE(call(0x100, kKernel + 0xc000, kKernel + 0x9000, 0x400));
  EXPECT_EQ(there(0xc001, 1), Bytes{0x48});
  EXPECT_EQ(there(0xc300, 1), Bytes{0});
  ASSERT_TRUE(call(0x200, kKernel + 0x300, kKernel + 0xd000, kKernel + 0x9000, 0x400));
  EXPECT_EQ(there(0xd001, 1), Bytes{0x48});
  EXPECT_EQ(there(0xd300, 1), Bytes{0});
  EXPECT_EQ(there(0x9001, 1), Bytes{kInt3});
}

TEST_F(Guard, APokeMayFill) {
  machine_.put(0xa000, {0x90});
  ASSERT_TRUE(call(0x200, kKernel + 0x310, kKernel + 0x9000, kKernel + 0xa000, 4));
  EXPECT_THAT(there(0x9000, 5), ElementsAre(0x90, kInt3, 0x90, 0x90, 0xc3));
  EXPECT_EQ(sites_[0x9001]->original, 0x90);
}

TEST_F(Guard, AKprobeDecodesTheInstructionThatIsThere) {
  ASSERT_TRUE(call(0x400, kKernel + 0xa000, kKernel + 0x9001, 0));
  EXPECT_TRUE(has_returned(kKernel + 0xa000));
  EXPECT_THAT(there(0xa000, 4), ElementsAre(0x48, 0x89, 0xe5, 0xc3));
}

TEST_F(Guard, AKprobesOwnInt3BelowOursIsForItToRecover) {
  sites_[0x9001]->original = kInt3;
  EXPECT_FALSE(call(0x400, kKernel + 0xa000, kKernel + 0x9001, 0));
}

TEST_F(Guard, AKprobeIsNotMadeAJumpOverABreakpoint) {
  ASSERT_TRUE(call(0x400, kKernel + 0xa000, kKernel + 0x9001, 0, 0, 0x610));
  EXPECT_TRUE(has_returned(0, 0x610));
  EXPECT_FALSE(call(0x400, kKernel + 0xa000, kKernel + 0x9002, 0, 0, 0x610));
}

TEST_F(Guard, ABufferThatIsNotThereIsLeftToTheKernel) {
  EXPECT_FALSE(call(0x100, 0x7000'0000'0000, kKernel + 0x9000, 5));
  EXPECT_FALSE(call(0x400, 0x7000'0000'0000, kKernel + 0x9001, 0));
}

TEST_F(Guard, StaticKeysAndCallsCarryNoInt3) {
  const TextGuard guard = this->guard();
  for (const std::uint64_t offset : {0x9100, 0x9200, 0x9800}) {
    EXPECT_THAT(guard.forbids(at(offset), machine_.memory(), &memory_), HasSubstr("patches this place"));
    EXPECT_TRUE(guard.forbids_for_good(at(offset)));
  }
  EXPECT_EQ(guard.forbids(at(0x9001), machine_.memory(), &memory_), nullptr);
}

TEST_F(Guard, NorDoesCodeThatRunsElsewhere) {
  kernel_->symbols["relocate_kernel"] = at(0x9400);
  const TextGuard guard = this->guard();
  EXPECT_THAT(guard.forbids(at(0x9400 + 100), machine_.memory(), &memory_), HasSubstr("a copy of this code"));
  EXPECT_TRUE(guard.forbids_for_good(at(0x9400)));
  EXPECT_EQ(guard.forbids(at(0x9400 + 2048), machine_.memory(), &memory_), nullptr);
}

TEST_F(Guard, NorDoThoseOfModules) {
  const TextGuard guard = this->guard();
  EXPECT_THAT(guard.forbids(at(0x18000), machine_.memory(), &memory_), HasSubstr("patches this place"));
  EXPECT_EQ(guard.forbids(at(0x18001), machine_.memory(), &memory_), nullptr);
  EXPECT_EQ(guard.forbids(at(0x18000), machine_.memory(), nullptr), nullptr);
  word64(0x12008, kKernel + 0x12008);  // a list without end
  EXPECT_EQ(guard.forbids(at(0x18001), machine_.memory(), &memory_), nullptr);
}

TEST_F(Guard, WhatTheBootPatchesCarriesOneWhenThatIsDone) {
  const TextGuard guard = this->guard();
  EXPECT_THAT(guard.forbids(at(0x9300), machine_.memory(), &memory_), HasSubstr("has yet to patch"));
  EXPECT_FALSE(guard.forbids_for_good(at(0x9300)));
  word32(0x10200, 1);
  EXPECT_EQ(guard.forbids(at(0x9300), machine_.memory(), &memory_), nullptr);
}

TEST_F(Guard, AKernelWithoutTheseFunctionsHasNoEntries) {
  kernel_->symbols.clear();
  kernel_->members.clear();
  EXPECT_THAT(guard().entries(), IsEmpty());
}

}  // namespace
}  // namespace ringside::hub
