#include "stub/strace/filter.hpp"

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <regex>

#include "stub/strace/decode.hpp"

namespace ringside::strace {

namespace {

constexpr std::array<std::string_view, 5> kStatusNames{"successful", "failed", "unfinished", "unavailable",
                                                       "detached"};

struct Words {
  bool inverted = false;
  std::vector<std::string_view> words;
};

// "!a,b" is all but a and b.
Words split(std::string_view text) {
  Words found;
  if (text.starts_with('!')) {
    found.inverted = true;
    text.remove_prefix(1);
  }
  while (true) {
    const std::size_t comma = text.find(',');
    found.words.push_back(text.substr(0, comma));
    if (comma == std::string_view::npos) return found;
    text.remove_prefix(comma + 1);
  }
}

std::optional<std::uint32_t> number_of(std::string_view word) {
  std::uint32_t number = 0;
  const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), number);
  if (error != std::errc{} || end != word.data() + word.size()) return std::nullopt;
  return number;
}

// "SIGCHLD", "chld", "17".
std::optional<int> signal_of(std::string_view word) {
  if (const auto number = number_of(word)) return *number <= 64 ? std::optional<int>(*number) : std::nullopt;
  std::string name(word);
  std::transform(name.begin(), name.end(), name.begin(),
                 [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
  if (!name.starts_with("SIG")) name.insert(0, "SIG");
  for (int signal = 1; signal <= 64; ++signal) {
    if (signal_name(signal) == name) return signal;
  }
  return std::nullopt;
}

// "open@64" is about one ABI; without a suffix about both.
struct Target {
  std::string_view word;
  bool x64 = true;
  bool i386 = true;
};

Target target_of(std::string_view word) {
  if (word.ends_with("@64")) return {word.substr(0, word.size() - 3), true, false};
  if (word.ends_with("@32")) return {word.substr(0, word.size() - 3), false, true};
  return {word};
}

template <typename Matches>
bool add_matching(std::bitset<kSyscallNumbers>& calls, Abi abi, const Matches& matches) {
  bool any = false;
  for (std::uint32_t number = 0; number < kSyscallNumbers; ++number) {
    const Syscall* const syscall = find_syscall(abi, number);
    if (syscall == nullptr || !matches(number, *syscall)) continue;
    calls.set(number);
    any = true;
  }
  return any;
}

Unexpected<Error> complain(std::string_view what, std::string_view word) {
  return fail(Errc::kMalformed, fmt::format("invalid {} '{}'", what, word));
}

}  // namespace

Filter::Filter() {
  x64_.set();
  i386_.set();
  statuses_.set();
  signals_.set();
}

Result<Filter> Filter::parse(const FilterText& text) {
  Filter filter;
  if (text.trace) RS_TRY(filter.parse_trace(*text.trace));
  if (text.status) RS_TRY(filter.parse_status(*text.status));
  if (text.signal) RS_TRY(filter.parse_signal(*text.signal));
  filter.paths_ = text.paths;
  return filter;
}

// Whether the word stood for any call at all.
Result<bool> Filter::add_calls(std::string_view written) {
  const auto add = [&](const Target& target, const auto& matches) {
    bool any = false;
    if (target.x64) any |= add_matching(x64_, Abi::kX64, matches);
    if (target.i386) any |= add_matching(i386_, Abi::kI386, matches);
    return any;
  };
  const Target target = target_of(written);
  if (target.word.starts_with('/')) {
    try {
      const std::regex pattern(std::string(target.word.substr(1)), std::regex::extended);
      return add(target, [&](std::uint32_t, const Syscall& syscall) {
        return std::regex_search(syscall.name.begin(), syscall.name.end(), pattern);
      });
    } catch (const std::regex_error&) {
      return complain("regular expression", target.word.substr(1));
    }
  }
  const bool is_class = target.word.starts_with('%');
  const std::uint32_t bit = find_class(is_class ? target.word.substr(1) : target.word);
  const auto in_class = [&](std::uint32_t, const Syscall& syscall) { return (syscall.classes & bit) != 0; };
  if (is_class)
    return bit != 0 ? Result<bool>(add(target, in_class)) : complain("class of system calls", target.word);
  if (const auto number = number_of(target.word)) {
    return add(target, [&](std::uint32_t n, const Syscall&) { return n == *number; });
  }
  const bool named =
      add(target, [&](std::uint32_t, const Syscall& syscall) { return syscall.name == target.word; });
  // Classes may be written without their sign, unless a call has that name.
  return named || (bit != 0 && add(target, in_class));
}

Result<void> Filter::parse_trace(std::string_view text) {
  const auto [inverted, words] = split(text);
  x64_.reset();
  i386_.reset();
  unnamed_ = false;
  for (std::string_view word : words) {
    if (word == "none") continue;
    if (word == "all") {
      x64_.set();
      i386_.set();
      unnamed_ = true;
      continue;
    }
    const bool may_be_missing = word.starts_with('?');
    if (may_be_missing) word.remove_prefix(1);
    const bool found = RS_TRY(add_calls(word));
    if (!found && !may_be_missing) return complain("system call", word);
  }
  if (inverted) {
    x64_.flip();
    i386_.flip();
    unnamed_ = !unnamed_;
  }
  return {};
}

Result<void> Filter::parse_status(std::string_view text) {
  const auto [inverted, words] = split(text);
  statuses_.reset();
  for (const std::string_view word : words) {
    if (word == "none") continue;
    const auto* const found = std::find(kStatusNames.begin(), kStatusNames.end(), word);
    if (word == "all") {
      statuses_.set();
    } else if (found == kStatusNames.end()) {
      return complain("status", word);
    } else {
      statuses_.set(static_cast<std::size_t>(found - kStatusNames.begin()));
    }
  }
  if (inverted) statuses_.flip();
  return {};
}

Result<void> Filter::parse_signal(std::string_view text) {
  const auto [inverted, words] = split(text);
  signals_.reset();
  for (const std::string_view word : words) {
    if (word == "none") continue;
    if (word == "all") {
      signals_.set();
      continue;
    }
    const auto signal = signal_of(word);
    if (!signal) return complain("signal", word);
    signals_.set(static_cast<std::size_t>(*signal));
  }
  if (inverted) signals_.flip();
  return {};
}

bool Filter::wants_call(Abi abi, std::uint32_t number) const noexcept {
  if (find_syscall(abi, number) == nullptr) return unnamed_;
  return (abi == Abi::kX64 ? x64_ : i386_)[number];
}

bool Filter::wants_signal(int number) const noexcept {
  return number < 0 || number > 64 || signals_[static_cast<std::size_t>(number)];
}

bool Filter::wants_result(std::int64_t result) const noexcept {
  const bool failed = result < 0 && result >= -4095;
  return wants_status(failed ? Status::kFailed : Status::kSuccessful);
}

namespace {

using PrintArgument = void (*)(Printer&, unsigned);
bool is_path(PrintArgument print) { return print == &arguments::print_path; }
bool is_fd(PrintArgument print) { return print == &arguments::print_fd || print == &arguments::print_dir_fd; }

}  // namespace

bool Filter::wants_paths_of(const Call& call, const Process& process) const noexcept {
  const Syscall* const syscall = find_syscall(call.abi, call.number);
  if (syscall == nullptr) return false;
  std::array<char, Printer::kMaxPath> storage;
  const auto is_wanted = [&](std::string_view path) {
    return std::find(paths_.begin(), paths_.end(), path) != paths_.end();
  };
  const Style style;
  Text none{std::span<char>{}};
  const Printer printer(call, process, style, none, Phase::kEntry);
  unsigned at = 0;
  for (std::size_t i = 0; i < syscall->argument_count; ++i) {
    const Kind& kind = *syscall->arguments[i];
    if (is_path(kind.print)) {
      const auto bytes = MutableByteView(reinterpret_cast<std::uint8_t*>(storage.data()), storage.size());
      const auto found = printer.arg(at) == 0 ? std::nullopt : printer.read_string(printer.arg(at), bytes);
      if (found && is_wanted({storage.data(), found->size})) return true;
    } else if (is_fd(kind.print)) {
      Text path{storage};
      if (process.fd_path(printer.int_arg(at), path) && is_wanted(path.view())) return true;
    }
    at += call.abi == Abi::kI386 ? kind.registers_i386 : kind.registers;
  }
  return false;
}

}  // namespace ringside::strace
