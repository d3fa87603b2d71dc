// Memory and registers for tracers.
#include <algorithm>

#include <fmt/format.h>

#include "arch/x86/control.hpp"
#include "disasm/decoder.hpp"
#include "stub/hub/code_view.hpp"
#include "stub/hub/hub.hpp"
#include "stub/hub/tracer_port.hpp"

namespace ringside::hub {

using tracer::AddressSpace;

// At once for a parked vCPU; else after a kick, without stopping it.
void Hub::with_context(VcpuId id, std::move_only_function<void(const x86::CpuContext&)> use) {
  const Vcpu& vcpu = at(id);
  if (vcpu.settled()) {
    use(vcpu.context);
    return;
  }
  machine_.vcpu(id).post([this, use = std::move(use)](api::VcpuAccess& access) mutable {
    post([use = std::move(use), context = access.context()]() mutable { use(context); });
  });
}

void Hub::read_registers(VcpuId id, x86::RegGroups groups, tracer::Done<const x86::RegisterFile*> done) {
  Vcpu& vcpu = at(id);
  if (vcpu.parked && vcpu.registers && vcpu.registers->available_groups().contains(groups)) {
    done(vcpu.registers.get());
    return;
  }
  // What is there already is kept: each group is read once a stop.
  auto file = vcpu.parked && vcpu.registers ? std::make_unique<x86::RegisterFile>(*vcpu.registers)
                                            : std::make_unique<x86::RegisterFile>();
  machine_.vcpu(id).post(
      [this, id, groups, file = std::move(file), done = std::move(done)](api::VcpuAccess& access) mutable {
        Result<void> read = access.read(groups.without(file->available_groups()), *file);
        post([this, id, read = std::move(read), file = std::move(file), done = std::move(done)]() mutable {
          if (!read) {
            done(unexpected(std::move(read).error()));
            return;
          }
          const x86::RegisterFile* answer = file.get();
          if (at(id).parked) at(id).registers = std::move(file);
          done(answer);
        });
      });
}

namespace {

// RF may still be set, to pass a breakpoint at the place that the vCPU has been moved away from.
void meet_breakpoints(api::VcpuAccess& access) {
  x86::CoreRegs core = access.core();
  core.rflags &= ~x86::rflags::kRf;
  access.set_core(core);
}

}  // namespace

void Hub::write_registers(VcpuId id, std::vector<std::pair<x86::Reg, Bytes>> values,
                          tracer::Done<void> done) {
  if (!at(id).parked) {
    done(fail(Errc::kBusy, fmt::format("CPU {} is running; stop it to change its registers", id.number)));
    return;
  }
  machine_.vcpu(id).post(
      [this, id, values = std::move(values), done = std::move(done)](api::VcpuAccess& access) mutable {
        const std::uint64_t before = access.core().rip;
        Result<void> written;
        for (const auto& [reg, value] : values) {
          written = access.write(reg, value);
          if (!written) break;
        }
        if (access.core().rip != before) meet_breakpoints(access);
        post([this, id, written = std::move(written), context = access.context(),
              done = std::move(done)]() mutable {
          Vcpu& vcpu = at(id);
          if (vcpu.parked) {
            if (vcpu.hit != context.linear_rip()) vcpu.hit.reset();
            vcpu.context = context;
            vcpu.registers.reset();
          }
          done(std::move(written));
        });
      });
}

// From where a kernel that places itself was found to run: its banner is at the same offset in every slide,
// and slides are multiples of 2 MiB below 1 GiB (Linux arch/x86/boot/compressed/kaslr.c).
std::optional<tracer::KernelSlide> Hub::find_slide(const x86::CpuContext& context) const {
  if (events_.place)
    return tracer::KernelSlide{events_.place->link_text, events_.place->slide(), events_.place->at};
  const auto& kernel = machine_.info().kernel;
  if (kernel && kernel->slide) return tracer::KernelSlide{kernel->link_text, *kernel->slide, kernel->at};
  if (const auto known = kernel_.known())
    return tracer::KernelSlide{known->kernel->link_text(), known->kernel->slide()};
  if (!kernel) return std::nullopt;
  constexpr std::uint64_t kStep = 2u << 20;
  constexpr std::uint64_t kRange = 1u << 30;
  if (kernel->banner.empty()) return std::nullopt;
  for (std::uint64_t slide = 0; slide < kRange; slide += kStep) {
    const Gva at = kernel->link_banner + slide;
    const Bytes there = memory_.read_virtual(context.paging, at, kernel->banner.size());
    if (std::ranges::equal(there, kernel->banner, {}, {},
                           [](char c) { return static_cast<std::uint8_t>(c); })) {
      return tracer::KernelSlide{kernel->link_text, slide};
    }
  }
  return std::nullopt;
}

void TracerPort::read_msrs(VcpuId vcpu, std::vector<std::uint32_t> numbers,
                           tracer::Done<std::vector<Msr>> done) {
  hub_.machine_.vcpu(vcpu).post(
      [&hub = hub_, numbers = std::move(numbers), done = std::move(done)](api::VcpuAccess& access) mutable {
        std::vector<Msr> values;
        for (const std::uint32_t number : numbers) {
          const Result<std::uint64_t> value = access.msr(number);
          values.push_back({number, value ? std::optional(*value) : std::nullopt});
        }
        hub.post([values = std::move(values), done = std::move(done)]() mutable { done(std::move(values)); });
      });
}

void TracerPort::read_local_apic(VcpuId vcpu, tracer::Done<x86::LocalApic> done) {
  hub_.machine_.vcpu(vcpu).post([&hub = hub_, done = std::move(done)](api::VcpuAccess& access) mutable {
    hub.post([apic = access.local_apic(), done = std::move(done)]() mutable { done(std::move(apic)); });
  });
}

void TracerPort::read_memory(VcpuId vcpu, AddressSpace space, Gva at, std::size_t size,
                             tracer::Done<Bytes> done) {
  const auto answer = [at](tracer::Done<Bytes>& to, Bytes data, bool wanted) {
    if (data.empty() && wanted) {
      to(fail(Errc::kNotMapped, fmt::format("no memory at {:#x}", at.value)));
    } else {
      to(std::move(data));
    }
  };
  if (space == AddressSpace::kPhysical) {
    answer(done, hub_.memory_.read_physical(Gpa{at.value}, size), size > 0);
    return;
  }
  // The connection may end before a running vCPU answers: the hub is captured, not this port.
  hub_.with_context(
      vcpu, [&hub = hub_, at, size, answer, done = std::move(done)](const x86::CpuContext& context) mutable {
        answer(done, hub.memory_.read_virtual(context.paging, at, size), size > 0);
      });
}

void TracerPort::write_memory(VcpuId vcpu, AddressSpace space, Gva at, Bytes data, tracer::Done<void> done) {
  if (space == AddressSpace::kPhysical) {
    Result<void> written = hub_.memory_.write_physical(Gpa{at.value}, data);
    hub_.memory_written();
    done(std::move(written));
    return;
  }
  hub_.with_context(vcpu, [&hub = hub_, at, data = std::move(data),
                           done = std::move(done)](const x86::CpuContext& context) mutable {
    Result<void> written = hub.memory_.write_virtual(context.paging, at, data);
    hub.memory_written();
    done(std::move(written));
  });
}

// In pieces, so that a search through gigabytes keeps nobody else waiting.
void TracerPort::search_memory(VcpuId vcpu, AddressSpace space, Gva at, std::uint64_t size, Bytes pattern,
                               tracer::Done<std::optional<Gva>> done) {
  constexpr std::size_t kPiece = 4u << 20;
  if (pattern.empty() || size < pattern.size()) {
    done(std::optional<Gva>{});
    return;
  }
  const std::size_t piece =
      static_cast<std::size_t>(std::min<std::uint64_t>(size, kPiece + pattern.size() - 1));
  read_memory(vcpu, space, at, piece,
              [&hub = hub_, id = id_, vcpu, space, at, size, piece, pattern = std::move(pattern),
               done = std::move(done)](Result<Bytes> data) mutable {
                if (!data) {
                  done(unexpected(std::move(data).error()));
                  return;
                }
                // Not ranges::search: clang 14 does not take libstdc++ 12's subrange.
                const auto found = std::search(data->begin(), data->end(), pattern.begin(), pattern.end());
                if (found != data->end()) {
                  done(std::optional(at + static_cast<std::uint64_t>(found - data->begin())));
                  return;
                }
                if (data->size() < piece || piece == size) {
                  done(std::optional<Gva>{});
                  return;
                }
                const std::uint64_t passed = piece - (pattern.size() - 1);
                hub.post([&hub, id, vcpu, space, next = at + passed, rest = size - passed,
                          pattern = std::move(pattern), done = std::move(done)]() mutable {
                  const auto tracer = hub.tracers_.find(id);
                  if (tracer == hub.tracers_.end()) return;  // detached meanwhile: nobody waits
                  tracer->second.port->search_memory(vcpu, space, next, rest, std::move(pattern),
                                                     std::move(done));
                });
              });
}

void TracerPort::disassemble(VcpuId vcpu, AddressSpace space, tracer::CodePlace where, std::size_t count,
                             tracer::Done<std::string> done) {
  hub_.with_context(vcpu, [&hub = hub_, space, where, count,
                           done = std::move(done)](const x86::CpuContext& context) mutable {
    const std::size_t bytes = count * disasm::kLongestInstruction;
    const CodeView view = view_of(where, context);
    const bool physical = space == AddressSpace::kPhysical && where.at;
    const Bytes code = physical ? hub.memory_.read_physical(Gpa{view.at.value}, bytes)
                                : hub.memory_.read_virtual(context.paging, view.at, bytes);
    if (code.empty()) {
      done(fail(Errc::kNotMapped, fmt::format("no memory at {:#x}", view.at.value)));
      return;
    }
    const auto decoder = disasm::Decoder::create(view.size);
    if (!decoder) {
      done(unexpected(decoder.error()));
      return;
    }
    std::string text;
    for (const disasm::Line& line : decoder->lines(code, view.offset(), count)) {
      text += fmt::format("{}:\t{}\n", view.label(line.at), line.text);
    }
    done(std::move(text));
  });
}

Result<void> TracerPort::still_there() const {
  if (hub_.ended_) return fail(Errc::kGone, "the guest has ended");
  return {};
}

void TracerPort::look(VcpuId vcpu, tracer::Done<tracer::StopEvent> done) {
  if (const auto there = still_there(); !there) {
    done(unexpected(there.error()));
    return;
  }
  hub_.with_context(
      vcpu, [&hub = hub_, vcpu, done = std::move(done)](const x86::CpuContext& context) mutable {
        if (hub.ended_) return done(fail(Errc::kGone, "the guest has ended"));
        done(tracer::StopEvent{
            .vcpu = vcpu, .reason = tracer::StopReason::kNone, .at = {}, .context = context, .detail = {}});
      });
}

void TracerPort::kernel_slide(VcpuId vcpu, tracer::Done<std::optional<tracer::KernelSlide>> done) {
  hub_.with_context(vcpu,
                    [&hub = hub_, id = id_, done = std::move(done)](const x86::CpuContext& context) mutable {
                      const auto slide = hub.find_slide(context);
                      if (slide) hub.link_map_.told(id, slide->slide);
                      done(slide);
                    });
}

}  // namespace ringside::hub
