// A tracer that only looks: a TracerPort behind a door that lets nothing through but reading.
//
// It never holds a vCPU.  The stop that it shows is its own view: the registers of the moment, which move on
// as the guest does.  `continue` ends that view, ^C makes a new one.  What would change anything is refused.
// Owner: the connection.  Thread: hub.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "stub/hub/tracer_port.hpp"

namespace ringside::hub {

class ObserverPort final : public tracer::Port {
 public:
  enum class View : std::uint8_t { kRunning, kStopped };

  // `events` is told of the stops that are only views; of the guest's end the hub tells it.
  ObserverPort(std::unique_ptr<TracerPort> inner, tracer::Events& events, View view)
      : inner_(std::move(inner)), events_(events), view_(view) {}

  TracerId id() const override { return inner_->id(); }
  std::size_t vcpu_count() const override { return inner_->vcpu_count(); }
  x86::CpuFeatures features() const override { return inner_->features(); }
  std::vector<GpaRange> ram() const override { return inner_->ram(); }
  std::string vcpu_note(VcpuId vcpu) const override { return inner_->vcpu_note(vcpu); }

  void stop_all(tracer::Done<tracer::StopEvent> done) override;
  void interrupt() override;
  Result<void> resume(std::vector<tracer::ResumeAction> actions) override;
  void set_non_stop(bool on) override { non_stop_ = on; }
  void stop(const std::vector<VcpuId>& vcpus) override;

  void read_memory(VcpuId vcpu, tracer::AddressSpace space, Gva at, std::size_t size,
                   tracer::Done<Bytes> done) override {
    inner_->read_memory(vcpu, space, at, size, std::move(done));
  }
  void write_memory(VcpuId, tracer::AddressSpace, Gva, Bytes, tracer::Done<void> done) override {
    done(refused());
  }
  void search_memory(VcpuId vcpu, tracer::AddressSpace space, Gva at, std::uint64_t size, Bytes pattern,
                     tracer::Done<std::optional<Gva>> done) override {
    inner_->search_memory(vcpu, space, at, size, std::move(pattern), std::move(done));
  }
  void disassemble(VcpuId vcpu, tracer::AddressSpace space, tracer::CodePlace where, std::size_t count,
                   tracer::Done<std::string> done) override {
    inner_->disassemble(vcpu, space, where, count, std::move(done));
  }

  void read_registers(VcpuId vcpu, x86::RegGroups groups,
                      tracer::Done<const x86::RegisterFile*> done) override {
    inner_->read_registers(vcpu, groups, std::move(done));
  }
  void write_registers(VcpuId, std::vector<std::pair<x86::Reg, Bytes>>, tracer::Done<void> done) override {
    done(refused());
  }

  std::vector<std::uint32_t> msrs() const override { return inner_->msrs(); }
  void read_msrs(VcpuId vcpu, std::vector<std::uint32_t> numbers,
                 tracer::Done<std::vector<Msr>> done) override {
    inner_->read_msrs(vcpu, std::move(numbers), std::move(done));
  }
  void read_local_apic(VcpuId vcpu, tracer::Done<x86::LocalApic> done) override {
    inner_->read_local_apic(vcpu, std::move(done));
  }
  Result<x86::IoApic> read_io_apic() const override { return inner_->read_io_apic(); }
  Bytes physical(Gpa at, std::size_t size) const override { return inner_->physical(at, size); }

  void insert_point(VcpuId, const tracer::PointSpec&, std::shared_ptr<const tracer::PointActions>,
                    tracer::Done<void> done) override {
    done(refused());
  }
  // It has none, and removing what is not there succeeds.
  void remove_point(const tracer::PointSpec&, tracer::Done<void> done) override { done({}); }

  boost::asio::any_io_executor executor() const override { return inner_->executor(); }
  void kernel_slide(VcpuId vcpu, tracer::Done<std::optional<tracer::KernelSlide>> done) override {
    inner_->kernel_slide(vcpu, std::move(done));
  }
  void guest_kernel(tracer::Done<std::shared_ptr<const guestos::Kernel>> done) override {
    inner_->guest_kernel(std::move(done));
  }
  std::unique_ptr<VirtualMemory> kernel_memory() const override { return inner_->kernel_memory(); }
  void symbol_file(tracer::Done<std::string> done) override { inner_->symbol_file(std::move(done)); }
  std::optional<guestos::TaskIds> task_on(VcpuId vcpu) const override { return inner_->task_on(vcpu); }
  void set_step_holds_interrupts(bool) override {}

  std::string describe_tracers() const override { return inner_->describe_tracers(); }
  std::string describe_points() const override { return inner_->describe_points(); }
  std::string points_as_script() const override { return inner_->points_as_script(); }
  std::size_t drop_left_points() override { return 0; }
  std::string describe_stops() const override { return inner_->describe_stops(); }
  Result<void> stop_at(std::string_view, bool) override { return refused(); }
  std::string describe_machine() const override { return inner_->describe_machine(); }
  std::string describe_exits() const override { return inner_->describe_exits(); }
  Result<void> release(TracerId) override { return refused(); }
  void reset_machine(tracer::Done<void> done) override { done(refused()); }
  Result<void> quit_machine() override { return refused(); }
  std::unique_ptr<tracer::Port> observer() override;

 private:
  static Unexpected<Error> refused();
  void show(VcpuId vcpu);

  std::unique_ptr<TracerPort> inner_;
  tracer::Events& events_;
  View view_;
  bool non_stop_ = false;
  std::shared_ptr<int> alive_ = std::make_shared<int>();  // for answers that come later than our end
};

}  // namespace ringside::hub
