// Records on their way from the vCPU threads to a client: bounded, in the order in which they were written.
//
// A mutex, where a ring for each vCPU would need none: one order over all CPUs is what readers want, and
// dropping the oldest needs it.  It is held for a copy only, and nobody sleeps under it.
// Thread: push() any vCPU's; the rest the hub.
#pragma once

#include <atomic>
#include <cstdint>
#include <mutex>
#include <vector>

#include "arch/bytes.hpp"

namespace ringside::strace {

enum class Overflow : std::uint8_t {
  kDrop,       // what comes when the ring is full is lost
  kOverwrite,  // the oldest is
  kBlock,      // nothing is: whoever writes has to wait
};

class Ring {
 public:
  Ring(std::size_t bytes, Overflow overflow);

  struct Pushed {
    bool first = false;  // there was nothing to read before
    bool full = false;   // kBlock: the vCPU should wait
  };
  // `record` is encoded, its length before it.
  Pushed push(ByteView record) noexcept;

  // A record that could not even be made.
  void lose() noexcept;

  // Moves whole records, up to `most` bytes, into `into`; tells where records are missing by a record of its
  // own.
  void take(Bytes& into, std::size_t most);
  // kBlock: there is room again, for all who have been told to wait.
  bool has_room() const;
  bool empty() const;
  std::uint64_t lost() const;
  // Nothing more is taken in: what is there is what there was.
  bool frozen() const { return frozen_.load(std::memory_order_relaxed); }
  void freeze() { frozen_.store(true, std::memory_order_relaxed); }

 private:
  void tell_losses(Bytes& into);
  std::size_t size_of_first() const;
  void copy_in(ByteView bytes);
  void copy_out(MutableByteView bytes);
  void skip(std::size_t bytes);
  std::size_t room() const { return storage_.size() - used_; }

  mutable std::mutex mutex_;
  Bytes storage_;
  std::size_t first_ = 0;
  std::size_t used_ = 0;
  std::uint64_t lost_ = 0;    // since the beginning
  std::uint64_t untold_ = 0;  // of these, not told of yet
  const Overflow overflow_;
  std::atomic<bool> frozen_{false};
};

}  // namespace ringside::strace
