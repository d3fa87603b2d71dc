// Any bytes: refused with a sentence, or a program that runs as the plain interpreter of the tests runs it,
// within its fuel and its bounds.  The first byte chooses what the guest is like.
#include <cstdint>
#include <cstdlib>

#include "stub/agent/machine.hpp"
#include "stub/agent/print.hpp"
#include "tests/fakes/fake_environment.hpp"
#include "tests/fakes/naive_machine.hpp"

namespace {

using namespace ringside;
using namespace ringside::agent;

constexpr std::uint32_t kFuel = 1000;

void require(bool condition) {
  if (!condition) std::abort();
}

fakes::FakeEnvironment guest_from(std::uint8_t choice) {
  fakes::FakeEnvironment guest;
  for (std::size_t i = 0; i < guest.memory.size(); ++i) {
    guest.memory[i] = static_cast<std::uint8_t>((choice & 1) != 0 ? i * 7 + choice : 'A' + i % 26);
  }
  for (unsigned number = 0; number < 26; ++number)
    guest.registers[number] = number * (choice & 2 ? 0x180 : 1);
  guest.variables = {{0, 0}, {1, choice}, {7, 0x1ff0}};
  guest.records = (choice & 4) == 0;
  return guest;
}

void check_program(const Program& program, std::uint8_t choice) {
  require(!program.listing().empty() && program.listing().find_first_of("\n\033") == std::string::npos);
  require(program.facts().max_depth <= kMaxStack);
  fakes::FakeEnvironment guest = guest_from(choice);
  fakes::FakeEnvironment same = guest;
  const Outcome outcome = run(program, guest, kFuel);
  require(outcome == fakes::NaiveMachine(program.bytes(), same).run(kFuel));
  require(guest.deeds == same.deeds && guest.variables == same.variables);
  require(!describe(outcome, program).empty());
  for (const std::string& deed : guest.deeds) require(deed.size() <= kMaxText + 10);
  require(guest.longest_read <= 64);
  if (outcome.ok()) require(outcome.value.has_value() || !program.facts().gives_value);
  if (!program.facts().has_loops && program.code().size() * (kPrintFuel + 1) <= kFuel) {
    require(outcome.fault != Fault::kFuel);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const auto program = Program::verify({data + 1, size - 1});
  if (program) {
    check_program(*program, data[0]);
  } else {
    require(program.error().text.starts_with("bytecode"));
  }
  return 0;
}
