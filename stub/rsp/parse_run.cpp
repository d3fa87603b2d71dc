// Packets that make the guest run, stop, or end, and those that choose what to stop for.
#include "stub/rsp/parse.hpp"
#include "stub/rsp/parsers.hpp"
#include "stub/rsp/scanner.hpp"

namespace ringside::rsp {
namespace {

using Kind = ResumeAction::Kind;

std::optional<std::uint8_t> take_signal(Scanner& in) {
  const auto number = in.number();
  if (!number || *number > 0xff) return std::nullopt;
  return static_cast<std::uint8_t>(*number);
}

Result<ResumeAction> with_signal(Scanner& in, Kind kind) {
  const auto signal = take_signal(in);
  if (!signal) return malformed("vCont", "a signal's number");
  ResumeAction action;
  action.kind = kind;
  action.signal = *signal;
  return action;
}

Result<ResumeAction> range_step(Scanner& in) {
  const auto begin = in.number();
  const bool comma = in.take(',');
  const auto end = in.number();
  if (!begin || !comma || !end) return malformed("vCont", "r<start>,<end>");
  ResumeAction action;
  action.kind = Kind::kRangeStep;
  action.range = {Gva{*begin}, Gva{*end}};
  return action;
}

ResumeAction plain(Kind kind) {
  ResumeAction action;
  action.kind = kind;
  return action;
}

Result<ResumeAction> take_action(Scanner& in) {
  if (in.take('c')) return plain(Kind::kContinue);
  if (in.take('s')) return plain(Kind::kStep);
  if (in.take('t')) return plain(Kind::kStop);
  if (in.take('C')) return with_signal(in, Kind::kContinue);
  if (in.take('S')) return with_signal(in, Kind::kStep);
  if (in.take('r')) return range_step(in);
  return malformed("vCont", "an action of c C s S t r");
}

// action[:thread]
Result<ResumeAction> parse_action(std::string_view text) {
  Scanner in(text);
  ResumeAction action = RS_TRY(take_action(in));
  if (in.done()) return action;
  if (!in.take(':')) return malformed("vCont", "an action and a thread");
  action.who = RS_TRY(parse_thread(in.rest()));
  return action;
}

Result<Request> resume(std::string_view packet, std::string_view rest, Kind kind) {
  if (rest.empty()) return ResumeLegacy{kind, 0, {}};
  const auto at = parse_hex_u64(rest);
  if (!at) return malformed(packet, "an address or nothing");
  return ResumeLegacy{kind, 0, Gva{*at}};
}

Result<Request> resume_with_signal(std::string_view packet, std::string_view rest, Kind kind) {
  Scanner in(rest);
  const auto signal = take_signal(in);
  if (!signal) return malformed(packet, "<signal>[;<addr>]");
  if (in.done()) return ResumeLegacy{kind, *signal, {}};
  const bool separated = in.take(';');
  const auto at = parse_hex_u64(in.rest());
  if (!separated || !at) return malformed(packet, "<signal>[;<addr>]");
  return ResumeLegacy{kind, *signal, Gva{*at}};
}

// Numbers up to `limit` with `;` between; an empty text is an empty list.
template <typename T>
Result<std::vector<T>> parse_numbers(std::string_view packet, std::string_view text, std::uint64_t limit) {
  Scanner in(text);
  std::vector<T> numbers;
  while (!in.done()) {
    const auto number = parse_hex_u64(in.until(';'));
    if (!number || *number > limit) return malformed(packet, "numbers with ; between");
    if (numbers.size() == kMaxListItems) return fail(Errc::kExhausted, "a list is too long");
    numbers.push_back(static_cast<T>(*number));
  }
  return numbers;
}

}  // namespace

Result<Request> parse_resume_many(std::string_view rest, const Features&) {
  Scanner in(rest);
  ResumeMany request;
  do {
    if (request.actions.size() == kMaxResumeActions)
      return fail(Errc::kExhausted, "too many actions in a vCont");
    request.actions.push_back(RS_TRY(parse_action(in.until(';'))));
  } while (!in.done());
  return request;
}

Result<Request> parse_continue(std::string_view rest, const Features&) {
  return resume("c", rest, Kind::kContinue);
}

Result<Request> parse_continue_with_signal(std::string_view rest, const Features&) {
  return resume_with_signal("C", rest, Kind::kContinue);
}

Result<Request> parse_step(std::string_view rest, const Features&) { return resume("s", rest, Kind::kStep); }

Result<Request> parse_step_with_signal(std::string_view rest, const Features&) {
  return resume_with_signal("S", rest, Kind::kStep);
}

Result<Request> parse_reverse_continue(std::string_view, const Features&) {
  return ResumeReverse{Kind::kContinue};
}

Result<Request> parse_reverse_step(std::string_view, const Features&) { return ResumeReverse{Kind::kStep}; }

// Pids are not checked: without multiprocess gdb makes one up (42000).
Result<Request> parse_detach(std::string_view rest, const Features&) {
  if (rest.empty()) return Detach{};
  const auto pid = parse_hex_u64(rest);
  if (!pid) return malformed("D", "a pid or nothing");
  return Detach{*pid};
}

Result<Request> parse_kill(std::string_view rest, const Features&) {
  const auto pid = parse_hex_u64(rest);
  if (!pid) return malformed("vKill", "a pid");
  return Kill{*pid};
}

Result<Request> parse_attach(std::string_view rest, const Features&) {
  const auto pid = parse_hex_u64(rest);
  if (!pid) return malformed("vAttach", "a pid");
  return AttachTo{*pid};
}

Result<Request> parse_run(std::string_view rest, const Features&) {
  Scanner in(rest);
  Run request;
  while (!in.done()) {
    auto argument = text_from_hex(in.until(';'));
    if (!argument) return malformed("vRun", "arguments in hex");
    if (request.arguments.size() == kMaxListItems) return fail(Errc::kExhausted, "too many arguments");
    request.arguments.push_back(std::move(*argument));
  }
  return request;
}

Result<Request> parse_pass_signals(std::string_view rest, const Features&) {
  return SetPassSignals{RS_TRY(parse_numbers<std::uint8_t>("QPassSignals", rest, 0xff))};
}

Result<Request> parse_program_signals(std::string_view rest, const Features&) {
  return SetProgramSignals{RS_TRY(parse_numbers<std::uint8_t>("QProgramSignals", rest, 0xff))};
}

Result<Request> parse_catch_syscalls(std::string_view rest, const Features&) {
  Scanner in(rest);
  const bool on = RS_TRY(parse_switch("QCatchSyscalls", in.until(';')));
  auto numbers = RS_TRY(parse_numbers<std::uint32_t>("QCatchSyscalls", in.rest(), UINT32_MAX));
  if (!on && !numbers.empty()) return malformed("QCatchSyscalls", "no numbers after 0");
  return CatchSyscalls{on, std::move(numbers)};
}

}  // namespace ringside::rsp
