#include "tests/model/driver.hpp"

#include <algorithm>
#include <random>

#include "tests/model/driver_player.hpp"

namespace ringside::model {
void Driver::Player::on_stop(const StopEvent& event) {
  driver.note("  tracer {} is told: CPU {}, reason {}, at {:#x}, rip {:#x}", id.number, event.vcpu.number,
              static_cast<int>(event.reason), event.at.value, event.context.core.rip);
  driver.model_.told(id, event);
  if (leaves) leave();
}

void Driver::Player::on_guest_end(std::string) {
  driver.model_.told_end(id);
  if (std::exchange(told_end, true)) driver.model_.complain("the guest's end is told twice");
  if (leaves) leave();
}

void Driver::Player::leave() {
  driver.note("  tracer {} leaves", id.number);
  driver.model_.left(id);
  gone = true;
  port.reset();
}

Driver::Driver(ByteView script, Log log)
    : script_(script),
      logs_(log),
      machine_(1 + pick(BareGuest::kMostCpus)),
      held_(one_in(4)),
      guest_(machine_),
      model_(machine_, guest_, held_),
      hub_(io_.get_executor(), machine_, {.on_end = [this](api::GuestEnd, const std::string&) {
             ended_ = true;
             model_.end();
           }}) {
  if (!hub_.start(held_)) model_.complain("the machine does not start");
  poll();
}

Driver::~Driver() { players_.clear(); }

std::uint8_t Driver::next() { return at_ < script_.size() ? script_[at_++] : 0; }

const std::vector<Driver::Row>& Driver::table() {
  static const std::vector<Row> kTable = {{6, "attach", &Driver::attach},
                                          {3, "detach", &Driver::detach},
                                          {5, "stop_all", &Driver::stop_all},
                                          {5, "interrupt", &Driver::interrupt},
                                          {6, "stop", &Driver::stop},
                                          {14, "resume_all", &Driver::resume_all},
                                          {12, "resume_some", &Driver::resume_some},
                                          {20, "insert", &Driver::insert},
                                          {10, "remove", &Driver::remove},
                                          {4, "move", &Driver::move},
                                          {4, "write_memory", &Driver::write_memory},
                                          {4, "read_memory", &Driver::read_memory},
                                          {1, "observe", &Driver::observe},
                                          {2, "release", &Driver::release},
                                          {1, "reset", &Driver::reset},
                                          {1, "triple_fault", &Driver::triple_fault},
                                          {1, "end_guest", &Driver::end_guest},
                                          {25, "advance_one", &Driver::advance_one},
                                          {14, "advance_all", &Driver::advance_all},
                                          {3, "toggle_prompt", &Driver::toggle_prompt},
                                          {10, "answer", &Driver::answer},
                                          {1, "leave_at_next", &Driver::leave_at_next},
                                          {6, "settle_and_check", &Driver::settle_and_check}};
  return kTable;
}

std::string Driver::play() {
  int total = 0;
  for (const Row& row : table()) total += row.weight;
  while (at_ < script_.size() && model_.wrong().empty()) {
    int number = static_cast<int>(pick(static_cast<std::size_t>(total)));
    const auto row =
        std::ranges::find_if(table(), [&](const Row& one) { return (number -= one.weight) < 0; });
    note("{}", row->name);
    (this->*row->command)();
    if (!one_in(8)) poll();
  }
  if (model_.wrong().empty()) finish();
  return model_.wrong();
}

void Driver::poll() {
  io_.restart();
  io_.poll();
  std::erase_if(players_, [](const auto& entry) { return entry.second->gone; });
  model_.check();
}

bool Driver::answer_all() {
  bool any = false;
  for (std::uint32_t n = 0; n < machine_.vcpu_count(); ++n) {
    any = machine_.vcpu(n).answer_post() || any;
    any = machine_.vcpu(n).answer_pause() || any;
  }
  return any;
}

// Until nothing is under way: all is answered, and a vCPU that is taken over an int3 by itself is over it.
void Driver::settle() {
  int steps_left = 3;  // one is enough for that; a vCPU that goes on stepping has its tracer's order
  for (;;) {
    poll();
    if (answer_all()) continue;
    const auto alone = model_.alone();
    if (!alone || steps_left-- == 0) return;
    advance(*alone);
  }
}

void Driver::settle_and_check() {
  settle();
  const auto asks = std::ranges::find_if(players_, [](const auto& entry) { return !entry.second->gone; });
  const std::string listing = asks == players_.end() ? "" : asks->second->port->describe_tracers();
  model_.check_settled(listing, ended_);
}

// Everyone goes: what is left is the guest.
void Driver::finish() {
  note("finish");
  settle_and_check();
  while (!players_.empty() && model_.wrong().empty()) {
    players_.begin()->second->leave();
    poll();
    settle_and_check();
  }
}

void Driver::advance(VcpuId vcpu) {
  fakes::FakeVcpu& one = machine_.vcpu(vcpu);
  if (!one.running() || model_.over()) return;
  const Gva before{one.rip()};
  const bool went_on = one.advance();
  note("  CPU {} from {:#x} to {:#x}{}", vcpu.number, before.value, one.rip(),
       went_on ? "" : ", and comes out");
  model_.advanced(vcpu, before, went_on ? Model::Then::kGoesOn : Model::Then::kComesOut);
}

Bytes random_script(std::uint64_t seed, std::size_t length) {
  std::mt19937_64 random(seed);
  Bytes script(length);
  std::ranges::generate(script, [&] { return static_cast<std::uint8_t>(random()); });
  return script;
}

}  // namespace ringside::model
