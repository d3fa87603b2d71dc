// `--dump-on`: a tracer of the monitor's own that writes a vmcore when something that it waits for stops the
// guest, before anybody lets it go on or it ends.  Once a run: then it leaves.
//
// What it can wait for is what tracers are told (tracer::StopReason); kDumpEvents has the names.
// Thread: hub, which is kept busy while the file is written.  Owner: the run; goes before the hub.
#pragma once

#include <array>
#include <memory>
#include <set>
#include <string>
#include <string_view>

#include "stub/cli/dump_file.hpp"
#include "stub/tracer/port.hpp"

namespace ringside::cli {

struct DumpEvent {
  std::string_view name;
  tracer::StopReason reason;
};
inline constexpr std::array kDumpEvents = {
    DumpEvent{"triple-fault", tracer::StopReason::kTripleFault},
    DumpEvent{"failure", tracer::StopReason::kFailure},
};

// "triple-fault,failure".
Result<std::set<tracer::StopReason>> parse_dump_events(std::string_view text);

class DumpOn final : public tracer::Events {
 public:
  DumpOn(std::set<tracer::StopReason> events, std::string file)
      : events_(std::move(events)), file_(std::move(file)) {}

  Result<void> attach(tracer::PortFactory& hub);

  void on_stop(const tracer::StopEvent& event) override;
  void on_guest_end(std::string) override {}
  void on_message(const std::string&) override {}
  void on_print(const std::string&) override {}

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

  const std::set<tracer::StopReason> events_;
  const std::string file_;
  std::unique_ptr<tracer::Port> port_;
  DumpContents contents_;
  std::shared_ptr<int> alive_ = std::make_shared<int>();
};

}  // namespace ringside::cli
