#include "stub/strace/trace_options.hpp"

#include <charconv>

#include <fmt/format.h>

namespace ringside::strace {
namespace {

constexpr std::size_t kLeastRing = std::size_t{1} << 20;
constexpr std::size_t kMostRing = std::size_t{1} << 30;
constexpr std::uint32_t kLongestString = 16384;

template <typename T>
Result<T> number(std::string_view key, std::string_view value, T least, T most) {
  T result{};
  const char* end = value.data() + value.size();
  const auto [rest, error] = std::from_chars(value.data(), end, result);
  if (error != std::errc{} || rest != end || result < least || result > most)
    return fail(Errc::kMalformed, fmt::format("{}={}: use {} to {}", key, value, least, most));
  return result;
}

// "8M", "65536".
Result<std::size_t> size_of(std::string_view key, std::string_view value) {
  std::size_t unit = 1;
  std::string_view digits = value;
  if (value.ends_with('K')) unit = std::size_t{1} << 10;
  if (value.ends_with('M')) unit = std::size_t{1} << 20;
  if (unit > 1) digits.remove_suffix(1);
  const std::size_t count = RS_TRY(number<std::size_t>(key, digits, 0, kMostRing));
  if (count > kMostRing / unit || count * unit < kLeastRing)
    return fail(Errc::kMalformed, fmt::format("{}={}: use 1M to 1024M", key, value));
  return count * unit;
}

Result<Overflow> overflow_of(std::string_view value) {
  if (value == "drop") return Overflow::kDrop;
  if (value == "overwrite") return Overflow::kOverwrite;
  if (value == "block") return Overflow::kBlock;
  return fail(Errc::kMalformed, fmt::format("overflow={}: use drop, overwrite or block", value));
}

// Of several the calls of all are meant.
void add_expression(std::optional<std::string>& all, std::string_view one) {
  if (!all) {
    all = one;
  } else {
    all->append(",").append(one);
  }
}

// False for a key that is not known here.
Result<bool> set(Options& options, FilterText& filter, std::string_view key, std::string_view value) {
  if (key == "trace") {
    add_expression(filter.trace, value);
  } else if (key == "signal") {
    add_expression(filter.signal, value);
  } else if (key == "status") {
    add_expression(filter.status, value);
  } else if (key == "path") {
    filter.paths.emplace_back(value);
  } else if (key == "pid") {
    options.pids.insert(RS_TRY(number<std::int32_t>(key, value, 1, INT32_MAX)));
  } else if (key == "comm") {
    options.comm = value.substr(0, 15);  // as the kernel keeps it (TASK_COMM_LEN)
  } else if (key == "cpu") {
    options.cpu = RS_TRY(number<std::uint32_t>(key, value, 0, 4095));
  } else if (key == "string") {
    options.style.string_limit = RS_TRY(number<std::uint32_t>(key, value, 0, kLongestString));
  } else if (key == "hex") {
    const bool all = RS_TRY(number<unsigned>(key, value, 1, 2)) == 2;
    options.style.hex = all ? Style::Hex::kAll : Style::Hex::kNonAscii;
  } else if (key == "paths") {
    options.style.fd_paths = value == "1";
  } else if (key == "overflow") {
    options.overflow = RS_TRY(overflow_of(value));
  } else if (key == "ring") {
    options.ring_bytes = RS_TRY(size_of(key, value));
  } else if (key == "mode") {
    if (value != "count" && value != "records") return fail(Errc::kMalformed, "mode: use records or count");
    options.count = value == "count";
  } else if (key == "stack") {
    options.stack = value == "1";
  } else if (key == "trigger") {
    options.trigger = value;
  } else {
    return false;
  }
  return true;
}

}  // namespace

Result<Options> parse_options(std::string_view lines) {
  Options options;
  FilterText filter;
  while (!lines.empty()) {
    const std::size_t end = lines.find('\n');
    const std::string_view line = lines.substr(0, end);
    lines = end == std::string_view::npos ? std::string_view{} : lines.substr(end + 1);
    if (line.empty()) continue;
    const std::size_t equals = line.find('=');
    const std::string_view key = line.substr(0, equals);
    const std::string_view value =
        equals == std::string_view::npos ? std::string_view{} : line.substr(equals + 1);
    if (!RS_TRY(set(options, filter, key, value))) options.unknown.emplace_back(key);
  }
  options.filter = RS_TRY(Filter::parse(filter));
  return options;
}

}  // namespace ringside::strace
