// The hub: owner of tracers, holds, points and stops; the only code that stops and resumes vCPUs.
//
// Everything here runs on one executor (the hub thread), so there is no lock; vCPU threads post to it.
//
//   a stop report     -> which tracers asked for it; each takes its holds; delivered when all it holds is parked
//   a resume          -> the tracer's holds go; a vCPU whose hold set is empty runs (settle())
//   insert or remove  -> an exclusive operation: all vCPUs parked, patch, publish, go on
//   a step over an int3 that can be passed in no other way
//                     -> an exclusive operation in which one vCPU runs for one instruction
#pragma once

#include <atomic>
#include <chrono>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/steady_timer.hpp>

#include "stub/hub/guest_events.hpp"
#include "stub/hub/hang_watch.hpp"
#include "stub/hub/holds.hpp"
#include "stub/hub/kernel_keeper.hpp"
#include "stub/hub/link_map.hpp"
#include "stub/hub/memory_view.hpp"
#include "stub/hub/points.hpp"
#include "stub/hub/policy.hpp"
#include "stub/hub/scratch_map.hpp"
#include "stub/hub/tick_clock.hpp"
#include "stub/tracer/port.hpp"
#include "vmm/api/machine.hpp"

namespace ringside::hub {

class Hub final : public api::MachineListener, public tracer::PortFactory {
 public:
  struct Callbacks {
    // The guest is over and every tracer has been told.
    std::function<void(api::GuestEnd, std::string detail)> on_end;
    // What notice() has asked for has come: every vCPU is parked, and nobody runs before this returns.
    std::function<void(const std::string& text)> on_trouble = {};
  };

  // `machine` must outlive the hub's last callback, and the hub the machine's threads.
  Hub(boost::asio::any_io_executor executor, api::Machine& machine, Callbacks callbacks);
  ~Hub() override;

  // Starts the machine's threads.  `held`: nobody runs until the first tracer has attached and resumed.
  Result<void> start(bool held);

  // Where the guest stops by itself: "start_kernel,init", or with `trouble` "panic,oops" (StopWishes::add).
  // The error says what is wrong with that here.  Also before start().
  Result<void> stop_at(std::string_view names, bool trouble);
  // Trouble that Callbacks::on_trouble is told of, whether or not the guest stops there: "panic,triple-fault".
  // Before start().
  Result<void> notice(std::string_view names);

  Result<std::unique_ptr<tracer::Port>> attach(std::string label, tracer::Events& events,
                                               tracer::AttachOptions options = {}) override;

  void on_stop(api::StopReport report) noexcept override;
  void on_end(api::GuestEnd end, std::string detail) noexcept override;

 private:
  friend class TracerPort;
  using Work = std::move_only_function<void()>;

  struct Vcpu {
    bool parked = true;
    bool pausing = false;  // pause() has been asked for
    bool dead = false;     // triple fault or failure: it cannot go on
    api::StopCause cause = api::StopCause::kPaused;
    std::string detail;
    std::string event;        // what everybody was stopped for here; until it runs on
    x86::CpuContext context;  // while parked
    bool context_known = false;
    std::optional<Gva> hit;    // a breakpoint here has been dealt with: pass it at the next run
    bool needs_alone = false;  // and that takes a step with nobody else running
    bool needs_unwatched =
        false;                   // its instruction takes a step with nobody else running and nothing watched
    std::optional<Gva> compare;  // a cmpxchg that shall not meet our int3 once more
    unsigned way_back = 0;       // how many steps it has to come there
    std::map<TracerId, std::optional<GvaRange>> steps;  // who ordered a step, and over which range
    std::unique_ptr<x86::RegisterFile> registers;       // while parked: what has been read so far

    bool settled() const { return parked && context_known; }
  };

  enum class View : std::uint8_t { kRunning, kStopping, kStopped };
  struct Tracer {
    std::string label;
    tracer::Events* events = nullptr;
    tracer::Port* port = nullptr;  // owned by the connection; null while it is being made
    View view = View::kRunning;    // all-stop
    bool non_stop = false;
    std::vector<View> cpus;  // non-stop: of each vCPU
    std::deque<tracer::StopEvent> pending;
    std::set<VcpuId> resumed;                   // all-stop: since its last stop
    tracer::Done<tracer::StopEvent> stop_done;  // stop_all() waits for its answer
    bool hold_interrupts = true;
    bool read_only = false;
  };

  // hub_stops.cpp: reports in, events out
  void handle_stop(api::StopReport report);
  bool repeats(Gpa where, Gva at) const;
  void classify(VcpuId id, const api::StopReport& report);
  void breakpoint_hit(VcpuId id);
  void watch_hits(VcpuId id, std::uint8_t slots);
  void step_done(VcpuId id);
  void vcpu_died(VcpuId id);
  void keep_dead(VcpuId id);
  void report_death(VcpuId id, TracerId who);
  void concern(TracerId who, tracer::StopEvent event);
  bool deliver_to(TracerId who, Tracer& tracer);
  bool deliver_each(TracerId who, Tracer& tracer);
  void deliver(Tracer& tracer);
  static void hand_over(Tracer& tracer, tracer::StopEvent event);
  void drop_stale_events(TracerId who, Tracer& tracer);
  void handle_end(api::GuestEnd end, const std::string& detail);
  void end_untraced(VcpuId id);

  // hub_run.cpp: holds to running vCPUs
  void settle();
  bool settle_once();
  bool all_parked() const;
  void start_vcpu(VcpuId id);
  bool passes_int3(const Vcpu& vcpu) const;
  void exclusively(Work work);
  bool run_exclusive();
  void step_over(VcpuId id);
  void finish_step_over(VcpuId id);
  void step_alone(VcpuId id);
  void enter(VcpuId id);
  void release_monitor();
  void say_who_is_waited_for(TracerId who, const std::vector<tracer::ResumeAction>& actions);

  // hub_points.cpp
  void insert(TracerId who, VcpuId vcpu, const PointSpec& spec, std::shared_ptr<const PointActions> actions,
              tracer::Done<void> done);
  void insert_now(TracerId who, VcpuId vcpu, const PointSpec& spec,
                  std::shared_ptr<const PointActions> actions, tracer::Done<void> done);
  void look_for_kernel();
  void hand_out_kernel();
  void look_again_after_reset();
  Result<void> may_own(TracerId who, const PointSpec& spec) const;
  Result<void> place(VcpuId vcpu, const PointSpec& spec);
  Result<void> unplace(const PointSpec& spec);
  void adopt_left(const PointSpec& spec, const PointActions* actions);
  std::size_t drop_left_points();
  void remove(TracerId who, const PointSpec& spec, tracer::Done<void> done);
  Result<void> apply(VcpuId vcpu);
  void switch_to(const Mechanisms& next);
  std::optional<Gpa> find_memory(Gva at, VcpuId preferred) const;
  std::optional<x86::PagingState> kernel_paging() const;
  std::optional<Gpa> find_in_placed_image(Gva at) const;
  const char* forbidden(Gva at) const;
  bool is_jumped_over(Gva at) const;
  std::optional<Gpa> find_point(Gva at, VcpuId preferred) const;
  void points_changed(Gva at);
  void publish_all();
  void publish();
  std::shared_ptr<const Place> place_at(Gva at, bool in_memory) const;
  std::shared_ptr<const Site> site_at(Gpa where, const Int3Site& site) const;
  std::optional<ScratchPage> reach_scratch(const PointSnapshot& points);
  void memory_written();
  void replan_points();
  void text_rewritten();
  bool needs_guard() const;
  bool set_guard();
  void wait_for_kernel();

  // hub_watches.cpp
  Result<void> may_be_set(const PointSpec& spec) const;
  Result<void> may_be_watched(const PointSpec& spec) const;
  std::optional<Gpa> find_data(Gva at) const;
  std::vector<WatchPiece> watch_pieces();
  bool are_neighbours(const Int3Site& a, Gpa where_a, const Int3Site& b, Gpa where_b) const;
  std::vector<GpaRange> pages_to_watch(const PointSnapshot& snapshot) const;
  void watch_pages(PointSnapshot& snapshot);
  void set_watched(std::vector<GpaRange> pages);
  void write_hits(VcpuId id);
  bool has_hope() const;
  bool pending_is_due() const;
  bool look_at_new_modules();
  void look_for_pending();
  void look_for_pending_in(const x86::CpuContext& context);

  // hub_unwatched.cpp
  void step_unwatched(VcpuId id);
  void finish_step_unwatched(VcpuId id);
  void tell_of_changes(VcpuId id);
  void see_to_compare(VcpuId id, bool stepped_unwatched);

  // hub_events.cpp
  bool happened(api::VcpuAccess& access, const api::GuestEvent& event);
  void sighted(const Sighting& seen);
  void kernel_came(const Sighting& seen);
  void carry_over(const KernelPlace& place);
  void take_back();
  void move_points(const std::vector<LinkMap::Move>& moves);
  void replan_all();
  static bool wants_stops(const Tracer& tracer);
  bool is_watched() const;
  void stop_everyone(VcpuId id, const x86::CpuContext& context, const std::string& text);
  void tell_of_trouble(Occasion occasion, const std::string& text);
  void trouble(Occasion occasion, VcpuId id, const x86::CpuContext& context, const std::string& text);
  void look_for_hangs();
  void felt(VcpuId id, const api::Pulse& pulse, const x86::CpuContext& context);
  std::string place_text(Gva at) const;
  void tell_untold(TracerId who);
  Result<void> can_be_seen(const StopWishes& wishes) const;
  void begin_life();
  void arm_events();
  void arm_entries(Gva unpacker);
  std::optional<Gva> find_jump_to_copy(Gva entry) const;
  void arm_symbols();
  void ask_symbols(int tries);
  void set_symbol_points(const guestos::Kernel& kernel);
  static Gva body_of(Gva function, const guestos::Kernel& kernel, const VirtualMemory& memory);
  void watch_for(Gva where, EventPoint point);
  void unwatch(Gva where);
  void drop_event_points();
  void event_hit(VcpuId id, Gva where);
  void init_hit(VcpuId id, const EventPoint& point);
  std::string describe_stops() const;

  // hub_memory.cpp
  void with_context(VcpuId vcpu, std::move_only_function<void(const x86::CpuContext&)> use);
  void read_registers(VcpuId vcpu, x86::RegGroups groups, tracer::Done<const x86::RegisterFile*> done);
  void write_registers(VcpuId vcpu, std::vector<std::pair<x86::Reg, Bytes>> values, tracer::Done<void> done);
  std::optional<tracer::KernelSlide> find_slide(const x86::CpuContext& context) const;
  void guest_kernel(KernelKeeper::Answer done) { kernel_.ask(snapshot_, std::move(done)); }

  // hub.cpp: tracers
  void detach(TracerId who);
  void become_observer(TracerId who);
  void give_up_claims(TracerId who);
  bool is_traced() const;
  void stop_all(TracerId who, tracer::Done<tracer::StopEvent> done);
  void interrupt(TracerId who);
  void stop(TracerId who, const std::vector<VcpuId>& vcpus);
  void set_non_stop(TracerId who, bool on);
  Result<void> resume(TracerId who, std::vector<tracer::ResumeAction> actions);
  void resume_each(TracerId who, Tracer& tracer, const std::vector<tracer::ResumeAction>& actions);
  bool has_run_on(const tracer::ResumeAction& action) const;
  Result<void> release_other(TracerId other, TracerId by);
  void release_for(TracerId who, const tracer::ResumeAction& action);
  void fetch_contexts();
  void reset_machine(tracer::Done<void> done);
  void quit_machine();
  void post(Work work);
  void printed(TracerId who, std::string_view text);

  // hub_describe.cpp
  std::string describe_tracers() const;
  std::string mechanism_of(const PointSpec& spec) const;
  std::string describe_points() const;
  std::string owner_text(TracerId who, Gva where) const;
  std::string points_as_script(TracerId who) const;
  std::string describe_machine() const;
  std::string describe_exits() const;
  std::string vcpu_note(VcpuId vcpu) const;

  Vcpu& at(VcpuId id) { return vcpus_.at(id.number); }

  boost::asio::any_io_executor executor_;
  api::Machine& machine_;
  Callbacks callbacks_;
  MemoryView memory_;
  ScratchMap scratch_;
  disasm::StepPlanner planner_;
  Policy policy_;
  TickClock clock_;
  HoldLedger holds_;
  PointTable points_;
  Mechanisms mechanisms_;
  std::shared_ptr<const PointSnapshot> snapshot_;
  std::map<Gpa, std::shared_ptr<const Site>> sites_;  // of snapshot_: what has not changed since is kept
  std::set<Gva> changed_;                             // claims at these addresses have
  bool points_dirty_ = false;                         // snapshot_ is not what is inserted
  std::vector<Vcpu> vcpus_;
  std::map<TracerId, Tracer> tracers_;
  std::uint32_t last_tracer_ = 0;

  std::atomic<std::uint32_t> prints_under_way_{0};
  std::atomic<std::uint64_t> prints_lost_{0};

  std::deque<Work> exclusive_;
  std::optional<VcpuId> stepping_over_;  // the one vCPU that runs, for one instruction, its int3 lifted
  Gpa lifted_;
  Gva lifted_at_;
  bool all_lifted_ = false;                                // for that, with nothing watched
  std::vector<std::pair<WatchPiece, Bytes>> before_step_;  // with all_lifted_: what was there

  std::vector<GpaRange> watched_pages_;  // by the machine
  std::vector<GpaRange> lifted_pages_;   // with all_lifted_: by the machine before and after
  std::map<PointSpec, std::vector<std::optional<Gpa>>> watched_at_;  // page by page
  bool cannot_watch_ = false;                                        // that has been said
  bool reviewing_ = false;  // int3 sites are looked for anew, and pages watched for nothing are let go
  std::shared_ptr<const TextGuard> guard_;  // of the kernel that guard_of_ is
  std::shared_ptr<const KnownKernel> guard_of_;
  bool guard_is_fresh_ = false;  // nothing has been published with it yet
  std::atomic<bool> text_rewritten_{false};
  boost::asio::steady_timer text_timer_;
  boost::asio::steady_timer pending_timer_;
  bool looking_for_pending_ = false;
  std::chrono::steady_clock::time_point looked_for_pending_;
  std::map<Gva, std::chrono::steady_clock::time_point> pending_since_;
  KernelKeeper kernel_;
  KernelSpotter spotter_;
  std::atomic<bool> marks_wanted_{false}, modes_wanted_{false};  // for the vCPUs' threads
  GuestEvents events_;
  HangWatch hangs_;
  boost::asio::steady_timer hang_timer_;
  bool hang_timer_runs_ = false;
  LinkMap link_map_;
  std::uint64_t life_ = 0;  // one more with each reset
  bool started_ = false;
  std::shared_ptr<int> alive_ = std::make_shared<int>();  // for timers that come later than our end
  bool settling_ = false;
  bool waiting_for_first_ = false;   // --wait: kMonitor holds everything until a tracer does
  bool waiting_for_kernel_ = false;  // kMonitor holds everything until it is known
  bool kernel_missing_ = false;      // where it should be
  std::optional<api::GuestEnd> ended_;
};

}  // namespace ringside::hub
