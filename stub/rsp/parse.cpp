#include "stub/rsp/parse.hpp"

#include <array>

#include "stub/rsp/parsers.hpp"
#include "stub/rsp/scanner.hpp"

namespace ringside::rsp {
namespace {

// What may follow a prefix.  A separator is taken off before the parser sees the rest.
enum class After : std::uint8_t {
  kEnd,
  kAny,
  kColon,
  kComma,
  kSemicolon,
  kEquals,
  kEndOrColon,
  kEndOrSemicolon
};

struct Row {
  std::string_view prefix;
  After after;
  std::optional<ServerFeature> need;
  Parser parser;
};

using enum After;
using enum ServerFeature;
constexpr std::optional<ServerFeature> kAlways = std::nullopt;

#define RS_STRIP_PARENS(...) __VA_ARGS__
#define PACKET(prefix, after, need, request, parser) Row{prefix, after, need, RS_STRIP_PARENS parser},
constexpr auto kRows = std::to_array<Row>({
#include "stub/rsp/packets.def"
});
#undef PACKET

#define PACKET(prefix, after, need, request, parser) PacketRow{prefix, need, #request},
constexpr auto kPacketRows = std::to_array<PacketRow>({
#include "stub/rsp/packets.def"
});
#undef PACKET

// Strictly falling order means that each prefix stands once, and before those that it begins with.
constexpr bool longest_first() {
  for (std::size_t i = 1; i < kRows.size(); ++i) {
    if (kRows[i - 1].prefix <= kRows[i].prefix) return false;
  }
  return true;
}
static_assert(longest_first());

std::optional<std::string_view> without(std::string_view rest, char separator) {
  if (!rest.starts_with(separator)) return std::nullopt;
  return rest.substr(1);
}

// What the parser is to see, or nothing when the row does not fit.
std::optional<std::string_view> fit(After after, std::string_view rest) {
  switch (after) {
    case kEnd:
      return rest.empty() ? std::optional(rest) : std::nullopt;
    case kAny:
      return rest;
    case kColon:
      return without(rest, ':');
    case kComma:
      return without(rest, ',');
    case kSemicolon:
      return without(rest, ';');
    case kEquals:
      return without(rest, '=');
    case kEndOrColon:
      return rest.empty() ? std::optional(rest) : without(rest, ':');
    case kEndOrSemicolon:
      return rest.empty() ? std::optional(rest) : without(rest, ';');
  }
  return std::nullopt;
}

Result<ThreadRef> parse_tid(std::string_view text) {
  if (text == "-1") return ThreadRef{ThreadRef::Kind::kAll, {}};
  const auto number = parse_hex_u64(text);
  if (!number) return malformed("thread", "a hex number or -1");
  if (*number == 0) return ThreadRef{ThreadRef::Kind::kAny, {}};
  if (*number > UINT32_MAX) return fail(Errc::kNotFound, "no such thread");
  return ThreadRef{ThreadRef::Kind::kOne, VcpuId{static_cast<std::uint32_t>(*number - 1)}};
}

}  // namespace

Result<Request> parse(std::string_view body, const Features& agreed) {
  for (const Row& row : kRows) {
    if (!body.starts_with(row.prefix)) continue;
    const auto rest = fit(row.after, body.substr(row.prefix.size()));
    if (!rest) continue;
    if (row.need && !agreed.server.has(*row.need)) return Unknown{};
    return row.parser(*rest, agreed);
  }
  return Unknown{};
}

// RSP "thread-id syntax".  `p1` alone means all of the process's threads; process 0 is any, -1 all.
Result<ThreadRef> parse_thread(std::string_view text) {
  Scanner in(text);
  if (!in.take('p')) return parse_tid(text);
  const bool has_tid = text.find('.') != std::string_view::npos;
  const std::string_view pid = in.until('.');
  const bool all_processes = pid == "-1";
  const auto number = all_processes ? std::optional<std::uint64_t>(1) : parse_hex_u64(pid);
  if (!number) return malformed("thread", "p<pid>[.<tid>]");
  if (*number > 1) return fail(Errc::kNotFound, "the guest is process 1; there is no other");
  if (!has_tid) return ThreadRef{*number == 0 ? ThreadRef::Kind::kAny : ThreadRef::Kind::kAll, {}};
  const auto thread = parse_tid(in.rest());
  if (thread && all_processes && thread->kind == ThreadRef::Kind::kOne) {
    return malformed("thread", "one process for one thread");
  }
  return thread;
}

std::span<const PacketRow> packet_table() { return kPacketRows; }

Unexpected<Error> malformed(std::string_view packet, std::string_view wanted) {
  std::string text(packet);
  text += " packet: wanted ";
  text += wanted;
  return fail(Errc::kMalformed, std::move(text));
}

Result<bool> parse_switch(std::string_view packet, std::string_view text) {
  if (text != "0" && text != "1") return malformed(packet, "0 or 1");
  return text == "1";
}

}  // namespace ringside::rsp
