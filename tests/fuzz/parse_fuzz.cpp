// Any body, any set of features: a Request within the limits or an Error with a sentence.  What follows from
// a body that parses is done too: replies built from it must be sendable.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "stub/rsp/hex.hpp"
#include "stub/rsp/parse.hpp"
#include "stub/rsp/reply.hpp"

namespace {

using namespace ringside;
using namespace ringside::rsp;

void require(bool condition) {
  if (!condition) std::abort();
}

Features features_from(std::uint8_t bits) {
  Features features;
  if ((bits & 1) != 0) {
    for (const ServerFeatureRow& row : server_feature_table()) features.server.add(row.feature);
  }
  if ((bits & 2) != 0) features.server = ServerFeatures::none();
  features.client.multiprocess = (bits & 4) != 0;
  features.client.error_message = (bits & 8) != 0;
  return features;
}

struct Check {
  std::size_t body_size;

  void operator()(const ReadMemory& read) const { require(read.length <= kMaxRead); }
  void operator()(const WriteMemory& write) const { require(write.data.size() <= body_size); }
  void operator()(const InsertPoint& point) const {
    require(point.conditions.size() + point.commands.size() <= kMaxPointItems);
    std::size_t bytes = 0;
    for (const Bytes& code : point.conditions) bytes += code.size();
    for (const Bytes& code : point.commands) bytes += code.size();
    require(bytes <= kMaxPointCode && bytes <= body_size);
  }
  void operator()(const ResumeMany& resume) const {
    require(!resume.actions.empty() && resume.actions.size() <= kMaxResumeActions);
  }
  void operator()(const WriteRegisters& write) const {
    x86::RegisterFile registers;
    (void)read_g_packet(write.hex, registers);
  }
  void operator()(const ReadXfer& read) const {
    const std::string reply = xfer_reply("a document#$*}", read.offset, read.length);
    require(reply.front() == 'm' || reply.front() == 'l' || reply.front() == 'E');
  }
  void operator()(const auto&) const {}
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const Features agreed = features_from(data[0]);
  const std::string_view body(reinterpret_cast<const char*>(data + 1), size - 1);
  const auto request = parse(body, agreed);
  if (request.has_value()) {
    std::visit(Check{body.size()}, *request);
    return 0;
  }
  require(!request.error().text.empty());
  require(error_reply(request.error(), agreed).find_first_of("#$*}") == std::string::npos);
  return 0;
}
