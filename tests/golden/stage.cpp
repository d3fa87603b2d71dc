#include "tests/golden/stage.hpp"

#include <algorithm>
#include <sstream>

#include "stub/rsp/hex.hpp"

namespace ringside::golden {
namespace {

std::vector<std::string> words_of(const std::string& text) {
  std::istringstream in(text);
  std::vector<std::string> words;
  for (std::string word; in >> word;) words.push_back(word);
  return words;
}

std::uint64_t number(const std::string& text) { return std::stoull(text, nullptr, 0); }

std::size_t cpus_of(const Dialogue& dialogue) {
  for (const Line& line : dialogue.lines) {
    const auto words = words_of(line.text);
    if (line.kind == Line::Kind::kDirection && words.size() == 2 && words[0] == "cpus")
      return number(words[1]);
  }
  return 2;
}

bool waits(const Dialogue& dialogue) {
  return std::ranges::any_of(dialogue.lines, [](const Line& line) {
    return line.kind == Line::Kind::kDirection && line.text == "wait";
  });
}

}  // namespace

void Peer::attach(tracer::PortFactory& factory, const std::string& label, tracer::AttachOptions options) {
  auto port = factory.attach(label, *client_, options);
  RS_CHECK(port.has_value());
  client_->attached(std::move(*port));
}

void Peer::say(std::string_view body) {
  std::string wire;
  rsp::append_packet(wire, body);
  to_stub_.push(rsp::as_bytes(wire));
  while (auto frame = to_stub_.next()) {
    if (auto* packet = std::get_if<rsp::Packet>(&*frame)) client_->packet(std::move(packet->body));
    if (std::holds_alternative<rsp::Oversize>(*frame)) client_->oversize();
  }
}

void Peer::interrupt() {
  const std::uint8_t byte = 3;
  to_stub_.push({&byte, 1});
  while (auto frame = to_stub_.next()) {
    if (std::holds_alternative<rsp::Interrupt>(*frame)) client_->interrupt();
  }
}

void Peer::send_packet(std::string_view body) {
  std::string wire;
  rsp::append_packet(wire, body);
  to_client_.push(rsp::as_bytes(wire));
  while (auto frame = to_client_.next()) {
    const auto* packet = std::get_if<rsp::Packet>(&*frame);
    heard.push_back(packet != nullptr ? packet->body : "(a broken frame)");
  }
}

Stage::Stage(const Dialogue& dialogue)
    : machine_(cpus_of(dialogue)),
      hub_(io_.get_executor(), machine_,
           {.on_end = [this](api::GuestEnd how, const std::string&) { end_ = how; }}) {
  for (std::uint32_t i = 0; i < machine_.vcpu_count(); ++i) {
    machine_.put(fakes::kCode + i * 0x100, Bytes(0x40, 0x90));
    machine_.put(fakes::kCode + i * 0x100 + 0x40, {0xeb, 0xbe});
  }
  const auto started = hub_.start(waits(dialogue));
  RS_CHECK(started.has_value());
  poll();
}

Stage::~Stage() {
  for (const auto& [number, peer] : peers_) peer->hang_up();
}

void Stage::poll() {
  io_.restart();
  io_.poll();
}

Peer& Stage::peer(const Line& line) {
  auto& peer = peers_[line.tracer];
  if (!peer) {
    peer = std::make_unique<Peer>();
    peer->attach(hub_, "golden" + std::to_string(line.tracer), options_[line.tracer]);
    poll();
  }
  return *peer;
}

std::optional<std::string> Stage::leftovers() {
  for (const auto& [number, peer] : peers_) {
    const std::string who = "tracer " + std::to_string(number);
    if (!peer->heard.empty()) return who + " also heard: " + peer->heard.front();
    if (!console_[number].empty()) return who + " was also told: " + console_[number];
  }
  return std::nullopt;
}

std::optional<std::string> Stage::play(const Line& line) {
  using Kind = Line::Kind;
  if (line.kind == Kind::kExpect) return expect(line);
  if (line.kind == Kind::kConsole) return expect_console(line);
  if (auto left = leftovers()) return left;
  if (line.kind == Kind::kDirection) {
    const Words words = words_of(line.text);
    const auto found = words.empty() ? directions().end() : directions().find(words[0]);
    if (found == directions().end()) return "no such stage direction";
    auto wrong = (this->*found->second)(line, words);
    poll();
    return wrong;
  }
  if (line.text == "^C") {
    peer(line).interrupt();
  } else {
    peer(line).say(body_of(line));
  }
  poll();
  return std::nullopt;
}

std::optional<std::string> Stage::expect(const Line& line) {
  if (!console_[line.tracer].empty()) return "before that came text: " + console_[line.tracer];
  auto& heard = peer(line).heard;
  if (heard.empty()) return "the stub says nothing";
  const std::string body = heard.front();
  heard.pop_front();
  if (!matches(line, body)) return "the stub says: " + body;
  return std::nullopt;
}

std::optional<std::string> Stage::expect_console(const Line& line) {
  auto& heard = peer(line).heard;
  std::string& text = console_[line.tracer];
  while (!text.contains('\n') && !heard.empty() && heard.front() != "OK" && heard.front().starts_with('O')) {
    text += rsp::text_from_hex(heard.front().substr(1)).value_or("(no hex)\n");
    heard.pop_front();
  }
  const auto end = text.find('\n');
  if (end == std::string::npos)
    return "no such text; next is: " + (heard.empty() ? "nothing" : heard.front());
  const std::string first = text.substr(0, end);
  text.erase(0, end + 1);
  if (!matches(line, first)) return "the text is: " + first;
  return std::nullopt;
}

const std::map<std::string, Stage::Direction>& Stage::directions() {
  static const std::map<std::string, Direction> kAll = {{"cpus", &Stage::nothing},
                                                        {"wait", &Stage::nothing},
                                                        {"put", &Stage::put},
                                                        {"memory", &Stage::memory},
                                                        {"kernel", &Stage::kernel},
                                                        {"features", &Stage::features},
                                                        {"read-only", &Stage::read_only},
                                                        {"run", &Stage::run},
                                                        {"slow", &Stage::slow},
                                                        {"later", &Stage::later},
                                                        {"prompt", &Stage::prompt},
                                                        {"answer", &Stage::answer},
                                                        {"running", &Stage::running},
                                                        {"triple-fault", &Stage::triple_fault},
                                                        {"end", &Stage::end},
                                                        {"ended", &Stage::ended},
                                                        {"hang-up", &Stage::hang_up},
                                                        {"closed", &Stage::closed}};
  return kAll;
}

// What waited for some time to pass happens.
std::optional<std::string> Stage::later(const Line& line, const Words&) {
  for (const auto& what : std::exchange(peer(line).delayed, {})) what();
  return std::nullopt;
}

std::optional<std::string> Stage::put(const Line&, const Words& words) {
  machine_.put(number(words.at(1)), rsp::from_hex(words.at(2)).value());
  return std::nullopt;
}

std::optional<std::string> Stage::memory(const Line&, const Words& words) {
  const Bytes wanted = rsp::from_hex(words.at(2)).value();
  Bytes there;
  for (std::size_t i = 0; i < wanted.size(); ++i) there.push_back(machine_.byte(number(words.at(1)) + i));
  if (there != wanted) return "the guest has " + rsp::to_hex(there);
  return std::nullopt;
}

std::optional<std::string> Stage::kernel(const Line&, const Words& words) {
  machine_.info_.kernel = api::KernelImage{.version = "golden",
                                           .link_text = Gva{number(words.at(1))},
                                           .slide = number(words.at(2)),
                                           .at = {},
                                           .link_banner = {},
                                           .banner = {},
                                           .unpacker = {}};
  return std::nullopt;
}

std::optional<std::string> Stage::features(const Line&, const Words& words) {
  const auto has = [&](const char* name) { return std::ranges::find(words, name) != words.end(); };
  machine_.info_.features.avx = has("avx");
  machine_.info_.features.avx512 = has("avx512");
  machine_.info_.features.pkru = has("pkru");
  return std::nullopt;
}

std::optional<std::string> Stage::read_only(const Line& line, const Words&) {
  options_[line.tracer].read_only = true;
  if (peers_.contains(line.tracer)) return "it is here already";
  return std::nullopt;
}

std::optional<std::string> Stage::run(const Line&, const Words& words) {
  const bool one = words.size() == 4 && words[2] == "cpu";
  for (std::uint64_t i = 0; i < number(words.at(1)); ++i) {
    for (std::uint32_t n = 0; n < machine_.vcpu_count(); ++n) {
      if (one && n != number(words[3])) continue;
      machine_.vcpu(n).advance();
      poll();
    }
  }
  return std::nullopt;
}

std::optional<std::string> Stage::slow(const Line&, const Words&) {
  machine_.prompt = false;
  return std::nullopt;
}

std::optional<std::string> Stage::prompt(const Line& line, const Words& words) {
  machine_.prompt = true;
  return answer(line, words);
}

std::optional<std::string> Stage::answer(const Line&, const Words&) {
  bool more = true;
  while (std::exchange(more, false)) {
    for (std::uint32_t n = 0; n < machine_.vcpu_count(); ++n) {
      more = machine_.vcpu(n).answer_post() || more;
      more = machine_.vcpu(n).answer_pause() || more;
      poll();
    }
  }
  return std::nullopt;
}

std::optional<std::string> Stage::running(const Line&, const Words& words) {
  std::string now;
  for (std::uint32_t n = 0; n < machine_.vcpu_count(); ++n) {
    if (machine_.vcpu(n).running()) now += (now.empty() ? "" : ",") + std::to_string(n);
  }
  if (now.empty()) now = "none";
  if (now != words.at(1)) return "running: " + now;
  return std::nullopt;
}

std::optional<std::string> Stage::triple_fault(const Line&, const Words& words) {
  auto& vcpu = machine_.vcpu(static_cast<std::uint32_t>(number(words.at(1))));
  if (!vcpu.running()) return "it does not run";
  vcpu.stop(api::StopCause::kTripleFault, "triple fault");
  return std::nullopt;
}

std::optional<std::string> Stage::end(const Line&, const Words& words) {
  machine_.end(words.at(1) == "reboot" ? api::GuestEnd::kReboot : api::GuestEnd::kPowerOff);
  return std::nullopt;
}

std::optional<std::string> Stage::ended(const Line&, const Words&) {
  if (!end_) return "the guest is not over";
  return std::nullopt;
}

std::optional<std::string> Stage::hang_up(const Line& line, const Words&) {
  peer(line).hang_up();
  return std::nullopt;
}

std::optional<std::string> Stage::closed(const Line& line, const Words&) {
  if (!peer(line).closed) return "the connection is open";
  return std::nullopt;
}

}  // namespace ringside::golden
