// One connection: socket, framing, acknowledgements, and a Client that understands.
//
// The read loop is a coroutine; everything after it is plain calls on the hub thread.  What is to be sent is
// bounded: a peer that does not read is dropped, and with it what it held.
// Thread: hub.
#pragma once

#include <array>
#include <memory>
#include <string>
#include <string_view>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/steady_timer.hpp>

#include "stub/rsp/framer.hpp"
#include "stub/session/client.hpp"
#include "stub/session/wire.hpp"
#include "stub/tracer/port.hpp"

namespace ringside::session {

using Socket = boost::asio::generic::stream_protocol::socket;

class Session final : public Wire, public std::enable_shared_from_this<Session> {
 public:
  Session(Socket socket, std::string label);

  // Attaches and reads until the connection ends.
  void start(tracer::PortFactory& factory, tracer::AttachOptions options = {});
  // Ends the connection once everything has been sent, and soon if the peer does not read it.
  void close_when_sent() override;
  // Ends it now: detaches, whatever is unsent.
  void end(std::string_view why);
  void send_packet(std::string_view body) override;
  void send_notification(std::string_view body) override;
  void later(std::chrono::milliseconds delay, std::function<void()> what) override;
  void drop(std::string_view why) override;
  void stop_acks() override { acks_ = false; }

 private:
  boost::asio::awaitable<void> read_loop(std::shared_ptr<Session> self);
  void take(rsp::Frame frame);
  void take_packet(rsp::Packet packet);
  void send(std::string_view bytes);
  void write_more();

  Socket socket_;
  boost::asio::steady_timer patience_;  // with a peer that is to read the last of it
  std::string label_;
  std::shared_ptr<Client> client_;
  rsp::Framer framer_;
  std::array<std::uint8_t, 16384> input_;
  std::string out_;          // to be sent next
  std::string writing_;      // being sent
  std::string last_packet_;  // for a NAK
  bool acks_ = true;
  bool closing_ = false;  // nothing more is taken
  bool dropped_ = false;  // nothing more is sent either
  bool ended_ = false;
};

}  // namespace ringside::session
