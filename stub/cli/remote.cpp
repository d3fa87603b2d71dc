#include "stub/cli/remote.hpp"

#include <array>
#include <cerrno>
#include <cstring>

#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include <fmt/format.h>

#include "stub/cli/connect.hpp"
#include "stub/rsp/framer.hpp"
#include "stub/rsp/hex.hpp"

namespace ringside::cli {
namespace {

constexpr std::size_t kLargestAnswer = 1u << 20;

class SocketRemote final : public Remote {
 public:
  SocketRemote(std::unique_ptr<boost::asio::io_context> io, Socket socket)
      : io_(std::move(io)), socket_(std::move(socket)), framer_(kLargestAnswer) {}

  Result<void> send(std::string_view body) override {
    std::string bytes;
    rsp::append_packet(bytes, body);
    return write(bytes);
  }

  Result<std::optional<std::string>> receive() override {
    for (;;) {
      while (auto frame = framer_.next()) {
        if (auto* packet = std::get_if<rsp::Packet>(&*frame)) {
          if (acks_) RS_TRY(write("+"));
          return std::optional(std::move(packet->body));
        }
        if (std::holds_alternative<rsp::Oversize>(*frame))
          return fail(Errc::kMalformed, "an answer that is too long");
      }
      pollfd wait{.fd = socket_.native_handle(), .events = POLLIN, .revents = 0};
      // Whoever wants to be interrupted has its signals blocked but for here: none comes between a look and
      // the wait.
      sigset_t none;
      ::sigemptyset(&none);
      if (::ppoll(&wait, 1, nullptr, &none) < 0) {
        if (errno == EINTR) return std::optional<std::string>();
        return gone();
      }
      const ssize_t size = ::read(socket_.native_handle(), buffer_.data(), buffer_.size());
      if (size == 0) return fail(Errc::kGone, "the monitor has closed the connection");
      if (size < 0 && errno != EINTR) return gone();
      if (size > 0) framer_.push(ByteView(buffer_).first(static_cast<std::size_t>(size)));
    }
  }

  Result<void> begin() {
    const std::string supported = RS_TRY(ask("qSupported:error-message+"));
    if (supported.find("QStartNoAckMode+") == std::string::npos)
      return fail(Errc::kUnsupported, "who answers there is no ringside");
    RS_TRY(ask("QStartNoAckMode"));
    acks_ = false;
    return {};
  }

 private:
  static Unexpected<Error> gone() {
    return fail(Errc::kGone, fmt::format("the connection is lost: {}", std::strerror(errno)));
  }
  Result<void> write(std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t size = ::write(socket_.native_handle(), bytes.data(), bytes.size());
      if (size < 0 && errno == EINTR) continue;
      if (size < 0) return gone();
      bytes.remove_prefix(static_cast<std::size_t>(size));
    }
    return {};
  }

  std::unique_ptr<boost::asio::io_context> io_;
  Socket socket_;
  rsp::Framer framer_;
  std::array<std::uint8_t, 65536> buffer_;
  bool acks_ = true;
};

}  // namespace

Result<std::unique_ptr<Remote>> Remote::connect(const std::string& address) {
  auto io = std::make_unique<boost::asio::io_context>(1);
  Socket socket = RS_TRY(connect_to(*io, address));
  auto remote = std::make_unique<SocketRemote>(std::move(io), std::move(socket));
  RS_TRY(remote->begin());
  return std::unique_ptr<Remote>(std::move(remote));
}

Result<std::string> Remote::ask(std::string_view body) {
  RS_TRY(send(body));
  for (;;) {
    std::optional<std::string> answer = RS_TRY(receive());
    if (answer) return std::move(*answer);
  }
}

Result<std::string> Remote::monitor(std::string_view line) {
  std::string printed;
  std::string answer = RS_TRY(ask("qRcmd," + rsp::to_hex(line)));
  while (answer.starts_with('O') && answer != "OK") {
    const auto text = rsp::text_from_hex(std::string_view(answer).substr(1));
    if (text) printed += *text;
    std::optional<std::string> next;
    while (!next) next = RS_TRY(receive());
    answer = std::move(*next);
  }
  if (answer == "OK") return printed;
  if (answer.starts_with("E.")) return fail(Errc::kMalformed, answer.substr(2));
  return fail(Errc::kMalformed,
              answer.empty() ? "the monitor does not know this" : "the monitor answers " + answer);
}

}  // namespace ringside::cli
