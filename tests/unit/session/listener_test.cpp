// Doors of every kind, and many who come and go.
#include "stub/session/listener.hpp"

#include <filesystem>

#include <netinet/in.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <gmock/gmock.h>

#include "tests/unit/session/session_testing.hpp"

namespace ringside::session {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

class SessionListener : public SessionTest {
 protected:
  SessionListener() {
    char name[] = "/tmp/ringside-listener-XXXXXX";
    RS_CHECK(::mkdtemp(name) != nullptr);
    folder_ = name;
  }
  ~SessionListener() override { std::filesystem::remove_all(folder_); }

  std::unique_ptr<Listener> open(const std::string& address) {
    auto listener = Listener::open(io_.get_executor(), address);
    EXPECT_TRUE(listener) << listener.error().text;
    if (!listener) return nullptr;
    (*listener)->start(hub_);
    settle();
    return std::move(*listener);
  }
  std::string refusal(const std::string& address) {
    const auto listener = Listener::open(io_.get_executor(), address);
    return listener ? "it listens" : listener.error().text;
  }
  std::string path() const { return folder_ + "/s"; }
  Remote enter(const std::string& path) {
    const int fd = ::socket(AF_UNIX, SOCK_STREAM, 0);
    sockaddr_un to{};
    to.sun_family = AF_UNIX;
    path.copy(to.sun_path, sizeof to.sun_path - 1);
    RS_CHECK(::connect(fd, reinterpret_cast<sockaddr*>(&to), sizeof to) == 0);
    Remote remote(fd);
    settle();
    return remote;
  }
  static std::size_t open_descriptors() {
    std::size_t count = 0;
    for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) ++count;
    return count;
  }

  std::string folder_;
  fakes::RecordingTracer recorder_;
};

TEST_F(SessionListener, UnixSocketIsForItsOwnerAloneAndGoesWithTheListener) {
  auto listener = open("unix:" + path());
  struct stat found {};
  ASSERT_EQ(::stat(path().c_str(), &found), 0);
  EXPECT_EQ(found.st_mode & 0777u, 0600u);
  EXPECT_EQ(listener->name(), "unix:" + path());
  Remote remote = enter(path());
  EXPECT_EQ(ask(remote, "qC"), "+" + framed("QC1"));

  listener.reset();

  EXPECT_TRUE(remote.ended());
  EXPECT_NE(::stat(path().c_str(), &found), 0);
}

TEST_F(SessionListener, SocketFileInUseIsRefusedAndOneLeftBehindReplaced) {
  auto listener = open("unix:" + path());
  EXPECT_THAT(refusal("unix:" + path()), HasSubstr("in use"));
  Remote remote = enter(path());
  EXPECT_EQ(ask(remote, "qC"), "+" + framed("QC1")) << "the refused one has not taken the file away";

  // A link outlives the file's name: as after a crash, nobody listens there.
  std::filesystem::create_hard_link(path(), folder_ + "/stale");
  listener.reset();
  auto successor = open("unix:" + folder_ + "/stale");
  Remote again = enter(folder_ + "/stale");

  EXPECT_EQ(ask(again, "qC"), "+" + framed("QC1"));
}

TEST_F(SessionListener, FileThatIsNoSocketIsLeftAlone) {
  const int file = ::open(path().c_str(), O_CREAT | O_WRONLY, 0600);
  ::close(file);

  EXPECT_THAT(refusal(path()), HasSubstr("cannot listen"));
  EXPECT_TRUE(std::filesystem::exists(path()));
}

TEST_F(SessionListener, InheritedListeningSocketIsListenedOn) {
  const int fd = ::socket(AF_UNIX, SOCK_STREAM, 0);
  sockaddr_un at{};
  at.sun_family = AF_UNIX;
  path().copy(at.sun_path, sizeof at.sun_path - 1);
  ASSERT_EQ(::bind(fd, reinterpret_cast<sockaddr*>(&at), sizeof at), 0);
  ASSERT_EQ(::listen(fd, 5), 0);
  auto listener = open("fd:" + std::to_string(fd));
  Remote first = enter(path());
  Remote second = enter(path());

  EXPECT_EQ(listener->name(), "fd:" + std::to_string(fd));
  EXPECT_EQ(ask(first, "qC"), "+" + framed("QC1"));
  EXPECT_EQ(ask(second, "qC"), "+" + framed("QC1"));
}

TEST_F(SessionListener, InheritedConnectedSocketIsOneTracer) {
  int ends[2];
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
  auto listener = open("fd:" + std::to_string(ends[0]) + ",ro");
  Remote remote(ends[1]);

  EXPECT_TRUE(listener->read_only());
  EXPECT_EQ(ask(remote, "M8000,1:cc"), "+" + framed("E01"));
  EXPECT_THAT(refusal("fd:" + std::to_string(ends[0])), HasSubstr("named twice"));
  listener.reset();
  EXPECT_TRUE(remote.ended());
}

TEST_F(SessionListener, DescriptorsThatCannotServeAreRefusedInWords) {
  int pipe_ends[2];
  ASSERT_EQ(::pipe(pipe_ends), 0);
  const int datagram = ::socket(AF_UNIX, SOCK_DGRAM, 0);
  const int lone = ::socket(AF_INET, SOCK_STREAM, 0);
  const int ours = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

  EXPECT_THAT(refusal("fd:999"), HasSubstr("has not been inherited"));
  EXPECT_THAT(refusal("fd:" + std::to_string(ours)), HasSubstr("has not been inherited"));
  EXPECT_THAT(refusal("fd:" + std::to_string(pipe_ends[0])), HasSubstr("is no socket"));
  EXPECT_THAT(refusal("fd:" + std::to_string(datagram)), HasSubstr("no stream socket"));
  EXPECT_THAT(refusal("fd:" + std::to_string(lone)), HasSubstr("neither listens nor is connected"));

  for (const int fd : {pipe_ends[0], pipe_ends[1], datagram, lone, ours})
    EXPECT_EQ(::close(fd), 0) << "still ours";
}

TEST_F(SessionListener, WhoComesThroughAReadOnlyDoorHoldsNothing) {
  auto listener = open("unix:" + path() + ",ro");
  Remote remote = enter(path());

  EXPECT_THAT(ask(remote, "?"), StartsWith("+$T05"));

  EXPECT_TRUE(all_running());
}

// What each of a thousand does before it is gone.
std::string behaviour(int number) {
  switch (number % 8) {
    case 0:
      return "";
    case 1:
      return "$";
    case 2:
      return framed("qSupported:multiprocess+") + "$vCont";
    case 3:
      return "\xff\xfe\x03\x03#$#00$g#00";
    case 4:
      return framed("?") + framed("Z0,8010,1") + framed("Z2,a000,4");
    case 5:
      return framed("?") + framed("vCont;s:1");
    case 6:
      return framed("?") + framed("g") + framed("m8000,4000");
    default:
      return framed("?") + framed("D");
  }
}

TEST_F(SessionListener, ThousandComeAndGoAndAnotherTracerNeverNotices) {
  auto listener = open("unix:" + path());
  Remote other = enter(path());
  ask(other, "QStartNoAckMode");
  ask(other, "?");
  ask(other, "Z0,8004,1");
  EXPECT_EQ(ask(other, "vCont;c"), "");
  const std::size_t descriptors = open_descriptors();

  for (int i = 0; i < 1000; ++i) {
    Remote remote = enter(path());
    remote.write(behaviour(i));
    if (i % 3 != 0) settle();  // else it is gone before it is heard
    remote.close();
    settle();
    ASSERT_TRUE(all_running()) << "after number " << i;
  }

  EXPECT_EQ(open_descriptors(), descriptors);
  EXPECT_EQ(other.read(), "");
  // Not one instruction has been executed in between: its breakpoint is still ahead, and the only one.
  execute(5);
  settle();
  EXPECT_THAT(other.read(), StartsWith("$T05thread:1;core:0;10:0480"));
  EXPECT_THAT(ask(other, "qRcmd,70726f626573"), HasSubstr(framed("OK")));
  EXPECT_EQ(hub_.attach("last", recorder_).value()->describe_tracers(),
            "1 unix:" + path() + " points 1 holds CPU 0,1\n1002 last points 0 holds nothing\n");
}

}  // namespace
}  // namespace ringside::session
