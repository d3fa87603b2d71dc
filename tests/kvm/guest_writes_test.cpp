// What the guest writes to pages with an int3, and to ranges that are watched beyond the debug registers.
#include <gtest/gtest.h>

#include "tests/kvm/hub_testing.hpp"

namespace ringside::test {
namespace {

PointSpec watch(std::uint64_t at, std::uint64_t length) { return {PointKind::kWrite, Gva{at}, length}; }

class GuestWritesOnKvm : public HubOnKvm {
 protected:
  // Takes the debug registers, so that what follows has to do without.
  void use_up_registers(Tracer& tracer) {
    for (std::uint64_t i = 0; i < 4; ++i) ASSERT_TRUE(insert(tracer, hardware(0x700 + i)));
  }
  std::uint64_t hits_of(const std::string& listing, const std::string& point) {
    const auto line = listing.find(point);
    if (line == listing.npos) return ~0ull;
    const auto colon = listing.find(": ", line);
    return std::stoull(listing.substr(colon + 2));
  }
  // Of the code, as a tracer sees it.
  Bytes own_bytes(Tracer& who, std::uint64_t offset, std::size_t size) {
    std::optional<Bytes> seen;
    who.port->read_memory(VcpuId{0}, tracer::AddressSpace::kVirtual, Gva{kCode + offset}, size,
                          [&](Result<Bytes> data) { seen = data.value_or(Bytes{}); });
    EXPECT_TRUE(pump([&] { return seen.has_value(); }));
    return seen.value_or(Bytes{});
  }
  void put(std::uint64_t at, const Code& bytes) { ASSERT_TRUE(machine_->memory().write(Gpa{at}, bytes)); }
};

// mov eax,[rbx]; mov dword [rbx+64],7; movq [rbx+200],xmm0; add qword [rbx+8],5; hlt
const Code kFewWrites = {0x8b, 0x03, 0xc7, 0x43, 0x40, 7,    0,    0,    0,    0x66, 0x0f, 0xd6,
                         0x83, 200,  0,    0,    0,    0x48, 0x83, 0x43, 0x08, 5,    0xf4};

TEST_F(GuestWritesOnKvm, ARangeOfAnyLengthIsWatched) {
  boot(kFewWrites);
  put(kData + 64, {9, 0, 0, 0});
  put(kData + 8, {1, 0, 0, 0, 0, 0, 0, 0});
  put(kData + 200, {1});
  auto alice = attach();
  stop_all(*alice);
  ASSERT_TRUE(insert(*alice, watch(kData, 300)));
  resume(*alice);
  StopEvent event = wait_stop(*alice);
  EXPECT_EQ(event.reason, StopReason::kWriteWatch);
  EXPECT_EQ(event.at, Gva{kData});
  EXPECT_EQ(offset(event), 9u);  // behind the instruction
  EXPECT_EQ(event.detail, "4 bytes at 0xa040 written: 0x9 was there, 0x7 is now");
  EXPECT_EQ(machine_->qword(kData + 64), 7u);
  resume(*alice);
  EXPECT_EQ(offset(wait_stop(*alice)), 17u);
  resume(*alice);
  event = wait_stop(*alice);
  EXPECT_EQ(offset(event), 22u);
  EXPECT_EQ(event.detail, "8 bytes at 0xa008 written: 0x1 was there, 0x6 is now");
  EXPECT_EQ(machine_->qword(kData + 8), 6u);
}

TEST_F(GuestWritesOnKvm, WhoWatchesElsewhereOnThePageIsNotTold) {
  boot(kFewWrites);
  put(kData + 200, {1});
  auto alice = attach(), bob = attach();
  stop_all(*alice);
  ASSERT_TRUE(insert(*alice, watch(kData + 199, 100)));
  ASSERT_TRUE(insert(*bob, watch(kData + 9, 40)));
  resume(*alice);
  EXPECT_EQ(offset(wait_stop(*alice)), 17u);
  EXPECT_TRUE(bob->stops.empty());
  resume(*alice);
  EXPECT_EQ(offset(wait_stop(*bob)), 22u);  // 8 bytes from 8 on: the second of them is watched
  EXPECT_TRUE(alice->stops.empty());
}

TEST_F(GuestWritesOnKvm, AStepOverAWatchedWriteIsOneInstruction) {
  boot(kFewWrites);
  auto alice = attach();
  stop_all(*alice);
  ASSERT_TRUE(insert(*alice, watch(kData + 1000, 300)));  // the page is watched, the places are not
  for (const std::uint64_t expected : {2u, 9u, 17u, 22u}) {
    resume(*alice, ResumeAction::Kind::kStep);
    const StopEvent event = wait_stop(*alice);
    EXPECT_EQ(event.reason, StopReason::kStep);
    EXPECT_EQ(offset(event), expected);
  }
}

TEST_F(GuestWritesOnKvm, ADebugRegisterOnAWatchedPageStillNotices) {
  boot(kFewWrites);
  auto alice = attach();
  stop_all(*alice);
  ASSERT_TRUE(insert(*alice, watch(kData + 1000, 300)));
  ASSERT_TRUE(insert(*alice, watch(kData + 64, 4)));
  resume(*alice);
  const StopEvent event = wait_stop(*alice);
  EXPECT_EQ(event.reason, StopReason::kWriteWatch);
  EXPECT_EQ(event.at, Gva{kData + 64});
  EXPECT_EQ(offset(event), 9u);
}

// What KVM cannot emulate: vmovdqu [rbx+64],ymm0 and cmpxchg16b [rbx].
TEST_F(GuestWritesOnKvm, VectorsAndPairsAreWrittenToo) {
  // lock cmpxchg16b [rbx]; fxsave [rbx+0x200]; hlt
  boot({0xf0, 0x48, 0x0f, 0xc7, 0x0b, 0x0f, 0xae, 0x83, 0, 2, 0, 0, 0xf4});
  auto alice = attach();
  stop_all(*alice);
  ASSERT_TRUE(alice->port != nullptr);
  ASSERT_TRUE(insert(*alice, watch(kData, 100)));
  ASSERT_TRUE(insert(*alice, watch(kData + 0x200, 512)));
  std::optional<Result<void>> set;
  std::vector<std::pair<x86::Reg, Bytes>> values{{x86::Reg::kRbx, Bytes{0, 0xa0, 0, 0, 0, 0, 0, 0}},
                                                 {x86::Reg::kRcx, Bytes(8, 0x11)},
                                                 {x86::Reg::kRax, Bytes(8, 0)},
                                                 {x86::Reg::kRdx, Bytes(8, 0)}};
  // rbx is the address and the low half of what is written.
  alice->port->write_registers(VcpuId{0}, values, [&](Result<void> done) { set = std::move(done); });
  ASSERT_TRUE(pump([&] { return set.has_value(); }));
  resume(*alice);
  StopEvent event = wait_stop(*alice);
  EXPECT_EQ(event.reason, StopReason::kWriteWatch);
  EXPECT_EQ(offset(event), 5u);
  EXPECT_EQ(machine_->qword(kData), kData);
  EXPECT_EQ(machine_->qword(kData + 8), 0x1111111111111111u);
  resume(*alice);
  event = wait_stop(*alice);
  EXPECT_EQ(event.at, Gva{kData + 0x200});
  EXPECT_EQ(offset(event), 12u);
  EXPECT_NE(machine_->qword(kData + 0x200) & 0xffff, 0u);  // FCW
}

// The guest patches an instruction that an int3 stands on: mov byte [0x8010],0xf4 makes the nop there a hlt.
TEST_F(GuestWritesOnKvm, AnInt3StaysOnTopOfWhatTheGuestWrites) {
  Code code = {0xc6, 0x04, 0x25, 0x10, 0x80,
               0,    0,    0xc3, 0xeb, 0x06};  // mov byte [0x8010],0xc3 (ret); jmp 0x10
  code.resize(0x10, kNop);
  for (int i = 0; i < 8; ++i) code.push_back(kNop);
  code.push_back(kHlt);
  boot(code);
  auto alice = attach();
  stop_all(*alice);
  use_up_registers(*alice);
  ASSERT_TRUE(insert(*alice, software(0x10)));
  resume(*alice);
  const StopEvent event = wait_stop(*alice);
  EXPECT_EQ(event.reason, StopReason::kSoftwareBreak);
  EXPECT_EQ(offset(event), 0x10u);
  EXPECT_EQ(own_bytes(*alice, 0x10, 2), (Bytes{0xc3, 0x90}));
  EXPECT_EQ(machine_->qword(kCode + 0x10) & 0xff, 0xccu);
}

// add byte [0x8020],1, where an int3 stands: the guest's own byte is what is added to.
TEST_F(GuestWritesOnKvm, WhatIsReadUnderAnInt3IsTheGuestsOwn) {
  Code code = {0x80, 0x04, 0x25, 0x20, 0x80, 0, 0, 1, kNop, kHlt};
  code.resize(0x20, kHlt);
  code.push_back(0x41);
  boot(code);
  auto alice = attach();
  stop_all(*alice);
  use_up_registers(*alice);
  ASSERT_TRUE(insert(*alice, software(0x20)));
  ASSERT_TRUE(insert(*alice, software(8)));
  resume(*alice);
  EXPECT_EQ(offset(wait_stop(*alice)), 8u);
  EXPECT_EQ(own_bytes(*alice, 0x20, 1), Bytes{0x42});
}

// A loop around a cmpxchg of a byte where an int3 stands.
class CompareUnderInt3 : public GuestWritesOnKvm {
 protected:
  // `load` gets it into al, in 7 bytes.
  void comes_through(Code load) {
    const Code loop = {0x8d, 0x50, 0x01,                                // retry: lea edx,[rax+1]
                       0xf0, 0x0f, 0xb0, 0x14, 0x25, 0x20, 0x80, 0, 0,  // lock cmpxchg [0x8020],dl
                       0x75, 0xf2,                                      // jne retry
                       kNop, kHlt};
    Code code = std::move(load);
    code.insert(code.end(), loop.begin(), loop.end());
    code.resize(0x20, kHlt);
    code.push_back(0x41);
    boot(code);
    auto alice = attach();
    stop_all(*alice);
    use_up_registers(*alice);
    ASSERT_TRUE(insert(*alice, software(0x20)));
    ASSERT_TRUE(insert(*alice, software(21)));
    resume(*alice);
    EXPECT_EQ(offset(wait_stop(*alice)), 21u);
    EXPECT_EQ(own_bytes(*alice, 0x20, 1), Bytes{0x42});
    EXPECT_EQ(machine_->qword(kCode + 0x20) & 0xff, 0xccu);
  }
};

TEST_F(CompareUnderInt3, OfWhatWasLoadedComesThrough) {
  comes_through({0x8a, 0x04, 0x25, 0x20, 0x80, 0, 0});  // mov al,[0x8020]
}

TEST_F(CompareUnderInt3, OfWhatIsKnownComesThrough) {
  comes_through({0xb8, 0x41, 0, 0, 0, kNop, kNop});  // mov eax,0x41
}

// Each of four CPUs adds to one counter a thousand times in each of three ways; nothing is lost, and each time
// has been counted.
TEST_F(GuestWritesOnKvm, LockedWritesOfFourCpusLoseNothing) {
  constexpr std::uint64_t kRounds = 1000;
  // mov ecx,1000; again: lock inc qword [rbx]; mov eax,1; lock xadd [rbx+8],rax;
  // retry: mov rax,[rbx+16]; lea rdx,[rax+1]; lock cmpxchg [rbx+16],rdx; jne retry; dec ecx; jne again;
  // done: lock inc qword [rbx+0x800]; hlt
  const Code code = {0xb9, 0xe8, 3,    0,    0,                              // mov ecx,1000
                     0xf0, 0x48, 0xff, 0x03,                                 // lock inc qword [rbx]
                     0xb8, 1,    0,    0,    0,                              // mov eax,1
                     0xf0, 0x48, 0x0f, 0xc1, 0x43, 0x08,                     // lock xadd [rbx+8],rax
                     0x48, 0x8b, 0x43, 0x10,                                 // mov rax,[rbx+16]
                     0x48, 0x8d, 0x50, 0x01,                                 // lea rdx,[rax+1]
                     0xf0, 0x48, 0x0f, 0xb1, 0x53, 0x10,                     // lock cmpxchg [rbx+16],rdx
                     0x75, 0xf0,                                             // jne
                     0xff, 0xc9,                                             // dec ecx
                     0x75, 0xdd,                                             // jne again
                     0xf0, 0x48, 0xff, 0x83, 0,    8,    0, 0, 0xeb, 0xfe};  // lock inc [rbx+0x800]; jmp .
  boot(code, 4);
  auto alice = attach();
  stop_all(*alice);
  use_up_registers(*alice);
  const Bytes code_of_never{0x22, 0, 0x27};  // const8 0; end
  auto never = std::make_shared<tracer::PointActions>();
  never->conditions.push_back(must(agent::Program::verify(code_of_never)));
  for (const std::uint64_t at : {kData, kData + 8, kData + 16}) {
    std::optional<Result<void>> answer;
    alice->port->insert_point(VcpuId{0}, watch(at, 8), never,
                              [&](Result<void> done) { answer = std::move(done); });
    ASSERT_TRUE(pump([&] { return answer.has_value(); }));
    ASSERT_TRUE(*answer) << answer->error().text;
  }
  resume(*alice);
  ASSERT_TRUE(pump([&] { return machine_->qword(kData + 0x800) == 4; }));
  EXPECT_EQ(machine_->qword(kData), 4 * kRounds);
  EXPECT_EQ(machine_->qword(kData + 8), 4 * kRounds);
  EXPECT_EQ(machine_->qword(kData + 16), 4 * kRounds);
  const std::string listing = alice->port->describe_points();
  EXPECT_EQ(hits_of(listing, "watch 0xa000+8"), 4 * kRounds) << listing;
  EXPECT_EQ(hits_of(listing, "watch 0xa008+8"), 4 * kRounds) << listing;
  EXPECT_GE(hits_of(listing, "watch 0xa010+8"), 4 * kRounds) << listing;  // and those that failed
}

TEST_F(GuestWritesOnKvm, APageTableIsNotWatched) {
  boot({kHlt});
  auto alice = attach();
  stop_all(*alice);
  const auto refused = insert(*alice, watch(0x2000, 100));
  ASSERT_FALSE(refused);
  EXPECT_NE(refused.error().text.find("a page table lies there"), std::string::npos) << refused.error().text;
  EXPECT_TRUE(insert(*alice, watch(0x2000, 8)));
}

}  // namespace
}  // namespace ringside::test
