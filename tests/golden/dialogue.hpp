// A dialogue between debuggers and the stub, as a file that people read and write.
//
//   # a comment                          ! cpus 4             a stage direction, see stage.hpp
//   < vCont;c                            what the client sends, unframed; < ^C is the interrupt byte
//   > T05thread:p1.1;core:0;swbreak:;    the stub's next packet, exactly; a lone > is the empty one
//   > /T05thread:p1\.1;.*/               the same by regular expression (ECMAScript, all of it)
//   << tracers                           monitor tracers
//   >> /1 golden points 0.*/             the next line of console output
//
// `@2` in front makes it the second tracer.  \xNN and \\ stand for bytes, but in regular expressions.
// Whatever the stub sends has to stand there: what is not expected fails at the next thing done.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace ringside::golden {

struct Line {
  enum class Kind : std::uint8_t { kSend, kExpect, kMonitor, kConsole, kDirection };
  int number = 0;  // in its file
  std::size_t tracer = 1;
  Kind kind = Kind::kDirection;
  std::string text;
};

struct Dialogue {
  std::filesystem::path file;
  std::vector<Line> lines;
  std::vector<std::string> mistakes;  // lines that are none, with their numbers
};

Dialogue read_dialogue(const std::filesystem::path& file);
// Every dialogue of a folder, by name.
std::vector<std::filesystem::path> dialogues(const std::filesystem::path& folder);

// What a client's line means in bytes: the body of a packet.
std::string body_of(const Line& line);
// Whether what was heard is what the line says.
bool matches(const Line& line, const std::string& heard);

}  // namespace ringside::golden
