#include "stub/session/listener.hpp"

#include <algorithm>
#include <cstring>

#include <fcntl.h>
#include <sys/socket.h>
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

struct InheritedSocket {
  int domain = 0;
  int protocol = 0;
  bool listens = false;  // else it is connected
};

Result<int> option_of(int descriptor, int option) {
  int value = 0;
  socklen_t size = sizeof value;
  if (::getsockopt(descriptor, SOL_SOCKET, option, &value, &size) == 0) return value;
  if (errno == ENOTSOCK) return fail(Errc::kMalformed, fmt::format("fd:{} is no socket", descriptor));
  return fail_errno(fmt::format("fd:{}", descriptor), errno);
}

// Ours from now on.  What was inherited cannot have close-on-exec set: it would not be here.  So that flag
// tells our own descriptors, and those taken before, from what somebody meant.
Result<InheritedSocket> take_inherited_socket(int descriptor) {
  const int flags = ::fcntl(descriptor, F_GETFD);
  if (flags < 0 || (flags & FD_CLOEXEC) != 0) {
    return fail(Errc::kMalformed, fmt::format("fd:{} has not been inherited, or is named twice", descriptor));
  }
  if (RS_TRY(option_of(descriptor, SO_TYPE)) != SOCK_STREAM) {
    return fail(Errc::kMalformed, fmt::format("fd:{} is no stream socket", descriptor));
  }
  InheritedSocket found{.domain = RS_TRY(option_of(descriptor, SO_DOMAIN)),
                        .protocol = RS_TRY(option_of(descriptor, SO_PROTOCOL)),
                        .listens = RS_TRY(option_of(descriptor, SO_ACCEPTCONN)) != 0};
  sockaddr_storage peer{};
  socklen_t size = sizeof peer;
  if (!found.listens && ::getpeername(descriptor, reinterpret_cast<sockaddr*>(&peer), &size) != 0) {
    return fail(Errc::kMalformed,
                fmt::format("fd:{} is a socket that neither listens nor is connected", descriptor));
  }
  ::fcntl(descriptor, F_SETFD, FD_CLOEXEC);
  return found;
}

Unexpected<Error> cannot_listen(std::string_view address, const boost::system::error_code& error) {
  std::string text = fmt::format("cannot listen on {}: {}", address, error.message());
  if (error == asio::error::address_in_use) text += "; choose another with --gdb, or end what uses it";
  return fail(Errc::kSystem, std::move(text));
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

Listener::Listener(asio::any_io_executor executor) : acceptor_(executor), retry_(executor) {}

Listener::~Listener() {
  for (const auto& weak : sessions_) {
    if (const auto session = weak.lock()) session->end("the monitor ends");
  }
  if (!path_.empty()) ::unlink(path_.c_str());
}

Listener::Opened Listener::open(asio::any_io_executor executor, std::string_view address) {
  const Door door = RS_TRY(parse_door(address));
  auto listener = RS_TRY(std::visit([&](const auto& where) { return open(executor, where); }, door.where));
  listener->tracers_ = door.tracers;
  return listener;
}

Listener::Opened Listener::open(asio::any_io_executor executor, const TcpAddress& where) {
  boost::system::error_code error;
  const auto ip = asio::ip::make_address(where.host, error);
  if (error) {
    return fail(Errc::kMalformed,
                fmt::format("\"{}\" is no IP address; use for example 127.0.0.1:1234", where.host));
  }
  const std::string host = ip.is_v6() ? "[" + ip.to_string() + "]" : ip.to_string();
  asio::ip::tcp::endpoint endpoint(ip, where.port);
  std::unique_ptr<Listener> listener(new Listener(executor));
  Acceptor& acceptor = listener->acceptor_;
  acceptor.open(Generic(endpoint.protocol()), error);
  if (!error) acceptor.set_option(asio::socket_base::reuse_address(true), error);
  if (!error) acceptor.bind(Generic::endpoint(endpoint), error);
  if (!error) acceptor.listen(asio::socket_base::max_listen_connections, error);
  if (error) return cannot_listen(fmt::format("{}:{}", host, where.port), error);
  const auto bound = acceptor.local_endpoint(error);
  if (error) return cannot_listen(fmt::format("{}:{}", host, where.port), error);
  std::memcpy(endpoint.data(), bound.data(), bound.size());
  endpoint.resize(bound.size());
  listener->name_ = fmt::format("{}:{}", host, endpoint.port());
  return listener;
}

// A socket file that nobody listens on any more is in the way of its successor, and only that is removed.
Listener::Opened Listener::open(asio::any_io_executor executor, const UnixAddress& where) {
  using Unix = asio::local::stream_protocol;
  boost::system::error_code error;
  Unix::socket probe(executor);
  probe.connect(Unix::endpoint(where.path), error);
  struct stat found {};
  const bool refused = error == asio::error::connection_refused;  // by any file that nobody listens on
  if (refused && ::lstat(where.path.c_str(), &found) == 0 && S_ISSOCK(found.st_mode))
    ::unlink(where.path.c_str());
  std::unique_ptr<Listener> listener(new Listener(executor));
  listener->name_ = "unix:" + where.path;
  Acceptor& acceptor = listener->acceptor_;
  acceptor.open(Generic(Unix()), error);
  const mode_t before = ::umask(0177);
  if (!error) acceptor.bind(Generic::endpoint(Unix::endpoint(where.path)), error);
  ::umask(before);
  if (error) return cannot_listen(listener->name_, error);
  listener->path_ = where.path;  // from here on it is ours to remove
  acceptor.listen(asio::socket_base::max_listen_connections, error);
  if (error) return cannot_listen(listener->name_, error);
  return listener;
}

Listener::Opened Listener::open(asio::any_io_executor executor, const InheritedDescriptor& where) {
  const InheritedSocket found = RS_TRY(take_inherited_socket(where.number));
  std::unique_ptr<Listener> listener(new Listener(executor));
  listener->name_ = fmt::format("fd:{}", where.number);
  boost::system::error_code error;
  const Generic protocol(found.domain, found.protocol);
  if (found.listens) {
    listener->acceptor_.assign(protocol, where.number, error);
  } else {
    listener->connected_.emplace(executor);
    listener->connected_->assign(protocol, where.number, error);
  }
  if (error)
    return fail(Errc::kSystem, fmt::format("fd:{} cannot be used: {}", where.number, error.message()));
  return listener;
}

void Listener::start(tracer::PortFactory& factory) {
  if (connected_) {
    serve(std::move(*connected_), factory);
    return;
  }
  asio::co_spawn(acceptor_.get_executor(), accept_loop(&factory), asio::detached);
}

void Listener::serve(Socket socket, tracer::PortFactory& factory) {
  boost::system::error_code ignored;  // a Unix socket has no such option
  socket.set_option(asio::ip::tcp::no_delay(true), ignored);
  auto label = peer_name(socket, name_);
  auto session = std::make_shared<Session>(std::move(socket), std::move(label));
  std::erase_if(sessions_, [](const auto& one) { return one.expired(); });
  sessions_.push_back(session);
  session->start(factory, tracers_);
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
    serve(Socket(std::move(accepted)), *factory);
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
