#include "stub/guestos/kernel_log.hpp"

#include <gtest/gtest.h>

#include "tests/unit/guestos/small_kernel.hpp"

namespace ringside::guestos {
namespace {

using test::SmallKernel;

constexpr std::uint64_t kFinalized = std::uint64_t{2} << 62, kReserved = 0;

// A ring of 4 records and 128 bytes of text.
class KernelLog : public testing::Test {
 protected:
  KernelLog() {
    guest_.word(guest_.place(0x10), ring_);
    guest_.memory().put(ring_, std::uint32_t{2});
    guest_.word(ring_ + 8, descs_);
    guest_.word(ring_ + 16, infos_);
    guest_.memory().put(ring_ + 48, std::uint32_t{7});
    guest_.word(ring_ + 56, data_);
  }
  void ids(std::uint64_t tail, std::uint64_t head) {
    guest_.memory().put(ring_ + 24, head);
    guest_.memory().put(ring_ + 32, tail);
  }
  void record(std::uint64_t id, std::uint64_t begin, std::uint64_t next, std::string_view text,
              std::uint64_t state = kFinalized) {
    const Gva desc = descs_ + 24 * (id % 4), info = infos_ + 32 * (id % 4);
    guest_.memory().put(desc, state | id);
    guest_.memory().put(desc + 8, begin);
    guest_.memory().put(desc + 16, next);
    guest_.memory().put(info + 8, id * 1'500'000'000);
    guest_.memory().put(info + 16, static_cast<std::uint16_t>(text.size()));
    const bool wrapped = begin / 128 != next / 128 && next % 128 != 0;
    const Gva block = data_ + (wrapped ? 0 : begin % 128);
    guest_.memory().put(block, id);
    guest_.put(block + 8, text);
  }
  std::string log() {
    const auto kernel = guest_.kernel();
    if (!kernel) return kernel.error().text;
    const auto text = (*kernel)->kernel_log(guest_.memory());
    return text ? *text : "error: " + text.error().text;
  }

  SmallKernel guest_;
  Gva ring_ = guest_.place(0x3000), descs_ = guest_.place(0x3100), infos_ = guest_.place(0x3200),
      data_ = guest_.place(0x3400);
};

TEST_F(KernelLog, IsPrintedAsDmesgPrintsIt) {
  ids(1, 2);
  record(1, 0, 24, "first line");
  record(2, 24, 56, "two\nlines");
  EXPECT_EQ(log(), "[    1.500000] first line\n[    3.000000] two\n[    3.000000] lines\n");
}

TEST_F(KernelLog, GoesOnAtTheBeginOfTheRing) {
  ids(5, 6);
  record(5, 96, 120, "at the end");
  record(6, 120, 128 + 24, "wrapped");
  EXPECT_EQ(log(), "[    7.500000] at the end\n[    9.000000] wrapped\n");
}

TEST_F(KernelLog, LeavesOutWhatIsBeingWritten) {
  ids(1, 3);
  record(1, 0, 24, "done");
  record(2, 24, 48, "half", kReserved);
  record(3, 48, 72,
         "\x01"
         "odd\r");
  EXPECT_EQ(log(), "[    1.500000] done\n[    4.500000] ?odd?\n");
}

TEST_F(KernelLog, ThatIsDamagedIsRefused) {
  ids(1, 100);
  EXPECT_TRUE(log().starts_with("error: "));
  guest_.memory().put(ring_, std::uint32_t{60});
  EXPECT_TRUE(log().starts_with("error: "));
}

}  // namespace
}  // namespace ringside::guestos
