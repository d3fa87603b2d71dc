// Byte buffers, and little-endian loads and stores that have no alignment demands.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <type_traits>
#include <vector>

namespace ringside {

using Bytes = std::vector<std::uint8_t>;
using ByteView = std::span<const std::uint8_t>;
using MutableByteView = std::span<std::uint8_t>;

// The caller has checked that sizeof(T) bytes are there.  x86 guests on x86 hosts: host order is guest order.
template <typename T>
requires std::is_trivially_copyable_v<T> T load(const std::uint8_t* from) {
  T value;
  std::memcpy(&value, from, sizeof value);
  return value;
}

template <typename T>
requires std::is_trivially_copyable_v<T>
void store(std::uint8_t* to, const T& value) { std::memcpy(to, &value, sizeof value); }

template <typename T>
requires std::is_trivially_copyable_v<T> ByteView bytes_of(const T& value) {
  return {reinterpret_cast<const std::uint8_t*>(&value), sizeof value};
}

}  // namespace ringside
