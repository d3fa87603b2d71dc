// Program::listing: what a verified program does, as one line for people.
#include <charconv>
#include <iterator>
#include <string_view>

#include "stub/agent/program.hpp"

namespace ringside::agent {
namespace {

constexpr std::uint64_t kDecimalBelow = 4096;  // above it numbers are more likely addresses and masks

void append_number(std::string& out, std::uint64_t value) {
  char digits[24];
  const bool hex = value >= kDecimalBelow;
  const auto end = std::to_chars(std::begin(digits), std::end(digits), value, hex ? 16 : 10).ptr;
  if (hex) out += "0x";
  out.append(digits, end);
}

// The format is C source already; what a terminal would act on becomes an octal escape, and its quotes too.
void append_quoted(std::string& out, std::string_view text) {
  out += '"';
  bool escaped = false;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte >= 0x7f) {
      out += '\\';
      for (const unsigned shift : {6u, 3u, 0u}) out += static_cast<char>('0' + (byte >> shift & 7));
    } else {
      if (c == '"' && !escaped) out += '\\';
      out += c;
    }
    escaped = c == '\\' && !escaped;
  }
  out += '"';
}

std::string place(std::uint32_t at) { return '@' + std::to_string(at); }

}  // namespace

std::string Program::listing() const {
  std::vector<bool> landed(code_.size());
  for (const Instruction& in : code_) {
    if (is_jump(in.op)) landed[in.operand] = true;
  }
  std::string out;
  for (std::size_t i = 0; i < code_.size(); ++i) {
    const Instruction& in = code_[i];
    const OpcodeRow& row = row_of(in.op);
    if (i > 0) out += "; ";
    if (landed[i]) out += place(in.at) + ": ";
    out += row.name;
    if (row.operand == 0) continue;
    out += ' ';
    if (is_jump(in.op)) {
      out += place(code_[in.operand].at);
    } else if (in.op == Opcode::kPrintf) {
      append_quoted(out, formats_[in.operand].source());
    } else {
      append_number(out, in.operand);
    }
  }
  return out;
}

}  // namespace ringside::agent
