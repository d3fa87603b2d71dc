#include "stub/cli/dump_command.hpp"

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cstdio>

#include <signal.h>

#include <fmt/format.h>

#include "stub/cli/dump_file.hpp"
#include "stub/cli/remote.hpp"
#include "stub/rsp/hex.hpp"

namespace ringside::cli {
namespace {

using guestos::DumpedRam;

constexpr std::uint64_t kPiece = 256 * 1024;  // of memory in one answer

// "0x1000 0x2000 kernel 0xffffffff81000000", a line of `monitor memory`; the last number is not always there.
struct MemoryLine {
  std::uint64_t begin = 0, bytes = 0, at = 0;
  std::string_view kind;
};

std::optional<MemoryLine> parse_line(std::string_view line) {
  const auto word = [&line] {
    const std::string_view first = line.substr(0, line.find(' '));
    line.remove_prefix(std::min(first.size() + 1, line.size()));
    return first;
  };
  const auto number = [](std::string_view text, std::uint64_t& value) {
    if (!text.starts_with("0x")) return false;
    const auto [end, error] = std::from_chars(text.data() + 2, text.data() + text.size(), value, 16);
    return error == std::errc{} && end == text.data() + text.size();
  };
  MemoryLine parsed;
  if (!number(word(), parsed.begin) || !number(word(), parsed.bytes)) return std::nullopt;
  parsed.kind = word();
  if (!line.empty() && !number(line, parsed.at)) return std::nullopt;
  return parsed;
}

Result<void> parse_memory(std::string_view text, DumpContents& contents) {
  constexpr std::size_t kMostRegions = 64;
  guestos::KernelMaps maps;
  while (!text.empty()) {
    const std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(line.size() + 1, text.size()));
    const std::optional<MemoryLine> parsed = parse_line(line);
    const bool is_ram = parsed && parsed->kind == "ram";
    if (!parsed ||
        (is_ram && (parsed->bytes % kPageSize != 0 || parsed->begin > UINT64_MAX - parsed->bytes)) ||
        contents.ram.size() == kMostRegions)
      return fail(Errc::kUnsupported, "the monitor does not say what memory the guest has; update it");
    if (is_ram) contents.ram.push_back({.begin = Gpa{parsed->begin}, .bytes = parsed->bytes});
    if (parsed->kind == "direct") maps.direct = Gva{parsed->at};
    if (parsed->kind != "kernel") continue;
    maps.text = Gva{parsed->at};
    maps.text_at = Gpa{parsed->begin};
    maps.text_bytes = parsed->bytes;
  }
  if (maps.direct.value != 0 && maps.text.value != 0) contents.maps = maps;
  return {};
}

// The answer to `g`: the registers of the packet one behind the other, `x` for what is not there.
Result<x86::RegisterFile> parse_registers(std::string text) {
  std::ranges::replace(text, 'x', '0');
  const auto bytes = rsp::from_hex(text);
  x86::RegisterFile file;
  std::size_t at = 0;
  for (std::size_t i = 0; i < x86::g_packet_end(); ++i) {
    const auto reg = static_cast<x86::Reg>(i);
    const std::size_t size = x86::info(reg).bytes;
    if (!bytes || bytes->size() < at + size)
      return fail(Errc::kMalformed, "the monitor's registers cannot be read");
    if (reg != x86::Reg::kOrigRax) file.set_raw(reg, ByteView(*bytes).subspan(at, size));
    at += size;
  }
  return file;
}

// The monitor's variable $pid of the CPU that is selected: "V1a"; "U" where no task is known.
std::optional<std::uint32_t> task_of(std::string_view answer) {
  std::uint32_t pid = 0;
  if (!answer.starts_with('V')) return std::nullopt;
  const auto [last, error] = std::from_chars(answer.data() + 1, answer.data() + answer.size(), pid, 16);
  return error == std::errc{} && last == answer.data() + answer.size() ? std::optional(pid) : std::nullopt;
}

// A tracer that stops the guest and reads it.  Its end lets the guest go on, if nobody else holds it.
class Session {
 public:
  explicit Session(Remote& remote) : remote_(remote) {}

  Result<void> stop() {
    const std::string stopped = RS_TRY(remote_.ask("?"));
    if (stopped.starts_with('T')) return {};
    return fail(Errc::kGone, stopped.starts_with('W') || stopped.starts_with('X')
                                 ? std::string("the guest has ended")
                                 : fmt::format("the guest cannot be stopped: {}", stopped));
  }
  // A guest that has been stopped when nobody was there waits for somebody who says how it goes on, which we are not: who
  // only looks on leaves it waiting.  True when it does.
  Result<bool> leave_waiting() {
    const std::string listing = RS_TRY(remote_.monitor("tracers"));
    if (std::ranges::count(listing, '\n') != 2) return false;  // we, and "you are"
    const std::string threads = RS_TRY(remote_.ask("qfThreadInfo"));
    bool waits = false;
    for (std::size_t i = 1; i <= cpus_in(threads); ++i) {
      const std::string info = RS_TRY(remote_.ask(fmt::format("qThreadExtraInfo,{:x}", i)));
      const std::string text = rsp::text_from_hex(info).value_or("");
      waits = waits || text.find("stopped: ") != text.npos || text.find("triple fault") != text.npos;
    }
    if (waits) static_cast<void>(RS_TRY(remote_.monitor("observer")));
    return waits;
  }
  // "you are 3" is the last line of the listing, "3 127.0.0.1:5 points 0 holds nothing, only looks on" above.
  Result<bool> only_looks_on() {
    const std::string listing = RS_TRY(remote_.monitor("tracers"));
    const std::size_t mine = listing.rfind("you are ");
    if (mine == std::string::npos) return fail(Errc::kUnsupported, "who answers there is no ringside");
    const std::string number = listing.substr(mine + 8, listing.find('\n', mine) - mine - 8);
    const std::size_t line = listing.starts_with(number + " ") ? 0 : listing.find("\n" + number + " ") + 1;
    return listing.substr(line, listing.find('\n', line) - line).ends_with("only looks on");
  }
  Result<DumpContents> contents() {
    DumpContents contents;
    const std::string regions = RS_TRY(remote_.monitor("memory"));
    RS_TRY(parse_memory(regions, contents));
    contents.vmcoreinfo = RS_TRY(remote_.monitor("vmcoreinfo"));
    if (!contents.vmcoreinfo.starts_with("OSRELEASE=")) {
      fmt::print(stderr, "ringside: without vmcoreinfo, which crash and drgn need: {}", contents.vmcoreinfo);
      contents.vmcoreinfo.clear();
    }
    const std::string threads = RS_TRY(remote_.ask("qfThreadInfo"));
    const std::size_t cpus = cpus_in(threads);
    for (std::size_t i = 1; i <= cpus; ++i) {
      if (const std::string chosen = RS_TRY(remote_.ask(fmt::format("Hg{:x}", i))); chosen != "OK")
        return fail(Errc::kMalformed, fmt::format("the monitor does not know its CPU {}: {}", i - 1, chosen));
      std::string registers = RS_TRY(remote_.ask("g"));
      const std::string pid = RS_TRY(remote_.ask("qTV:4"));
      contents.cpus.push_back({RS_TRY(parse_registers(std::move(registers))),
                               task_of(pid).value_or(static_cast<std::uint32_t>(i - 1))});
    }
    RS_TRY(say_who_is_dead(cpus));
    if (RS_TRY(remote_.ask("Qqemu.PhyMemMode:1")) != "OK")
      return fail(Errc::kUnsupported, "the monitor has no physical memory mode");
    contents.read = [this](const DumpedRam& ram, const auto& take) { return read(ram, take); };
    return contents;
  }

 private:
  static std::size_t cpus_in(std::string_view threads) {
    return 1 + static_cast<std::size_t>(std::ranges::count(threads, ','));
  }
  // Their registers may not be those of the moment; the monitor's words say so.
  Result<void> say_who_is_dead(std::size_t cpus) {
    for (std::size_t i = 1; i <= cpus; ++i) {
      const std::string info = RS_TRY(remote_.ask(fmt::format("qThreadExtraInfo,{:x}", i)));
      const std::string text = rsp::text_from_hex(info).value_or("");
      if (text.find("triple fault") != std::string::npos) fmt::print(stderr, "ringside: {}\n", text);
    }
    return {};
  }
  // The next piece is asked for before the last has come.
  Result<void> read(const DumpedRam& ram, const std::function<Result<void>(ByteView)>& take) {
    const auto ask = [&](std::uint64_t offset) -> Result<void> {
      if (offset >= ram.bytes) return {};
      return remote_.send(
          fmt::format("x{:x},{:x}", ram.begin.value + offset, std::min(kPiece, ram.bytes - offset)));
    };
    RS_TRY(ask(0));
    for (std::uint64_t offset = 0; offset < ram.bytes; offset += kPiece) {
      RS_TRY(ask(offset + kPiece));
      std::optional<std::string> answer;
      while (!answer) answer = RS_TRY(remote_.receive());
      const auto bytes = answer->starts_with('b') ? rsp::unescape(std::string_view(*answer).substr(1))
                                                  : std::optional<Bytes>();
      if (!bytes || bytes->size() != std::min(kPiece, ram.bytes - offset))
        return fail(Errc::kMalformed,
                    fmt::format("the monitor does not give memory at {:#x}", ram.begin.value + offset));
      RS_TRY(take(*bytes));
    }
    return {};
  }

  Remote& remote_;
};

Result<void> dump(const DumpOptions& options) {
  const auto remote = RS_TRY(Remote::connect(options.address));
  Session session(*remote);
  const auto began = std::chrono::steady_clock::now();
  const bool waits = RS_TRY(session.leave_waiting());
  RS_TRY(session.stop());
  if (!waits && RS_TRY(session.only_looks_on()))
    fmt::print(stderr,
               "ringside: this door is read-only, so the guest runs on: the dump is of no one moment\n");
  DumpContents contents = RS_TRY(session.contents());
  const DumpSize size = RS_TRY(write_dump(std::move(contents), options.file));
  static_cast<void>(RS_TRY(remote->ask("D")));
  const std::chrono::duration<double> held = std::chrono::steady_clock::now() - began;
  fmt::print("{}: {}, in {:.1f} s\n", options.file, to_text(size), held.count());
  return {};
}

}  // namespace

int dump_command(const DumpOptions& options) {
  ::signal(SIGPIPE, SIG_IGN);
  const Result<void> done = dump(options);
  if (done) return 0;
  fmt::print(stderr, "ringside: {}\n", done.error().text);
  return 2;
}

}  // namespace ringside::cli
