#include "stub/cli/ask_command.hpp"

#include <array>
#include <cstdio>

#include <signal.h>

#include <boost/asio/buffer.hpp>
#include <boost/asio/write.hpp>
#include <fmt/format.h>

#include "stub/cli/connect.hpp"
#include "stub/rsp/framer.hpp"
#include "stub/rsp/hex.hpp"

namespace ringside::cli {
namespace {

constexpr std::size_t kLongestPacket = 1u << 20;

// A conversation with a monitor: a packet out, packets in, each acknowledged.
class Conversation {
 public:
  Conversation(Socket& socket, const std::string& address) : socket_(socket), address_(address) {}

  Result<void> say(std::string_view body) {
    std::string wire;
    rsp::append_packet(wire, body);
    return send(wire);
  }

  Result<std::string> hear() {
    for (;;) {
      while (std::optional<rsp::Frame> frame = framer_.next()) {
        auto* packet = std::get_if<rsp::Packet>(&*frame);
        if (packet == nullptr) continue;
        RS_TRY(send("+"));
        return std::move(packet->body);
      }
      std::array<std::uint8_t, 65536> piece;
      boost::system::error_code error;
      const std::size_t size = socket_.read_some(boost::asio::buffer(piece), error);
      if (error) return broken(error);
      framer_.push(std::span(piece).first(size));
    }
  }

 private:
  Result<void> send(std::string_view bytes) {
    boost::system::error_code error;
    boost::asio::write(socket_, boost::asio::buffer(bytes), error);
    if (error) return broken(error);
    return {};
  }
  Unexpected<Error> broken(const boost::system::error_code& error) const {
    return fail(Errc::kGone, fmt::format("{} does not answer: {}", address_, error.message()));
  }

  Socket& socket_;
  const std::string& address_;
  rsp::Framer framer_{kLongestPacket};
};

Result<void> ask(const AskOptions& options) {
  boost::asio::io_context io{1};
  Socket socket = RS_TRY(connect_to(io, options.address));
  Conversation monitor(socket, options.address);
  RS_TRY(monitor.say("qRcmd," + rsp::to_hex(options.command)));
  for (;;) {
    const std::string answer = RS_TRY(monitor.hear());
    if (answer == "OK") return {};
    const auto text =
        answer.starts_with('O') ? rsp::text_from_hex(std::string_view(answer).substr(1)) : std::nullopt;
    if (!text)
      return fail(Errc::kUnsupported, fmt::format("the monitor does not know \"{}\"", options.command));
    std::fwrite(text->data(), 1, text->size(), stdout);
  }
}

}  // namespace

int ask_command(const AskOptions& options) {
  ::signal(SIGPIPE, SIG_IGN);
  const Result<void> done = ask(options);
  if (done) return 0;
  fmt::print(stderr, "ringside: {}\n", done.error().text);
  return 2;
}

}  // namespace ringside::cli
