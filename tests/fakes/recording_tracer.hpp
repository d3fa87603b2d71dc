// A tracer that keeps what it is told.
#pragma once

#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "stub/tracer/port.hpp"

namespace ringside::fakes {

class RecordingTracer final : public tracer::Events {
 public:
  void on_stop(const tracer::StopEvent& event) override { stops.push_back(event); }
  void on_guest_end(std::string detail) override { ended = std::move(detail); }
  void on_message(const std::string& text) override { messages.push_back(text); }
  void on_print(const std::string& text) override { prints.push_back(text); }
  bool wants_stops() const override { return wants; }

  std::deque<tracer::StopEvent> stops;
  std::vector<std::string> messages;
  std::vector<std::string> prints;
  std::optional<std::string> ended;
  bool wants = true;
  std::unique_ptr<tracer::Port> port;  // last: its end may still tell something
};

}  // namespace ringside::fakes
