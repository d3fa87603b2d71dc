#include "stub/rsp/features.hpp"

#include <array>

#include "stub/rsp/hex.hpp"

namespace ringside::rsp {
namespace {

using enum ServerFeature;

// In the order of the enumeration, which is the order on the wire.
constexpr std::array<ServerFeatureRow, kServerFeatureCount> kTable = {{
    {kNoAckMode, "QStartNoAckMode+", true},
    {kXferFeatures, "qXfer:features:read+", true},
    {kXferThreads, "qXfer:threads:read+", true},
    {kVContSupported, "vContSupported+", true},
    {kSwbreak, "swbreak+", true},
    {kHwbreak, "hwbreak+", true},
    {kMultiprocess, "multiprocess+", true},
    {kNoResumed, "no-resumed+", true},
    {kBinaryUpload, "binary-upload+", true},
    {kErrorMessage, "error-message+", true},
    {kNonStop, "QNonStop+", true},
    {kConditionalBreakpoints, "ConditionalBreakpoints+", true},
    {kBreakpointCommands, "BreakpointCommands+", true},
    {kTracepoints, "", true},
    {kCatchSyscalls, "QCatchSyscalls+", true},
    {kXferExecFile, "qXfer:exec-file:read+", true},
    {kXferLibraries, "qXfer:libraries:read+", false},
    {kThreadEvents, "QThreadEvents+", false},
    {kPassSignals, "QPassSignals+", false},
    {kProgramSignals, "QProgramSignals+", false},
    {kReverseContinue, "ReverseContinue+", false},
    {kReverseStep, "ReverseStep+", false},
}};

constexpr bool in_enum_order() {
  for (std::size_t i = 0; i < kTable.size(); ++i) {
    if (static_cast<std::size_t>(kTable[i].feature) != i) return false;
  }
  return true;
}
static_assert(in_enum_order());

struct ClientRow {
  std::string_view text;
  bool ClientFeatures::*flag;
};

constexpr std::array<ClientRow, 7> kClientTable = {{
    {"multiprocess+", &ClientFeatures::multiprocess},
    {"swbreak+", &ClientFeatures::swbreak},
    {"hwbreak+", &ClientFeatures::hwbreak},
    {"no-resumed+", &ClientFeatures::no_resumed},
    {"error-message+", &ClientFeatures::error_message},
    {"vContSupported+", &ClientFeatures::vcont_supported},
    {"QThreadEvents+", &ClientFeatures::thread_events},
}};

constexpr std::uint32_t bit_of(ServerFeature feature) { return 1u << static_cast<unsigned>(feature); }

// Calls use(item) for each piece between separators.
template <typename Use>
void for_each_item(std::string_view list, char separator, Use use) {
  while (!list.empty()) {
    const std::string_view item = list.substr(0, list.find(separator));
    use(item);
    list.remove_prefix(item.size() == list.size() ? item.size() : item.size() + 1);
  }
}

constexpr std::string_view kXmlRegisters = "xmlRegisters=";

}  // namespace

ClientFeatures parse_client_features(std::string_view list) {
  ClientFeatures found;
  for_each_item(list, ';', [&](std::string_view item) {
    for (const ClientRow& row : kClientTable) {
      if (item == row.text) found.*row.flag = true;
    }
    if (!item.starts_with(kXmlRegisters)) return;
    for_each_item(item.substr(kXmlRegisters.size()), ',', [&](std::string_view architecture) {
      if (architecture == "i386") found.xml_i386 = true;
    });
  });
  return found;
}

ServerFeatures::ServerFeatures() : bits_(0) {
  for (const ServerFeatureRow& row : kTable) {
    if (row.by_default) add(row.feature);
  }
}

ServerFeatures ServerFeatures::none() {
  ServerFeatures features;
  features.bits_ = 0;
  return features;
}

ServerFeatures& ServerFeatures::add(ServerFeature feature) {
  bits_ |= bit_of(feature);
  return *this;
}

ServerFeatures& ServerFeatures::remove(ServerFeature feature) {
  bits_ &= ~bit_of(feature);
  return *this;
}

std::string supported_reply(const ServerFeatures& offered) {
  std::string out = "PacketSize=";
  append_hex_number(out, kPacketSize);
  for (const ServerFeatureRow& row : kTable) {
    if (!offered.has(row.feature) || row.text.empty()) continue;
    out += ';';
    out += row.text;
  }
  return out;
}

std::span<const ServerFeatureRow> server_feature_table() { return kTable; }

}  // namespace ringside::rsp
