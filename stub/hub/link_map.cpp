#include "stub/hub/link_map.hpp"

#include <algorithm>
#include <iterator>

namespace ringside::hub {

void LinkMap::relocated(const KernelPlace& place, const std::set<TracerId>& before) {
  forget();
  place_ = place;
  std::ranges::copy_if(before, std::inserter(unaware_, unaware_.end()),
                       [this](TracerId who) { return believed(who) != slide(); });
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

std::uint64_t LinkMap::believed(TracerId who) const {
  const auto told = told_.find(who);
  return told != told_.end() ? told->second : 0;
}

std::optional<PointSpec> LinkMap::meant(TracerId who, const PointSpec& asked) const {
  if (asked.kind == PointKind::kProbe) return std::nullopt;
  const std::uint64_t own = believed(who);
  const bool in_own = is_in_image(own, asked.at);
  const std::uint64_t from = in_own ? own : 0;
  if (from == slide() || !(in_own || is_in_image(0, asked.at))) return std::nullopt;
  PointSpec there = asked;
  there.at = asked.at - from + slide();
  return there;
}

void LinkMap::moved(TracerId who, const PointSpec& asked, const PointSpec& there) {
  Moved& mine = moved_[who];
  mine.to.insert_or_assign(asked, there);
  mine.from.insert_or_assign(there, asked);
}

PointSpec LinkMap::inserted(TracerId who, const PointSpec& asked) {
  if (!unaware_.contains(who)) return asked;
  if (const auto there = meant(who, asked)) {
    moved(who, asked, *there);
    return *there;
  }
  if (asked.kind != PointKind::kProbe && is_in_image(slide(), asked.at)) {  // its symbols have been moved
    unaware_.erase(who);
    told(who, slide());
  }
  if (const auto mine = moved_.find(who); mine != moved_.end()) {
    if (const auto known = mine->second.from.find(asked); known != mine->second.from.end()) {
      mine->second.to.erase(known->second);
      mine->second.from.erase(known);
    }
  }
  return asked;
}

PointSpec LinkMap::removed(TracerId who, const PointSpec& asked) {
  const auto mine = moved_.find(who);
  if (mine == moved_.end()) return asked;
  const auto known = mine->second.to.find(asked);
  if (known == mine->second.to.end()) return asked;
  const PointSpec there = known->second;
  mine->second.to.erase(known);
  mine->second.from.erase(there);
  return there;
}

std::optional<Gva> LinkMap::set_at(TracerId who, const PointSpec& there) const {
  const auto mine = moved_.find(who);
  if (mine == moved_.end()) return std::nullopt;
  const auto known = mine->second.from.find(there);
  return known != mine->second.from.end() ? std::optional(known->second.at) : std::nullopt;
}

std::vector<LinkMap::Move> LinkMap::all_moved() const {
  std::vector<Move> all;
  for (const auto& [who, mine] : moved_) {
    for (const auto& [asked, there] : mine.to) all.push_back({who, asked, there});
  }
  return all;
}

}  // namespace ringside::hub
