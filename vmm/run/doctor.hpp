// What this host's KVM can do, found out by trying: each probe runs a guest of a few instructions.
//
// Every probe is a process of its own.  A KVM that is odd enough to break what the rest of ringside relies
// on, or that never comes back out of KVM_RUN, then costs one line and not the examination. Thread: one,
// while the process has no other.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace ringside::run {

struct Finding {
  std::string_view what;               // "int3 exit"
  bool needed = false;                 // `ringside run` is of no use without it
  std::optional<std::string> missing;  // what went wrong instead, in a few words
};

// In this order; ends early when there is no VM to try anything with.  `tell` hears of each as it is known.
std::vector<Finding> examine(const std::function<void(const Finding&)>& tell);

// All that is needed is there.
bool can_run(const std::vector<Finding>& findings);

// One sentence: whether `ringside run` will work, and what to do if not.
std::string verdict(const std::vector<Finding>& findings);

}  // namespace ringside::run
