// A client of a monitor, for the commands that ask it something: packets out, answers in, blocking.
//
// Owner: the command.  Thread: one.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "arch/result.hpp"

namespace ringside::cli {

class Remote {
 public:
  static Result<std::unique_ptr<Remote>> connect(const std::string& address);
  virtual ~Remote() = default;

  // `body` is sent as it is.
  virtual Result<void> send(std::string_view body) = 0;
  // The next packet's body; nothing when a signal has come meanwhile (SIGINT): call again.
  virtual Result<std::optional<std::string>> receive() = 0;

  // What `monitor LINE` prints; an error with the monitor's words.
  Result<std::string> monitor(std::string_view line);
  // send() and receive(), whatever signals come.
  Result<std::string> ask(std::string_view body);
};

}  // namespace ringside::cli
