#include "stub/strace/lines.hpp"

#include <algorithm>
#include <ctime>
#include <utility>

#include <fmt/format.h>

#include "stub/strace/decode.hpp"

namespace ringside::strace {

std::string shown_arguments(std::string_view text) {
  std::string out;
  out.reserve(text.size() + 16);
  for (const char c : text) {
    if (c == Text::kNextArgument) {
      out += ", ";
    } else {
      out += c;
    }
  }
  return out;
}

std::string describe_end(std::int32_t code) {
  const int signal = code & 0x7f;
  if (signal == 0) return fmt::format("exited with {}", code >> 8 & 0xff);
  const std::string_view name = signal_name(signal);
  return fmt::format("killed by {}{}", name.empty() ? fmt::format("SIG_{}", signal) : std::string(name),
                     (code & 0x80) != 0 ? " (core dumped)" : "");
}

void Lines::add(const Record& record) {
  switch (record.kind) {
    case Record::Kind::kEntry:
      entry(record);
      return;
    case Record::Kind::kReturn:
      result(record);
      return;
    case Record::Kind::kSignal:
      begin(record);
      line_ += fmt::format("--- {} ---\n", record.text);
      add_stack(record.stack);
      break;
    case Record::Kind::kExit:
      exit(record);
      break;
    case Record::Kind::kNewTask:
      if (const auto parent = abis_.find(record.parent); parent != abis_.end())
        abis_[record.pid] = parent->second;
      if (!style_.attached) return;
      interrupt();
      line_ = fmt::format("ringside: Process {} attached\n", record.pid);
      break;
    case Record::Kind::kLost:
      interrupt();
      line_ = fmt::format("ringside: {} records lost here\n", record.lost);
      break;
    case Record::Kind::kNote:
      interrupt();
      line_ = fmt::format("ringside: {}\n", record.text);
      break;
    case Record::Kind::kNone:
    case Record::Kind::kCount:
      return;
  }
  sink_(line_);
  line_.clear();
}

void Lines::end() { interrupt(); }

// Somebody else's turn: the open line is broken off.
void Lines::interrupt() {
  if (!at_end_) return;
  sink_(" <unfinished ...>\n");
  at_end_.reset();
  line_.clear();
}

void Lines::begin(const Record& record) {
  interrupt();
  line_.clear();
  const std::string who =
      style_.comm ? fmt::format("{}<{}>", record.pid, record.comm) : fmt::format("{}", record.pid);
  line_ =
      style_.pid == LineStyle::Pid::kBrackets ? fmt::format("[pid {:>5}] ", who) : fmt::format("{:<5} ", who);
  line_ += stamp(record.time_ns);
}

std::string Lines::stamp(std::uint64_t time_ns) {
  const auto seconds = static_cast<std::time_t>(time_ns / 1'000'000'000u);
  const std::uint64_t microseconds = time_ns / 1000 % 1'000'000u;
  if (style_.time == LineStyle::Time::kNone) return {};
  if (style_.time == LineStyle::Time::kEpoch) return fmt::format("{}.{:06} ", seconds, microseconds);
  if (style_.time == LineStyle::Time::kRelative) {
    const std::uint64_t since = last_ns_ == 0 || time_ns < last_ns_ ? 0 : time_ns - last_ns_;
    last_ns_ = time_ns;
    return fmt::format("{:6}.{:06} ", since / 1'000'000'000u, since / 1000 % 1'000'000u);
  }
  std::tm parts{};
  ::localtime_r(&seconds, &parts);
  const std::string clock = fmt::format("{:02}:{:02}:{:02}", parts.tm_hour, parts.tm_min, parts.tm_sec);
  if (style_.time == LineStyle::Time::kClock) return clock + ' ';
  return fmt::format("{}.{:06} ", clock, microseconds);
}

// A process is taken for a 64-bit one, or what its parent was, until it makes another call.
void Lines::note_mode(const Record& record) {
  Abi& abi = abis_[record.pid];
  if (abi == record.abi) return;
  abi = record.abi;
  if (!style_.attached) return;
  begin(record);
  line_ += fmt::format("[ Process PID={} runs in {} bit mode. ]\n", record.pid, abi == Abi::kX64 ? 64 : 32);
  sink_(line_);
}

void Lines::entry(const Record& record) {
  note_mode(record);
  begin(record);
  line_ += record.name;
  line_ += '(';
  line_ += shown_arguments(record.text);
  const bool separated = record.more && !record.text.empty();
  if (separated) line_ += ", ";
  open_[record.pid] = {std::string(record.name), separated, record.more};
  at_end_ = record.pid;
  sink_(line_);
}

void Lines::result(const Record& record) {
  const auto found = open_.find(record.pid);
  if (found == open_.end()) return;  // its entry has been lost
  const Open call = std::move(found->second);
  open_.erase(found);
  const bool goes_on = at_end_ == record.pid;
  const std::size_t shown = goes_on ? line_.size() : 0;
  if (!goes_on) {
    begin(record);
    line_ += fmt::format("<... {} resumed>", call.name);
  }
  const std::string rest = shown_arguments(record.text);
  line_ += call.separated && rest.starts_with(", ") ? std::string_view(rest).substr(2) : rest;
  line_ += ") ";
  std::string outcome = fmt::format("= {}", record.result_text);
  if (style_.took)
    outcome +=
        fmt::format(" <{}.{:06}>", record.took_ns / 1'000'000'000u, record.took_ns / 1000 % 1'000'000u);
  add_outcome(outcome);
  add_stack(record.stack);
  sink_(std::string_view(line_).substr(shown));
  at_end_.reset();
  line_.clear();
}

void Lines::add_outcome(std::string_view outcome) {
  if (line_.size() < style_.column) line_.append(style_.column - line_.size(), ' ');
  line_ += outcome;
  line_ += '\n';
}

void Lines::add_stack(std::string_view frames) {
  while (!frames.empty()) {
    const std::size_t end = std::min(frames.find('\n'), frames.size() - 1);
    line_ += fmt::format(" > {}\n", frames.substr(0, end));
    frames.remove_prefix(end + 1);
  }
}

// A call that was under way never returns.
void Lines::exit(const Record& record) {
  if (const auto open = open_.find(record.pid); open != open_.end()) {
    if (at_end_ == record.pid) {
      const std::size_t before = line_.size();
      if (open->second.more) line_ += " <unfinished ...>";
      line_ += ") ";
      add_outcome("= ?");
      sink_(std::string_view(line_).substr(before));
    } else {
      begin(record);
      line_ += fmt::format("<... {} resumed>", open->second.name);
      line_ += open->second.more ? " <unfinished ...>) " : ") ";
      add_outcome("= ?");
      sink_(line_);
    }
    at_end_.reset();
    open_.erase(open);
  }
  abis_.erase(record.pid);
  begin(record);
  line_ += fmt::format("+++ {} +++\n", describe_end(record.code));
}

}  // namespace ringside::strace
