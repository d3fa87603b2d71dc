// The measuring half of `./dev bench`: runs beside a stub, speaks RSP to it as gdb does, prints one JSON
// line.
//
//   rsp_bench boot MARK SECONDS COMMAND…   milliseconds until COMMAND prints a line with MARK, then ends it
//   rsp_bench stub PORT ADDRESS               every figure of the stub on 127.0.0.1:PORT; ADDRESS (hex) is a
//                                             function that the guest keeps calling
//   rsp_bench idle PID SECONDS                CPU time of a monitor whose guest is idle
//
// Plain blocking sockets: what is measured is the stub, not this.  Figures are medians.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <functional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

namespace {

using Clock = std::chrono::steady_clock;

double milliseconds_since(Clock::time_point start) {
  return std::chrono::duration<double, std::milli>(Clock::now() - start).count();
}

double median(std::vector<double> values) {
  std::ranges::sort(values);
  return values.empty() ? 0 : values[values.size() / 2];
}

class Stub {
 public:
  explicit Stub(int port) {
    fd_ = ::socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(static_cast<std::uint16_t>(port));
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (::connect(fd_, reinterpret_cast<sockaddr*>(&to), sizeof to) != 0) throw std::runtime_error("connect");
    const int on = 1;
    ::setsockopt(fd_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  }
  ~Stub() { ::close(fd_); }
  Stub(const Stub&) = delete;
  Stub& operator=(const Stub&) = delete;

  void raw(std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t done = ::write(fd_, bytes.data(), bytes.size());
      if (done <= 0) throw std::runtime_error("write");
      bytes.remove_prefix(static_cast<std::size_t>(done));
    }
  }

  void send(std::string_view body) {
    unsigned sum = 0;
    for (const char c : body) sum += static_cast<std::uint8_t>(c);
    char tail[4];
    std::snprintf(tail, sizeof tail, "#%02x", sum & 0xff);
    raw("$" + std::string(body) + tail);
  }

  // The next packet's body; console output on the way is passed over.
  std::string receive() {
    for (;;) {
      std::string body = packet();
      if (acks_) raw("+");
      if (body.size() > 1 && body[0] == 'O' && body != "OK") continue;
      return body;
    }
  }

  std::string ask(std::string_view body) {
    send(body);
    return receive();
  }

  void greet() {
    ask("qSupported:multiprocess+;swbreak+;hwbreak+;vContSupported+;no-resumed+;xmlRegisters=i386");
    ask("QStartNoAckMode");
    acks_ = false;
  }

 private:
  char next() {
    if (at_ == have_) {
      const ssize_t got = ::read(fd_, buffer_, sizeof buffer_);
      if (got <= 0) throw std::runtime_error("the stub closed the connection");
      at_ = 0;
      have_ = static_cast<std::size_t>(got);
    }
    return buffer_[at_++];
  }
  std::string packet() {
    while (next() != '$') {
    }
    std::string body;
    for (char c = next(); c != '#'; c = next()) body += c;
    next(), next();
    return body;
  }

  int fd_ = -1;
  bool acks_ = true;
  char buffer_[65536];
  std::size_t at_ = 0, have_ = 0;
};

struct Figure {
  const char* name;
  double value;
};

double timed(int times, const std::function<void()>& work) {
  std::vector<double> each;
  for (int i = 0; i < times; ++i) {
    const auto start = Clock::now();
    work();
    each.push_back(milliseconds_since(start));
  }
  return median(each);
}

// What gdb 13 asks at `target remote`, without a symbol file.
void attach(Stub& stub) {
  stub.greet();
  stub.ask("Hg0");
  for (std::size_t at = 0;; at += 0xfff) {
    char packet[80];
    std::snprintf(packet, sizeof packet, "qXfer:features:read:target.xml:%zx,fff", at);
    if (const std::string part = stub.ask(packet); part.empty() || part[0] != 'm') break;
  }
  stub.ask("?");
  stub.ask("qfThreadInfo");
  stub.ask("qsThreadInfo");
  stub.ask("qAttached");
  stub.ask("Hc-1");
  stub.ask("qOffsets");
  stub.ask("g");
}

double attach_ms(int port) {
  return timed(9, [port] {
    Stub stub(port);
    attach(stub);
    stub.ask("D");
  });
}

double read_mib_per_second(Stub& stub) {
  constexpr std::size_t kTotal = 16u << 20;
  constexpr std::size_t kPiece = 0x7f0;  // what every stub takes in one packet
  const auto start = Clock::now();
  for (std::size_t done = 0; done < kTotal;) {
    char packet[64];
    std::snprintf(packet, sizeof packet, "mffffffff81000000,%zx", kPiece);
    done += stub.ask(packet).size() / 2;
    if (milliseconds_since(start) > 20'000)
      return static_cast<double>(done) / (1 << 20) / (milliseconds_since(start) / 1e3);
  }
  return 16.0 / (milliseconds_since(start) / 1e3);
}

// As large as each stub allows: gdb takes what PacketSize says.
double read_large_mib_per_second(Stub& stub, std::size_t packet_size) {
  constexpr std::size_t kTotal = 16u << 20;
  const std::size_t piece = packet_size / 2 - 16;
  const auto start = Clock::now();
  for (std::size_t done = 0; done < kTotal;) {
    char packet[64];
    std::snprintf(packet, sizeof packet, "mffffffff81000000,%zx", std::min(piece, kTotal - done));
    const std::string answer = stub.ask(packet);
    if (answer.size() < 8) throw std::runtime_error("read failed: " + answer);
    done += answer.size() / 2;
  }
  return 16.0 / (milliseconds_since(start) / 1e3);
}

double write_ms(Stub& stub) {
  // 1 KiB over the kernel's own first page with what stands there, as hex: every stub has M.
  const std::string now = stub.ask("mffffffff81000000,400");
  return timed(50, [&] { stub.ask("Mffffffff81000000,400:" + now); });
}

double steps_per_second(Stub& stub, int steps) {
  const auto start = Clock::now();
  for (int i = 0; i < steps; ++i) stub.ask("vCont;s:p1.1");
  return steps / (milliseconds_since(start) / 1e3);
}

// A round as gdb makes it: insert, continue to the hit, remove, step off.
double rounds_per_second(Stub& stub, const std::string& address, int rounds) {
  const auto start = Clock::now();
  for (int i = 0; i < rounds; ++i) {
    stub.ask("Z0," + address + ",1");
    stub.ask("vCont;c");
    stub.ask("g");
    stub.ask("z0," + address + ",1");
    stub.ask("vCont;s:p1.1");
  }
  return rounds / (milliseconds_since(start) / 1e3);
}

double interrupt_ms(Stub& stub) {
  std::vector<double> each;
  for (int i = 0; i < 15; ++i) {
    stub.send("vCont;c");
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
    const auto start = Clock::now();
    stub.raw("\x03");
    stub.receive();
    each.push_back(milliseconds_since(start));
  }
  return median(each);
}

// CPU seconds of the process, user and system.
double cpu_seconds(int pid) {
  std::ifstream in("/proc/" + std::to_string(pid) + "/stat");
  std::string line;
  std::getline(in, line);
  const std::string rest = line.substr(line.rfind(')') + 2);
  double user = 0, system = 0;
  std::sscanf(rest.c_str(), "%*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lf %lf", &user, &system);
  return (user + system) / static_cast<double>(::sysconf(_SC_CLK_TCK));
}

std::size_t packet_size(int port) {
  Stub stub(port);
  const std::string features = stub.ask("qSupported:swbreak+");
  const auto at = features.find("PacketSize=");
  return at == features.npos ? 400 : std::strtoul(features.c_str() + at + 11, nullptr, 16);
}

int measure_stub(int port, const std::string& address) {
  std::vector<Figure> figures;
  const std::size_t size = packet_size(port);
  figures.push_back({"attach_ms", attach_ms(port)});
  {
    Stub stub(port);
    attach(stub);
    figures.push_back({"g_ms", timed(200, [&] { stub.ask("g"); })});
    figures.push_back({"read_2k_mib_s", read_mib_per_second(stub)});
    figures.push_back({"read_full_mib_s", read_large_mib_per_second(stub, size)});
    figures.push_back({"write_1k_ms", write_ms(stub)});
    figures.push_back({"steps_s", steps_per_second(stub, 400)});
    figures.push_back({"rounds_s", rounds_per_second(stub, address, 100)});
    figures.push_back({"interrupt_ms", interrupt_ms(stub)});
    stub.ask("D");
  }
  std::printf("{");
  for (const Figure& figure : figures) {
    std::printf("%s\"%s\": %.4f", &figure == figures.data() ? "" : ", ", figure.name, figure.value);
  }
  std::printf("}\n");
  return 0;
}

int measure_idle(int pid, double seconds) {
  const double before = cpu_seconds(pid);
  std::this_thread::sleep_for(std::chrono::duration<double>(seconds));
  std::printf("{\"idle_cpu_percent\": %.4f}\n", 100 * (cpu_seconds(pid) - before) / seconds);
  return 0;
}

int measure_boot(const std::string& mark, double seconds, char** command) {
  int pipe_ends[2];
  if (::pipe(pipe_ends) != 0) return 1;
  const auto start = Clock::now();
  const pid_t child = ::fork();
  if (child == 0) {
    ::setpgid(0, 0);
    ::dup2(pipe_ends[1], 1);
    ::dup2(pipe_ends[1], 2);
    ::execvp(command[0], command);
    ::_exit(127);
  }
  ::close(pipe_ends[1]);
  std::string seen;
  double took = -1;
  while (took < 0 && milliseconds_since(start) < seconds * 1e3) {
    pollfd wait{.fd = pipe_ends[0], .events = POLLIN, .revents = 0};
    if (::poll(&wait, 1, 100) <= 0) continue;
    char buffer[4096];
    const ssize_t got = ::read(pipe_ends[0], buffer, sizeof buffer);
    if (got <= 0) break;
    seen.append(buffer, static_cast<std::size_t>(got));
    if (seen.find(mark) != seen.npos) took = milliseconds_since(start);
  }
  ::kill(-child, SIGKILL);
  ::waitpid(child, nullptr, 0);
  if (took < 0) std::fprintf(stderr, "no \"%s\" in:\n%s\n", mark.c_str(), seen.c_str());
  std::printf("{\"boot_ms\": %.1f}\n", took);
  return took < 0 ? 1 : 0;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    const std::string what = argc > 1 ? argv[1] : "";
    if (what == "boot" && argc > 4) return measure_boot(argv[2], std::atof(argv[3]), argv + 4);
    if (what == "stub" && argc == 4) return measure_stub(std::atoi(argv[2]), argv[3]);
    if (what == "idle" && argc == 4) return measure_idle(std::atoi(argv[2]), std::atof(argv[3]));
    std::fprintf(stderr,
                 "usage: rsp_bench boot MARK SECONDS COMMAND… | stub PORT ADDRESS | idle PID SECONDS\n");
    return 2;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "rsp_bench: %s\n", error.what());
    return 1;
  }
}
