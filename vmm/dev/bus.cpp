#include "vmm/dev/bus.hpp"

#include <algorithm>

#include <fmt/format.h>

namespace ringside::dev {
namespace {

constexpr std::uint64_t kPorts = 0x10000;

// One access, in as few pieces as the ranges allow: whole when one device has all of it, else byte by byte,
// and ones for what nobody has.
template <typename Find, typename Read>
void read_split(std::uint64_t at, MutableByteView to, Find find, Read read) {
  const auto* range = find(at);
  if (range != nullptr && at + to.size() <= range->end) return read(*range, at, to);
  for (std::size_t i = 0; i < to.size(); ++i) {
    const auto* piece = find(at + i);
    if (piece == nullptr) {
      to[i] = 0xff;
    } else {
      read(*piece, at + i, to.subspan(i, 1));
    }
  }
}

template <typename Find, typename Write>
void write_split(std::uint64_t at, ByteView from, Find find, Write write) {
  const auto* range = find(at);
  if (range != nullptr && at + from.size() <= range->end) return write(*range, at, from);
  for (std::size_t i = 0; i < from.size(); ++i) {
    if (const auto* piece = find(at + i); piece != nullptr) write(*piece, at + i, from.subspan(i, 1));
  }
}

}  // namespace

void BytePortDevice::read(std::uint16_t offset, MutableByteView to) {
  for (std::uint8_t& byte : to) byte = read_byte(offset++);
}

void BytePortDevice::write(std::uint16_t offset, ByteView from) {
  for (const std::uint8_t byte : from) write_byte(offset++, byte);
}

template <typename Device>
Result<void> Bus::add(std::vector<Range<Device>>& ranges, Range<Device> range) {
  const auto next = std::upper_bound(ranges.begin(), ranges.end(), range.begin,
                                     [](std::uint64_t at, const Range<Device>& r) { return at < r.begin; });
  const bool hits_next = next != ranges.end() && next->begin < range.end;
  const bool hits_previous = next != ranges.begin() && std::prev(next)->end > range.begin;
  if (hits_next || hits_previous) {
    return fail(Errc::kBusy, fmt::format("a device claims {:#x}..{:#x} already", range.begin, range.end - 1));
  }
  ranges.insert(next, range);
  return {};
}

template <typename Device>
const Bus::Range<Device>* Bus::find(const std::vector<Range<Device>>& ranges, std::uint64_t at) {
  const auto next = std::upper_bound(ranges.begin(), ranges.end(), at,
                                     [](std::uint64_t a, const Range<Device>& r) { return a < r.begin; });
  if (next == ranges.begin() || std::prev(next)->end <= at) return nullptr;
  return &*std::prev(next);
}

Result<void> Bus::add_ports(std::uint16_t first, std::uint32_t count, PortDevice& device) {
  if (count == 0 || first + std::uint64_t{count} > kPorts) {
    return fail(Errc::kMalformed, fmt::format("{} ports at {:#x} are not a port range", count, first));
  }
  return add(ports_, Range<PortDevice>{first, std::uint64_t{first} + count, &device});
}

Result<void> Bus::add_mmio(Gpa begin, std::uint64_t bytes, MmioDevice& device) {
  if (bytes == 0 || bytes > ~begin.value) {
    return fail(Errc::kMalformed,
                fmt::format("{:#x} bytes at {:#x} are not an MMIO range", bytes, begin.value));
  }
  return add(mmio_, Range<MmioDevice>{begin.value, begin.value + bytes, &device});
}

void Bus::read_port(std::uint16_t port, MutableByteView to) const {
  read_split(
      port, to, [this](std::uint64_t at) { return find(ports_, at); },
      [](const auto& range, std::uint64_t at, MutableByteView bytes) {
        range.device->read(static_cast<std::uint16_t>(at - range.begin), bytes);
      });
}

void Bus::write_port(std::uint16_t port, ByteView from) const {
  write_split(
      port, from, [this](std::uint64_t at) { return find(ports_, at); },
      [](const auto& range, std::uint64_t at, ByteView bytes) {
        range.device->write(static_cast<std::uint16_t>(at - range.begin), bytes);
      });
}

void Bus::read_mmio(Gpa at, MutableByteView to) const {
  read_split(
      at.value, to, [this](std::uint64_t address) { return find(mmio_, address); },
      [](const auto& range, std::uint64_t address, MutableByteView bytes) {
        range.device->read(address - range.begin, bytes);
      });
}

void Bus::write_mmio(Gpa at, ByteView from) const {
  write_split(
      at.value, from, [this](std::uint64_t address) { return find(mmio_, address); },
      [](const auto& range, std::uint64_t address, ByteView bytes) {
        range.device->write(address - range.begin, bytes);
      });
}

}  // namespace ringside::dev
