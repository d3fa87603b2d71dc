// Breakpoints by the addresses of a vmlinux where it is not, carried over to where the kernel runs.
//
// A tracer that came before the kernel had moved itself goes on with the addresses that its vmlinux has: as linked,
// or, when it has been told of a slide, as that says, until it moves its symbols.  What it sets in that image is set in
// the running one instead.  Thread: hub.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <vector>

#include "stub/hub/kernel_spotter.hpp"
#include "stub/hub/points.hpp"

namespace ringside::hub {

class LinkMap {
 public:
  struct Move {
    TracerId who;
    PointSpec asked;
    PointSpec there;
  };

  // The kernel has come to its place; of `before`, who were there, some take it to be elsewhere.
  void relocated(const KernelPlace& place, const std::set<TracerId>& before);
  // The kernel is no more.  What the tracers have been told they still know.
  void forget();
  void forget(TracerId who);
  // This tracer has asked for the slide, and was answered: now, or before the kernel has run there.
  void told(TracerId who, std::uint64_t slide) { told_[who] = slide; }

  // What a tracer means that inserts this, and what it has to remove.
  PointSpec inserted(TracerId who, const PointSpec& asked);
  PointSpec removed(TracerId who, const PointSpec& asked);

  // Where in the running image the point is that this tracer has set in its own; nothing when it is there, or in
  // neither.  Probes are never moved: who sets them asks the kernel itself where it is.
  std::optional<PointSpec> meant(TracerId who, const PointSpec& asked) const;
  // Notes that this tracer's point has been moved along.
  void moved(TracerId who, const PointSpec& asked, const PointSpec& there);
  // The address that the tracer has set it at, when that is another.
  std::optional<Gva> set_at(TracerId who, const PointSpec& there) const;
  std::vector<Move> all_moved() const;
  std::uint64_t slide() const { return place_ ? place_->slide() : 0; }

 private:
  struct Moved {
    std::map<PointSpec, PointSpec> to, from;
  };

  std::uint64_t believed(TracerId who) const;
  bool is_in_image(std::uint64_t slide, Gva at) const {
    return place_ && at - (place_->link_text + slide) < place_->bytes;
  }

  std::optional<KernelPlace> place_;
  std::set<TracerId> unaware_;
  std::map<TracerId, std::uint64_t> told_;  // that slide
  std::map<TracerId, Moved> moved_;
};

}  // namespace ringside::hub
