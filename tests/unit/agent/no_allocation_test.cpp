// Running a program must not allocate: every operator new of this binary is counted.
#include <algorithm>
#include <cstdlib>
#include <new>

#include <gtest/gtest.h>

#include "stub/agent/machine.hpp"
#include "tests/unit/agent/agent_testing.hpp"

namespace {
thread_local std::size_t allocations = 0;
}  // namespace

void* operator new(std::size_t size) {
  ++allocations;
  if (void* memory = std::malloc(size)) return memory;
  throw std::bad_alloc();
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }

namespace ringside::agent {
namespace {

// All memory is there, and full of the letter A; text goes nowhere.
class PlainEnvironment : public Environment {
 public:
  std::size_t printed = 0;

  bool read_memory(Gva, MutableByteView into) noexcept override {
    std::fill(into.begin(), into.end(), std::uint8_t{'A'});
    return true;
  }
  std::optional<std::uint64_t> read_register(unsigned number) noexcept override { return number; }
  std::optional<std::uint64_t> read_variable(unsigned number) noexcept override { return number; }
  bool write_variable(unsigned, std::uint64_t) noexcept override { return true; }
  void print(std::string_view text) noexcept override { printed += text.size(); }
};

std::size_t allocations_of_running(const Program& program) {
  PlainEnvironment guest;
  const std::size_t before = allocations;
  (void)run(program, guest);
  return allocations - before;
}

TEST(NoAllocation, TheCounterCounts) {
  const std::size_t before = allocations;
  delete new int;
  EXPECT_EQ(allocations - before, 1u);
}

TEST(NoAllocation, NeitherConditionsNorLoopsNorPrintsAllocate) {
  EXPECT_EQ(allocations_of_running(program("26 0005 2a 40 22 78 02 1a 22 3b 2a 40 13 27")), 0u);
  EXPECT_EQ(allocations_of_running(program("21 0000")), 0u);
  EXPECT_EQ(allocations_of_running(program(printing("%s %1000d %s %p", {1, 2, 3, 4}))), 0u);
}

}  // namespace
}  // namespace ringside::agent
