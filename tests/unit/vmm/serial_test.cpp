#include "vmm/dev/serial.hpp"

#include <thread>

#include <gtest/gtest.h>

namespace ringside::dev {
namespace {

// The driver's side: registers by their names in <linux/serial_reg.h>.
class SerialTest : public testing::Test {
 protected:
  enum Register : std::uint16_t {
    kData = 0,
    kIer = 1,
    kIir = 2,
    kFcr = 2,
    kLcr = 3,
    kMcr = 4,
    kLsr = 5,
    kMsr = 6,
    kScr = 7
  };

  std::uint8_t in(std::uint16_t offset) {
    std::uint8_t value = 0;
    static_cast<PortDevice&>(uart_).read(offset, {&value, 1});
    return value;
  }
  void out(std::uint16_t offset, std::uint8_t value) {
    static_cast<PortDevice&>(uart_).write(offset, {&value, 1});
  }
  bool data_ready() { return in(kLsr) % 2 == 1; }
  void print(std::string_view text) {
    for (const char c : text) out(kData, static_cast<std::uint8_t>(c));
  }
  // What Linux's startup leaves: FIFOs with a trigger of 8, OUT2 to connect the interrupt.
  void start(std::uint8_t ier) {
    out(kFcr, 0x81);
    out(kMcr, 0x0b);
    out(kIer, ier);
  }

  bool irq_ = false;
  int edges_ = 0;
  std::vector<std::string> printed_;
  Serial uart_{[this](bool level) {
                 irq_ = level;
                 edges_ += level ? 1 : 0;
               },
               [this](std::string_view text) { printed_.emplace_back(text); }};
};

TEST_F(SerialTest, OutputArrivesInLines) {
  print("hello\nwor");
  EXPECT_EQ(printed_, (std::vector<std::string>{"hello\n"}));
  uart_.flush();
  EXPECT_EQ(printed_, (std::vector<std::string>{"hello\n", "wor"}));
  uart_.flush();
  EXPECT_EQ(printed_.size(), 2u);
}

TEST_F(SerialTest, ALineWithoutEndIsHandedOverAtFourKiB) {
  print(std::string(5000, 'x'));
  ASSERT_EQ(printed_.size(), 1u);
  EXPECT_EQ(printed_[0].size(), 4096u);
}

TEST_F(SerialTest, TheTransmitterIsAlwaysEmpty) {
  EXPECT_EQ(in(kLsr), 0x60);
  print("x");
  EXPECT_EQ(in(kLsr), 0x60);
}

// serial8250 autoconfig(), in its order.
TEST_F(SerialTest, LinuxRecognisesA16550A) {
  out(kIer, 0);
  EXPECT_EQ(in(kIer)&0x0f, 0);
  out(kIer, 0x0f);
  EXPECT_EQ(in(kIer), 0x0f);
  out(kIer, 0);
  out(kMcr, 0x1a);
  EXPECT_EQ(in(kMsr)&0xf0, 0x90);
  out(kMcr, 0);
  out(kFcr, 1);
  EXPECT_EQ(in(kIir) >> 6, 3);
  out(kScr, 0x5a);
  EXPECT_EQ(in(kScr), 0x5a);
  out(kIer, 0x40);  // no XScale
  EXPECT_EQ(in(kIer), 0);
}

TEST_F(SerialTest, TheDivisorHidesBehindDlab) {
  out(kLcr, 0x83);
  out(kData, 0x01);
  out(kIer, 0x02);
  EXPECT_EQ(in(kData), 0x01);
  EXPECT_EQ(in(kIer), 0x02);
  out(kLcr, 0x03);
  EXPECT_EQ(in(kIer), 0);
  EXPECT_TRUE(printed_.empty());
}

// serial8250_THRE_test: enabling the interrupt of an empty transmitter raises it, each time.
TEST_F(SerialTest, EnablingTheTransmitterInterruptRaisesIt) {
  start(0);
  out(kIer, 0x02);
  EXPECT_TRUE(irq_);
  EXPECT_EQ(in(kIir)&0x0f, 0x02);
  EXPECT_FALSE(irq_);
  EXPECT_EQ(in(kIir)&0x0f, 0x01);
  out(kIer, 0);
  out(kIer, 0x02);
  EXPECT_EQ(in(kIir)&0x0f, 0x02);
}

TEST_F(SerialTest, SendingRaisesTheTransmitterInterruptOnceForABurst) {
  start(0x02);
  in(kIir);
  const int before = edges_;
  print("0123456789abcdef");
  EXPECT_TRUE(irq_);
  EXPECT_EQ(edges_, before + 1);
  EXPECT_EQ(in(kIir)&0x0f, 0x02);
  EXPECT_FALSE(irq_);
}

TEST_F(SerialTest, WithoutOut2ThereIsNoInterrupt) {
  out(kIer, 0x02);
  EXPECT_FALSE(irq_);
  out(kMcr, 0x08);
  EXPECT_TRUE(irq_);
}

TEST_F(SerialTest, InputRaisesAndReadingItClears) {
  start(0x01);
  EXPECT_EQ(uart_.receive("ab"), 2u);
  EXPECT_TRUE(irq_);
  EXPECT_EQ(in(kIir)&0x0f, 0x0c);
  EXPECT_TRUE(data_ready());
  EXPECT_EQ(in(kData), 'a');
  EXPECT_EQ(in(kData), 'b');
  EXPECT_FALSE(irq_);
  EXPECT_FALSE(data_ready());
  EXPECT_EQ(in(kIir)&0x0f, 0x01);
}

TEST_F(SerialTest, ManyBytesOfInputReachTheTriggerLevel) {
  start(0x01);
  uart_.receive("12345678");
  EXPECT_EQ(in(kIir)&0x0f, 0x04);
}

TEST_F(SerialTest, InputIsBoundedAndContinuesWhenItIsRead) {
  start(0x01);
  const std::string flood(10000, 'y');
  const std::size_t taken = uart_.receive(flood);
  EXPECT_EQ(taken, 4096u);
  std::size_t read = 0;
  for (; data_ready(); ++read) EXPECT_EQ(in(kData), 'y');
  EXPECT_EQ(read, taken);
  EXPECT_EQ(uart_.receive("z"), 1u);
}

TEST_F(SerialTest, LoopbackComesBackAndStaysInside) {
  out(kFcr, 0x01);
  out(kMcr, 0x10);
  uart_.receive("from outside");
  print("hi\n");
  EXPECT_TRUE(printed_.empty());
  EXPECT_EQ(in(kData), 'h');
  EXPECT_EQ(in(kData), 'i');
  EXPECT_EQ(in(kData), '\n');
  EXPECT_FALSE(data_ready());
  out(kMcr, 0);
  EXPECT_EQ(in(kData), 'f');
}

TEST_F(SerialTest, ClearingTheReceiverDropsTheFifoOnly) {
  start(0);
  uart_.receive("0123456789abcdef+");
  out(kFcr, 0x83);
  EXPECT_EQ(in(kData), '+');
}

TEST_F(SerialTest, ModemStatusSaysWhatChangedOnce) {
  out(kMcr, 0x10);
  EXPECT_EQ(in(kMsr), 0x0b);
  EXPECT_EQ(in(kMsr), 0x00);
}

TEST_F(SerialTest, ResetIsPowerOn) {
  start(0x03);
  uart_.receive("abc");
  print("half");
  uart_.reset();
  EXPECT_FALSE(irq_);
  EXPECT_EQ(in(kLsr), 0x60);
  EXPECT_EQ(in(kIer), 0);
  EXPECT_EQ(printed_, (std::vector<std::string>{"half"}));
}

TEST_F(SerialTest, InputAndOutputMeetOnDifferentThreads) {
  start(0x03);
  std::jthread typist([this] {
    for (int i = 0; i < 1000; ++i) uart_.receive("k");
  });
  for (int i = 0; i < 1000; ++i) {
    print(".");
    in(kIir);
    if (data_ready()) {
      EXPECT_EQ(in(kData), 'k');
    }
  }
}

}  // namespace
}  // namespace ringside::dev
