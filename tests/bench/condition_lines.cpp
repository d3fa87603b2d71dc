// Conditions evaluated by the stub: on __x64_sys_getppid, which the guest (caller.c) calls for ever with the
// number of the call in pt_regs.di.  So the guest's progress is read from the guest, and "the N-th call from
// now" is a condition like any other.
#include <algorithm>
#include <array>
#include <cstdlib>
#include <fstream>
#include <memory>
#include <set>
#include <stdexcept>

#include <fmt/format.h>

#include "tests/bench/client.hpp"
#include "tests/bench/lines.hpp"

namespace ringside::bench {
namespace {

// Agent expressions as gdb compiles them (gdb manual, "Bytecode Descriptions"); operands are big-endian.
// `((struct pt_regs *)$rdi)->di`: reg 5, const8 offset, add, ref64.
constexpr std::string_view kCall = "2600052270021a";

std::string is_call(std::uint64_t number) { return fmt::format("{}25{:016x}1327", kCall, number); }

// di % 1000 == 0: const16 1000, rem_unsigned, const8 0, equal, end.
std::string every_thousandth() { return fmt::format("{}2303e80822001327", kCall); }

// A stop at somebody else's point.
struct Stray : std::runtime_error {
  using std::runtime_error::runtime_error;
};

class Caller {
 public:
  Caller(int port, std::string address) : client_(port), address_(std::move(address)) {
    client_.attach();
    client_.set_patience(std::chrono::seconds(60));
  }
  ~Caller() { client_.leave(); }
  Caller(const Caller&) = delete;
  Caller& operator=(const Caller&) = delete;

  Client& client() { return client_; }

  void insert(std::string_view condition = {}) {
    std::string packet = fmt::format("Z0,{},1", address_);
    if (!condition.empty()) packet += fmt::format(";X{:x},{}", condition.size() / 2, condition);
    client_.order(packet);
  }
  void remove() { client_.order(fmt::format("z0,{},1", address_)); }

  // Runs to the point, and says at which call it is.
  std::uint64_t run() {
    client_.ask("vCont;c");
    return call_now();
  }
  // Off the point, as gdb does it.
  void step_off() {
    remove();
    client_.ask("vCont;s:p1.1");
  }
  std::uint64_t exits() {
    const std::string text = client_.monitor("exits");
    const auto at = text.find("exits ");
    if (at == text.npos) throw std::runtime_error("monitor exits says: " + text);
    return std::strtoull(text.c_str() + at + 6, nullptr, 10);
  }

 private:
  std::uint64_t call_now() {
    constexpr std::size_t kRdi = 5, kRip = 16, kOffsetOfDi = 0x70;
    const std::string registers = client_.ask("g");
    const auto value = [&](std::size_t number) {
      constexpr std::size_t kHexDigits = 16;
      return little_endian(std::string_view(registers).substr(number * kHexDigits, kHexDigits));
    };
    if (const std::string at = fmt::format("{:x}", value(kRip)); at != address_)
      throw Stray("stopped at " + at + " in place of " + address_);
    return little_endian(client_.ask(fmt::format("m{:x},8", value(kRdi) + kOffsetOfDi)));
  }

  Client client_;
  std::string address_;
};

struct Rate {
  double calls_s = 0;
  double exits_per_call = 0;
};

// `calls` calls under a condition that is false for all but the last.
Rate false_conditions(Caller& caller, std::uint64_t calls) {
  caller.insert();
  const std::uint64_t first = caller.run();
  caller.step_off();
  caller.insert(is_call(first + calls));
  const std::uint64_t exits = caller.exits();
  const auto start = Clock::now();
  const std::uint64_t last = caller.run();
  const double seconds = seconds_since(start);
  const std::uint64_t exits_now = caller.exits();
  caller.step_off();
  if (last != first + calls)
    throw std::runtime_error(fmt::format("stopped at call {} in place of {}", last, first + calls));
  return {static_cast<double>(calls) / seconds,
          static_cast<double>(exits_now - exits) / static_cast<double>(calls)};
}

// As many as take about that long.
std::uint64_t calls_for(Caller& caller, double seconds) {
  constexpr std::uint64_t kTrial = 500;
  return std::max(kTrial, static_cast<std::uint64_t>(seconds * false_conditions(caller, kTrial).calls_s));
}

// With no point at all.
double free_calls_per_second(Caller& caller) {
  caller.insert();
  const std::uint64_t first = caller.run();
  caller.step_off();
  const auto start = Clock::now();
  caller.client().send("vCont;c");
  caller.client().interrupt_after(std::chrono::seconds(2));
  const double seconds = seconds_since(start);
  caller.insert();
  const std::uint64_t last = caller.run();
  caller.step_off();
  return static_cast<double>(last - first) / seconds;
}

Figures false_line(Arguments arguments) {
  Caller caller(std::atoi(arguments[0]), arguments[1]);
  const std::uint64_t calls = calls_for(caller, 2);
  std::vector<double> rates, slowdowns;
  Rate rate;
  for (int i = 0; i < 3; ++i) {
    const double free = free_calls_per_second(caller);
    rate = false_conditions(caller, calls);
    rates.push_back(rate.calls_s);
    slowdowns.push_back(free / rate.calls_s);
  }
  return {{"false_s", median(rates)},
          {"false_slowdown", median(slowdowns)},
          {"exits_per_false", rate.exits_per_call}};
}

Figures thousandth_line(Arguments arguments) {
  Caller caller(std::atoi(arguments[0]), arguments[1]);
  constexpr int kStops = 10;
  caller.insert(every_thousandth());
  const std::uint64_t first = caller.run();
  std::uint64_t last = first;
  const auto start = Clock::now();
  for (int i = 0; i < kStops; ++i) {
    caller.step_off();
    caller.insert(every_thousandth());
    last = caller.run();
  }
  const double seconds = seconds_since(start);
  if (last != first + kStops * 1000u)
    throw std::runtime_error(fmt::format("{} calls in 10 stops", last - first));
  return {{"thousandth_calls_s", static_cast<double>(last - first) / seconds}};
}

// Attached, and waiting for nothing in particular.
std::unique_ptr<Client> idle_tracer(int port) {
  auto client = std::make_unique<Client>(port);
  client->attach();
  client->send("vCont;c");
  return client;
}

// Others come and go between goes, so that all counts see the same drift of the machine.
Figures tracers_line(Arguments arguments) {
  const int port = std::atoi(arguments[0]);
  constexpr std::array<std::size_t, 3> kCounts = {1, 8, 64};
  std::array<std::vector<double>, kCounts.size()> rates;
  for (int go = 0; go < 5; ++go) {
    std::vector<std::unique_ptr<Client>> idle;
    for (std::size_t i = 0; i < kCounts.size(); ++i) {
      while (idle.size() + 1 < kCounts[i]) idle.push_back(idle_tracer(port));
      Caller caller(port, arguments[1]);
      rates[i].push_back(false_conditions(caller, calls_for(caller, 1)).calls_s);
    }
    for (auto& client : idle) {
      client->interrupt_after({});
      client->leave();
    }
  }
  Figures figures;
  for (std::size_t i = 0; i < kCounts.size(); ++i)
    figures.push_back({fmt::format("false_s_{}_tracers", kCounts[i]), median(rates[i])});
  return figures;
}

// Points on functions that this guest does not call: those that it does call show by being hit.
class Others {
 public:
  Others(Client& client, const std::string& file) : client_(client) {
    std::ifstream in(file);
    for (std::string address; in >> address;) spare_.push_back(address);
  }

  void resize(std::size_t count) {
    while (inserted_.size() > count) {
      client_.order(fmt::format("z0,{},1", *inserted_.begin()));
      spare_.push_back(*inserted_.begin());
      inserted_.erase(inserted_.begin());
    }
    while (inserted_.size() < count) insert_one();
  }
  // Runs until none is hit for a second; what is hit goes, and another takes its place.
  void settle() {
    const std::string hit = "swbreak";
    for (;;) {
      client_.send("vCont;c");
      if (client_.interrupt_after(std::chrono::seconds(1)).find(hit) == hit.npos) return;
      constexpr std::size_t kRip = 16, kHexDigits = 16;
      const std::string registers = client_.ask("g");
      const std::string at = fmt::format(
          "{:x}", little_endian(std::string_view(registers).substr(kRip * kHexDigits, kHexDigits)));
      client_.order(fmt::format("z0,{},1", at));
      if (inserted_.erase(at) != 0) insert_one();
    }
  }

 private:
  void insert_one() {
    if (spare_.empty()) throw std::runtime_error("not enough addresses for so many breakpoints");
    const std::string address = spare_.back();
    spare_.pop_back();
    client_.order(fmt::format("Z0,{},1", address));
    inserted_.insert(address);
  }

  Client& client_;
  std::vector<std::string> spare_;
  std::set<std::string> inserted_;
};

// One of the others may be hit after all: what runs once a minute did not show before.
// Long enough that what a resume does once, with so many points, is not what is measured.
Rate rate_among(Caller& caller, Others& others) {
  constexpr int kTries = 5;
  for (int i = 0; i < kTries; ++i) {
    try {
      return false_conditions(caller, calls_for(caller, 4));
    } catch (const Stray&) {
      caller.remove();
      others.settle();
    }
  }
  throw std::runtime_error("other breakpoints are hit again and again");
}

Figures points_line(Arguments arguments) {
  Caller caller(std::atoi(arguments[0]), arguments[1]);
  Others others(caller.client(), arguments[2]);
  constexpr std::array<std::size_t, 3> kCounts = {0, 100, 10'000};
  std::array<std::vector<double>, kCounts.size()> rates;
  double exits = 0;
  const auto start = Clock::now();
  others.resize(kCounts.back());
  const double insertion = seconds_since(start);
  others.settle();
  for (const std::size_t i : {2, 1, 0, 0, 1, 2}) {  // there and back: both ways see the machine's drift
    others.resize(kCounts[i]);
    const Rate rate = rate_among(caller, others);
    rates[i].push_back(rate.calls_s);
    exits = std::max(exits, rate.exits_per_call);
  }
  Figures figures = {{"insertions_s", static_cast<double>(kCounts.back()) / insertion}};
  for (std::size_t i = 0; i < kCounts.size(); ++i)
    figures.push_back({fmt::format("false_s_{}_points", kCounts[i]), (rates[i][0] + rates[i][1]) / 2});
  figures.push_back({"exits_among_points", exits});
  return figures;
}

}  // namespace

std::span<const Line> condition_lines() {
  static constexpr std::array kLines = {
      Line{"false", "PORT ADDRESS", 2, false_line},
      Line{"thousandth", "PORT ADDRESS", 2, thousandth_line},
      Line{"tracers", "PORT ADDRESS", 2, tracers_line},
      Line{"points", "PORT ADDRESS FILE", 3, points_line},
  };
  return kLines;
}

}  // namespace ringside::bench
