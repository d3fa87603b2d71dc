// What tracers do, and the guest.
#include <algorithm>

#include "tests/model/driver_player.hpp"

namespace ringside::model {

namespace {

using tracer::AddressSpace;

constexpr std::size_t kMostPlayers = 4;

agent::Program program(Bytes code) { return agent::Program::verify(code).value(); }

std::shared_ptr<const hub::PointActions> actions_of(When when) {
  auto actions = std::make_shared<hub::PointActions>();
  switch (when) {
    case When::kAlways:
      return nullptr;
    case When::kHolds:
      actions->conditions.push_back(program({0x22, 1, 0x27}));
      break;
    case When::kNever:
      actions->conditions.push_back(program({0x22, 0, 0x27}));
      break;
    case When::kFaults:
      actions->conditions.push_back(program({0x22, 1, 0x22, 0, 0x05, 0x27}));  // 1 / 0
      break;
    case When::kSecondCpu:
      actions->conditions.push_back(program({0x2c, 0, 1, 0x22, 1, 0x13, 0x27}));  // $cpu == 1
      break;
    case When::kPrints:
      actions->commands.push_back(program({0x22, 0, 0x22, 0, 0x34, 0, 0, 2, 'x', 0, 0x27}));
      break;
  }
  return actions;
}

}  // namespace

// Any start of an instruction, by either window.
Gva Driver::pick_code() {
  const std::uint64_t offset = BareGuest::kStarts[pick(BareGuest::kStarts.size())];
  return Gva{(one_in(4) ? fakes::kKernel : 0) + fakes::kCode + offset};
}

PointSpec Driver::pick_point() {
  switch (pick(8)) {
    case 0:
    case 1: {
      constexpr std::array kKinds{PointKind::kWrite, PointKind::kRead, PointKind::kAccess};
      const std::uint64_t length = std::uint64_t{1} << pick(4);
      return {kKinds[pick(kKinds.size())], Gva{fakes::kData + pick(3)}, length};
    }
    case 2:
      return {PointKind::kHardware, pick_code(), 1};
    case 3:
      if (one_in(4)) return {PointKind::kSoftware, Gva{0x7000000 + pick(2)}, 1};  // not mapped
      [[fallthrough]];
    default:
      return {PointKind::kSoftware, pick_code(), 1};
  }
}

Driver::Player* Driver::pick_player() {
  std::vector<Player*> here;
  for (const auto& [id, player] : players_) {
    if (!player->gone) here.push_back(player.get());
  }
  return here.empty() ? nullptr : here[pick(here.size())];
}

ResumeAction Driver::pick_action(VcpuId vcpu) {
  switch (pick(4)) {
    case 0:
      return {vcpu, ResumeAction::Kind::kStep, {}};
    case 1: {
      const Gva begin = pick_code();
      return {vcpu, ResumeAction::Kind::kStepRange, {begin, begin + 1 + pick(12)}};
    }
    default:
      return {vcpu, ResumeAction::Kind::kContinue, {}};
  }
}

void Driver::attach() {
  if (players_.size() >= kMostPlayers) return;
  const bool observer = one_in(8);
  const bool non_stop = one_in(3);
  auto player = std::make_unique<Player>(*this);
  auto port = hub_.attach("tracer", *player, {.read_only = observer});
  if (!port) return model_.complain("a tracer is not let in");
  player->id = (*port)->id();
  player->observer = observer;
  player->non_stop = non_stop && !observer;
  player->port = std::move(*port);
  if (non_stop) player->port->set_non_stop(true);
  note("  tracer {}{}{}", player->id.number, observer ? ", only looks on" : "", non_stop ? ", non-stop" : "");
  model_.attached(player->id, player->non_stop, observer);
  players_.emplace(player->id, std::move(player));
}

void Driver::detach() {
  if (Player* player = pick_player()) player->leave();
}

void Driver::stop_all() {
  Player* player = pick_player();
  if (player == nullptr || !model_.may_stop_all(player->id)) return;
  note("  tracer {}", player->id.number);
  model_.stop_all(player->id);
  player->port->stop_all([this, id = player->id, observer = player->observer](Result<StopEvent> event) {
    const auto found = players_.find(id);
    const bool here = found != players_.end() && !found->second->gone;
    if (event && here) found->second->on_stop(*event);
    if (event && !here && !observer) model_.complain("one who has left is answered");
    if (!event && !ended_ && event.error().code != Errc::kGone) model_.complain(event.error().text);
  });
}

void Driver::interrupt() {
  Player* player = pick_player();
  if (player == nullptr) return;
  note("  tracer {}", player->id.number);
  if (!player->non_stop) {
    model_.interrupt(player->id);
    player->port->interrupt();
    return;
  }
  for (std::uint32_t n = 0; n < machine_.vcpu_count(); ++n) {
    if (player->gone) return;
    model_.stop(player->id, VcpuId{n});
    player->port->stop({VcpuId{n}});
  }
}

void Driver::stop() {
  Player* player = pick_player();
  const VcpuId vcpu = pick_vcpu();
  if (player == nullptr) return;
  note("  tracer {}: CPU {}", player->id.number, vcpu.number);
  if (player->non_stop || player->observer) model_.stop(player->id, vcpu);
  player->port->stop({vcpu});
}

void Driver::resume(Player& player, const std::vector<ResumeAction>& actions) {
  for (const ResumeAction& action : actions) {
    note("  tracer {}: CPU {}, {}, {:#x} to {:#x}", player.id.number, action.vcpu.number,
         static_cast<int>(action.kind), action.range.begin.value, action.range.end.value);
  }
  if (player.observer) {
    static_cast<void>(player.port->resume(actions));
    return;
  }
  const bool may = model_.may_resume(player.id);
  if (may) model_.resume(player.id, actions);
  const Result<void> result = player.port->resume(actions);
  if (result.has_value() != may) model_.complain("resume: " + (may ? result.error().text : "is taken"));
}

void Driver::resume_all() {
  Player* player = pick_player();
  if (player == nullptr) return;
  std::vector<ResumeAction> actions;
  for (std::uint32_t n = 0; n < machine_.vcpu_count(); ++n) {
    actions.push_back({VcpuId{n}, ResumeAction::Kind::kContinue, {}});
  }
  resume(*player, actions);
}

void Driver::resume_some() {
  Player* player = pick_player();
  if (player == nullptr) return;
  const VcpuId always = pick_vcpu();
  std::vector<ResumeAction> actions;
  for (std::uint32_t n = 0; n < machine_.vcpu_count(); ++n) {
    if (VcpuId{n} == always || one_in(3)) actions.push_back(pick_action(VcpuId{n}));
  }
  resume(*player, actions);
}

void Driver::insert() {
  Player* player = pick_player();
  if (player == nullptr) return;
  const PointSpec spec = pick_point();
  const When when = is_breakpoint(spec.kind) && one_in(2) ? static_cast<When>(pick(6)) : When::kAlways;
  const VcpuId vcpu = pick_vcpu();
  note("  tracer {}: {}, {}", player->id.number, hub::to_text(spec), static_cast<int>(when));
  if (player->observer) {
    player->port->insert_point(vcpu, spec, actions_of(when), [this](const Result<void>& result) {
      if (result) model_.complain("an observer inserts");
    });
    return;
  }
  const unsigned number = model_.insert(player->id, spec, when);
  player->port->insert_point(
      vcpu, spec, actions_of(when), [this, id = player->id, spec, when, number](const Result<void>& result) {
        note("  tracer {} has {}: {}", id.number, hub::to_text(spec), result.has_value());
        model_.inserted(id, spec, when, number, result);
      });
}

void Driver::remove() {
  Player* player = pick_player();
  if (player == nullptr) return;
  const auto points = model_.points_of(player->id);
  const PointSpec spec = points.empty() || one_in(8) ? pick_point() : points[pick(points.size())];
  note("  tracer {}: {}", player->id.number, hub::to_text(spec));
  if (const TracerId who = player->id; model_.was_released(who)) {
    poll();
    if (!players_.contains(who)) return;
  }
  model_.remove(player->id, spec);
  player->port->remove_point(spec, [this](const Result<void>& result) {
    model_.removed();
    if (!result) model_.complain("not removed: " + result.error().text);
  });
}

// Only while vCPUs answer at once: the write is then done when the call returns.
void Driver::move() {
  Player* player = pick_player();
  const VcpuId vcpu = pick_vcpu();
  const Gva to = pick_code();
  if (player == nullptr || !machine_.prompt) return;
  model_.follow();
  const std::uint64_t before = machine_.vcpu(vcpu).rip();
  const ByteView rip = bytes_of(to.value);
  player->port->write_registers(vcpu, {{x86::Reg::kRip, Bytes(rip.begin(), rip.end())}}, [](Result<void>) {});
  if (machine_.vcpu(vcpu).rip() == before) return;
  note("  CPU {} to {:#x}", vcpu.number, to.value);
  model_.moved(vcpu, to);
  poll();
}

void Driver::write_memory() {
  Player* player = pick_player();
  const bool code = !one_in(4);
  const std::uint64_t at =
      code ? fakes::kCode + BareGuest::kSingles[pick(BareGuest::kSingles.size())] : fakes::kData + pick(4);
  const std::uint8_t value = code ? (one_in(3) ? 0xcc : 0x90) : next();
  const auto space = one_in(4) ? AddressSpace::kPhysical : AddressSpace::kVirtual;
  if (player == nullptr) return;
  note("  tracer {}: {:#x} = {:#x}", player->id.number, at, value);
  player->port->write_memory(pick_vcpu(), space, Gva{at}, {value},
                             [this, at, value](const Result<void>& result) {
                               if (result) guest_.write(Gpa{at}, {&value, 1});
                             });
}

void Driver::read_memory() {
  Player* player = pick_player();
  const std::uint64_t begin = pick(BareGuest::kLoopBytes);
  const std::size_t size = 1 + pick(BareGuest::kLoopBytes - begin);
  const std::uint64_t window = one_in(3) ? fakes::kKernel : 0;
  const auto space = window == 0 && one_in(3) ? AddressSpace::kPhysical : AddressSpace::kVirtual;
  if (player == nullptr) return;
  const std::uint64_t at = fakes::kCode + begin;
  player->port->read_memory(pick_vcpu(), space, Gva{window + at}, size,
                            [this, at, size](const Result<Bytes>& read) {
                              const auto own = guest_.ram().begin() + static_cast<std::ptrdiff_t>(at);
                              if (!read || !std::ranges::equal(*read, std::span(own, size)))
                                model_.complain("memory is not the guest's");
                            });
}

void Driver::observe() {
  Player* player = pick_player();
  if (player == nullptr || player->observer) return;
  note("  tracer {}", player->id.number);
  model_.became_observer(player->id);
  player->observer = true;
  player->non_stop = false;
  player->port = player->port->observer();
}

void Driver::release() {
  Player* by = pick_player();
  Player* other = pick_player();
  if (by == nullptr || by->observer) return;
  const TracerId who = other->id;
  const Result<void> result = by->port->release(who);
  note("  tracer {} the holds of {}: {}", by->id.number, who.number, result.has_value());
  if (result && !other->gone) model_.released(who);
}

void Driver::reset() {
  Player* player = pick_player();
  if (player == nullptr || player->observer) return;
  player->port->reset_machine([this](const Result<void>& result) {
    note("  the machine is reset: {}", result.has_value());
    if (result) model_.reset();
  });
}

void Driver::triple_fault() {
  const VcpuId vcpu = pick_vcpu();
  if (!machine_.vcpu(vcpu).running() || model_.over()) return;
  note("  CPU {}", vcpu.number);
  machine_.vcpu(vcpu).stop(api::StopCause::kTripleFault, "triple fault");
  model_.died(vcpu);
  poll();
}

void Driver::end_guest() {
  if (!one_in(4)) return;
  Player* player = pick_player();
  if (player == nullptr || player->observer || one_in(2)) {
    machine_.end(api::GuestEnd::kPowerOff);
  } else if (!player->port->quit_machine()) {
    model_.complain("quit is refused");
  }
  poll();
}

void Driver::advance_one() {
  const VcpuId vcpu = pick_vcpu();
  for (std::size_t left = 1 + pick(4); left > 0; --left) advance(vcpu);
}

void Driver::advance_all() {
  for (std::size_t left = 1 + pick(6); left > 0; --left) {
    for (std::uint32_t n = 0; n < machine_.vcpu_count(); ++n) advance(VcpuId{n});
    if (!one_in(4)) poll();
  }
}

void Driver::toggle_prompt() {
  machine_.prompt = !machine_.prompt;
  if (machine_.prompt) settle();
}

void Driver::answer() {
  const VcpuId vcpu = pick_vcpu();
  if (one_in(2)) machine_.vcpu(vcpu).answer_post();
  machine_.vcpu(vcpu).answer_pause();
}

void Driver::leave_at_next() {
  if (Player* player = pick_player()) player->leaves = true;
}

}  // namespace ringside::model
