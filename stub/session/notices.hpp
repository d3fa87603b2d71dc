// Non-stop: which stops a client has been told, and which wait for its vStopped.  Pure.
//
//   push()   -> announce() goes out as %Stop, unless one is out already
//   vStopped -> next() is its reply, until nothing is left (OK)
//   ?        -> restart(): its reply is the first of a sequence that vStopped continues
// Source: RSP "Remote Non-Stop".
#pragma once

#include <deque>
#include <optional>
#include <set>
#include <string>

#include "arch/ids.hpp"

namespace ringside::session {

struct Notice {
  std::optional<VcpuId> vcpu;  // nothing: the guest has ended
  std::string body;            // a stop reply
};

class StopNotices {
 public:
  void push(Notice notice) { queue_.push_back(std::move(notice)); }
  // The body of a %Stop that is due now.
  std::optional<std::string> announce();
  // The client has taken in the one before; nothing when that was the last.
  std::optional<std::string> next();
  // Forgets what was under way; `first` counts as sent.
  void restart(Notice first);

  // While held, nothing but the sequence under way goes out.
  void hold(bool on) { held_ = on; }

  // A vCPU whose stop the client knows of: only that can be resumed by it.
  bool told(VcpuId vcpu) const { return told_.contains(vcpu); }
  void resumed(VcpuId vcpu) { told_.erase(vcpu); }

 private:
  std::string send_front();

  std::deque<Notice> queue_;  // the front is out while out_
  std::set<VcpuId> told_;
  bool out_ = false;
  bool held_ = false;
};

}  // namespace ringside::session
