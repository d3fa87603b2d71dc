// Packets that ask who we are, name threads, or are extensions.
#include "stub/rsp/parse.hpp"
#include "stub/rsp/parsers.hpp"
#include "stub/rsp/scanner.hpp"

namespace ringside::rsp {
namespace {

struct XferRow {
  std::string_view name;
  XferObject object;
  ServerFeature need;
};
constexpr XferRow kXferObjects[] = {
    {"features", XferObject::kFeatures, ServerFeature::kXferFeatures},
    {"threads", XferObject::kThreads, ServerFeature::kXferThreads},
    {"exec-file", XferObject::kExecFile, ServerFeature::kXferExecFile},
    {"libraries", XferObject::kLibraries, ServerFeature::kXferLibraries},
};

Result<Request> select_thread(std::string_view rest, SelectThread::For use) {
  return SelectThread{use, RS_TRY(parse_thread(rest))};
}

}  // namespace

Result<Request> parse_supported(std::string_view rest, const Features&) {
  return QuerySupported{parse_client_features(rest)};
}

Result<Request> parse_non_stop(std::string_view rest, const Features&) {
  return SetNonStop{RS_TRY(parse_switch("QNonStop", rest))};
}

Result<Request> parse_attached(std::string_view rest, const Features&) {
  if (rest.empty()) return QueryAttached{};
  const auto pid = parse_hex_u64(rest);
  if (!pid) return malformed("qAttached", "a pid");
  return QueryAttached{*pid};
}

Result<Request> parse_symbol(std::string_view rest, const Features&) {
  Scanner in(rest);
  OfferSymbol request;
  if (!in.take(':')) {
    const auto value = in.number();
    if (!value || !in.take(':')) return malformed("qSymbol", "[<value>]:<hex name>");
    request.value = Gva{*value};
  }
  auto name = text_from_hex(in.rest());
  if (!name) return malformed("qSymbol", "[<value>]:<hex name>");
  request.name = std::move(*name);
  return request;
}

// The annex may hold colons; offset and length are what follows the last one.
Result<Request> parse_xfer(std::string_view rest, const Features& agreed) {
  Scanner in(rest);
  const std::string_view object = in.until(':');
  const std::string_view operation = in.until(':');
  for (const XferRow& row : kXferObjects) {
    if (object != row.name || operation != "read" || !agreed.server.has(row.need)) continue;
    const std::size_t colon = in.rest().rfind(':');
    if (colon == std::string_view::npos) return malformed("qXfer", "<annex>:<offset>,<length>");
    Scanner window(in.rest().substr(colon + 1));
    const auto offset = window.number();
    const bool comma = window.take(',');
    const auto length = window.number();
    if (!offset || !comma || !length || !window.done())
      return malformed("qXfer", "<annex>:<offset>,<length>");
    return ReadXfer{row.object, std::string(in.rest().substr(0, colon)), *offset, *length};
  }
  return Unknown{};
}

Result<Request> parse_select_for_access(std::string_view rest, const Features&) {
  return select_thread(rest, SelectThread::For::kAccess);
}

Result<Request> parse_select_for_resume(std::string_view rest, const Features&) {
  return select_thread(rest, SelectThread::For::kResume);
}

Result<Request> parse_thread_info(std::string_view rest, const Features&) {
  return QueryThreadInfo{RS_TRY(parse_thread(rest))};
}

Result<Request> parse_thread_alive(std::string_view rest, const Features&) {
  return ThreadAlive{RS_TRY(parse_thread(rest))};
}

Result<Request> parse_thread_events(std::string_view rest, const Features&) {
  return SetThreadEvents{RS_TRY(parse_switch("QThreadEvents", rest))};
}

Result<Request> parse_trace_variable(std::string_view rest, const Features&) {
  const auto number = parse_hex_u64(rest);
  if (!number) return malformed("qTV", "a variable's number");
  return ReadTraceVariable{*number};
}

Result<Request> parse_monitor(std::string_view rest, const Features&) {
  auto command = text_from_hex(rest);
  if (!command) return malformed("qRcmd", "a command in hex");
  return Monitor{std::move(*command)};
}

Result<Request> parse_start_strace(std::string_view rest, const Features&) {
  auto options = text_from_hex(rest);
  if (!options) return malformed("QRingside.Strace", "options in hex");
  return StartStrace{std::move(*options)};
}

Result<Request> parse_read_records(std::string_view rest, const Features&) {
  const auto most = parse_hex_u64(rest);
  if (!most) return malformed("qRingside.Records", "a number of bytes");
  return ReadRecords{*most};
}

Result<Request> parse_set_physical_mode(std::string_view rest, const Features&) {
  return PhysicalMode{RS_TRY(parse_switch("Qqemu.PhyMemMode", rest))};
}

// Typed by hand (`maint packet Qqemu.sstep=0x1`), hence the 0x.
Result<Request> parse_set_step_flags(std::string_view rest, const Features&) {
  Scanner in(rest);
  in.take("0x");
  const auto flags = parse_hex_u64(in.rest());
  if (!flags) return malformed("Qqemu.sstep", "flags in hex");
  return StepFlags{*flags};
}

}  // namespace ringside::rsp
