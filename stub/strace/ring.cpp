#include "stub/strace/ring.hpp"

#include <algorithm>
#include <array>
#include <utility>

#include "stub/strace/record.hpp"

namespace ringside::strace {
namespace {

constexpr std::size_t kLostRecordBytes = 32;

std::size_t encode_lost(std::uint64_t count, MutableByteView into) {
  const Record lost{.kind = Record::Kind::kLost, .lost = count};
  return encode(lost, into).value_or(0);
}

}  // namespace

Ring::Ring(std::size_t bytes, Overflow overflow) : storage_(bytes), overflow_(overflow) {}

Ring::Pushed Ring::push(ByteView record) noexcept {
  const std::lock_guard lock(mutex_);
  if (frozen_.load(std::memory_order_relaxed)) return {};
  const bool was_empty = used_ == 0;
  if (overflow_ == Overflow::kOverwrite) {
    while (used_ > 0 && room() < record.size()) {
      skip(size_of_first());
      ++lost_;
      ++untold_;
    }
  }
  const bool tells = overflow_ != Overflow::kOverwrite && untold_ > 0;
  if (room() < record.size() + (tells ? kLostRecordBytes : 0)) {
    ++lost_;
    ++untold_;
    return {};
  }
  if (tells) {
    std::array<std::uint8_t, kLostRecordBytes> lost;
    copy_in(ByteView(lost).first(encode_lost(std::exchange(untold_, 0), lost)));
  }
  copy_in(record);
  return {.first = was_empty, .full = overflow_ == Overflow::kBlock && used_ > storage_.size() / 2};
}

void Ring::lose() noexcept {
  const std::lock_guard lock(mutex_);
  ++lost_;
  ++untold_;
}

void Ring::take(Bytes& into, std::size_t most) {
  const std::lock_guard lock(mutex_);
  if (overflow_ == Overflow::kOverwrite) tell_losses(into);
  while (used_ > 0) {
    const std::size_t size = size_of_first();
    if (!into.empty() && into.size() + size > most) return;
    const std::size_t at = into.size();
    into.resize(at + size);
    copy_out(MutableByteView(into).subspan(at));
  }
  tell_losses(into);  // behind all that is there
}

void Ring::tell_losses(Bytes& into) {
  if (untold_ == 0) return;
  std::array<std::uint8_t, kLostRecordBytes> lost;
  const std::size_t size = encode_lost(std::exchange(untold_, 0), lost);
  into.insert(into.end(), lost.begin(), lost.begin() + static_cast<std::ptrdiff_t>(size));
}

bool Ring::has_room() const {
  const std::lock_guard lock(mutex_);
  return used_ <= storage_.size() / 4;
}

bool Ring::empty() const {
  const std::lock_guard lock(mutex_);
  return used_ == 0 && untold_ == 0;
}

std::uint64_t Ring::lost() const {
  const std::lock_guard lock(mutex_);
  return lost_;
}

// With its length, which stands before it as a varint.
std::size_t Ring::size_of_first() const {
  std::size_t value = 0;
  for (std::size_t i = 0; i < sizeof value; ++i) {
    const std::uint8_t byte = storage_[(first_ + i) % storage_.size()];
    value |= static_cast<std::size_t>(byte & 0x7f) << (7 * i);
    if ((byte & 0x80) == 0) return value + i + 1;
  }
  return used_;
}

void Ring::copy_in(ByteView bytes) {
  const std::size_t at = (first_ + used_) % storage_.size();
  const std::size_t until_end = std::min(bytes.size(), storage_.size() - at);
  std::ranges::copy(bytes.first(until_end), storage_.begin() + static_cast<std::ptrdiff_t>(at));
  std::ranges::copy(bytes.subspan(until_end), storage_.begin());
  used_ += bytes.size();
}

void Ring::copy_out(MutableByteView bytes) {
  const std::size_t until_end = std::min(bytes.size(), storage_.size() - first_);
  std::copy_n(storage_.begin() + static_cast<std::ptrdiff_t>(first_), until_end, bytes.begin());
  std::copy_n(storage_.begin(), bytes.size() - until_end,
              bytes.begin() + static_cast<std::ptrdiff_t>(until_end));
  skip(bytes.size());
}

void Ring::skip(std::size_t bytes) {
  first_ = (first_ + bytes) % storage_.size();
  used_ -= bytes;
}

}  // namespace ringside::strace
