// Text of bounded length, written without allocating: what decoders produce, on vCPU threads.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <iterator>
#include <span>
#include <string_view>

#include <fmt/format.h>

namespace ringside::strace {

// Borrows its storage.  What does not fit is cut off, and remembered as cut.
class Text {
 public:
  // Between two arguments of a call; whoever shows the text writes ", " instead.  Guest strings are escaped,
  // so it never comes from them.
  static constexpr char kNextArgument = '\x1f';

  explicit Text(std::span<char> storage) : storage_(storage) {}

  void add(std::string_view text) noexcept {
    const std::size_t size = std::min(text.size(), storage_.size() - used_);
    std::memcpy(storage_.data() + used_, text.data(), size);
    used_ += size;
    cut_ = cut_ || size < text.size();
  }
  void add(char c) noexcept { add(std::string_view(&c, 1)); }

  template <typename... Args>
  void format(fmt::format_string<Args...> how, Args&&... args) noexcept {
    const std::size_t room = storage_.size() - used_;
    const auto done = fmt::format_to_n(storage_.data() + used_, room, how, std::forward<Args>(args)...);
    used_ += std::min(done.size, room);
    cut_ = cut_ || done.size > room;
  }

  // All of it; what has been cut off shows as "...".
  std::string_view finish() noexcept {
    constexpr std::string_view kMore = "...";
    if (cut_ && used_ >= kMore.size())
      std::memcpy(storage_.data() + used_ - kMore.size(), kMore.data(), kMore.size());
    return view();
  }
  std::string_view view() const { return {storage_.data(), used_}; }
  bool cut() const { return cut_; }

 private:
  std::span<char> storage_;
  std::size_t used_ = 0;
  bool cut_ = false;
};

}  // namespace ringside::strace
