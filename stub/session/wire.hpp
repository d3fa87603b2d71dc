// What a Client needs of its connection.  Session implements it on a socket, tests on a string.  Thread: hub.
//
// send_packet() and drop() never call back: a Client may use them in the middle of anything.
#pragma once

#include <chrono>
#include <functional>
#include <string>
#include <string_view>

namespace ringside::session {

class Wire {
 public:
  virtual ~Wire() = default;
  virtual void send_packet(std::string_view body) = 0;
  virtual void send_notification(std::string_view body) = 0;
  // Calls `what` then, unless the connection has ended.  Several may be under way.
  virtual void later(std::chrono::milliseconds delay, std::function<void()> what) = 0;
  // From the next packet on neither side acknowledges.
  virtual void stop_acks() = 0;
  // Ends the connection once everything sent so far has gone out.
  virtual void close_when_sent() = 0;
  // Ends the connection soon, whatever is unsent; takes nothing more from it.
  virtual void drop(std::string_view why) = 0;
};

}  // namespace ringside::session
