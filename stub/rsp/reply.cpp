#include "stub/rsp/reply.hpp"

#include <algorithm>

#include "stub/rsp/hex.hpp"
#include "stub/rsp/xml_text.hpp"

namespace ringside::rsp {
namespace {

void append_byte(std::string& out, std::uint8_t value) { append_hex(out, ByteView(&value, 1)); }

// A sentence as a reply's text: the framing characters and whatever is not printable ASCII have no place in
// it.
void append_sentence(std::string& out, std::string_view text) {
  for (const char c : text) {
    const bool printable = c >= 0x20 && c <= 0x7e;
    const bool framing = c == '#' || c == '$' || c == '}' || c == '*';
    out += printable && !framing ? c : ' ';
  }
}

// "name:" and, for an address or number, its hex; then ";".
void append_key(std::string& out, std::string_view name) {
  out += name;
  out += ":;";
}

void append_key(std::string& out, std::string_view name, std::uint64_t value) {
  out += name;
  out += ':';
  append_hex_number(out, value);
  out += ';';
}

constexpr std::string_view watch_key(StoppedByWatch::Kind kind) {
  switch (kind) {
    case StoppedByWatch::Kind::kWrite:
      return "watch";
    case StoppedByWatch::Kind::kRead:
      return "rwatch";
    case StoppedByWatch::Kind::kAccess:
      return "awatch";
  }
  return "watch";
}

struct AppendCause {
  std::string& out;
  const Features& agreed;

  void operator()(std::monostate) const {}
  void operator()(StoppedBySwBreak) const {
    if (agreed.swbreak()) append_key(out, "swbreak");
  }
  void operator()(StoppedByHwBreak) const {
    if (agreed.hwbreak()) append_key(out, "hwbreak");
  }
  void operator()(const StoppedByWatch& watch) const {
    append_key(out, watch_key(watch.kind), watch.at.value);
  }
  void operator()(const StoppedBySyscall& call) const {
    append_key(out, call.side == StoppedBySyscall::Side::kEntry ? "syscall_entry" : "syscall_return",
               call.number);
  }
  void operator()(StoppedByLibrary) const { append_key(out, "library"); }
  void operator()(const StoppedByHistoryEnd& end) const {
    out += end.edge == StoppedByHistoryEnd::Edge::kBegin ? "replaylog:begin;" : "replaylog:end;";
  }
};

void append_register(std::string& out, const x86::RegisterFile& registers, x86::Reg reg) {
  if (registers.available(reg)) {
    append_hex(out, registers.raw(reg));
  } else {
    out.append(2 * x86::info(reg).bytes, 'x');
  }
}

std::string end_reply(char letter, std::uint8_t value, const Features& agreed) {
  std::string out(1, letter);
  append_byte(out, value);
  if (agreed.multiprocess()) out += ";process:1";
  return out;
}

}  // namespace

// Linux's numbers, as gdbserver sends them; clients only tell "error" from "no error".
unsigned errno_of(Errc code) {
  switch (code) {
    case Errc::kRefused:
      return 1;  // EPERM
    case Errc::kNotFound:
      return 3;  // ESRCH
    case Errc::kGone:
      return 3;  // ESRCH
    case Errc::kSystem:
      return 5;  // EIO
    case Errc::kNotMapped:
      return 14;  // EFAULT
    case Errc::kBusy:
      return 16;  // EBUSY
    case Errc::kMalformed:
      return 22;  // EINVAL
    case Errc::kExhausted:
      return 22;  // EINVAL: an empty reply would switch the packet off for good
    case Errc::kUnsupported:
      return 95;  // EOPNOTSUPP
  }
  return 5;
}

std::string error_reply(unsigned number) {
  const unsigned shown = std::min(number, 99u);
  return {'E', static_cast<char>('0' + shown / 10), static_cast<char>('0' + shown % 10)};
}

std::string error_reply(const Error& error, const Features& agreed) {
  if (!agreed.error_message() || error.text.empty()) return error_reply(errno_of(error.code));
  std::string out = "E.";
  append_sentence(out, error.text);
  return out;
}

std::string thread_id(VcpuId vcpu, const Features& agreed) {
  std::string out = agreed.multiprocess() ? "p1." : "";
  append_hex_number(out, std::uint64_t{vcpu.number} + 1);
  return out;
}

std::string current_thread_reply(VcpuId vcpu, const Features& agreed) {
  return "QC" + thread_id(vcpu, agreed);
}

std::string thread_list_reply(std::span<const VcpuId> vcpus, const Features& agreed) {
  if (vcpus.empty()) return "l";
  std::string out;
  for (const VcpuId vcpu : vcpus) {
    out += out.empty() ? 'm' : ',';
    out += thread_id(vcpu, agreed);
  }
  return out;
}

std::string threads_xml(std::span<const ThreadRow> rows, const Features& agreed) {
  std::string out = "<?xml version=\"1.0\"?>\n<threads>\n";
  for (const ThreadRow& row : rows) {
    out +=
        "<thread id=\"" + thread_id(row.vcpu, agreed) + "\" core=\"" + std::to_string(row.vcpu.number) + '"';
    if (!row.name.empty()) {
      out += " name=\"";
      append_xml_text(out, row.name);
      out += '"';
    }
    out += '>';
    append_xml_text(out, row.extra);
    out += "</thread>\n";
  }
  return out + "</threads>\n";
}

std::string stop_reply(const StopReply& stop, const Features& agreed, const x86::RegisterFile* registers,
                       std::span<const x86::Reg> expedite) {
  std::string out = "T";
  append_byte(out, stop.signal);
  out += "thread:" + thread_id(stop.vcpu, agreed) + ';';
  if (stop.with_core) append_key(out, "core", stop.vcpu.number);
  std::visit(AppendCause{out, agreed}, stop.cause);
  if (registers == nullptr) return out;
  for (const x86::Reg reg : expedite) {
    if (!registers->available(reg)) continue;
    const auto number = static_cast<unsigned>(reg);
    if (number < 0x10) out += '0';
    append_hex_number(out, number);
    out += ':';
    append_hex(out, registers->raw(reg));
    out += ';';
  }
  return out;
}

std::string exited_reply(std::uint8_t status, const Features& agreed) {
  return end_reply('W', status, agreed);
}

std::string killed_reply(std::uint8_t signal, const Features& agreed) {
  return end_reply('X', signal, agreed);
}

std::string hex_reply(ByteView bytes) { return to_hex(bytes); }

std::string binary_reply(ByteView bytes) {
  std::string out = "b";
  append_escaped(out, bytes);
  return out;
}

std::string xfer_reply(std::string_view document, std::uint64_t offset, std::uint64_t length) {
  if (offset > document.size()) return error_reply(errno_of(Errc::kMalformed));
  const std::string_view left = document.substr(static_cast<std::size_t>(offset));
  const auto wanted = static_cast<std::size_t>(std::min<std::uint64_t>(length, kPacketSize / 2));
  std::string out(1, left.size() > wanted ? 'm' : 'l');
  append_escaped(out, as_bytes(left.substr(0, wanted)));
  return out;
}

std::string records_reply(ByteView records, More more) {
  std::string out(1, more == More::kMayCome ? 'm' : 'l');
  append_escaped(out, records);
  return out;
}

std::string hex_text_reply(std::string_view text) { return to_hex(text); }

std::vector<std::string> console_replies(std::string_view text, std::size_t max_body) {
  const std::size_t piece = std::max<std::size_t>((std::max<std::size_t>(max_body, 1) - 1) / 2, 1);
  std::vector<std::string> out;
  while (!text.empty()) {
    out.push_back("O" + to_hex(text.substr(0, piece)));
    text.remove_prefix(std::min(piece, text.size()));
  }
  return out;
}

std::string search_reply(std::optional<Gva> found) {
  if (!found) return "0";
  std::string out = "1,";
  append_hex_number(out, found->value);
  return out;
}

std::string text_segment_reply(Gva text) {
  std::string out = "TextSeg=";
  append_hex_number(out, text.value);
  return out;
}

std::string section_offsets_reply(std::uint64_t delta) {
  std::string hex;
  append_hex_number(hex, delta);
  return "Text=" + hex + ";Data=" + hex + ";Bss=" + hex;
}

std::string symbol_lookup(std::string_view name) { return "qSymbol:" + to_hex(name); }

std::string g_packet(const x86::RegisterFile& registers) {
  std::string out;
  for (unsigned i = 0; i < x86::g_packet_end(); ++i)
    append_register(out, registers, static_cast<x86::Reg>(i));
  return out;
}

std::string register_reply(const x86::RegisterFile& registers, x86::Reg reg) {
  std::string out;
  append_register(out, registers, reg);
  return out;
}

Result<x86::RegGroups> read_g_packet(std::string_view hex, x86::RegisterFile& into) {
  x86::RegisterFile read = into;
  x86::RegGroups written;
  for (unsigned i = 0; i < x86::g_packet_end() && !hex.empty(); ++i) {
    const auto reg = static_cast<x86::Reg>(i);
    const std::string_view digits = hex.substr(0, 2 * x86::info(reg).bytes);
    hex.remove_prefix(digits.size());
    if (digits.size() == 2 * x86::info(reg).bytes && digits.find_first_not_of('x') == digits.npos) continue;
    const auto value = from_hex(digits);
    if (!value || !read.set_raw(reg, *value))
      return fail(Errc::kMalformed, "G packet: wanted whole registers");
    written |= x86::info(reg).group;
  }
  if (!hex.empty()) return fail(Errc::kMalformed, "G packet: longer than the registers it sets");
  into = read;
  return written;
}

}  // namespace ringside::rsp
