#include "stub/strace/json.hpp"

#include <utility>

#include <fmt/format.h>

#include "stub/strace/lines.hpp"

namespace ringside::strace {
namespace {

std::string time_text(std::uint64_t ns) {
  return fmt::format("{}.{:09}", ns / 1'000'000'000u, ns % 1'000'000'000u);
}

std::string who(std::string_view event, const Record& record, std::uint64_t time_ns) {
  return fmt::format("{{\"event\":\"{}\",\"time\":{},\"cpu\":{},\"pid\":{},\"tgid\":{},\"comm\":{}", event,
                     time_text(time_ns), record.cpu, record.pid, record.tgid, json_string(record.comm));
}

std::string arguments(std::string_view text) {
  std::string out = "[";
  while (!text.empty()) {
    const std::size_t end = text.find(Text::kNextArgument);
    if (out.size() > 1) out += ',';
    out += json_string(text.substr(0, end));
    text = end == std::string_view::npos ? std::string_view{} : text.substr(end + 1);
  }
  return out + "]";
}

}  // namespace

// Bytes that are no ASCII are shown as the characters of their number: a guest's name need not be UTF-8.
std::string json_string(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (byte < 0x20 || byte >= 0x7f) {
      out += fmt::format("\\u{:04x}", byte);
    } else {
      out += c;
    }
  }
  return out + '"';
}

std::string JsonLines::add(const Record& record) {
  switch (record.kind) {
    case Record::Kind::kEntry:
      open_[record.pid] = {std::string(record.name), std::string(record.text), record.time_ns};
      return {};
    case Record::Kind::kReturn: {
      const auto open = open_.find(record.pid);
      if (open == open_.end()) return {};
      const std::string text = open->second.text + std::string(record.text);
      const std::uint64_t began = open->second.time_ns;
      open_.erase(open);
      return fmt::format(
          "{},\"call\":{},\"abi\":\"{}\",\"args\":{},\"result\":{},\"text\":{},\"took\":{}}}\n",
          who("call", record, began), json_string(record.name), record.abi == Abi::kI386 ? "i386" : "x86-64",
          arguments(text), record.result, json_string(record.result_text), time_text(record.took_ns));
    }
    case Record::Kind::kSignal:
      return fmt::format("{},\"signal\":{},\"text\":{}}}\n", who("signal", record, record.time_ns),
                         record.number, json_string(record.text));
    case Record::Kind::kExit: {
      std::string unfinished;
      if (const auto open = open_.find(record.pid); open != open_.end()) {
        unfinished = fmt::format(",\"unfinished\":{},\"args\":{}", json_string(open->second.name),
                                 arguments(open->second.text));
        open_.erase(open);
      }
      return fmt::format("{},\"code\":{},\"text\":{}{}}}\n", who("exit", record, record.time_ns), record.code,
                         json_string(describe_end(record.code)), unfinished);
    }
    case Record::Kind::kNewTask:
      return fmt::format("{},\"parent\":{}}}\n", who("new", record, record.time_ns), record.parent);
    case Record::Kind::kLost:
      return fmt::format("{{\"event\":\"lost\",\"count\":{}}}\n", record.lost);
    case Record::Kind::kNote:
      return fmt::format("{{\"event\":\"note\",\"text\":{}}}\n", json_string(record.text));
    case Record::Kind::kNone:
    case Record::Kind::kCount:
      break;
  }
  return {};
}

}  // namespace ringside::strace
