#include "stub/session/listener.hpp"

#include <algorithm>
#include <charconv>
#include <cstring>

#include <sys/stat.h>
#include <unistd.h>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/basic_socket_acceptor.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <fmt/format.h>
#include <spdlog/spdlog.h>

namespace ringside::session {
namespace {

namespace asio = boost::asio;
using Generic = asio::generic::stream_protocol;
constexpr auto kAwait = asio::as_tuple(asio::use_awaitable);

Unexpected<Error> cannot_listen(std::string_view address, const boost::system::error_code& error) {
  std::string text = fmt::format("cannot listen on {}: {}", address, error.message());
  if (error == asio::error::address_in_use) text += "; choose another with --gdb, or end what uses it";
  return fail(Errc::kSystem, std::move(text));
}

struct HostPort {
  std::string host;
  std::uint16_t port = 0;
};

Result<HostPort> split_address(std::string_view address) {
  const auto bad = [&] {
    return fail(Errc::kMalformed,
                fmt::format("\"{}\" is no address to listen on; use :PORT, HOST:PORT or unix:PATH", address));
  };
  const auto colon = address.rfind(':');
  std::string_view host = colon == std::string_view::npos ? "" : address.substr(0, colon);
  const std::string_view digits = colon == std::string_view::npos ? address : address.substr(colon + 1);
  std::uint16_t port = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), port);
  if (digits.empty() || error != std::errc{} || end != digits.data() + digits.size()) return bad();
  if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
  if (host.empty() || host == "localhost") host = "127.0.0.1";
  return HostPort{std::string(host), port};
}

std::string peer_name(const Socket& socket, const std::string& listener) {
  boost::system::error_code error;
  const auto peer = socket.remote_endpoint(error);
  if (error || (peer.protocol().family() != AF_INET && peer.protocol().family() != AF_INET6)) return listener;
  asio::ip::tcp::endpoint tcp;
  if (peer.size() > tcp.capacity()) return listener;
  std::memcpy(tcp.data(), peer.data(), peer.size());
  tcp.resize(peer.size());
  return fmt::format("{}:{}", tcp.address().to_string(), tcp.port());
}

}  // namespace

Listener::Listener(Acceptor acceptor, std::string name, std::string path)
    : acceptor_(std::move(acceptor)),
      retry_(acceptor_.get_executor()),
      name_(std::move(name)),
      path_(std::move(path)) {}

Listener::~Listener() {
  for (const auto& weak : sessions_) {
    if (const auto session = weak.lock()) session->end("the monitor ends");
  }
  if (!path_.empty()) ::unlink(path_.c_str());
}

Result<std::unique_ptr<Listener>> Listener::open(asio::any_io_executor executor, std::string_view address) {
  if (address.starts_with("unix:")) return open_unix(std::move(executor), std::string(address.substr(5)));
  if (address.find('/') != std::string_view::npos)
    return open_unix(std::move(executor), std::string(address));
  return open_tcp(std::move(executor), address);
}

Result<std::unique_ptr<Listener>> Listener::open_tcp(asio::any_io_executor executor,
                                                     std::string_view address) {
  const HostPort where = RS_TRY(split_address(address));
  boost::system::error_code error;
  const auto ip = asio::ip::make_address(where.host, error);
  if (error) {
    return fail(Errc::kMalformed,
                fmt::format("\"{}\" is no IP address; use for example 127.0.0.1:1234", where.host));
  }
  asio::ip::tcp::endpoint endpoint(ip, where.port);
  Acceptor acceptor(executor);
  acceptor.open(Generic(endpoint.protocol()), error);
  if (!error) acceptor.set_option(asio::socket_base::reuse_address(true), error);
  if (!error) acceptor.bind(Generic::endpoint(endpoint), error);
  if (!error) acceptor.listen(asio::socket_base::max_listen_connections, error);
  if (error) return cannot_listen(address, error);
  const auto bound = acceptor.local_endpoint(error);
  if (error) return cannot_listen(address, error);
  std::memcpy(endpoint.data(), bound.data(), bound.size());
  endpoint.resize(bound.size());
  const std::string host = ip.is_v6() ? "[" + ip.to_string() + "]" : ip.to_string();
  std::string name = fmt::format("{}:{}", host, endpoint.port());
  return std::unique_ptr<Listener>(new Listener(std::move(acceptor), std::move(name), {}));
}

// A socket file that nobody listens on any more is in the way of its successor, and only that is removed.
Result<std::unique_ptr<Listener>> Listener::open_unix(asio::any_io_executor executor, std::string path) {
  using Unix = asio::local::stream_protocol;
  constexpr std::size_t kLongestPath = 107;  // unix(7): sun_path with its NUL
  if (path.empty() || path.size() > kLongestPath) {
    return fail(Errc::kMalformed,
                fmt::format("\"{}\" cannot be a Unix socket's path: 1 to {} characters", path, kLongestPath));
  }
  boost::system::error_code error;
  Unix::socket probe(executor);
  probe.connect(Unix::endpoint(path), error);
  if (error == asio::error::connection_refused) ::unlink(path.c_str());
  Acceptor acceptor(executor);
  acceptor.open(Generic(Unix()), error);
  const mode_t before = ::umask(0177);
  if (!error) acceptor.bind(Generic::endpoint(Unix::endpoint(path)), error);
  ::umask(before);
  if (!error) acceptor.listen(asio::socket_base::max_listen_connections, error);
  if (error) return cannot_listen("unix:" + path, error);
  std::string name = "unix:" + path;
  return std::unique_ptr<Listener>(new Listener(std::move(acceptor), std::move(name), std::move(path)));
}

void Listener::start(tracer::PortFactory& factory) {
  asio::co_spawn(acceptor_.get_executor(), accept_loop(&factory), asio::detached);
}

asio::awaitable<void> Listener::accept_loop(tracer::PortFactory* factory) {
  for (;;) {
    auto [error, accepted] = co_await acceptor_.async_accept(kAwait);
    if (error == asio::error::operation_aborted || !acceptor_.is_open()) co_return;
    if (error) {
      // Out of descriptors, most likely: the connection stays queued, and trying again at once would only
      // spin.
      spdlog::warn("{}: accept: {}", name_, error.message());
      retry_.expires_after(std::chrono::milliseconds(200));
      co_await retry_.async_wait(kAwait);
      continue;
    }
    Socket socket(std::move(accepted));
    boost::system::error_code ignored;  // a Unix socket has no such option
    socket.set_option(asio::ip::tcp::no_delay(true), ignored);
    auto label = peer_name(socket, name_);
    auto session = std::make_shared<Session>(std::move(socket), std::move(label));
    std::erase_if(sessions_, [](const auto& one) { return one.expired(); });
    sessions_.push_back(session);
    session->start(*factory);
  }
}

void Listener::close() {
  boost::system::error_code ignored;
  acceptor_.close(ignored);
  for (const auto& weak : sessions_) {
    if (const auto session = weak.lock()) session->close_when_sent();
  }
}

bool Listener::idle() const {
  return std::ranges::all_of(sessions_, [](const auto& one) { return one.expired(); });
}

}  // namespace ringside::session
