// Packets about registers, memory and points.
#include <algorithm>

#include "stub/rsp/parse.hpp"
#include "stub/rsp/parsers.hpp"
#include "stub/rsp/scanner.hpp"

namespace ringside::rsp {
namespace {

struct AddressLength {
  Gva at;
  std::uint64_t length = 0;
};

// <addr><separator><len>
std::optional<AddressLength> take_range(Scanner& in, char separator = ',') {
  const auto at = in.number();
  const bool separated = in.take(separator);
  const auto length = in.number();
  if (!at || !separated || !length) return std::nullopt;
  return AddressLength{Gva{*at}, *length};
}

Result<Request> read_memory(std::string_view packet, std::string_view rest, ReadMemory::Form form) {
  Scanner in(rest);
  const auto range = take_range(in);
  if (!range || !in.done()) return malformed(packet, "<addr>,<length>");
  const auto length = static_cast<std::uint32_t>(std::min<std::uint64_t>(range->length, kMaxRead));
  return ReadMemory{range->at, length, form};
}

Result<Request> write_memory(std::string_view packet, std::string_view rest,
                             std::optional<Bytes> (*decode)(std::string_view)) {
  Scanner in(rest);
  const auto range = take_range(in);
  if (!range || !in.take(':')) return malformed(packet, "<addr>,<length>:<data>");
  auto data = decode(in.rest());
  if (!data || data->size() != range->length) return malformed(packet, "as many bytes as it says");
  return WriteMemory{range->at, std::move(*data)};
}

struct PointHead {
  std::uint64_t type = 0;
  Gva at;
  std::uint64_t kind = 0;
};

// <type>,<addr>,<kind>
std::optional<PointHead> take_point(Scanner& in) {
  const auto type = in.number();
  if (!type || !in.take(',')) return std::nullopt;
  const auto where = take_range(in);
  if (!where) return std::nullopt;
  return PointHead{*type, where->at, where->length};
}

constexpr std::uint64_t kPointTypes = 5;

// What all items of one packet may still use up.
struct PointBudget {
  std::size_t items = kMaxPointItems;
  std::size_t bytes = kMaxPointCode;
};

// X<len>,<code>: the digits are all there before anything is allocated, so the packet bounds the length too.
Result<Bytes> take_code(Scanner& in, PointBudget& budget) {
  const auto length = in.number();
  if (!length || !in.take(',')) return malformed("Z", "X<length>,<bytecode>");
  if (*length > budget.bytes || budget.items == 0) {
    return fail(Errc::kExhausted, "Z packet: more conditions or commands than a point may have");
  }
  budget.bytes -= static_cast<std::size_t>(*length);
  --budget.items;
  const auto digits = in.exactly(2 * static_cast<std::size_t>(*length));
  auto code = digits ? from_hex(*digits) : std::nullopt;
  if (!code) return malformed("Z", "as many bytes of bytecode as it says");
  return std::move(*code);
}

// Conditions until `cmds:`, commands after it.  gdb puts nothing between X items; a `;` there is legal.
Result<void> take_items(Scanner& in, InsertPoint& point) {
  PointBudget budget;
  bool commands = false;
  while (!in.done()) {
    if (in.take(';')) continue;
    if (!commands && in.take("cmds:")) {
      const auto persist = in.number();
      if (!persist || !in.take(',')) return malformed("Z", "cmds:<persist>,X…");
      point.persist = *persist != 0;
      commands = true;
      continue;
    }
    if (!in.take('X')) return malformed("Z", "X<length>,<bytecode> or cmds:");
    auto& items = commands ? point.commands : point.conditions;
    items.push_back(RS_TRY(take_code(in, budget)));
  }
  return {};
}

}  // namespace

Result<Request> parse_write_registers(std::string_view rest, const Features&) {
  return WriteRegisters{std::string(rest)};
}

Result<Request> parse_read_register(std::string_view rest, const Features&) {
  const auto number = parse_hex_u64(rest);
  if (!number) return malformed("p", "a register's number");
  return ReadRegister{*number};
}

Result<Request> parse_write_register(std::string_view rest, const Features&) {
  Scanner in(rest);
  const auto number = in.number();
  if (!number || !in.take('=')) return malformed("P", "<number>=<hex>");
  auto value = from_hex(in.rest());
  if (!value || value->empty()) return malformed("P", "<number>=<hex>");
  return WriteRegister{*number, std::move(*value)};
}

Result<Request> parse_read_hex(std::string_view rest, const Features&) {
  return read_memory("m", rest, ReadMemory::Form::kHex);
}

Result<Request> parse_read_binary(std::string_view rest, const Features&) {
  return read_memory("x", rest, ReadMemory::Form::kBinary);
}

Result<Request> parse_write_hex(std::string_view rest, const Features&) {
  return write_memory("M", rest, &from_hex);
}

Result<Request> parse_write_binary(std::string_view rest, const Features&) {
  return write_memory("X", rest, &unescape);
}

Result<Request> parse_search(std::string_view rest, const Features&) {
  Scanner in(rest);
  const auto range = take_range(in, ';');
  if (!range || !in.take(';')) return malformed("qSearch", "<addr>;<length>;<pattern>");
  auto pattern = unescape(in.rest());
  if (!pattern || pattern->empty()) return malformed("qSearch", "a pattern");
  return SearchMemory{range->at, range->length, std::move(*pattern)};
}

Result<Request> parse_crc(std::string_view rest, const Features&) {
  Scanner in(rest);
  const auto range = take_range(in);
  if (!range || !in.done()) return malformed("qCRC", "<addr>,<length>");
  return QueryCrc{range->at, range->length};
}

Result<Request> parse_insert_point(std::string_view rest, const Features&) {
  Scanner in(rest);
  const auto head = take_point(in);
  if (!head || !(in.done() || in.rest().starts_with(';'))) return malformed("Z", "<type>,<addr>,<kind>");
  if (head->type >= kPointTypes) return Unknown{};
  InsertPoint point{static_cast<PointType>(head->type), head->at, head->kind, {}, {}, false};
  (void)RS_TRY(take_items(in, point));
  return point;
}

Result<Request> parse_remove_point(std::string_view rest, const Features&) {
  Scanner in(rest);
  const auto head = take_point(in);
  if (!head || !in.done()) return malformed("z", "<type>,<addr>,<kind>");
  if (head->type >= kPointTypes) return Unknown{};
  return RemovePoint{static_cast<PointType>(head->type), head->at, head->kind};
}

}  // namespace ringside::rsp
