// The strace of one client: looks for the guest's kernel, sets the probes, and hands out what they record.
//
// Records are asked for (qRingside.Records); a request waits until there are some, for as long as it takes,
// and is answered with none when another request comes behind it. Owner: the Client.  Thread: hub.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "stub/guestos/kernel.hpp"
#include "stub/strace/recorder.hpp"
#include "stub/strace/trace_options.hpp"
#include "stub/tracer/port.hpp"

namespace ringside::session {

class StraceService : public std::enable_shared_from_this<StraceService> {
 public:
  struct Client {
    tracer::Port& port;
    std::function<void(ByteView records, bool more)> answer;  // to the read that waits
    std::function<void(std::chrono::milliseconds, std::function<void()>)> later;
  };
  StraceService(Client client, strace::Options options)
      : client_(std::move(client)), options_(std::move(options)) {}

  void start();
  void read(std::size_t most);
  // Another request has come: whoever waits for records has waited long enough.
  void yield();
  void halt();
  void guest_ended();
  // The ring is full, and this tracer holds the guest until it has been read.
  void on_full();

 private:
  void look_for_kernel();
  void arm(std::shared_ptr<const guestos::Kernel> kernel);
  void insert_next(std::vector<Gva> places);
  void remove_next(std::vector<Gva> places);
  void tell(std::string text);
  void woken();
  void finish();
  void resume();
  bool ready() const;
  void serve();
  template <typename F>
  auto guarded(F use) {
    return [weak = weak_from_this(), use = std::move(use)](auto&&... arguments) mutable {
      if (const auto self = weak.lock()) use(*self, std::forward<decltype(arguments)>(arguments)...);
    };
  }

  Client client_;
  strace::Options options_;
  std::shared_ptr<strace::Recorder> recorder_;
  std::shared_ptr<const tracer::PointActions> actions_;
  Bytes notes_;                         // encoded, to be read before anything that is recorded
  std::optional<std::size_t> waiting_;  // a read, of so many bytes
  bool armed_ = false;                  // all that is to be inserted is
  bool gathering_ = false;
  bool held_ = false;      // on_full() has been, and the guest waits
  bool finished_ = false;  // nothing comes any more
  bool said_wait_ = false;
};

}  // namespace ringside::session
