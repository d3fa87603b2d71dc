#include "stub/session/notices.hpp"

namespace ringside::session {

std::string StopNotices::send_front() {
  out_ = true;
  if (queue_.front().vcpu) told_.insert(*queue_.front().vcpu);
  return queue_.front().body;
}

std::optional<std::string> StopNotices::announce() {
  if (out_ || held_ || queue_.empty()) return std::nullopt;
  return send_front();
}

std::optional<std::string> StopNotices::next() {
  if (!out_) return std::nullopt;
  queue_.pop_front();
  out_ = false;
  if (held_ || queue_.empty()) return std::nullopt;
  return send_front();
}

void StopNotices::restart(Notice first) {
  queue_.clear();
  told_.clear();
  queue_.push_back(std::move(first));
  send_front();
}

}  // namespace ringside::session
