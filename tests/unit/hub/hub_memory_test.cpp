// Memory and registers through the hub: parked and running vCPUs, and questions that outlive who asked.
#include "tests/unit/hub/hub_testing.hpp"

namespace ringside::hub {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using tracer::AddressSpace;
using x86::Reg;
using x86::RegGroup;

class HubMemory : public HubTest {
 protected:
  HubMemory() { tracer_ = attach_stopped(); }

  Result<void> write(std::uint64_t at, const Bytes& data, AddressSpace space = AddressSpace::kVirtual) {
    std::optional<Result<void>> answer;
    tracer_->port->write_memory(VcpuId{0}, space, Gva{at}, data,
                                [&](Result<void> done) { answer = std::move(done); });
    poll();
    EXPECT_TRUE(answer.has_value());
    return *answer;
  }
  std::optional<std::uint64_t> read_register(Reg reg, std::uint32_t number = 0) {
    std::optional<std::uint64_t> value;
    tracer_->port->read_registers(VcpuId{number}, x86::info(reg).group,
                                  [&](Result<const x86::RegisterFile*> file) {
                                    if (file) value = (*file)->u64(reg);
                                  });
    poll();
    return value;
  }
  Result<void> write_register(Reg reg, std::uint64_t value) {
    x86::RegisterFile file;
    file.set_u64(reg, value);
    const ByteView raw = std::as_const(file).raw(reg);
    std::optional<Result<void>> answer;
    tracer_->port->write_registers(VcpuId{0}, {{reg, Bytes(raw.begin(), raw.end())}},
                                   [&](Result<void> done) { answer = std::move(done); });
    poll();
    EXPECT_TRUE(answer.has_value());
    return *answer;
  }
  std::optional<Gva> search(std::uint64_t at, std::uint64_t size, const Bytes& pattern) {
    std::optional<Gva> where;
    tracer_->port->search_memory(VcpuId{0}, AddressSpace::kVirtual, Gva{at}, size, pattern,
                                 [&](Result<std::optional<Gva>> found) {
                                   if (found) where = *found;
                                 });
    poll();
    return where;
  }
  std::unique_ptr<RecordingTracer> tracer_;
};

TEST_F(HubMemory, ReadsAndWritesThroughTheGuestsTables) {
  ASSERT_TRUE(write(fakes::kKernel + kData, {1, 2, 3}));
  EXPECT_THAT(read(*tracer_, kData, 3), ElementsAre(1, 2, 3));
  EXPECT_EQ(machine_.byte(kData + 2), 3);
}

TEST_F(HubMemory, PhysicalAddressesNeedNoTables) {
  ASSERT_TRUE(write_register(Reg::kCr3, 0x10000));
  EXPECT_TRUE(read(*tracer_, kData, 1).empty());
  ASSERT_TRUE(write(kData, {9}, AddressSpace::kPhysical));
  EXPECT_EQ(machine_.byte(kData), 9);
}

TEST_F(HubMemory, WhereNoMemoryIsIsAnErrorAndAPrefixIsNot) {
  std::optional<Errc> error;
  tracer_->port->read_memory(VcpuId{0}, AddressSpace::kVirtual, Gva{0x7000000}, 4, [&](Result<Bytes> data) {
    if (!data) error = data.error().code;
  });
  poll();
  EXPECT_EQ(error, Errc::kNotMapped);
  EXPECT_EQ(read(*tracer_, fakes::kRamBytes - 2, 8).size(), 2u);
  EXPECT_FALSE(write(0x7000000, {1}));
}

TEST_F(HubMemory, AReadOfNothingIsEmptyWithoutError) {
  bool fine = false;
  tracer_->port->read_memory(VcpuId{0}, AddressSpace::kVirtual, Gva{0x7000000}, 0,
                             [&](Result<Bytes> data) { fine = data.has_value() && data->empty(); });
  poll();
  EXPECT_TRUE(fine);
}

TEST_F(HubMemory, ARunningVcpuIsReadWithoutBeingStopped) {
  resume_all(*tracer_);
  const int runs = vcpu(0).runs;
  EXPECT_THAT(read(*tracer_, kCode, 2), ElementsAre(0x90, 0x90));
  EXPECT_TRUE(running(0));
  EXPECT_EQ(vcpu(0).runs, runs);
  EXPECT_EQ(vcpu(0).pauses, 0);
}

TEST_F(HubMemory, AReadOfARunningVcpuIsAnsweredWhenItsThreadHasTime) {
  resume_all(*tracer_);
  machine_.prompt = false;
  std::optional<Bytes> answer;
  tracer_->port->read_memory(VcpuId{0}, AddressSpace::kVirtual, Gva{kCode}, 1,
                             [&](Result<Bytes> data) { answer = *data; });
  poll();
  EXPECT_FALSE(answer);
  EXPECT_TRUE(vcpu(0).answer_post());
  poll();
  EXPECT_TRUE(answer);
}

TEST_F(HubMemory, QuestionsMayOutliveTheirTracer) {
  resume_all(*tracer_);
  machine_.prompt = false;
  int answers = 0;
  const auto count = [&answers](const auto&) { ++answers; };
  tracer_->port->read_memory(VcpuId{0}, AddressSpace::kVirtual, Gva{kCode}, 1, count);
  tracer_->port->read_registers(VcpuId{0}, RegGroup::kCore, count);
  tracer_->port->search_memory(VcpuId{0}, AddressSpace::kVirtual, Gva{kCode}, 16, {0x77}, count);
  tracer_->port->kernel_slide(VcpuId{0}, count);
  tracer_->port->disassemble(VcpuId{0}, AddressSpace::kVirtual, {.at = kCode}, 1, count);
  poll();
  EXPECT_EQ(answers, 0);
  detach(tracer_);
  int posts = 0;
  for (; vcpu(0).answer_post(); ++posts) poll();
  poll();
  EXPECT_EQ(posts, 5);
  EXPECT_EQ(answers, 5);  // each exactly once, with nobody there any more
  EXPECT_TRUE(vcpu(0).running());
}

TEST_F(HubMemory, RegistersAreThoseOfTheirVcpu) {
  EXPECT_EQ(read_register(Reg::kRip, 0), kCode);
  EXPECT_EQ(read_register(Reg::kRip, 1), kCode + 0x100);
}

TEST_F(HubMemory, WhatIsWrittenIsReadBackAndKept) {
  ASSERT_TRUE(write_register(Reg::kRax, 0x1234));
  ASSERT_TRUE(write_register(Reg::kMsrLstar, 0xffffffff81000000));
  EXPECT_EQ(read_register(Reg::kRax), 0x1234u);
  EXPECT_EQ(read_register(Reg::kMsrLstar), 0xffffffff81000000u);
  EXPECT_EQ(vcpu(0).core().gpr[x86::kRax], 0x1234u);
}

TEST_F(HubMemory, ARefusedWriteIsAnErrorAndReadsShowTheOldValue) {
  vcpu(0).refused.insert(Reg::kCr0);
  const auto before = read_register(Reg::kCr0);
  const Result<void> done = write_register(Reg::kCr0, 0);
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().code, Errc::kRefused);
  EXPECT_EQ(read_register(Reg::kCr0), before);
}

TEST_F(HubMemory, RegistersOfARunningVcpuAreNotWritten) {
  resume_all(*tracer_);
  const Result<void> done = write_register(Reg::kRax, 1);
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().code, Errc::kBusy);
}

TEST_F(HubMemory, RegistersAreReadOnceAStopAndAnewAfterIt) {
  EXPECT_EQ(read_register(Reg::kRip), kCode);
  step(*tracer_, 0);
  execute(1);
  EXPECT_EQ(read_register(Reg::kRip), kCode + 1);
}

TEST_F(HubMemory, AReadThatSpansAStopIsNotKeptForTheNext) {
  machine_.prompt = false;
  std::optional<std::uint64_t> seen;
  tracer_->port->read_registers(VcpuId{0}, RegGroup::kCore, [&](Result<const x86::RegisterFile*> file) {
    seen = (*file)->u64(Reg::kRip);
  });
  poll();
  ASSERT_TRUE(vcpu(0).answer_post());  // read; the hub has not seen it yet
  ASSERT_TRUE(tracer_->port->resume({{VcpuId{0}, Kind::kStep, {}}}));
  vcpu(0).advance();
  poll();
  EXPECT_EQ(seen, kCode);
  machine_.prompt = true;
  EXPECT_EQ(read_register(Reg::kRip), kCode + 1);
}

TEST_F(HubMemory, SearchFindsAcrossPagesAndOnlyWhatIsThere) {
  machine_.put(0xafff, {0x12, 0x34, 0x56});
  EXPECT_EQ(search(kData, 0x4000, {0x12, 0x34, 0x56}), Gva{0xafff});
  EXPECT_EQ(search(kData, 0x1000, {0x12, 0x34, 0x56}), std::nullopt);  // ends inside the pattern
  EXPECT_EQ(search(kData, 0x1002, {0x12, 0x34, 0x56}), Gva{0xafff});
  EXPECT_EQ(search(kData, 2, {1, 2, 3}), std::nullopt);
  EXPECT_EQ(search(kData, 0x100, {}), std::nullopt);
}

TEST_F(HubMemory, SearchEndsWhereMemoryEnds) {
  machine_.put(fakes::kRamBytes - 2, {0x12, 0x34});
  EXPECT_EQ(search(fakes::kRamBytes - 0x100, ~0ull >> 1, {0x12, 0x34}), Gva{fakes::kRamBytes - 2});
  EXPECT_EQ(search(fakes::kRamBytes - 0x100, ~0ull >> 1, {0x12, 0x35}), std::nullopt);
}

TEST_F(HubMemory, DisassemblesInTheCpusModeAndBelowInt3) {
  for (std::uint64_t i = 0; i < 4; ++i) ASSERT_TRUE(insert(*tracer_, hardware(0x9000 + i)));
  ASSERT_TRUE(insert(*tracer_, software(kCode)));
  std::string text;
  tracer_->port->disassemble(VcpuId{0}, AddressSpace::kVirtual, {.at = kCode}, 2,
                             [&](Result<std::string> lines) { text = *lines; });
  poll();
  EXPECT_EQ(text, "0x8000:\tnop\n0x8001:\tnop\n");
}

TEST_F(HubMemory, TheSlideThatTheMonitorChoseIsKnown) {
  machine_.info_.kernel.emplace();
  machine_.info_.kernel->link_text = Gva{0xffffffff81000000};
  machine_.info_.kernel->slide = 0x2e000000;
  std::optional<tracer::KernelSlide> slide;
  tracer_->port->kernel_slide(VcpuId{0},
                              [&](Result<std::optional<tracer::KernelSlide>> found) { slide = *found; });
  poll();
  ASSERT_TRUE(slide);
  EXPECT_EQ(slide->slide, 0x2e000000u);
}

TEST_F(HubMemory, ASlideOfTheKernelsOwnIsFoundByItsBanner) {
  machine_.info_.kernel.emplace();
  machine_.info_.kernel->link_text = Gva{fakes::kKernel - (4u << 20)};
  machine_.info_.kernel->link_banner = Gva{fakes::kKernel - (4u << 20) + kData};
  machine_.info_.kernel->banner = "Linux version 6.1";
  const std::string& banner = machine_.info_.kernel->banner;
  std::optional<tracer::KernelSlide> slide;
  const auto ask = [&] {
    tracer_->port->kernel_slide(VcpuId{0},
                                [&](Result<std::optional<tracer::KernelSlide>> found) { slide = *found; });
    poll();
  };
  ask();
  EXPECT_FALSE(slide);  // not in place yet
  machine_.put(kData, Bytes(banner.begin(), banner.end()));
  ask();
  ASSERT_TRUE(slide);
  EXPECT_EQ(slide->slide, 4u << 20);
}

}  // namespace
}  // namespace ringside::hub
