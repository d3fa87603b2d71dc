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
  // The kernel has come to its place; of `before`, who were there, those do not know who have not been told.
  void relocated(const KernelPlace& place, const std::set<TracerId>& before);
  // The kernel is no more.  What the tracers have been told they still know.
  void forget();
  void forget(TracerId who);
  // This tracer has asked for the slide, and was answered: now, or before the kernel has run there.
  void told(TracerId who, std::uint64_t slide) { told_[who] = slide; }

  // What a tracer means that inserts this, and what it has to remove.
  PointSpec inserted(TracerId who, const PointSpec& asked);
  PointSpec removed(TracerId who, const PointSpec& asked);

  // What this tracer has set was meant by the linked image.  Probes never are: who sets them asks the kernel
  // itself where it is.
  bool means_linked(TracerId who, const PointSpec& spec) const {
    return spec.kind != PointKind::kProbe && is_linked(spec.at) && !(runs(spec.at) && knows(who));
  }
  // Notes that this tracer's point has been moved along.
  PointSpec moved(TracerId who, const PointSpec& linked);
  // The address that the tracer has set it at, when that is another.
  std::optional<Gva> set_at(TracerId who, const PointSpec& spec) const;
  std::map<TracerId, std::set<PointSpec>> all_moved() const { return moved_; }
  std::uint64_t slide() const { return place_ ? place_->slide() : 0; }

 private:
  bool is_linked(Gva at) const { return place_ && at - place_->link_text < place_->bytes; }
  bool runs(Gva at) const { return place_ && at - place_->text < place_->bytes; }
  bool knows(TracerId who) const;

  std::optional<KernelPlace> place_;  // with a slide
  std::set<TracerId> unaware_;
  std::map<TracerId, std::uint64_t> told_;         // that slide
  std::map<TracerId, std::set<PointSpec>> moved_;  // where they are now
};

}  // namespace ringside::hub
