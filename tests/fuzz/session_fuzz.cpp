// Two clients' bytes, whatever they are, against the real Client, framing, hub and fake machine.  Nothing may
// crash, and when both are gone the guest has its RAM to itself, and runs.
//
// The input is a list of deeds: one byte says what and who, a second how much.
//   0 to 3  raw bytes from the connection       4  a body, framed here      5  the guest executes
//   6       something befalls the guest         7  ^C, hang up, answers of vCPUs that were kept waiting
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <boost/asio/io_context.hpp>
#include <spdlog/spdlog.h>

#include "stub/hub/hub.hpp"
#include "stub/rsp/framer.hpp"
#include "stub/rsp/hex.hpp"
#include "stub/session/client.hpp"
#include "stub/session/wire.hpp"
#include "tests/fakes/fake_machine.hpp"
#include "tests/fakes/recording_tracer.hpp"

namespace {

using namespace ringside;

constexpr std::uint32_t kCpus = 2;
constexpr std::size_t kWorthPlaying = 4000;

void require(bool condition) {
  if (!condition) std::abort();
}

// A Client behind real framing, as Session has it; what it sends must be frames.
class Peer final : public session::Wire {
 public:
  explicit Peer(hub::Hub& hub, tracer::AttachOptions options) {
    auto port = hub.attach("fuzz", *client_, options);
    require(port.has_value());
    client_->attached(std::move(*port));
  }
  ~Peer() { hang_up(); }

  void hang_up() {
    if (!std::exchange(closed_, true)) client_->disconnected();
  }
  void take(ByteView bytes) {
    if (closed_) return;
    framer_.push(bytes);
    while (auto frame = framer_.next()) {
      if (auto* packet = std::get_if<rsp::Packet>(&*frame)) client_->packet(std::move(packet->body));
      if (std::holds_alternative<rsp::Interrupt>(*frame)) client_->interrupt();
      if (std::holds_alternative<rsp::Oversize>(*frame)) client_->oversize();
      if (over_) return hang_up();
    }
  }
  void delayed() {
    for (const auto& what : std::exchange(delayed_, {})) {
      if (!closed_) what();
    }
  }

  void send_packet(std::string_view body) override {
    require(!closed_);
    std::string wire;
    rsp::append_packet(wire, body);
    rsp::Framer framer(SIZE_MAX);
    framer.push(rsp::as_bytes(wire));
    const auto frame = framer.next();
    require(frame && std::get<rsp::Packet>(*frame).body == body && !framer.next());
  }
  void send_notification(std::string_view body) override {
    require(!closed_ && body.find_first_of("#$") == std::string_view::npos);
  }
  void later(std::chrono::milliseconds, std::function<void()> what) override {
    delayed_.push_back(std::move(what));
  }
  void stop_acks() override {}
  void close_when_sent() override { over_ = true; }
  void drop(std::string_view) override { over_ = true; }

 private:
  std::shared_ptr<session::Client> client_ = std::make_shared<session::Client>(*this);
  rsp::Framer framer_{2 * rsp::kPacketSize};
  std::vector<std::function<void()>> delayed_;
  bool over_ = false;
  bool closed_ = false;
};

class Play {
 public:
  explicit Play(ByteView script) : script_(script) {
    for (std::uint32_t n = 0; n < kCpus; ++n) {
      machine_.put(fakes::kCode + n * 0x100, Bytes(0x3a, 0x90));
      machine_.put(fakes::kCode + n * 0x100 + 0x3a,
                   {0xfe, 0x04, 0x25, 0x00, 0xa0, 0, 0});  // inc byte [kData]
      machine_.put(fakes::kCode + n * 0x100 + 0x41, {0xeb, 0xbd});
    }
    require(hub_.start((choose() & 1) != 0).has_value());
    poll();
    for (auto& peer : peers_)
      peer = std::make_unique<Peer>(hub_, tracer::AttachOptions{(choose() & 15) == 0});
  }

  void run() {
    while (!script_.empty()) {
      const std::uint8_t deed = choose();
      do_one(*peers_[deed >> 3 & 1], deed & 7, choose());
      poll();
    }
    finish();
  }

 private:
  std::uint8_t choose() {
    if (script_.empty()) return 0;
    const std::uint8_t first = script_.front();
    script_ = script_.subspan(1);
    return first;
  }
  ByteView take(std::size_t size) {
    const ByteView piece = script_.first(std::min(size, script_.size()));
    script_ = script_.subspan(piece.size());
    return piece;
  }
  void poll() {
    io_.restart();
    io_.poll();
  }

  void do_one(Peer& peer, int what, std::uint8_t how) {
    if (what <= 3) return peer.take(take(how));
    if (what == 4) {
      const ByteView body = take(how);
      std::string wire;
      rsp::append_packet(wire, {reinterpret_cast<const char*>(body.data()), body.size()});
      return peer.take(rsp::as_bytes(wire));
    }
    if (what == 5) return execute(how);
    if (what == 6) return befall(how);
    if (how % 4 == 0) return peer.take(Bytes{3});
    if (how % 4 == 1) return peer.delayed();
    if (how % 32 == 2) return peer.hang_up();
    answer();
  }
  void execute(std::uint8_t how) {
    for (int left = how % 80; left >= 0; --left) {
      for (std::uint32_t n = 0; n < kCpus; ++n) {
        machine_.vcpu(n).advance();
        poll();
      }
    }
  }
  void befall(std::uint8_t how) {
    fakes::FakeVcpu& one = machine_.vcpu(how >> 4 & 1);
    if (how % 8 == 0) machine_.prompt = !machine_.prompt;
    if (how % 64 == 1 && one.running()) one.stop(api::StopCause::kTripleFault, "triple fault");
    if (how % 64 == 2 && one.running()) one.stop(api::StopCause::kFailure, "failure");
    if (how % 64 == 3) machine_.end(api::GuestEnd::kPowerOff);
  }
  bool answer() {
    bool any = false;
    for (std::uint32_t n = 0; n < kCpus; ++n) {
      any = machine_.vcpu(n).answer_post() || any;
      any = machine_.vcpu(n).answer_pause() || any;
    }
    return any;
  }
  // Also a step over an int3 that one vCPU is alone for.
  void settle() {
    for (int steps = 0; steps < 3; ++steps) {
      do poll();
      while (answer());
      for (std::uint32_t n = 0; n < kCpus; ++n) {
        if (machine_.vcpu(n).wish().step) machine_.vcpu(n).advance();
      }
    }
    poll();
  }
  Bytes ram_seen_by(tracer::Port& port) {
    Bytes seen;
    port.read_memory(VcpuId{0}, tracer::AddressSpace::kPhysical, Gva{0}, fakes::kRamBytes,
                     [&](Result<Bytes> data) { seen = std::move(data).value(); });
    return seen;
  }

  // What a tracer sees of the RAM is what is left there when nobody is.
  void finish() {
    machine_.prompt = true;
    settle();
    fakes::RecordingTracer last;
    last.port = hub_.attach("last", last).value();
    last.port->stop_all([](Result<tracer::StopEvent>) {});
    settle();
    last.port->drop_left_points();
    settle();
    const Bytes seen = ram_seen_by(*last.port);
    for (auto& peer : peers_) peer->hang_up();
    settle_parked();
    last.port.reset();
    settle_parked();
    Bytes left(fakes::kRamBytes);
    require(machine_.memory().read(Gpa{0}, left) && left == seen);
    for (std::uint32_t n = 0; n < kCpus; ++n) {
      if (!ended_) require(machine_.vcpu(n).running() && !machine_.vcpu(n).wish().trap_int3);
    }
  }
  void settle_parked() {
    do poll();
    while (answer());
  }

  ByteView script_;
  boost::asio::io_context io_{1};
  fakes::FakeMachine machine_{kCpus};
  bool ended_ = false;
  hub::Hub hub_{
      io_.get_executor(), machine_, {.on_end = [this](api::GuestEnd, const std::string&) { ended_ = true; }}};
  std::array<std::unique_ptr<Peer>, 2> peers_;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size > kWorthPlaying) return 0;
  spdlog::set_level(spdlog::level::off);
  Play({data, size}).run();
  return 0;
}
