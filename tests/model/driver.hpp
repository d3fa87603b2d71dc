// Plays a script of bytes on a real hub and the fake machine: tracers of all kinds that come, do anything in
// any order and go, vCPUs that run and answer late; and asks the model about each of it.
//
// Any bytes are a script: they only choose.  For the random test and the fuzzer; the same bytes do the same.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <boost/asio/io_context.hpp>
#include <fmt/format.h>

#include "arch/bytes.hpp"
#include "stub/hub/hub.hpp"
#include "tests/fakes/fake_machine.hpp"
#include "tests/model/bare_guest.hpp"
#include "tests/model/model.hpp"

namespace ringside::model {

class Driver {
 public:
  enum class Log : std::uint8_t { kNo, kYes };
  explicit Driver(ByteView script, Log log = Log::kNo);
  ~Driver();

  // What was wrong; empty when nothing was.
  std::string play();
  const std::string& log() const { return log_; }

 private:
  struct Player;
  using Command = void (Driver::*)();
  struct Row {
    int weight;
    const char* name;
    Command command;
  };
  static const std::vector<Row>& table();

  // The script.  Zero when it is over.
  std::uint8_t next();
  std::size_t pick(std::size_t count) { return next() % count; }
  bool one_in(std::size_t count) { return pick(count) == 0; }
  VcpuId pick_vcpu() { return VcpuId{static_cast<std::uint32_t>(pick(machine_.vcpu_count()))}; }
  Gva pick_code();
  PointSpec pick_point();
  Player* pick_player();
  ResumeAction pick_action(VcpuId vcpu);

  void attach();
  void detach();
  void stop_all();
  void interrupt();
  void stop();
  void resume_all();
  void resume_some();
  void insert();
  void remove();
  void move();
  void write_memory();
  void read_memory();
  void observe();
  void release();
  void reset();
  void triple_fault();
  void end_guest();
  void advance_one();
  void advance_all();
  void toggle_prompt();
  void answer();
  void leave_at_next();
  void settle_and_check();

  void resume(Player& player, const std::vector<ResumeAction>& actions);
  void advance(VcpuId vcpu);
  void poll();
  bool answer_all();
  void settle();
  void finish();
  template <typename... Args>
  void note(fmt::format_string<Args...> text, Args&&... args) {
    if (logs_ == Log::kYes) log_ += fmt::format(text, std::forward<Args>(args)...) + '\n';
  }

  ByteView script_;
  std::size_t at_ = 0;
  Log logs_;
  std::string log_;

  boost::asio::io_context io_{1};
  fakes::FakeMachine machine_;
  bool held_;
  BareGuest guest_;
  Model model_;
  bool ended_ = false;
  hub::Hub hub_;
  std::map<TracerId, std::unique_ptr<Player>> players_;
};

// The same for the same seed, on every machine.
Bytes random_script(std::uint64_t seed, std::size_t length);

}  // namespace ringside::model
