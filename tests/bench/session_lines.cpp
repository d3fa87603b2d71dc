#include <algorithm>
#include <array>
#include <cstdlib>
#include <functional>
#include <stdexcept>
#include <thread>

#include <fmt/format.h>

#include "tests/bench/client.hpp"
#include "tests/bench/lines.hpp"

namespace ringside::bench {
namespace {

constexpr std::uint64_t kText = 0xffffffff81000000;  // _text of a kernel that nobody has moved
constexpr std::size_t kMiB = 1u << 20;

int port_of(Arguments arguments) { return std::atoi(arguments[0]); }

double timed_ms(int times, const std::function<void()>& work) {
  std::vector<double> each;
  for (int i = 0; i < times; ++i) {
    const auto start = Clock::now();
    work();
    each.push_back(1e3 * seconds_since(start));
  }
  return median(each);
}

class Session : public Client {
 public:
  explicit Session(int port) : Client(port) { attach(); }
  ~Session() { leave(); }
};

Figures attach_line(Arguments arguments) {
  const int port = port_of(arguments);
  return {{"attach_ms", timed_ms(9, [port] { const Session session(port); })}};
}

Figures registers_line(Arguments arguments) {
  Session client(port_of(arguments));
  return {{"g_ms", timed_ms(200, [&] { client.ask("g"); })}};
}

double read_mib_per_second(Client& client, std::size_t total, std::size_t piece) {
  const auto start = Clock::now();
  for (std::size_t done = 0; done < total;) {
    const std::string answer =
        client.ask(fmt::format("m{:x},{:x}", kText + done, std::min(piece, total - done)));
    if (answer.size() < 8) throw std::runtime_error("m was answered " + answer);
    done += answer.size() / 2;
  }
  return static_cast<double>(total) / kMiB / seconds_since(start);
}

// In packets that every stub takes, and as large as this one allows: gdb does the latter.
Figures read_line(Arguments arguments) {
  Session client(port_of(arguments));
  constexpr std::size_t kOldPiece = 0x7f0;
  return {{"read_2k_mib_s", read_mib_per_second(client, 2 * kMiB, kOldPiece)},
          {"read_mib_s", read_mib_per_second(client, 16 * kMiB, client.packet_size() / 2 - 16)}};
}

std::string unhex(std::string_view hex) {
  std::string bytes;
  for (std::size_t i = 0; i + 1 < hex.size(); i += 2)
    bytes += static_cast<char>(little_endian(hex.substr(i, 2)));
  return bytes;
}

std::string escaped(std::string_view bytes) {
  std::string out;
  for (const char c : bytes) {
    if (c == '#' || c == '$' || c == '}' || c == '*') {
      out += '}';
      out += static_cast<char>(c ^ 0x20);
    } else {
      out += c;
    }
  }
  return out;
}

// The kernel's own text over itself, as gdb's `restore` does it: X where the stub has it, else M, in pieces
// as large as it allows.
Figures write_line(Arguments arguments) {
  Session client(port_of(arguments));
  const bool binary = client.ask(fmt::format("X{:x},0:", kText)) == "OK";
  const std::size_t piece = client.packet_size() / 2 - 32;
  constexpr std::size_t kTotal = 512u << 10;
  std::vector<std::string> packets;
  for (std::size_t done = 0; done < kTotal; done += piece) {
    const std::string hex = client.ask(fmt::format("m{:x},{:x}", kText + done, piece));
    packets.push_back(fmt::format("{}{:x},{:x}:{}", binary ? 'X' : 'M', kText + done, hex.size() / 2,
                                  binary ? escaped(unhex(hex)) : hex));
  }
  const auto start = Clock::now();
  for (const std::string& packet : packets) client.order(packet);
  return {{"write_mib_s", static_cast<double>(packets.size() * piece) / kMiB / seconds_since(start)}};
}

// From the function on, and not as far as the sysretq behind it: QEMU's step over that one does not end, as
// it takes TF away, and QEMU does not set it again before each step.
Figures step_line(Arguments arguments) {
  Session client(port_of(arguments));
  const std::string address = arguments[1];
  constexpr int kSteps = 200;
  client.order("Z0," + address + ",1");
  client.ask("vCont;c");
  client.order("z0," + address + ",1");
  const auto start = Clock::now();
  for (int i = 0; i < kSteps; ++i) client.ask("vCont;s:p1.1");
  return {{"steps_s", kSteps / seconds_since(start)}};
}

// Over everything that comes, system calls and returns from them included; ours alone.
Figures endless_step_line(Arguments arguments) {
  Session client(port_of(arguments));
  constexpr int kSteps = 2000;
  const auto start = Clock::now();
  for (int i = 0; i < kSteps; ++i) client.ask("vCont;s:p1.1");
  return {{"any_steps_s", kSteps / seconds_since(start)}};
}

// A round as gdb makes it: insert, continue to the hit, look, remove, step off.
Figures round_line(Arguments arguments) {
  Session client(port_of(arguments));
  const std::string address = arguments[1];
  constexpr int kRounds = 100;
  const auto start = Clock::now();
  for (int i = 0; i < kRounds; ++i) {
    client.order("Z0," + address + ",1");
    client.ask("vCont;c");
    client.ask("g");
    client.order("z0," + address + ",1");
    client.ask("vCont;s:p1.1");
  }
  return {{"rounds_s", kRounds / seconds_since(start)}};
}

Figures interrupt_line(Arguments arguments) {
  Session client(port_of(arguments));
  std::vector<double> each;
  for (int i = 0; i < 15; ++i) {
    client.send("vCont;c");
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
    const auto start = Clock::now();
    client.raw("\x03");
    client.receive();
    each.push_back(1e3 * seconds_since(start));
  }
  return {{"interrupt_ms", median(each)}};
}

}  // namespace

std::span<const Line> session_lines() {
  static constexpr std::array kLines = {
      Line{"attach", "PORT", 1, attach_line},       Line{"registers", "PORT", 1, registers_line},
      Line{"read", "PORT", 1, read_line},           Line{"write", "PORT", 1, write_line},
      Line{"step", "PORT ADDRESS", 2, step_line},   Line{"any-step", "PORT", 1, endless_step_line},
      Line{"round", "PORT ADDRESS", 2, round_line}, Line{"interrupt", "PORT", 1, interrupt_line},
  };
  return kLines;
}

}  // namespace ringside::bench
