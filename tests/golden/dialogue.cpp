#include "tests/golden/dialogue.hpp"

#include <algorithm>
#include <fstream>
#include <optional>
#include <regex>

#include "stub/rsp/hex.hpp"

namespace ringside::golden {
namespace {

using Kind = Line::Kind;

constexpr std::pair<std::string_view, Kind> kMarks[] = {{"<<", Kind::kMonitor},
                                                        {">>", Kind::kConsole},
                                                        {"<", Kind::kSend},
                                                        {">", Kind::kExpect},
                                                        {"!", Kind::kDirection}};

std::optional<Line> read_line(std::string_view text, int number) {
  Line line;
  line.number = number;
  if (text.starts_with('@') && text.size() > 3 && text[2] == ' ') {
    if (text[1] < '1' || text[1] > '9') return std::nullopt;
    line.tracer = static_cast<std::size_t>(text[1] - '0');
    text.remove_prefix(3);
  }
  const auto mark =
      std::ranges::find_if(kMarks, [&](const auto& one) { return text.starts_with(one.first); });
  if (mark == std::end(kMarks)) return std::nullopt;
  text.remove_prefix(mark->first.size());
  if (!text.empty() && !text.starts_with(' ')) return std::nullopt;
  line.kind = mark->second;
  line.text = text.empty() ? text : text.substr(1);
  return line;
}

std::string unescape(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '\\' || i + 1 == text.size()) {
      out += text[i];
    } else if (text[i + 1] == 'x' && i + 3 < text.size()) {
      out += static_cast<char>(std::stoi(std::string(text.substr(i + 2, 2)), nullptr, 16));
      i += 3;
    } else {
      out += text[++i];
    }
  }
  return out;
}

}  // namespace

Dialogue read_dialogue(const std::filesystem::path& file) {
  Dialogue dialogue{.file = file, .lines = {}, .mistakes = {}};
  std::ifstream in(file);
  std::string text;
  for (int number = 1; std::getline(in, text); ++number) {
    if (text.empty() || text.starts_with('#')) continue;
    if (const auto line = read_line(text, number)) {
      dialogue.lines.push_back(*line);
    } else {
      dialogue.mistakes.push_back(file.string() + ":" + std::to_string(number) + ": what is this? " + text);
    }
  }
  return dialogue;
}

std::vector<std::filesystem::path> dialogues(const std::filesystem::path& folder) {
  std::vector<std::filesystem::path> found;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    if (entry.path().extension() == ".rsp") found.push_back(entry.path());
  }
  std::ranges::sort(found);
  return found;
}

std::string body_of(const Line& line) {
  if (line.kind != Kind::kMonitor) return unescape(line.text);
  std::string body = "qRcmd,";
  rsp::append_hex(body, ByteView(reinterpret_cast<const std::uint8_t*>(line.text.data()), line.text.size()));
  return body;
}

bool matches(const Line& line, const std::string& heard) {
  const std::string& text = line.text;
  if (text.size() < 2 || !text.starts_with('/') || !text.ends_with('/')) return heard == unescape(text);
  return std::regex_match(heard, std::regex(text.substr(1, text.size() - 2)));
}

}  // namespace ringside::golden
