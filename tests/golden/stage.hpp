// Where dialogues are played: the real hub and real Clients on the fake machine, all in one thread.
//
// Stage directions:
//   cpus N                   how many there are; 2 if not said.  Must come first
//   wait                     as with --wait; must come before anybody speaks
//   put ADDR HEX             bytes into guest memory.  vCPU n begins at 0x8000 + n * 0x100 in 0x40 nops and a
//                            jump back to the first
//   memory ADDR HEX          the guest must have these bytes there
//   kernel TEXT SLIDE        the machine knows a kernel linked at TEXT, moved by SLIDE
//   features avx|avx512|pkru the CPU has them
//   read-only                this tracer is to come in by a read-only door; before its first word
//   run N [cpu C]            N instructions on every vCPU that runs, or on one
//   slow, prompt             vCPUs answer what the hub asks of them only at `answer`, or at once
//   answer                   all that is asked of vCPUs is answered
//   running none|0,1,…       exactly these vCPUs must run
//   triple-fault C           the vCPU cannot go on
//   end power-off|reboot     the guest ends
//   ended                    the monitor must have been told that the guest is over
//   hang-up                  this tracer's connection breaks
//   closed                   this tracer's connection must have been ended by the stub
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <boost/asio/io_context.hpp>

#include "stub/hub/hub.hpp"
#include "stub/rsp/framer.hpp"
#include "stub/session/client.hpp"
#include "stub/session/wire.hpp"
#include "tests/fakes/fake_machine.hpp"
#include "tests/golden/dialogue.hpp"

namespace ringside::golden {

// A debugger and its connection: a Client behind real framing, both ways.
class Peer final : public session::Wire {
 public:
  void attach(tracer::PortFactory& factory, const std::string& label, tracer::AttachOptions options);
  void say(std::string_view body);
  void interrupt();
  void hang_up() { client_->disconnected(); }

  void send_packet(std::string_view body) override;
  void send_notification(std::string_view body) override { heard.push_back("%" + std::string(body)); }
  void later(std::chrono::milliseconds, std::function<void()> what) override {
    delayed.push_back(std::move(what));
  }
  void stop_acks() override {}
  void close_when_sent() override { closed = true; }
  void drop(std::string_view) override { closed = true; }

  std::deque<std::string> heard;
  std::vector<std::function<void()>> delayed;
  bool closed = false;

 private:
  std::shared_ptr<session::Client> client_ = std::make_shared<session::Client>(*this);
  rsp::Framer to_stub_{2 * rsp::kPacketSize};
  rsp::Framer to_client_{SIZE_MAX};
};

class Stage {
 public:
  explicit Stage(const Dialogue& dialogue);
  ~Stage();

  // What is wrong; nothing when it went as it stands there.
  std::optional<std::string> play(const Line& line);
  std::optional<std::string> leftovers();

 private:
  using Words = std::vector<std::string>;
  using Direction = std::optional<std::string> (Stage::*)(const Line& line, const Words& words);
  static const std::map<std::string, Direction>& directions();

  Peer& peer(const Line& line);
  void poll();
  std::optional<std::string> expect(const Line& line);
  std::optional<std::string> expect_console(const Line& line);

  std::optional<std::string> put(const Line& line, const Words& words);
  std::optional<std::string> memory(const Line& line, const Words& words);
  std::optional<std::string> kernel(const Line& line, const Words& words);
  std::optional<std::string> features(const Line& line, const Words& words);
  std::optional<std::string> read_only(const Line& line, const Words& words);
  std::optional<std::string> run(const Line& line, const Words& words);
  std::optional<std::string> slow(const Line& line, const Words& words);
  std::optional<std::string> later(const Line& line, const Words& words);
  std::optional<std::string> prompt(const Line& line, const Words& words);
  std::optional<std::string> answer(const Line& line, const Words& words);
  std::optional<std::string> running(const Line& line, const Words& words);
  std::optional<std::string> triple_fault(const Line& line, const Words& words);
  std::optional<std::string> end(const Line& line, const Words& words);
  std::optional<std::string> ended(const Line& line, const Words& words);
  std::optional<std::string> hang_up(const Line& line, const Words& words);
  std::optional<std::string> closed(const Line& line, const Words& words);
  std::optional<std::string> nothing(const Line&, const Words&) { return std::nullopt; }

  boost::asio::io_context io_{1};
  fakes::FakeMachine machine_;
  std::optional<api::GuestEnd> end_;
  hub::Hub hub_;
  std::map<std::size_t, tracer::AttachOptions> options_;
  std::map<std::size_t, std::unique_ptr<Peer>> peers_;
  std::map<std::size_t, std::string> console_;
};

}  // namespace ringside::golden
