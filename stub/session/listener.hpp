// Where tracers come from: TCP and Unix sockets.  Each connection becomes a tracer.  Thread: hub.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/basic_socket_acceptor.hpp>
#include <boost/asio/steady_timer.hpp>

#include "arch/result.hpp"
#include "stub/session/session.hpp"
#include "stub/tracer/port.hpp"

namespace ringside::session {

class Listener {
 public:
  // ":1234" and "1234" are loopback, "HOST:PORT" and "[v6]:PORT" that address, "unix:PATH" or a path with a
  // slash a Unix socket of mode 0600.  The error says what is wrong: in use, no permission, no such address.
  static Result<std::unique_ptr<Listener>> open(boost::asio::any_io_executor executor,
                                                std::string_view address);
  // Ends every connection that it accepted.
  ~Listener();

  // As it can be typed again: "127.0.0.1:1234", "unix:/run/user/0/r.sock".
  const std::string& name() const { return name_; }
  void start(tracer::PortFactory& factory);
  // Asks every connection that it accepted to end once what is queued for it is sent.
  void close();
  // No connection of it is left.
  bool idle() const;

 private:
  using Acceptor = boost::asio::basic_socket_acceptor<boost::asio::generic::stream_protocol>;
  Listener(Acceptor acceptor, std::string name, std::string path);
  static Result<std::unique_ptr<Listener>> open_tcp(boost::asio::any_io_executor executor,
                                                    std::string_view address);
  static Result<std::unique_ptr<Listener>> open_unix(boost::asio::any_io_executor executor, std::string path);
  boost::asio::awaitable<void> accept_loop(tracer::PortFactory* factory);

  Acceptor acceptor_;
  boost::asio::steady_timer retry_;
  std::string name_;
  std::string path_;  // of a Unix socket, removed at the end
  std::vector<std::weak_ptr<Session>> sessions_;
};

}  // namespace ringside::session
