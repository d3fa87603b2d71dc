// One tracer's place in the hub: tracer::Port by plain forwarding, with the tracer's id put in.
#pragma once

#include "stub/hub/hub.hpp"

namespace ringside::hub {

class TracerPort final : public tracer::Port {
 public:
  TracerPort(Hub& hub, TracerId id) : hub_(hub), id_(id) {}
  ~TracerPort() override {
    if (!replaced_) hub_.detach(id_);
  }

  TracerId id() const override { return id_; }
  std::size_t vcpu_count() const override { return hub_.vcpus_.size(); }
  x86::CpuFeatures features() const override { return hub_.machine_.info().features; }
  std::vector<GpaRange> ram() const override { return hub_.machine_.info().ram; }
  std::string vcpu_note(VcpuId vcpu) const override { return hub_.vcpu_note(vcpu); }

  void stop_all(tracer::Done<tracer::StopEvent> done) override { hub_.stop_all(id_, std::move(done)); }
  void interrupt() override { hub_.interrupt(id_); }
  Result<void> resume(std::vector<tracer::ResumeAction> actions) override {
    return hub_.resume(id_, std::move(actions));
  }
  void set_non_stop(bool on) override { hub_.set_non_stop(id_, on); }
  void stop(const std::vector<VcpuId>& vcpus) override { hub_.stop(id_, vcpus); }

  void read_memory(VcpuId vcpu, tracer::AddressSpace space, Gva at, std::size_t size,
                   tracer::Done<Bytes> done) override;
  void write_memory(VcpuId vcpu, tracer::AddressSpace space, Gva at, Bytes data,
                    tracer::Done<void> done) override;
  void search_memory(VcpuId vcpu, tracer::AddressSpace space, Gva at, std::uint64_t size, Bytes pattern,
                     tracer::Done<std::optional<Gva>> done) override;

  void disassemble(VcpuId vcpu, tracer::AddressSpace space, tracer::CodePlace where, std::size_t count,
                   tracer::Done<std::string> done) override;

  void read_registers(VcpuId vcpu, x86::RegGroups groups,
                      tracer::Done<const x86::RegisterFile*> done) override {
    hub_.read_registers(vcpu, groups, std::move(done));
  }
  void write_registers(VcpuId vcpu, std::vector<std::pair<x86::Reg, Bytes>> values,
                       tracer::Done<void> done) override {
    hub_.write_registers(vcpu, std::move(values), std::move(done));
  }

  std::vector<std::uint32_t> msrs() const override { return hub_.machine_.info().msrs; }
  void read_msrs(VcpuId vcpu, std::vector<std::uint32_t> numbers,
                 tracer::Done<std::vector<Msr>> done) override;
  void read_local_apic(VcpuId vcpu, tracer::Done<x86::LocalApic> done) override;
  Result<x86::IoApic> read_io_apic() const override { return hub_.machine_.io_apic(); }
  Bytes physical(Gpa at, std::size_t size) const override { return hub_.memory_.read_physical(at, size); }

  void insert_point(VcpuId vcpu, const tracer::PointSpec& spec,
                    std::shared_ptr<const tracer::PointActions> actions, tracer::Done<void> done) override {
    hub_.insert(id_, vcpu, spec, std::move(actions), std::move(done));
  }
  void remove_point(const tracer::PointSpec& spec, tracer::Done<void> done) override {
    hub_.remove(id_, spec, std::move(done));
  }

  boost::asio::any_io_executor executor() const override { return hub_.executor_; }
  void kernel_slide(VcpuId vcpu, tracer::Done<std::optional<tracer::KernelSlide>> done) override;
  void guest_kernel(tracer::Done<std::shared_ptr<const guestos::Kernel>> done) override {
    hub_.guest_kernel(std::move(done));
  }
  std::unique_ptr<VirtualMemory> kernel_memory() const override {
    return hub_.kernel_.memory(hub_.snapshot_);
  }
  void symbol_file(tracer::Done<std::string> done) override {
    hub_.kernel_.symbol_file(hub_.snapshot_, std::move(done));
  }
  std::optional<guestos::TaskIds> task_on(VcpuId vcpu) const override {
    const auto memory = kernel_memory();
    return memory ? hub::task_on(vcpu, *hub_.kernel_.known(), *memory) : std::nullopt;
  }
  void set_step_holds_interrupts(bool hold) override { hub_.tracers_.at(id_).hold_interrupts = hold; }

  std::string describe_tracers() const override { return hub_.describe_tracers(); }
  std::string describe_points() const override { return hub_.describe_points(); }
  std::string points_as_script() const override { return hub_.points_as_script(id_); }
  std::size_t drop_left_points() override { return hub_.drop_left_points(); }
  std::string describe_machine() const override { return hub_.describe_machine(); }
  std::string describe_stops() const override { return hub_.describe_stops(); }
  Result<void> stop_at(std::string_view names, bool trouble) override { return hub_.stop_at(names, trouble); }
  std::string describe_exits() const override { return hub_.describe_exits(); }
  void reset_machine(tracer::Done<void> done) override { hub_.reset_machine(std::move(done)); }
  Result<void> release(TracerId other) override { return hub_.release_other(other, id_); }
  Result<void> quit_machine() override {
    hub_.quit_machine();
    return {};
  }
  std::unique_ptr<tracer::Port> observer() override;

  // For an observer: a vCPU as it is at this moment, in the form of a stop.  Holds nothing.
  void look(VcpuId vcpu, tracer::Done<tracer::StopEvent> done);
  Result<void> still_there() const;

 private:
  Hub& hub_;
  TracerId id_;
  bool replaced_ = false;  // by an observer's
};

}  // namespace ringside::hub
