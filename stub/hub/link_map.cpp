#include "stub/hub/link_map.hpp"

#include <algorithm>
#include <iterator>

namespace ringside::hub {

void LinkMap::relocated(const KernelPlace& place, const std::set<TracerId>& before) {
  forget();
  if (place.slide() == 0) return;
  place_ = place;
  std::ranges::copy_if(before, std::inserter(unaware_, unaware_.end()),
                       [this](TracerId who) { return !knows(who); });
}

void LinkMap::forget() {
  place_.reset();
  unaware_.clear();
  moved_.clear();
}

void LinkMap::forget(TracerId who) {
  unaware_.erase(who);
  told_.erase(who);
  moved_.erase(who);
}

bool LinkMap::knows(TracerId who) const {
  const auto told = told_.find(who);
  return told != told_.end() && told->second == slide();
}

PointSpec LinkMap::moved(TracerId who, const PointSpec& linked) {
  PointSpec there = linked;
  there.at = linked.at + slide();
  moved_[who].insert(there);
  return there;
}

PointSpec LinkMap::inserted(TracerId who, const PointSpec& asked) {
  if (!unaware_.contains(who)) return asked;
  const bool apart = runs(asked.at) && !is_linked(asked.at);
  if (apart && asked.kind != PointKind::kProbe) unaware_.erase(who);  // its symbols have been moved
  if (unaware_.contains(who) && means_linked(who, asked)) return moved(who, asked);
  if (const auto mine = moved_.find(who); mine != moved_.end()) mine->second.erase(asked);
  return asked;
}

PointSpec LinkMap::removed(TracerId who, const PointSpec& asked) {
  const auto mine = moved_.find(who);
  if (mine == moved_.end()) return asked;
  PointSpec there = asked;
  there.at = asked.at + slide();
  return is_linked(asked.at) && mine->second.erase(there) > 0 ? there : asked;
}

std::optional<Gva> LinkMap::set_at(TracerId who, const PointSpec& spec) const {
  const auto mine = moved_.find(who);
  if (mine == moved_.end() || !mine->second.contains(spec)) return std::nullopt;
  return spec.at - slide();
}

}  // namespace ringside::hub
