#include "tests/bench/client.hpp"

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <stdexcept>

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <fmt/format.h>

namespace ringside::bench {
namespace {

int nibble(char c) { return c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10; }

std::string text_of(std::string_view hex) {
  std::string text;
  for (std::size_t i = 0; i + 1 < hex.size(); i += 2)
    text += static_cast<char>(nibble(hex[i]) * 16 + nibble(hex[i + 1]));
  return text;
}

}  // namespace

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

std::string hex_of(std::string_view bytes) {
  std::string hex;
  for (const char c : bytes) hex += fmt::format("{:02x}", static_cast<std::uint8_t>(c));
  return hex;
}

std::uint64_t little_endian(std::string_view hex) {
  std::uint64_t value = 0;
  for (std::size_t i = 0; i + 1 < hex.size() && i < 16; i += 2)
    value |= static_cast<std::uint64_t>(nibble(hex[i]) * 16 + nibble(hex[i + 1])) << (4 * i);
  return value;
}

Client::Client(int port) : fd_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(static_cast<std::uint16_t>(port));
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (::connect(fd_, reinterpret_cast<sockaddr*>(&to), sizeof to) != 0) {
    const int error = errno;
    ::close(fd_);
    throw std::runtime_error(fmt::format("port {}: {}", port, std::strerror(error)));
  }
  const int on = 1;
  ::setsockopt(fd_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

Client::~Client() { ::close(fd_); }

void Client::raw(std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t done = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (done <= 0) throw std::runtime_error(fmt::format("write: {}", std::strerror(errno)));
    bytes.remove_prefix(static_cast<std::size_t>(done));
  }
}

void Client::send(std::string_view body) {
  unsigned sum = 0;
  for (const char c : body) sum += static_cast<std::uint8_t>(c);
  last_ = body.substr(0, 60);
  printed_.clear();
  raw(fmt::format("${}#{:02x}", body, sum & 0xff));
}

std::string Client::receive() {
  for (;;) {
    std::string body = packet();
    if (acks_) raw("+");
    if (body.size() < 2 || body[0] != 'O' || body == "OK") return body;
    printed_ += text_of(std::string_view(body).substr(1));
  }
}

std::string Client::ask(std::string_view body) {
  send(body);
  return receive();
}

std::string Client::interrupt_after(std::chrono::milliseconds time) {
  pollfd wait{.fd = fd_, .events = POLLIN, .revents = 0};
  if (unread_.empty() && ::poll(&wait, 1, static_cast<int>(time.count())) == 0) raw("\x03");
  return receive();
}

void Client::order(std::string_view body) {
  if (const std::string answer = ask(body); answer != "OK")
    throw std::runtime_error(fmt::format("{} was answered \"{}\" {}", last_, answer.substr(0, 80), printed_));
}

std::string Client::monitor(std::string_view line) {
  order("qRcmd," + hex_of(line));
  return printed_;
}

void Client::attach() {
  const std::string features =
      ask("qSupported:multiprocess+;swbreak+;hwbreak+;vContSupported+;no-resumed+;xmlRegisters=i386");
  if (const auto at = features.find("PacketSize="); at != features.npos)
    packet_size_ = std::strtoul(features.c_str() + at + 11, nullptr, 16);
  ask("QStartNoAckMode");
  acks_ = false;
  ask("Hg0");
  read_description("target.xml");
  for (const char* question : {"?", "qfThreadInfo", "qsThreadInfo", "qAttached", "Hc-1", "qOffsets", "g"})
    ask(question);
}

void Client::leave() noexcept {
  try {
    set_patience(std::chrono::seconds(1));
    ask("D");
  } catch (const std::exception&) {  // it has been left, either way
  }
}

// With the documents it includes, each as far as it goes.
void Client::read_description(const std::string& name) {
  std::string document;
  for (std::string part = "m"; part.starts_with('m');
       document += part.substr(std::min<std::size_t>(1, part.size())))
    part = ask(fmt::format("qXfer:features:read:{}:{:x},1000", name, document.size()));
  constexpr std::string_view kInclude = "<xi:include href=\"";
  for (auto at = document.find(kInclude); at != document.npos; at = document.find(kInclude, at + 1)) {
    const auto begin = at + kInclude.size();
    read_description(document.substr(begin, document.find('"', begin) - begin));
  }
}

void Client::refill() {
  pollfd wait{.fd = fd_, .events = POLLIN, .revents = 0};
  if (::poll(&wait, 1, static_cast<int>(patience_.count())) == 0)
    throw std::runtime_error(fmt::format("no answer to \"{}\" in {} ms", last_, patience_.count()));
  const ssize_t got = ::read(fd_, buffer_.data(), buffer_.size());
  if (got <= 0) throw std::runtime_error(fmt::format("the stub closed the connection after \"{}\"", last_));
  unread_ = std::string_view(buffer_.data(), static_cast<std::size_t>(got));
}

// In pieces as they come: a client that is slow itself would hide what it measures.
std::string Client::until(char end) {
  std::string text;
  for (;;) {
    if (unread_.empty()) refill();
    const std::size_t here = unread_.find(end);
    text += unread_.substr(0, here);
    if (here != unread_.npos) {
      unread_.remove_prefix(here + 1);
      return text;
    }
    unread_ = {};
  }
}

std::string Client::packet() {
  until('$');
  std::string body = until('#');
  for (int digit = 0; digit < 2; ++digit) {
    if (unread_.empty()) refill();
    unread_.remove_prefix(1);
  }
  return body;
}

}  // namespace ringside::bench
