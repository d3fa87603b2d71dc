// A large buffer that takes memory only where it is written: an anonymous mapping of a promised size, so that
// a promise by hostile input costs nothing, and nothing is copied while it fills.  Owns the mapping;
// move-only.
#pragma once

#include <cstddef>
#include <utility>

#include "arch/bytes.hpp"
#include "arch/result.hpp"

namespace ringside::boot {

class HostBytes {
 public:
  HostBytes() = default;
  static Result<HostBytes> create(std::size_t capacity);
  HostBytes(HostBytes&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)),
        capacity_(std::exchange(other.capacity_, 0)),
        size_(std::exchange(other.size_, 0)) {}
  HostBytes& operator=(HostBytes&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(capacity_, other.capacity_);
    std::swap(size_, other.size_);
    return *this;
  }
  HostBytes(const HostBytes&) = delete;
  HostBytes& operator=(const HostBytes&) = delete;
  ~HostBytes();

  // What has been written, and room for more (zero bytes so far).
  ByteView view() const { return {data_, size_}; }
  MutableByteView room() { return {data_ + size_, capacity_ - size_}; }
  void wrote(std::size_t bytes) { size_ += bytes; }
  bool full() const { return size_ == capacity_; }

 private:
  HostBytes(std::uint8_t* data, std::size_t capacity) : data_(data), capacity_(capacity) {}
  std::uint8_t* data_ = nullptr;
  std::size_t capacity_ = 0;
  std::size_t size_ = 0;
};

}  // namespace ringside::boot
