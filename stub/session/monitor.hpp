// `monitor …`: the commands a person types at the gdb prompt.  The table in monitor.cpp is all there is; help
// is made from it.  Thread: hub.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "stub/session/client.hpp"

namespace ringside::session {

class MonitorCommands {
 public:
  explicit MonitorCommands(Client& client) : client_(client) {}

  // Answers the client's qRcmd: with text and OK, or with an error that says what to type.
  void run(std::string_view line);

  struct Command {
    std::string_view name;
    std::string_view arguments;
    std::string_view help;
    void (MonitorCommands::*handle)(std::string_view arguments);
  };

 private:
  static std::span<const Command> commands();

  void help(std::string_view);
  void tracers(std::string_view);
  void probes(std::string_view);
  void save_probes(std::string_view);
  void drop_left(std::string_view);
  void regs(std::string_view);
  void examine(std::string_view arguments);
  void exits(std::string_view);
  void phys(std::string_view arguments);
  void interrupts(std::string_view arguments);
  void stop_at(std::string_view arguments);
  void stop_on(std::string_view arguments);
  void stop_where(std::string_view names, bool trouble);
  void kaslr(std::string_view);
  void ps(std::string_view);
  void fds(std::string_view arguments);
  void stack(std::string_view arguments);
  void lsmod(std::string_view);
  void sym(std::string_view arguments);
  void dmesg(std::string_view);
  // monitor_cpu.cpp
  void backtrace(std::string_view);
  void pagetable(std::string_view arguments);
  void idt(std::string_view arguments);
  void gdt(std::string_view);
  void msr(std::string_view arguments);
  void lapic(std::string_view);
  void ioapic(std::string_view);
  void vmcoreinfo(std::string_view);
  void memory(std::string_view);
  void release(std::string_view arguments);
  void observer(std::string_view);
  void reset(std::string_view);
  void quit(std::string_view);

  template <typename F>
  void of_kernel(F use);
  template <typename F>
  void of_task(std::string_view command, std::string_view arguments, F use);
  template <typename F>
  void of_registers(x86::RegGroups groups, F use);
  void done(std::string_view text);
  void refuse(std::string text);

  Client& client_;
};

}  // namespace ringside::session
