// Inserting and removing points.
#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include "stub/hub/hub.hpp"

namespace ringside::hub {

std::optional<Gpa> Hub::find_memory(Gva at, VcpuId preferred) const {
  if (const auto where = memory_.translate(vcpus_.at(preferred.number).context.paging, at)) return where;
  for (const Vcpu& vcpu : vcpus_) {
    if (const auto where = memory_.translate(vcpu.context.paging, at)) return where;
  }
  return std::nullopt;
}

void Hub::insert(TracerId who, VcpuId vcpu, const PointSpec& spec, tracer::Done<void> done) {
  constexpr std::size_t kMostPoints = 20'000;
  if (points_.owned_by(who) >= kMostPoints) {
    done(fail(Errc::kExhausted, fmt::format("a tracer may set {} points", kMostPoints)));
    return;
  }
  if (const auto possible = slots_needed(spec); !possible) {
    done(fail(possible.error().code, possible.error().text));
    return;
  }
  if (!points_.add(who, spec)) {
    done({});
    return;
  }
  exclusively([this, who, vcpu, spec, done = std::move(done)]() mutable {
    Result<void> inserted = apply(vcpu);
    if (!inserted) points_.remove(who, spec);
    done(std::move(inserted));
  });
  settle();
}

void Hub::remove(TracerId who, const PointSpec& spec, tracer::Done<void> done) {
  if (!points_.remove(who, spec)) {
    done({});
    return;
  }
  exclusively([this, done = std::move(done)]() mutable { done(apply(VcpuId{0})); });
  settle();
}

// Every vCPU is parked.  On failure everything stays as it was.
Result<void> Hub::apply(VcpuId vcpu) {
  const auto mapped = [&](Gva at) { return find_memory(at, vcpu).has_value(); };
  const Mechanisms next = RS_TRY(plan_mechanisms(points_, mechanisms_, mapped));
  return switch_to(next, vcpu);
}

Result<void> Hub::switch_to(const Mechanisms& next, VcpuId vcpu) {
  std::map<Gva, Gpa> fresh;  // found before anything is changed
  for (const Gva at : next.int3) {
    if (mechanisms_.int3.contains(at)) continue;
    const std::optional<Gpa> where = find_memory(at, vcpu);
    if (!where) return fail(Errc::kNotMapped, fmt::format("{:#x} is not mapped", at.value));
    fresh.emplace(at, *where);
  }
  for (const auto& [at, where] : fresh) RS_TRY(memory_.insert(at, where));
  for (const Gva at : mechanisms_.int3) {
    if (!next.int3.contains(at)) memory_.remove(at);
  }
  mechanisms_ = next;
  publish();
  return {};
}

void Hub::publish() {
  auto snapshot = std::make_shared<PointSnapshot>();
  snapshot->slots = mechanisms_.slots;
  for (const auto& [where, site] : memory_.sites()) snapshot->int3.insert(where);
  snapshot_ = std::move(snapshot);
}

}  // namespace ringside::hub
