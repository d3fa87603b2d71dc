#include "stub/cli/options.hpp"

#include <charconv>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "stub/cli/strace_options.hpp"
#include "stub/hub/stop_wishes.hpp"
#include "vmm/mem/layout.hpp"

namespace ringside::cli {
namespace {

constexpr const char* kVersion = "ringside 0.1.0";
constexpr unsigned kMostVcpus = 16;

constexpr const char* kFooter =
    "Exit status: 0 the guest powered off, 2 it could not be started, 10 it rebooted, 11 it halted,\n"
    "12 triple fault, 13 KVM could not go on, 14 ended by Ctrl-a x, monitor quit or a signal.\n"
    "On a terminal, Ctrl-a x leaves.";

struct RunTexts {
  std::string kernel, initrd, memory = "512M", boot = "auto", kaslr = "on";
  unsigned cpus = 1;
};

Result<boot::KaslrPolicy> parse_kaslr(const std::string& text) {
  using Kind = boot::KaslrPolicy::Kind;
  if (text == "on") return boot::KaslrPolicy{};
  if (text == "off") return boot::KaslrPolicy{.kind = Kind::kOff, .slide = 0, .seed = {}};
  std::string_view digits = text;
  if (digits.starts_with("0x")) digits.remove_prefix(2);
  std::uint64_t slide = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), slide, 16);
  if (digits.empty() || error != std::errc{} || end != digits.data() + digits.size()) {
    return fail(Errc::kMalformed,
                fmt::format("--kaslr={}: use on, off, or an offset such as 0x1c000000", text));
  }
  return boot::KaslrPolicy{.kind = Kind::kFixed, .slide = slide, .seed = {}};
}

// Lists of several options become one.
Result<void> check_stops(const RunOptions& options) {
  const auto check = [&](const char* option, const std::string& list, bool trouble) -> Result<void> {
    if (list.empty()) return {};
    if (auto added = hub::StopWishes{}.add(list, trouble); !added)
      return fail(added.error().code, fmt::format("{}={}: {}", option, list, added.error().text));
    return {};
  };
  RS_TRY(check("--stop-at", options.stop_at, false));
  RS_TRY(check("--stop-on", options.stop_on, true));
  return check("--dump-on", options.dump_on, true);
}

Result<RunOptions> finish_run(RunOptions options, const RunTexts& texts) {
  options.boot.kernel = texts.kernel;
  if (!texts.initrd.empty()) options.boot.initrd = texts.initrd;
  const auto mode = boot::boot_mode_of(texts.boot);
  if (!mode)
    return fail(Errc::kMalformed, fmt::format("--boot={}: use real, 32, 64, elf, pvh or auto", texts.boot));
  options.boot.mode = *mode;
  options.boot.kaslr = RS_TRY(parse_kaslr(texts.kaslr));
  if (texts.cpus < 1 || texts.cpus > kMostVcpus) {
    return fail(Errc::kMalformed, fmt::format("--cpus={}: use 1 to {}", texts.cpus, kMostVcpus));
  }
  options.boot.vcpus = texts.cpus;
  options.ram_bytes = RS_TRY(parse_size(texts.memory));
  RS_TRY(check_stops(options));
  return options;
}

void add_run(CLI::App& app, RunOptions& options, RunTexts& texts) {
  app.add_option("kernel", texts.kernel, "bzImage or vmlinux ELF")->required();
  app.add_option("--initrd", texts.initrd, "initial RAM disk");
  app.add_option("--append", options.boot.cmdline, "kernel command line");
  app.add_option("-m,--memory", texts.memory, "guest memory, such as 512M or 4G")->capture_default_str();
  app.add_option("-c,--cpus", texts.cpus, "virtual CPUs, 1 to 16")->capture_default_str();
  app.add_option("--boot", texts.boot,
                 "the way in: real, 32 or 64, the bzImage's own entries (its decompressor runs); elf, the "
                 "unpacked kernel's; pvh, its PVH entry; auto: elf")
      ->capture_default_str();
  app.add_option("--kaslr", texts.kaslr, "on, off, or the offset in hex")->capture_default_str();
  app.add_option("--gdb", options.gdb,
                 "serve gdb on :PORT (loopback), HOST:PORT, unix:PATH or the inherited socket fd:N; with ,ro "
                 "behind it who comes in there only looks on; may be repeated");
  app.add_flag("--wait", options.wait, "do not run before the first gdb says so");
  app.add_option("--dump-on", options.dump_on,
                 "write a dump for crash and drgn on the first of triple-fault, failure, panic, oops, warn "
                 "or hang; a list")
      ->join(',');
  app.add_option("--dump-file", options.dump_file, "where to")->capture_default_str();
  app.add_option(
         "--stop-at", options.stop_at,
         "stop at reset, entry32, entry64, decompressor, relocated, start_kernel, init, mode or mark; a list")
      ->join(',');
  app.add_option("--stop-on", options.stop_on,
                 "stop on triple-fault, failure, panic, oops, warn or hang; a list")
      ->join(',');
  app.add_option("--log-level", options.log_level, "trace, debug, info, warn, error or off, on stderr")
      ->check(CLI::IsMember({"trace", "debug", "info", "warn", "error", "off"}))
      ->capture_default_str();
  app.add_option("--log-file", options.log_file, "log there instead");
  app.footer(kFooter);
}

struct Question {
  const char* name;
  const char* help;
  const char* argument = nullptr;  // null: takes none
  const char* argument_help = nullptr;
};

constexpr Question kQuestions[] = {
    {"ps", "the guest's processes and threads"},
    {"fds", "the files that a process of the guest has open", "pid", "as ps shows it"},
    {"stack", "where in the kernel a process or thread of the guest sleeps", "pid", "as ps shows it"},
    {"lsmod", "the guest's modules, with the addresses of their sections"},
    {"sym", "a symbol of the guest's kernel, by name or address", "symbol", "name, or 0xADDRESS"},
    {"dmesg", "the guest kernel's log, out of its memory"},
    {"kaslr", "where the guest's kernel runs"},
    {"backtrace", "the kernel's stack where the guest's CPU 0 stands"},
    {"pagetable", "how the guest's CPU 0 translates an address", "addr", "0xADDRESS"},
    {"idt", "the interrupt gates of the guest's CPU 0"},
    {"gdt", "the segment descriptors of the guest's CPU 0"},
    {"msr", "the MSRs of the guest's CPU 0"},
    {"lapic", "the local APIC of the guest's CPU 0"},
    {"ioapic", "the guest's I/O APIC"},
    {"vmcoreinfo", "what the guest's kernel says of itself to those who read its dumps"},
    {"memory", "the guest's RAM: physical address and size"},
};

// What each answers goes to stdout.
std::vector<CLI::App*> add_questions(CLI::App& app, AskOptions& options, std::string& argument) {
  std::vector<CLI::App*> commands;
  for (const Question& question : kQuestions) {
    CLI::App* command = app.add_subcommand(question.name, question.help);
    command->add_option("address", options.address, ":PORT, HOST:PORT or unix:PATH, as given to --gdb")
        ->required();
    if (question.argument != nullptr)
      command->add_option(question.argument, argument, question.argument_help)->required();
    commands.push_back(command);
  }
  return commands;
}

}  // namespace

Result<std::uint64_t> parse_size(const std::string& text) {
  std::uint64_t value = 0;
  const char* end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, value);
  unsigned shift = 0;
  const std::string_view unit(rest, static_cast<std::size_t>(end - rest));
  const bool known = unit.empty() || unit == "K" || unit == "M" || unit == "G" || unit == "T";
  if (unit == "K") shift = 10;
  if (unit == "M") shift = 20;
  if (unit == "G") shift = 30;
  if (unit == "T") shift = 40;
  if (error != std::errc{} || !known || value > (std::uint64_t{1} << 46 >> shift)) {
    return fail(Errc::kMalformed, fmt::format("\"{}\" is no size; use for example 512M or 4G", text));
  }
  return value << shift;
}

Result<Options> parse_options(int argc, const char* const* argv) {
  CLI::App app("A KVM virtual machine monitor with any number of gdbs at its ring side.", "ringside");
  app.require_subcommand(1);
  app.set_version_flag("--version", kVersion);
  RunOptions run;
  RunTexts texts;
  CLI::App* run_app = app.add_subcommand("run", "boot a Linux kernel");
  add_run(*run_app, run, texts);
  AttachOptions attach;
  CLI::App* attach_app = app.add_subcommand(
      "attach", "a monitor's socket on stdio, for gdb: target remote | ringside attach :1234");
  attach_app->add_option("address", attach.address, ":PORT, HOST:PORT or unix:PATH, as given to --gdb")
      ->required();
  CLI::App* strace_app =
      app.add_subcommand("strace", "the system calls of the guest's processes, beside any gdb");
  const StraceArguments strace(*strace_app);
  AskOptions ask;
  std::string argument;
  const std::vector<CLI::App*> questions = add_questions(app, ask, argument);
  DumpOptions dump;
  CLI::App* dump_app = app.add_subcommand("dump", "the guest's memory and registers, for crash and drgn");
  dump_app->add_option("address", dump.address, ":PORT, HOST:PORT or unix:PATH, as given to --gdb")
      ->required();
  dump_app->add_option("file", dump.file, "the vmcore to write")->required();
  CLI::App* doctor = app.add_subcommand("doctor", "try out what this host's KVM can do");
  try {
    app.parse(argc, argv);
  } catch (const CLI::CallForHelp&) {
    for (const CLI::App* command : app.get_subcommands()) return ShowText{command->help()};
    return ShowText{app.help()};
  } catch (const CLI::CallForVersion&) {
    return ShowText{std::string(kVersion) + "\n"};
  } catch (const CLI::ParseError& error) {
    return fail(Errc::kMalformed, fmt::format("{}; see: ringside --help", error.what()));
  }
  if (doctor->parsed()) return DoctorOptions{};
  if (attach_app->parsed()) return attach;
  if (dump_app->parsed()) return dump;
  if (strace_app->parsed()) return Options{RS_TRY(strace.finish())};
  for (const CLI::App* question : questions) {
    if (!question->parsed()) continue;
    ask.command = question->get_name() + (argument.empty() ? "" : " " + argument);
    return ask;
  }
  return Options{RS_TRY(finish_run(std::move(run), texts))};
}

}  // namespace ringside::cli
