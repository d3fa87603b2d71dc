// Where tracers come from: TCP and Unix sockets, and descriptors that somebody else has opened for us.  Each
// connection becomes a tracer.  Thread: hub.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/basic_socket_acceptor.hpp>
#include <boost/asio/steady_timer.hpp>

#include "arch/result.hpp"
#include "stub/session/address.hpp"
#include "stub/session/session.hpp"
#include "stub/tracer/port.hpp"

namespace ringside::session {

class Listener {
 public:
  // What may be given: parse_door() in address.hpp.  A host is an IP address here; a Unix socket gets mode
  // 0600; an inherited descriptor listens, or is connected to its one client.  The error says what is wrong:
  // in use, no permission, no such address, no socket.
  static Result<std::unique_ptr<Listener>> open(boost::asio::any_io_executor executor,
                                                std::string_view address);
  // Ends every connection that it accepted.
  ~Listener();

  // As it can be typed again: "127.0.0.1:1234", "unix:/run/user/0/r.sock".
  const std::string& name() const { return name_; }
  bool read_only() const { return tracers_.read_only; }
  void start(tracer::PortFactory& factory);
  // Asks every connection that it accepted to end once what is queued for it is sent.
  void close();
  // No connection of it is left.
  bool idle() const;

 private:
  using Acceptor = boost::asio::basic_socket_acceptor<boost::asio::generic::stream_protocol>;
  using Opened = Result<std::unique_ptr<Listener>>;
  explicit Listener(boost::asio::any_io_executor executor);

  static Opened open(boost::asio::any_io_executor executor, const TcpAddress& where);
  static Opened open(boost::asio::any_io_executor executor, const UnixAddress& where);
  static Opened open(boost::asio::any_io_executor executor, const InheritedDescriptor& where);
  void serve(Socket socket, tracer::PortFactory& factory);
  boost::asio::awaitable<void> accept_loop(tracer::PortFactory* factory);

  Acceptor acceptor_;
  std::optional<Socket> connected_;  // inherited so: instead of the acceptor
  boost::asio::steady_timer retry_;
  std::string name_;
  std::string path_;  // of a Unix socket, removed at the end
  tracer::AttachOptions tracers_;
  std::vector<std::weak_ptr<Session>> sessions_;
};

}  // namespace ringside::session
