// The guest's console on this process's stdio: raw terminal while the guest runs, restored on every way out.
// Thread: hub, except restore_terminal().
#pragma once

#include <array>
#include <functional>
#include <string>
#include <string_view>

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>

#include "arch/result.hpp"

namespace ringside::cli {

// Puts back what make_raw changed.  Safe in a signal handler and at exit; does nothing the second time.
void restore_terminal() noexcept;

// What a person types, with Ctrl-a as the escape: Ctrl-a x leaves, Ctrl-a Ctrl-a sends one Ctrl-a.
class EscapeFilter {
 public:
  struct Typed {
    std::string text;  // for the guest
    bool leave = false;
  };
  Typed take(std::string_view input);

 private:
  bool escaped_ = false;
};

class Terminal {
 public:
  struct Callbacks {
    std::function<std::size_t(std::string_view)> type;  // to the guest; returns how much was taken
    std::function<void()> leave;                        // Ctrl-a x
  };
  Terminal(boost::asio::any_io_executor executor, Callbacks callbacks);
  ~Terminal();

  // Reads stdin from now on; a terminal becomes raw.  End of file ends the reading, not the guest.
  void start();
  void stop();

  // Everything, or until stdout fails.  Any thread.
  static void write(std::string_view text);

 private:
  boost::asio::awaitable<void> read_loop();
  boost::asio::awaitable<void> feed(std::string text);

  boost::asio::posix::stream_descriptor input_;
  boost::asio::steady_timer retry_;
  Callbacks callbacks_;
  EscapeFilter filter_;
  bool is_terminal_ = false;
  bool stopped_ = false;
  std::array<char, 4096> buffer_;
};

}  // namespace ringside::cli
