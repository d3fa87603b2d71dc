#include "stub/session/address.hpp"

#include <charconv>
#include <optional>

#include <fmt/format.h>

namespace ringside::session {
namespace {

template <typename T>
std::optional<T> whole_number(std::string_view digits) {
  T value{};
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
  if (digits.empty() || error != std::errc{} || end != digits.data() + digits.size()) return std::nullopt;
  return value;
}

Result<Address> parse_unix(std::string_view path) {
  constexpr std::size_t kLongestPath = 107;  // unix(7): sun_path with its NUL
  if (path.empty() || path.size() > kLongestPath) {
    return fail(Errc::kMalformed,
                fmt::format("\"{}\" cannot be a Unix socket's path: 1 to {} characters", path, kLongestPath));
  }
  return UnixAddress{std::string(path)};
}

// 0, 1 and 2 belong to the console and the messages.
Result<Address> parse_descriptor(std::string_view digits) {
  const auto number = whole_number<int>(digits);
  if (!number || *number < 0) {
    return fail(Errc::kMalformed, fmt::format("\"fd:{}\" is no descriptor; use for example fd:3", digits));
  }
  if (*number <= 2) {
    return fail(Errc::kMalformed,
                fmt::format("fd:{} is in use: 0, 1 and 2 are for the console and messages", *number));
  }
  return InheritedDescriptor{*number};
}

Result<Address> parse_tcp(std::string_view text) {
  const auto colon = text.rfind(':');
  std::string_view host = colon == std::string_view::npos ? "" : text.substr(0, colon);
  const auto port =
      whole_number<std::uint16_t>(colon == std::string_view::npos ? text : text.substr(colon + 1));
  if (!port) {
    return fail(Errc::kMalformed,
                fmt::format("\"{}\" is no address; use :PORT, HOST:PORT or unix:PATH", text));
  }
  if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
  if (host.empty() || host == "localhost") host = "127.0.0.1";
  return TcpAddress{std::string(host), *port};
}

}  // namespace

Result<Address> parse_address(std::string_view text) {
  if (text.starts_with("unix:")) return parse_unix(text.substr(5));
  if (text.starts_with("fd:")) return parse_descriptor(text.substr(3));
  if (text.find('/') != std::string_view::npos) return parse_unix(text);
  return parse_tcp(text);
}

Result<Door> parse_door(std::string_view text) {
  constexpr std::string_view kReadOnly = ",ro";
  const bool read_only = text.ends_with(kReadOnly);
  if (read_only) text.remove_suffix(kReadOnly.size());
  return Door{RS_TRY(parse_address(text)), {.read_only = read_only}};
}

}  // namespace ringside::session
