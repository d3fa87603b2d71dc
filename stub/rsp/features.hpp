// What the two sides can do: the client's qSupported list, our answer, and what follows from both.
// Pure values; nothing here depends on the machine.  Source: RSP "General Query Packets", qSupported.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace ringside::rsp {

// What the client announced, `name+` only; unknown names are dropped.
struct ClientFeatures {
  bool multiprocess = false;
  bool swbreak = false;
  bool hwbreak = false;
  bool no_resumed = false;
  bool error_message = false;
  bool vcont_supported = false;
  bool thread_events = false;
  bool xml_i386 = false;  // xmlRegisters= names i386
  bool operator==(const ClientFeatures&) const = default;
};

// `list` is what follows "qSupported:".
ClientFeatures parse_client_features(std::string_view list);

// What a session may offer.  A packet that depends on one that is not offered is unknown: answered empty.
enum class ServerFeature : std::uint8_t {
  kNoAckMode,
  kXferFeatures,
  kXferThreads,
  kVContSupported,
  kSwbreak,
  kHwbreak,
  kMultiprocess,
  kNoResumed,
  kBinaryUpload,
  kErrorMessage,
  kNonStop,
  kConditionalBreakpoints,
  kBreakpointCommands,
  kTracepoints,  // qTStatus and its kin are answered; announced as nothing of its own
  // Off until the session switches them on:
  kCatchSyscalls,
  kXferExecFile,
  kXferLibraries,
  kThreadEvents,
  kPassSignals,
  kProgramSignals,
  kReverseContinue,
  kReverseStep,
};
inline constexpr std::size_t kServerFeatureCount = 22;

// A set of ServerFeature; default: what every session offers.
class ServerFeatures {
 public:
  ServerFeatures();
  static ServerFeatures none();

  bool has(ServerFeature feature) const { return (bits_ >> static_cast<unsigned>(feature) & 1u) != 0; }
  ServerFeatures& add(ServerFeature feature);
  ServerFeatures& remove(ServerFeature feature);
  bool operator==(const ServerFeatures&) const = default;

 private:
  std::uint32_t bits_;
};

// Body bytes of the largest packet we ask for, announced in hex.
inline constexpr std::size_t kPacketSize = 0x20000;

// "PacketSize=20000;QStartNoAckMode+;…" for exactly the given set.
std::string supported_reply(const ServerFeatures& offered);

// One row of the list above, for documentation and `ringside packets`; `text` is empty for kTracepoints.
struct ServerFeatureRow {
  ServerFeature feature;
  std::string_view text;
  bool by_default;
};
std::span<const ServerFeatureRow> server_feature_table();

// What holds on one connection.  Before qSupported the client's side is all false.
struct Features {
  ClientFeatures client;
  ServerFeatures server;

  // Both must agree; the client's word alone changes nothing.
  bool multiprocess() const { return client.multiprocess && server.has(ServerFeature::kMultiprocess); }
  bool swbreak() const { return client.swbreak && server.has(ServerFeature::kSwbreak); }
  bool hwbreak() const { return client.hwbreak && server.has(ServerFeature::kHwbreak); }
  bool no_resumed() const { return client.no_resumed && server.has(ServerFeature::kNoResumed); }
  bool error_message() const { return client.error_message && server.has(ServerFeature::kErrorMessage); }
  bool operator==(const Features&) const = default;
};

}  // namespace ringside::rsp
