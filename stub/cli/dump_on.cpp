#include "stub/cli/dump_on.hpp"

#include <algorithm>
#include <cstdio>
#include <utility>

#include <boost/asio/post.hpp>
#include <fmt/format.h>

namespace ringside::cli {
namespace {

Result<void> read_region(const tracer::Port& port, const guestos::DumpedRam& ram,
                         const std::function<Result<void>(ByteView)>& take) {
  constexpr std::uint64_t kPiece = 4u << 20;
  for (std::uint64_t offset = 0; offset < ram.bytes; offset += kPiece) {
    const std::uint64_t size = std::min(kPiece, ram.bytes - offset);
    const Bytes bytes = port.physical(ram.begin + offset, static_cast<std::size_t>(size));
    if (bytes.size() != size) return fail(Errc::kNotMapped, "the guest's memory cannot be read");
    RS_TRY(take(bytes));
  }
  return {};
}

}  // namespace

Result<void> DumpOn::attach(tracer::PortFactory& hub) {
  port_ = RS_TRY(hub.attach("dump-on", *this));
  return {};
}

void DumpOn::on_trouble(const std::string& text) {
  if (port_ == nullptr || std::exchange(dumping_, true)) return;
  fmt::print(stderr, "ringside: dumping: {}\n", text);
  port_->stop_all(then<tracer::StopEvent>([this](const auto& stopped) {
    if (!stopped) return leave("cannot dump: " + stopped.error().text);
    // Not from inside the hub's call.
    boost::asio::post(port_->executor(), [this, alive = std::weak_ptr(alive_)] {
      if (!alive.expired()) collect_kernel();
    });
  }));
}

// Another end of the guest than what it waits for: nobody is held for that.
void DumpOn::on_stop(const tracer::StopEvent&) {
  if (!dumping_) leave({});
}

void DumpOn::collect_kernel() {
  port_->guest_kernel(then<std::shared_ptr<const guestos::Kernel>>([this](auto kernel) {
    const auto memory = kernel ? port_->kernel_memory() : nullptr;
    if (memory != nullptr) contents_.vmcoreinfo = guestos::read_vmcoreinfo(**kernel, *memory).value_or("");
    if (memory != nullptr) {
      if (auto maps = guestos::find_kernel_maps(**kernel, *memory)) contents_.maps = *maps;
    }
    if (contents_.vmcoreinfo.empty())
      fmt::print(stderr, "ringside: the dump is without vmcoreinfo, which crash and drgn need\n");
    collect_cpu(0);
  }));
}

void DumpOn::collect_cpu(std::size_t number) {
  if (number == port_->vcpu_count()) return write();
  port_->read_registers(
      VcpuId{static_cast<std::uint32_t>(number)}, x86::g_packet_groups(),
      then<const x86::RegisterFile*>([this, number](auto registers) {
        if (!registers) return leave("cannot dump: " + registers.error().text);
        const VcpuId cpu{static_cast<std::uint32_t>(number)};
        const auto task = port_->task_on(cpu);
        contents_.cpus.push_back({**registers, task ? static_cast<std::uint32_t>(task->pid) : cpu.number});
        collect_cpu(number + 1);
      }));
}

void DumpOn::write() {
  for (const GpaRange& range : port_->ram())
    contents_.ram.push_back({.begin = range.begin, .bytes = range.end - range.begin});
  contents_.read = [this](const guestos::DumpedRam& ram, const auto& take) {
    return read_region(*port_, ram, take);
  };
  const Result<DumpSize> size = write_dump(std::move(contents_), file_);
  leave(size ? fmt::format("dumped to {}: {}", file_, to_text(*size))
             : fmt::format("cannot dump: {}", size.error().text));
}

void DumpOn::leave(const std::string& words) {
  if (!words.empty()) fmt::print(stderr, "ringside: {}\n", words);
  // What this answers may still be under way in the hub.
  boost::asio::post(port_->executor(), [this, alive = std::weak_ptr(alive_)] {
    if (!alive.expired()) port_.reset();
  });
}

}  // namespace ringside::cli
