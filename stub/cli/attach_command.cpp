#include "stub/cli/attach_command.hpp"

#include <cstdio>

#include <signal.h>
#include <unistd.h>

#include <boost/asio/connect.hpp>
#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <fmt/format.h>

#include "stub/cli/pump.hpp"
#include "stub/session/address.hpp"

namespace ringside::cli {
namespace {

namespace asio = boost::asio;
using Socket = asio::generic::stream_protocol::socket;

struct Connect {
  asio::io_context& io;
  const std::string& address;

  Result<Socket> answer(boost::system::error_code error, Socket socket) const {
    if (error) return fail(Errc::kSystem, fmt::format("cannot connect to {}: {}", address, error.message()));
    return socket;
  }
  Result<Socket> operator()(const session::TcpAddress& where) const {
    boost::system::error_code error;
    asio::ip::tcp::resolver resolver(io);
    const auto found = resolver.resolve(where.host, std::to_string(where.port), error);
    asio::ip::tcp::socket socket(io);
    if (!error) asio::connect(socket, found, error);
    if (!error) socket.set_option(asio::ip::tcp::no_delay(true), error);
    return answer(error, Socket(std::move(socket)));
  }
  Result<Socket> operator()(const session::UnixAddress& where) const {
    boost::system::error_code error;
    asio::local::stream_protocol::socket socket(io);
    socket.connect(asio::local::stream_protocol::endpoint(where.path), error);
    return answer(error, Socket(std::move(socket)));
  }
  Result<Socket> operator()(const session::InheritedDescriptor&) const {
    return fail(Errc::kMalformed, fmt::format("{} is for --gdb; name the monitor's address", address));
  }
};

Result<void> attach(const AttachOptions& options) {
  const session::Address where = RS_TRY(session::parse_address(options.address));
  asio::io_context io{1};
  Socket socket = RS_TRY(std::visit(Connect{io, options.address}, where));
  return pump(STDIN_FILENO, STDOUT_FILENO, socket.native_handle());
}

}  // namespace

int attach_command(const AttachOptions& options) {
  ::signal(SIGPIPE, SIG_IGN);
  const Result<void> done = attach(options);
  if (done) return 0;
  fmt::print(stderr, "ringside: {}\n", done.error().text);
  return 2;
}

}  // namespace ringside::cli
