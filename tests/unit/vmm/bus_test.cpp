#include "vmm/dev/bus.hpp"

#include <gtest/gtest.h>

namespace ringside::dev {
namespace {

// Remembers what it was asked; answers with the offset.
class Recorder final : public PortDevice, public MmioDevice {
 public:
  void read(std::uint16_t offset, MutableByteView to) override { answer(offset, to); }
  void write(std::uint16_t offset, ByteView from) override { note(offset, from); }
  void read(std::uint64_t offset, MutableByteView to) override { answer(offset, to); }
  void write(std::uint64_t offset, ByteView from) override { note(offset, from); }

  std::uint64_t last_offset = 0;
  Bytes last_written;
  int calls = 0;

 private:
  void answer(std::uint64_t offset, MutableByteView to) {
    ++calls;
    for (std::uint8_t& byte : to) byte = static_cast<std::uint8_t>(offset++);
  }
  void note(std::uint64_t offset, ByteView from) {
    ++calls;
    last_offset = offset;
    last_written.assign(from.begin(), from.end());
  }
};

std::uint32_t read_port(const Bus& bus, std::uint16_t port, std::size_t size) {
  std::uint32_t value = 0;
  bus.read_port(port, {reinterpret_cast<std::uint8_t*>(&value), size});
  return value;
}

TEST(Bus, UnclaimedPortsReadOnesAndSwallowWrites) {
  const Bus bus;
  EXPECT_EQ(read_port(bus, 0x80, 1), 0xffu);
  EXPECT_EQ(read_port(bus, 0xcf8, 4), 0xffffffffu);
  bus.write_port(0x80, Bytes{1});
}

TEST(Bus, AnAccessGoesWholeToTheDeviceThatHasAllOfIt) {
  Bus bus;
  Recorder device;
  ASSERT_TRUE(bus.add_ports(0x600, 8, device));
  EXPECT_EQ(read_port(bus, 0x604, 4), 0x07060504u);
  EXPECT_EQ(device.calls, 1);
  bus.write_port(0x606, Bytes{1, 2});
  EXPECT_EQ(device.last_offset, 6u);
  EXPECT_EQ(device.last_written, (Bytes{1, 2}));
}

TEST(Bus, AnAccessAcrossABorderIsTakenApart) {
  Bus bus;
  Recorder first;
  Recorder second;
  ASSERT_TRUE(bus.add_ports(0x600, 2, first));
  ASSERT_TRUE(bus.add_ports(0x602, 1, second));
  EXPECT_EQ(read_port(bus, 0x600, 4), 0xff000100u);
  EXPECT_EQ(read_port(bus, 0xffff, 4), 0xffffffffu);
  EXPECT_EQ(read_port(bus, 0x5ff, 2), 0x00ffu);
}

TEST(Bus, RangesThatOverlapOrEndOutsideAreRefused) {
  Bus bus;
  Recorder device;
  ASSERT_TRUE(bus.add_ports(0x600, 8, device));
  EXPECT_FALSE(bus.add_ports(0x607, 1, device));
  EXPECT_FALSE(bus.add_ports(0x5ff, 2, device));
  EXPECT_FALSE(bus.add_ports(0x5f0, 0x100, device));
  EXPECT_FALSE(bus.add_ports(0x700, 0, device));
  EXPECT_FALSE(bus.add_ports(0xffff, 2, device));
  EXPECT_TRUE(bus.add_ports(0x608, 8, device));
  EXPECT_TRUE(bus.add_ports(0x5f8, 8, device));
  EXPECT_TRUE(bus.add_ports(0xffff, 1, device));
  EXPECT_FALSE(bus.add_mmio(Gpa{~std::uint64_t{0}}, 4096, device));
}

TEST(Bus, MmioFindsItsDevice) {
  Bus bus;
  Recorder device;
  ASSERT_TRUE(bus.add_mmio(Gpa{0xd0000000}, 0x1000, device));
  Bytes value(8);
  bus.read_mmio(Gpa{0xd0000010}, value);
  EXPECT_EQ(value[0], 0x10);
  EXPECT_EQ(device.calls, 1);
  bus.read_mmio(Gpa{0xd0000ffc}, value);
  EXPECT_EQ(value, (Bytes{0xfc, 0xfd, 0xfe, 0xff, 0xff, 0xff, 0xff, 0xff}));
  bus.write_mmio(Gpa{0xd0000020}, Bytes{9});
  EXPECT_EQ(device.last_offset, 0x20u);
}

}  // namespace
}  // namespace ringside::dev
