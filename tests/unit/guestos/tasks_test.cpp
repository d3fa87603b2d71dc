#include "stub/guestos/tasks.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/guestos/small_kernel.hpp"

namespace ringside::guestos {
namespace {

using test::SmallKernel;
using testing::SizeIs;

TEST(Tasks, AreListedWithTheirThreads) {
  SmallKernel guest;
  const auto kernel = guest.kernel();
  ASSERT_TRUE(kernel) << kernel.error().text;
  const auto tasks = (*kernel)->tasks(guest.memory());
  ASSERT_TRUE(tasks) << tasks.error().text;
  ASSERT_THAT(*tasks, SizeIs(3));
  EXPECT_EQ((*tasks)[0].ids.comm(), "init");
  EXPECT_EQ((*tasks)[0].state, 'S');
  EXPECT_EQ((*tasks)[0].parent_tgid, 0);
  EXPECT_FALSE((*tasks)[0].ids.kernel_thread);
  EXPECT_EQ((*tasks)[1].ids.comm(), "worker");
  EXPECT_EQ((*tasks)[1].state, 'I');
  EXPECT_TRUE((*tasks)[1].ids.kernel_thread);
  EXPECT_EQ((*tasks)[2].ids.pid, 21);
  EXPECT_EQ((*tasks)[2].ids.tgid, 20);
  EXPECT_EQ((*tasks)[2].parent_tgid, 1);
}

TEST(Tasks, TheOneThatACpuRunsIsFoundThroughItsPerCpuData) {
  SmallKernel guest;
  const auto kernel = guest.kernel();
  ASSERT_TRUE(kernel);
  const auto base = (*kernel)->per_cpu(0, guest.memory());
  ASSERT_TRUE(base);
  EXPECT_EQ((*kernel)->current_task(*base, guest.memory()), guest.task(2));
  EXPECT_FALSE((*kernel)->per_cpu(1'000'000, guest.memory()));
  EXPECT_FALSE((*kernel)->current_task(Gva{0x1234}, guest.memory()));
}

TEST(Tasks, AListWithoutAnEndIsRefused) {
  SmallKernel guest;
  guest.word(guest.task(2) + SmallKernel::kTaskTasks, guest.task(1) + SmallKernel::kTaskTasks);
  const auto kernel = guest.kernel();
  ASSERT_TRUE(kernel);
  const auto tasks = (*kernel)->tasks(guest.memory());
  ASSERT_FALSE(tasks);
  EXPECT_NE(tasks.error().text.find("no end"), std::string::npos);
}

TEST(Tasks, AListThatLeadsNowhereIsRefused) {
  SmallKernel guest;
  guest.word(guest.task(1) + SmallKernel::kTaskTasks, Gva{0xdead});
  const auto kernel = guest.kernel();
  ASSERT_TRUE(kernel);
  EXPECT_FALSE((*kernel)->tasks(guest.memory()));
}

TEST(TaskStates, AreThoseOfPs) {
  EXPECT_EQ(state_letter(0, 0), 'R');
  EXPECT_EQ(state_letter(1, 0), 'S');
  EXPECT_EQ(state_letter(2, 0), 'D');
  EXPECT_EQ(state_letter(4, 0), 'T');
  EXPECT_EQ(state_letter(8, 0), 't');
  EXPECT_EQ(state_letter(0x402, 0), 'I');
  EXPECT_EQ(state_letter(0x80, 0x10), 'X');
  EXPECT_EQ(state_letter(0x80, 0x20), 'Z');
  EXPECT_EQ(state_letter(0x8000, 0), 'D');
  EXPECT_EQ(state_letter(UINT32_MAX, UINT32_MAX), 'I');
}

}  // namespace
}  // namespace ringside::guestos
