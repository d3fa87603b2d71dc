#include "stub/hub/stop_wishes.hpp"

#include <algorithm>
#include <array>
#include <charconv>

#include <fmt/format.h>

namespace ringside::hub {
namespace {

using enum Occasion;

constexpr std::array kOccasions = {
    OccasionInfo{kReset, "reset", "the first instruction"},
    OccasionInfo{kEntry32, "entry32", "the 32-bit entry of the kernel's decompressor"},
    OccasionInfo{kEntry64, "entry64",
                 "its 64-bit entry; where the monitor unpacks the kernel, the kernel's own"},
    OccasionInfo{kDecompressor, "decompressor",
                 "the decompressor's first instruction where it has moved itself to"},
    OccasionInfo{kRelocated, "relocated", "the kernel's startup code at its final virtual address"},
    OccasionInfo{kStartKernel, "start_kernel",
                 "the kernel's first function in C that is not of one architecture"},
    OccasionInfo{kInit, "init", "the first instruction of process 1 in user mode"},
    OccasionInfo{kMode, "mode", "each write of EFER: long mode is switched on or off, and the like"},
    OccasionInfo{kMark, "mark", "`outb` to port 0xe9, of any byte; of one byte as mark:BYTE"},
    OccasionInfo{kTripleFault, "triple-fault", "a CPU has shut down", true},
    OccasionInfo{kFailure, "failure", "KVM cannot go on with a CPU", true},
    OccasionInfo{kPanic, "panic", "the kernel panics", true},
    OccasionInfo{kOops, "oops", "an oops, also by BUG()", true},
    OccasionInfo{kWarn, "warn", "a WARN()", true},
    OccasionInfo{kHang, "hang", "a CPU has run for 10 s without taking an interrupt; hang:SECONDS", true},
};

std::optional<unsigned> number(std::string_view text) {
  const bool hex = text.starts_with("0x");
  if (hex) text.remove_prefix(2);
  unsigned value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, hex ? 16 : 10);
  if (text.empty() || error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return value;
}

Unexpected<Error> no_such(std::string_view word, bool trouble) {
  std::string names;
  for (const OccasionInfo& one : kOccasions) {
    if (one.trouble == trouble) names += fmt::format("{}, ", one.name);
  }
  return fail(Errc::kMalformed,
              fmt::format("\"{}\" is nothing to stop {}: use {}or none", word, trouble ? "on" : "at", names));
}

Result<void> add_one(std::string_view word, bool trouble, StopWishes& into) {
  constexpr unsigned kMostSeconds = 3600;
  if (word == "none") {
    std::erase_if(into.at, [&](Occasion one) {
      return std::ranges::find(kOccasions, one, &OccasionInfo::occasion)->trouble == trouble;
    });
    return {};
  }
  const auto colon = word.find(':');
  const auto found = std::ranges::find(kOccasions, word.substr(0, colon), &OccasionInfo::name);
  if (found == kOccasions.end() || found->trouble != trouble) return no_such(word, trouble);
  std::optional<unsigned> value;
  if (colon != word.npos) {
    value = number(word.substr(colon + 1));
    const bool takes = found->occasion == kMark || found->occasion == kHang;
    const unsigned most = found->occasion == kMark ? 0xff : kMostSeconds;
    if (!takes || !value || *value > most || (found->occasion == kHang && *value == 0))
      return no_such(word, trouble);
  }
  if (found->occasion == kMark) {
    into.mark.reset();
    if (value) into.mark = static_cast<std::uint8_t>(*value);
  }
  if (found->occasion == kHang) into.hang_seconds = value.value_or(StopWishes::kUsualHangSeconds);
  into.at.insert(found->occasion);
  return {};
}

}  // namespace

std::span<const OccasionInfo> occasions() { return kOccasions; }

std::string_view name_of(Occasion occasion) {
  const auto found = std::ranges::find(kOccasions, occasion, &OccasionInfo::occasion);
  return found == kOccasions.end() ? std::string_view("module") : found->name;
}

bool StopWishes::need_symbols() const {
  return has(kStartKernel) || has(kInit) || has(kPanic) || has(kOops) || has(kWarn);
}

Result<void> StopWishes::add(std::string_view names, bool trouble) {
  StopWishes next = *this;
  while (true) {
    const auto comma = names.find(',');
    RS_TRY(add_one(names.substr(0, comma), trouble, next));
    if (comma == names.npos) break;
    names.remove_prefix(comma + 1);
  }
  *this = std::move(next);
  return {};
}

}  // namespace ringside::hub
