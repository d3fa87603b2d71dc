#include "stub/agent/program.hpp"

#include <algorithm>
#include <string_view>

namespace ringside::agent {
namespace {

std::string place_of(std::size_t at, std::string_view name) {
  return "bytecode @" + std::to_string(at) + " (" + std::string(name) + "): ";
}

Unexpected<Error> wrong(const Instruction& in, std::string_view what) {
  return fail(Errc::kMalformed, place_of(in.at, row_of(in.op).name) + std::string(what));
}

Unexpected<Error> cut_off(std::size_t at, std::string_view name) {
  return fail(Errc::kMalformed, place_of(at, name) + "its operand reaches past the end");
}

std::uint64_t big_endian(ByteView bytes) {
  std::uint64_t value = 0;
  for (const std::uint8_t byte : bytes) value = value << 8 | byte;
  return value;
}

std::string hex_byte(std::uint8_t byte) {
  constexpr char kDigits[] = "0123456789abcdef";
  return {'0', 'x', kDigits[byte >> 4], kDigits[byte & 15]};
}

Result<OpcodeRow> known_opcode(std::size_t at, std::uint8_t code) {
  const OpcodeRow* row = find_opcode(code);
  if (row == nullptr) return fail(Errc::kMalformed, place_of(at, hex_byte(code)) + "no such opcode");
  if (row->refused.empty()) return *row;
  return fail(Errc::kUnsupported, place_of(at, row->name) + "not supported: " + std::string(row->refused));
}

struct Effect {
  std::size_t needs;  // values that must be there
  std::size_t takes;
  std::size_t gives;
};

Effect effect_of(const Instruction& in, std::span<const Format> formats) {
  const OpcodeRow& row = row_of(in.op);
  if (in.op == Opcode::kPick) return {static_cast<std::size_t>(in.operand) + 1, 0, 1};
  const std::size_t takes = row.takes + (in.op == Opcode::kPrintf ? formats[in.operand].arguments() : 0);
  return {takes, takes, row.gives};
}

void insert_sorted(std::vector<std::uint16_t>& set, std::uint64_t number) {
  const auto value = static_cast<std::uint16_t>(number);
  const auto place = std::lower_bound(set.begin(), set.end(), value);
  if (place == set.end() || *place != value) set.insert(place, value);
}

// The depth of the stack in front of each opcode, found by walking along all paths; each opcode is walked
// once, since a second way to it must bring the same depth.
class Depths {
 public:
  explicit Depths(std::span<const Instruction> code) : code_(code), depths_(code.size(), kUnseen) {}

  Result<void> reach(const Instruction& from, std::size_t place, std::size_t depth) {
    if (place == code_.size()) return wrong(from, "the program goes on past its end");
    if (depths_[place] == kUnseen) {
      depths_[place] = static_cast<std::uint8_t>(depth);
      open_.push_back(place);
    } else if (depths_[place] != depth) {
      return wrong(code_[place], "reached with " + std::to_string(depths_[place]) + " and with " +
                                     std::to_string(depth) + " values on the stack");
    }
    return {};
  }
  bool done() const { return open_.empty(); }
  std::size_t next() {
    const std::size_t place = open_.back();
    open_.pop_back();
    return place;
  }
  std::size_t at(std::size_t place) const { return depths_[place]; }

 private:
  static constexpr std::uint8_t kUnseen = 0xff;
  static_assert(kMaxStack < kUnseen);

  std::span<const Instruction> code_;
  std::vector<std::uint8_t> depths_;
  std::vector<std::size_t> open_;
};

}  // namespace

Result<Program> Program::verify(ByteView code) {
  if (code.empty()) return fail(Errc::kMalformed, "bytecode: empty; the shortest program is `end`");
  if (code.size() > kMaxCode) {
    return fail(Errc::kExhausted, "bytecode: " + std::to_string(code.size()) + " bytes; " +
                                      std::to_string(kMaxCode) + " are allowed");
  }
  Program program;
  program.bytes_.assign(code.begin(), code.end());
  RS_TRY(program.decode());
  RS_TRY(program.resolve_jumps());
  RS_TRY(program.follow_paths());
  return program;
}

Result<void> Program::decode() {
  for (std::size_t at = 0; at < bytes_.size();) {
    const OpcodeRow row = RS_TRY(known_opcode(at, bytes_[at]));
    const ByteView rest = ByteView(bytes_).subspan(at + 1);
    if (rest.size() < row.operand) return cut_off(at, row.name);
    Instruction in{Opcode{row.code}, static_cast<std::uint32_t>(at), big_endian(rest.first(row.operand))};
    std::size_t next = at + 1 + row.operand;
    if (in.op == Opcode::kPrintf) in.operand = RS_TRY(decode_format(at, next));
    code_.push_back(in);
    at = next;
  }
  return {};
}

//   34 | arguments | length, 2 bytes | text ... 00        `next` is behind the length, and then behind the
//   text
Result<std::uint64_t> Program::decode_format(std::size_t at, std::size_t& next) {
  const std::string_view name = row_of(Opcode::kPrintf).name;
  const unsigned arguments = bytes_[at + 1];
  const std::size_t length = big_endian(ByteView(bytes_).subspan(at + 2, 2));
  if (bytes_.size() - next < length) return cut_off(at, name);
  const std::string_view text(reinterpret_cast<const char*>(bytes_.data()) + next, length);
  if (length == 0 || text.find('\0') != length - 1) {
    return fail(Errc::kMalformed, place_of(at, name) + "format: a NUL must end it, and stand nowhere else");
  }
  auto format = Format::parse(text.substr(0, length - 1), arguments);
  if (!format) return fail(format.error().code, place_of(at, name) + format.error().text);
  formats_.push_back(std::move(*format));
  next += length;
  return formats_.size() - 1;
}

Result<void> Program::resolve_jumps() {
  const auto before = [](const Instruction& in, std::uint64_t at) { return in.at < at; };
  for (Instruction& in : code_) {
    if (!is_jump(in.op)) continue;
    const auto target = std::lower_bound(code_.begin(), code_.end(), in.operand, before);
    if (target == code_.end() || target->at != in.operand) {
      return wrong(in, "@" + std::to_string(in.operand) + " is not the place of an opcode");
    }
    in.operand = static_cast<std::uint64_t>(target - code_.begin());
  }
  return {};
}

Result<void> Program::follow_paths() {
  Depths depths(code_);
  RS_TRY(depths.reach(code_[0], 0, 0));
  while (!depths.done()) {
    const std::size_t place = depths.next();
    const Instruction& in = code_[place];
    const Effect effect = effect_of(in, formats_);
    const std::size_t before = depths.at(place);
    if (before < effect.needs) {
      return wrong(
          in, "takes " + std::to_string(effect.needs) + " values from a stack of " + std::to_string(before));
    }
    const std::size_t after = before - effect.takes + effect.gives;
    if (after > kMaxStack) {
      return fail(Errc::kExhausted, place_of(in.at, row_of(in.op).name) + "more than " +
                                        std::to_string(kMaxStack) + " values on the stack");
    }
    note(in, place, after);
    if (is_jump(in.op)) RS_TRY(depths.reach(in, in.operand, after));
    if (in.op != Opcode::kGoto && in.op != Opcode::kEnd) RS_TRY(depths.reach(in, place + 1, after));
  }
  return {};
}

void Program::note(const Instruction& in, std::size_t place, std::size_t depth) {
  facts_.max_depth = std::max(facts_.max_depth, depth);
  switch (in.op) {
    case Opcode::kReg:
      return insert_sorted(facts_.registers, in.operand);
    case Opcode::kGetv:
      return insert_sorted(facts_.variables_read, in.operand);
    case Opcode::kSetv:
      return insert_sorted(facts_.variables_written, in.operand);
    case Opcode::kTracev:
      facts_.records = true;
      return insert_sorted(facts_.variables_read, in.operand);
    case Opcode::kRef8:
    case Opcode::kRef16:
    case Opcode::kRef32:
    case Opcode::kRef64:
      facts_.reads_memory = true;
      return;
    case Opcode::kTrace:
    case Opcode::kTraceQuick:
    case Opcode::kTrace16:
    case Opcode::kTracenz:
      facts_.reads_memory = facts_.records = true;
      return;
    case Opcode::kPrintf:
      facts_.prints = true;
      facts_.reads_memory = facts_.reads_memory || formats_[in.operand].reads_strings();
      return;
    case Opcode::kIfGoto:
    case Opcode::kGoto:
      facts_.has_loops = facts_.has_loops || in.operand <= place;
      return;
    case Opcode::kEnd:
      facts_.gives_value = facts_.gives_value && depth > 0;
      return;
    default:
      return;
  }
}

}  // namespace ringside::agent
