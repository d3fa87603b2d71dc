// Breakpoints by the addresses of an unrelocated vmlinux, carried over to where the kernel runs.
//
// A tracer that came before the kernel had moved itself goes on with the addresses that its vmlinux has, until it
// moves its symbols.  What it sets in the linked image is set in the running one instead.  Where the two overlap,
// it depends on whether the tracer has been told of the slide.  Thread: hub.
#pragma once

#include <map>
#include <optional>
#include <set>

#include "stub/hub/kernel_spotter.hpp"
#include "stub/hub/points.hpp"

namespace ringside::hub {

class LinkMap {
 public:
  // The kernel has come to its place; `before` were there, and do not know.
  void relocated(const KernelPlace& place, const std::set<TracerId>& before);
  void forget();
  void forget(TracerId who);
  // This tracer has asked for the slide, and was answered.
  void told(TracerId who) { told_.insert(who); }

  // What a tracer means that inserts this, and what it has to remove.
  PointSpec inserted(TracerId who, const PointSpec& asked);
  PointSpec removed(TracerId who, const PointSpec& asked);

  bool is_linked(Gva at) const;
  // Notes that this tracer's point has been moved along.
  PointSpec moved(TracerId who, const PointSpec& linked);
  // The address that the tracer has set it at, when that is another.
  std::optional<Gva> set_at(TracerId who, const PointSpec& spec) const;
  std::map<TracerId, std::set<PointSpec>> all_moved() const { return moved_; }
  std::uint64_t slide() const { return place_ ? place_->slide() : 0; }

 private:
  bool runs(Gva at) const { return place_ && at - place_->text < place_->bytes; }

  std::optional<KernelPlace> place_;  // with a slide
  std::set<TracerId> unaware_;
  std::set<TracerId> told_;
  std::map<TracerId, std::set<PointSpec>> moved_;  // where they are now
};

}  // namespace ringside::hub
