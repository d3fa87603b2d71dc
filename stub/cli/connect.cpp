#include "stub/cli/connect.hpp"

#include <boost/asio/connect.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <fmt/format.h>

#include "stub/session/address.hpp"

namespace ringside::cli {
namespace {

namespace asio = boost::asio;

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

}  // namespace

Result<Socket> connect_to(asio::io_context& io, const std::string& address) {
  const session::Address where = RS_TRY(session::parse_address(address));
  return std::visit(Connect{io, address}, where);
}

}  // namespace ringside::cli
