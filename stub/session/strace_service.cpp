#include "stub/session/strace_service.hpp"

#include <algorithm>
#include <chrono>

#include <boost/asio/post.hpp>
#include <fmt/format.h>

#include "stub/strace/record.hpp"

namespace ringside::session {

using namespace std::chrono_literals;

namespace {

constexpr auto kLookAgain = 20ms;  // for the kernel, while it boots
constexpr auto kGather = 20ms;     // so that many records go into one answer: each costs the guest some time

}  // namespace

void StraceService::start() {
  // A guest that waits for its first tracer goes on: the kernel is found once it runs.
  client_.port.stop_all(guarded([](StraceService& self, Result<tracer::StopEvent> stopped) {
    if (!stopped) return self.finish();
    self.resume();
    self.look_for_kernel();
  }));
}

void StraceService::look_for_kernel() {
  if (finished_) return;
  client_.port.guest_kernel(
      guarded([](StraceService& self, Result<std::shared_ptr<const guestos::Kernel>> found) {
        if (found) return self.arm(std::move(*found));
        if (!std::exchange(self.said_wait_, true)) self.tell("waiting for Linux: " + found.error().text);
        self.client_.later(kLookAgain, self.guarded([](StraceService& me) { me.look_for_kernel(); }));
      }));
}

void StraceService::arm(std::shared_ptr<const guestos::Kernel> kernel) {
  if (finished_) return;
  auto wake = [executor = client_.port.executor(), weak = weak_from_this()] {
    boost::asio::post(executor, [weak] {
      if (const auto self = weak.lock()) self->woken();
    });
  };
  if (!options_.trigger.empty() && !kernel->symbol(options_.trigger)) {
    tell(fmt::format("the kernel has no symbol {}: nothing triggers a dump", options_.trigger));
  }
  recorder_ =
      std::make_shared<strace::Recorder>(std::move(kernel), options_, client_.port.vcpu_count(), wake);
  if (!recorder_->sees_signals()) tell("the kernel does not say where signals are kept: none are shown");
  auto actions = std::make_shared<tracer::PointActions>();
  actions->watcher = recorder_;
  actions_ = std::move(actions);
  std::vector<Gva> places = recorder_->places();
  std::ranges::reverse(places);
  insert_next(std::move(places));
}

// From the last to the first.
void StraceService::insert_next(std::vector<Gva> places) {
  if (places.empty() || finished_) {
    armed_ = true;
    woken();
    return;
  }
  const tracer::PointSpec spec{.kind = tracer::PointKind::kProbe, .at = places.back(), .length = 1};
  client_.port.insert_point(
      VcpuId{0}, spec, actions_,
      guarded([places = std::move(places)](StraceService& self, Result<void> inserted) mutable {
        if (!inserted && inserted.error().code == Errc::kNotMapped) {
          self.client_.later(kLookAgain,
                             self.guarded([places](StraceService& me) { me.insert_next(places); }));
          return;
        }
        if (!inserted) {
          self.tell("no system calls can be seen: " + inserted.error().text);
          return self.halt();
        }
        places.pop_back();
        self.insert_next(std::move(places));
      }));
}

void StraceService::remove_next(std::vector<Gva> places) {
  if (places.empty() || finished_) return;
  const tracer::PointSpec spec{.kind = tracer::PointKind::kProbe, .at = places.back(), .length = 1};
  places.pop_back();
  client_.port.remove_point(
      spec, guarded([places = std::move(places)](StraceService& self, const Result<void>& removed) mutable {
        if (!removed) self.tell("a place that is not needed stays: " + removed.error().text);
        self.remove_next(std::move(places));
      }));
}

void StraceService::tell(std::string text) {
  const strace::Record record{.kind = strace::Record::Kind::kNote, .text = text};
  Bytes bytes(text.size() + 64);
  const auto size = strace::encode(record, bytes);
  if (!size) return;
  notes_.insert(notes_.end(), bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(*size));
  serve();
}

void StraceService::read(std::size_t most) {
  waiting_ = most;
  serve();
}

void StraceService::yield() {
  if (!std::exchange(waiting_, std::nullopt)) return;
  client_.answer({}, true);
}

// The ring has something after it had nothing: soon there will be more.
void StraceService::woken() {
  if (recorder_ != nullptr && recorder_->ring().frozen() && !finished_) finish();
  if (armed_ && !finished_) remove_next(recorder_->take_spare_places());
  if (std::exchange(gathering_, true)) return;
  client_.later(kGather, guarded([](StraceService& self) {
                  self.gathering_ = false;
                  self.serve();
                }));
}

bool StraceService::ready() const {
  if (finished_ || !notes_.empty()) return true;
  if (recorder_ == nullptr || options_.overflow == strace::Overflow::kOverwrite) return false;
  return !recorder_->ring().empty();
}

void StraceService::serve() {
  if (!waiting_ || !ready()) return;
  const std::size_t most = *std::exchange(waiting_, std::nullopt);
  Bytes records = std::exchange(notes_, {});
  if (recorder_ != nullptr && (finished_ || options_.overflow != strace::Overflow::kOverwrite))
    recorder_->ring().take(records, most);
  const bool more = !finished_ || (recorder_ != nullptr && !recorder_->ring().empty());
  if (held_ && recorder_->ring().has_room()) {
    resume();
  }
  client_.answer(records, more);
}

void StraceService::resume() {
  held_ = false;
  std::vector<tracer::ResumeAction> all;
  for (std::uint32_t i = 0; i < client_.port.vcpu_count(); ++i)
    all.push_back({.vcpu = VcpuId{i}, .range = {}});
  static_cast<void>(client_.port.resume(std::move(all)));
}

void StraceService::on_full() {
  held_ = true;
  serve();
}

void StraceService::halt() {
  if (held_) resume();
  if (recorder_ != nullptr && actions_ != nullptr) {
    for (const Gva at : recorder_->places()) {
      client_.port.remove_point({.kind = tracer::PointKind::kProbe, .at = at, .length = 1},
                                [](Result<void>) {});
    }
  }
  finish();
}

void StraceService::guest_ended() { finish(); }

void StraceService::finish() {
  if (std::exchange(finished_, true)) return;
  if (recorder_ != nullptr) {
    if (options_.count) recorder_->write_counts();
    recorder_->ring().freeze();
  }
  serve();
}

}  // namespace ringside::session
