// `ringside attach`'s copying between real descriptors: the pump in a thread, the test at its three ends.
#include "stub/cli/pump.hpp"

#include <future>
#include <optional>
#include <string>
#include <thread>

#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <gtest/gtest.h>

namespace ringside::cli {
namespace {

class Pump : public testing::Test {
 protected:
  Pump() {
    ::signal(SIGPIPE, SIG_IGN);
    EXPECT_EQ(::pipe(in_), 0);
    EXPECT_EQ(::pipe(out_), 0);
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM, 0, socket_), 0);
    running_ = std::async(std::launch::async, [this] { return pump(in_[0], out_[1], socket_[0]); });
  }
  ~Pump() override {
    for (int* fd : {&in_[1], &out_[0], &socket_[1]}) close(*fd);
    if (running_.valid()) static_cast<void>(running_.get());
    for (const int fd : {in_[0], out_[1], socket_[0]}) ::close(fd);
  }

  static void close(int& fd) {
    if (fd >= 0) ::close(fd);
    fd = -1;
  }
  static void write_all(int fd, std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t size = ::write(fd, bytes.data(), bytes.size());
      ASSERT_GT(size, 0);
      bytes.remove_prefix(static_cast<std::size_t>(size));
    }
  }
  // Until there are so many, or the end.
  static std::string read_up_to(int fd, std::size_t most) {
    std::string all(most, '\0');
    std::size_t have = 0;
    for (ssize_t size = 1; have < most && size > 0;
         have += static_cast<std::size_t>(std::max<ssize_t>(size, 0)))
      size = ::read(fd, all.data() + have, most - have);
    all.resize(have);
    return all;
  }
  static std::string noise(std::size_t size, unsigned seed) {
    std::string bytes;
    for (; bytes.size() < size; seed = seed * 1103515245 + 12345) bytes += static_cast<char>(seed >> 16);
    return bytes;
  }

  int in_[2], out_[2], socket_[2];
  std::future<Result<void>> running_;
};

TEST_F(Pump, CarriesBytesBothWays) {
  write_all(in_[1], "to the stub");
  write_all(socket_[1], "to the client");

  EXPECT_EQ(read_up_to(socket_[1], 11), "to the stub");
  EXPECT_EQ(read_up_to(out_[0], 13), "to the client");
}

TEST_F(Pump, EndsWithTheSocketOnceAllOfItIsWritten) {
  const std::string text = noise(3'000'000, 1);
  std::thread writer([&] {
    write_all(socket_[1], text);
    close(socket_[1]);
  });

  EXPECT_EQ(read_up_to(out_[0], text.size()), text);
  writer.join();

  EXPECT_TRUE(running_.get());
}

TEST_F(Pump, PassesTheEndOfInputOnAndStillBringsWhatComesBack) {
  write_all(in_[1], "a question");
  close(in_[1]);
  EXPECT_EQ(read_up_to(socket_[1], 100), "a question") << "with the end after it";

  write_all(socket_[1], "an answer");
  close(socket_[1]);

  EXPECT_EQ(read_up_to(out_[0], 9), "an answer");
  EXPECT_TRUE(running_.get());
}

TEST_F(Pump, EndsWhenNobodyReadsItsOutput) {
  close(out_[0]);

  EXPECT_TRUE(running_.get());
}

TEST_F(Pump, OneDirectionThatIsFullDoesNotStopTheOther) {
  // Nobody reads our output; the socket's side is as full as it gets.
  const std::string lot = noise(4'000'000, 2);
  std::thread writer([&] { write_all(socket_[1], lot); });
  const std::string text = noise(2'000'000, 3);
  std::thread asker([&] { write_all(in_[1], text); });

  EXPECT_EQ(read_up_to(socket_[1], text.size()), text);
  EXPECT_EQ(read_up_to(out_[0], lot.size()), lot);

  writer.join();
  asker.join();
}

TEST_F(Pump, ConnectionThatBreaksIsAnError) {
  write_all(in_[1], "never read");
  char byte = 0;
  ASSERT_EQ(::recv(socket_[1], &byte, 1, 0), 1);
  close(socket_[1]);  // with unread data: a reset

  const Result<void> done = running_.get();

  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().text.substr(0, 22), "the connection is lost");
}

}  // namespace
}  // namespace ringside::cli
