// A gdb client in plain blocking sockets, for measuring: what is timed is the stub, not this.
//
// Every wait has an end: a stub that does not answer is an exception that names the packet and the time, so
// that a hang is told from a slow stub.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

namespace ringside::bench {

using Clock = std::chrono::steady_clock;
double seconds_since(Clock::time_point start);

class Client {
 public:
  explicit Client(int port);
  ~Client();
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  // How long one answer may take, from now on.
  void set_patience(std::chrono::milliseconds patience) { patience_ = patience; }

  void raw(std::string_view bytes);
  void send(std::string_view body);
  // The next packet's body; console output on the way goes to printed().
  std::string receive();
  std::string ask(std::string_view body);
  // The stop reply of a guest that runs: its own within that time, else that of a ^C.
  std::string interrupt_after(std::chrono::milliseconds time);
  // ask(), and an exception unless the answer is OK.
  void order(std::string_view body);
  // What `monitor LINE` prints.
  std::string monitor(std::string_view line);

  // What gdb 13 asks at `target remote` without a symbol file, and no more.
  void attach();
  // Detaches, so that the next client finds a guest that runs: QEMU leaves it stopped when a client just
  // goes.
  void leave() noexcept;
  // The largest packet this stub takes.
  std::size_t packet_size() const { return packet_size_; }

 private:
  void read_description(const std::string& name);
  void refill();
  std::string until(char end);
  std::string packet();

  int fd_ = -1;
  bool acks_ = true;
  std::chrono::milliseconds patience_{20'000};
  std::string last_;     // the packet whose answer is waited for
  std::string printed_;  // decoded O packets since the last ask()
  std::size_t packet_size_ = 400;
  std::array<char, 65536> buffer_{};
  std::string_view unread_;  // into buffer_
};

std::string hex_of(std::string_view bytes);
std::uint64_t little_endian(std::string_view hex);  // "3412…" -> 0x1234

}  // namespace ringside::bench
