// `--dump-on`: a tracer of the monitor's own that writes a vmcore when something that it waits for stops the
// guest, before anybody lets it go on or it ends.  Once a run: then it leaves.
//
// The hub tells it when (Hub::notice); whether anybody stops there too is the hub's and the tracers' affair.
// Thread: hub, which is kept busy while the file is written.  Owner: the run; goes before the hub.
#pragma once

#include <memory>
#include <string>

#include "stub/cli/dump_file.hpp"
#include "stub/tracer/port.hpp"

namespace ringside::cli {

class DumpOn final : public tracer::Events {
 public:
  explicit DumpOn(std::string file) : file_(std::move(file)) {}

  Result<void> attach(tracer::PortFactory& hub);
  // It is time: every vCPU is parked, and is held before this returns.
  void on_trouble(const std::string& text);

  void on_stop(const tracer::StopEvent& event) override;
  void on_guest_end(std::string) override {}
  void on_message(const std::string&) override {}
  void on_print(const std::string&) override {}
  // Where the guest waits for a person, this is none.
  bool wants_stops() const override { return false; }

 private:
  // Calls `use` with the answer, unless this has gone.
  template <typename T, typename F>
  tracer::Done<T> then(F use) {
    return [alive = std::weak_ptr(alive_), use = std::move(use)](Result<T> answer) mutable {
      if (!alive.expired()) use(std::move(answer));
    };
  }
  void collect_kernel();
  void collect_cpu(std::size_t number);
  void write();
  void leave(const std::string& words);

  const std::string file_;
  bool dumping_ = false;
  std::unique_ptr<tracer::Port> port_;
  DumpContents contents_;
  std::shared_ptr<int> alive_ = std::make_shared<int>();
};

}  // namespace ringside::cli
