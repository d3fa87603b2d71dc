// The parsers that packets.def names.  Each gets what follows its prefix and separator.  Private to parse.cpp
// and the parse_*.cpp that define them.
#pragma once

#include <string_view>

#include "arch/result.hpp"
#include "stub/rsp/features.hpp"
#include "stub/rsp/request.hpp"

namespace ringside::rsp {

using Parser = Result<Request> (*)(std::string_view rest, const Features& agreed);

// For packets that are complete with their prefix.
template <typename T>
Result<Request> parse_nothing(std::string_view, const Features&) {
  return T{};
}
// For packets whose argument means nothing to us.
template <typename T>
Result<Request> parse_ignoring_rest(std::string_view, const Features&) {
  return T{};
}
// For the pairs "first" and "subsequent".
template <typename T, bool kFirst>
Result<Request> parse_list(std::string_view, const Features&) {
  return T{kFirst};
}

[[nodiscard]] Unexpected<Error> malformed(std::string_view packet, std::string_view wanted);
// "0" or "1".
Result<bool> parse_switch(std::string_view packet, std::string_view text);

// parse_query.cpp
Result<Request> parse_supported(std::string_view rest, const Features& agreed);
Result<Request> parse_non_stop(std::string_view rest, const Features& agreed);
Result<Request> parse_attached(std::string_view rest, const Features& agreed);
Result<Request> parse_symbol(std::string_view rest, const Features& agreed);
Result<Request> parse_xfer(std::string_view rest, const Features& agreed);
Result<Request> parse_select_for_access(std::string_view rest, const Features& agreed);
Result<Request> parse_select_for_resume(std::string_view rest, const Features& agreed);
Result<Request> parse_thread_info(std::string_view rest, const Features& agreed);
Result<Request> parse_thread_alive(std::string_view rest, const Features& agreed);
Result<Request> parse_thread_events(std::string_view rest, const Features& agreed);
Result<Request> parse_trace_variable(std::string_view rest, const Features& agreed);
Result<Request> parse_monitor(std::string_view rest, const Features& agreed);
Result<Request> parse_set_physical_mode(std::string_view rest, const Features& agreed);
Result<Request> parse_set_step_flags(std::string_view rest, const Features& agreed);
Result<Request> parse_start_strace(std::string_view rest, const Features& agreed);
Result<Request> parse_read_records(std::string_view rest, const Features& agreed);

// parse_memory.cpp
Result<Request> parse_write_registers(std::string_view rest, const Features& agreed);
Result<Request> parse_read_register(std::string_view rest, const Features& agreed);
Result<Request> parse_write_register(std::string_view rest, const Features& agreed);
Result<Request> parse_read_hex(std::string_view rest, const Features& agreed);
Result<Request> parse_read_binary(std::string_view rest, const Features& agreed);
Result<Request> parse_write_hex(std::string_view rest, const Features& agreed);
Result<Request> parse_write_binary(std::string_view rest, const Features& agreed);
Result<Request> parse_search(std::string_view rest, const Features& agreed);
Result<Request> parse_crc(std::string_view rest, const Features& agreed);
Result<Request> parse_insert_point(std::string_view rest, const Features& agreed);
Result<Request> parse_remove_point(std::string_view rest, const Features& agreed);

// parse_run.cpp
Result<Request> parse_resume_many(std::string_view rest, const Features& agreed);
Result<Request> parse_continue(std::string_view rest, const Features& agreed);
Result<Request> parse_continue_with_signal(std::string_view rest, const Features& agreed);
Result<Request> parse_step(std::string_view rest, const Features& agreed);
Result<Request> parse_step_with_signal(std::string_view rest, const Features& agreed);
Result<Request> parse_reverse_continue(std::string_view rest, const Features& agreed);
Result<Request> parse_reverse_step(std::string_view rest, const Features& agreed);
Result<Request> parse_detach(std::string_view rest, const Features& agreed);
Result<Request> parse_kill(std::string_view rest, const Features& agreed);
Result<Request> parse_attach(std::string_view rest, const Features& agreed);
Result<Request> parse_run(std::string_view rest, const Features& agreed);
Result<Request> parse_pass_signals(std::string_view rest, const Features& agreed);
Result<Request> parse_program_signals(std::string_view rest, const Features& agreed);
Result<Request> parse_catch_syscalls(std::string_view rest, const Features& agreed);

}  // namespace ringside::rsp
