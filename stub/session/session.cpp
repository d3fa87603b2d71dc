#include "stub/session/session.hpp"

#include <chrono>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <spdlog/spdlog.h>

namespace ringside::session {
namespace {

constexpr std::size_t kMostUnsent = 32u << 20;  // a client with this much unread is taken for dead
constexpr std::chrono::seconds kPatience{1};
constexpr auto kAwait = boost::asio::as_tuple(boost::asio::use_awaitable);

}  // namespace

Session::Session(Socket socket, std::string label)
    : socket_(std::move(socket)),
      patience_(socket_.get_executor()),
      label_(std::move(label)),
      client_(std::make_shared<Client>(*this)),
      framer_(2 * rsp::kPacketSize) {}

void Session::start(tracer::PortFactory& factory, tracer::AttachOptions options) {
  auto port = factory.attach(label_, *client_, options);
  if (!port) {
    spdlog::warn("{}: refused: {}", label_, port.error().text);
    end(port.error().text);
    return;
  }
  spdlog::info("tracer {} attached{}: {}", (*port)->id().number, options.read_only ? ", read-only" : "",
               label_);
  client_->attached(std::move(*port));
  boost::asio::co_spawn(socket_.get_executor(), read_loop(shared_from_this()), boost::asio::detached);
}

// `self` is a parameter, not a local: the body may begin later than whoever started it lets go.
boost::asio::awaitable<void> Session::read_loop([[maybe_unused]] std::shared_ptr<Session> self) {
  while (!ended_) {
    const auto buffer = boost::asio::buffer(input_);
    const auto [error, size] = co_await socket_.async_read_some(buffer, kAwait);
    if (error) {
      end(error.message());
      break;
    }
    spdlog::trace("{} -> {}", label_, std::string_view(reinterpret_cast<const char*>(input_.data()), size));
    if (closing_) continue;  // read all the same: that is how the peer's end is seen
    framer_.push({input_.data(), size});
    while (auto frame = framer_.next()) {
      take(std::move(*frame));
      if (ended_ || closing_) break;
    }
  }
}

void Session::take(rsp::Frame frame) {
  if (auto* packet = std::get_if<rsp::Packet>(&frame)) {
    take_packet(std::move(*packet));
  } else if (std::holds_alternative<rsp::BadChecksum>(frame)) {
    if (acks_) send("-");
  } else if (std::holds_alternative<rsp::Nak>(frame)) {
    if (acks_ && !last_packet_.empty()) send(last_packet_);
  } else if (std::holds_alternative<rsp::Interrupt>(frame)) {
    client_->interrupt();
  } else if (std::holds_alternative<rsp::Oversize>(frame)) {
    if (acks_) send("+");
    client_->oversize();
  }
}

void Session::take_packet(rsp::Packet packet) {
  if (acks_) send("+");
  client_->packet(std::move(packet.body));
}

void Session::send_packet(std::string_view body) {
  last_packet_.clear();
  rsp::append_packet(last_packet_, body);
  send(last_packet_);
}

void Session::send_notification(std::string_view body) {
  std::string framed;
  rsp::append_notification(framed, body);
  send(framed);
}

void Session::later(std::chrono::milliseconds delay, std::function<void()> what) {
  // One for each: none puts another off.
  auto timer = std::make_shared<boost::asio::steady_timer>(socket_.get_executor(), delay);
  timer->async_wait(
      [weak = weak_from_this(), timer, what = std::move(what)](boost::system::error_code error) {
        const auto self = weak.lock();
        if (!error && self != nullptr && !self->ended_) what();
      });
}

void Session::send(std::string_view bytes) {
  if (ended_ || dropped_) return;
  out_ += bytes;
  if (out_.size() > kMostUnsent) {
    drop("it does not read what it asked for");
    return;
  }
  if (writing_.empty()) write_more();
}

void Session::write_more() {
  std::swap(writing_, out_);
  spdlog::trace("{} <- {}", label_, writing_);
  boost::asio::async_write(socket_, boost::asio::buffer(writing_),
                           [self = shared_from_this()](boost::system::error_code error, std::size_t) {
                             self->writing_.clear();
                             if (error) {
                               self->end(error.message());
                             } else if (!self->out_.empty()) {
                               self->write_more();
                             } else if (self->closing_) {
                               self->end("closed");
                             }
                           });
}

void Session::close_when_sent() {
  closing_ = true;
  if (writing_.empty() && out_.empty()) {
    end("closed");
    return;
  }
  // It has left the hub, and is counted among the tracers no more: connections must not pile up like this.
  patience_.expires_after(kPatience);
  patience_.async_wait([weak = weak_from_this()](boost::system::error_code error) {
    if (const auto self = weak.lock(); self && !error) self->end("it does not read the last answers");
  });
}

void Session::drop(std::string_view why) {
  if (ended_ || std::exchange(dropped_, true)) return;
  spdlog::warn("{} is dropped: {}", label_, why);
  closing_ = true;
  out_.clear();
  boost::asio::post(socket_.get_executor(),
                    [self = shared_from_this(), text = std::string(why)] { self->end(text); });
}

void Session::end(std::string_view why) {
  if (std::exchange(ended_, true)) return;
  spdlog::info("{} has left: {}", label_, why);
  client_->disconnected();
  patience_.cancel();
  boost::system::error_code ignored;  // the peer may be gone already
  socket_.shutdown(Socket::shutdown_both, ignored);
  socket_.close(ignored);
}

}  // namespace ringside::session
