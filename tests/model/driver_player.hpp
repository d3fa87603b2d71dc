// A tracer of the driver's, with what it has in mind.
#pragma once

#include <memory>
#include <string>

#include "tests/model/driver.hpp"

namespace ringside::model {

struct Driver::Player final : tracer::Events {
  explicit Player(Driver& to) : driver(to) {}

  void on_stop(const StopEvent& event) override;
  void on_guest_end(std::string) override;
  void on_message(const std::string&) override {
    if (leaves) leave();
  }
  void on_print(const std::string&) override {}
  // From the midst of what it is told, or between two commands.
  void leave();

  Driver& driver;
  TracerId id;
  bool observer = false;
  bool non_stop = false;
  bool leaves = false;  // at the next that it hears
  bool gone = false;
  bool told_end = false;
  std::unique_ptr<tracer::Port> port;
};

}  // namespace ringside::model
