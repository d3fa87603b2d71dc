// An owned file descriptor, and ioctl as a Result.
#pragma once

#include <cerrno>
#include <string_view>
#include <utility>

#include <sys/ioctl.h>

#include "arch/result.hpp"

namespace ringside::kvm {

class Fd {
 public:
  Fd() = default;
  explicit Fd(int number) : number_(number) {}
  Fd(Fd&& other) noexcept : number_(std::exchange(other.number_, -1)) {}
  Fd& operator=(Fd&& other) noexcept {
    std::swap(number_, other.number_);
    return *this;
  }
  Fd(const Fd&) = delete;
  Fd& operator=(const Fd&) = delete;
  ~Fd();

  int number() const { return number_; }
  bool open() const { return number_ >= 0; }

  // ioctl repeated over EINTR; `name` is the request's name in the KVM API document, for the error text.
  template <typename Argument>
  Result<int> call(std::string_view name, unsigned long request, Argument argument) const {
    int answer;
    do {
      answer = ::ioctl(number_, request, argument);
    } while (answer < 0 && errno == EINTR);
    if (answer < 0) return fail_errno(name, errno);
    return answer;
  }

 private:
  int number_ = -1;
};

}  // namespace ringside::kvm
