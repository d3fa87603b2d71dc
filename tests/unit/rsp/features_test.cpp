#include "stub/rsp/features.hpp"

#include <gtest/gtest.h>

namespace ringside::rsp {
namespace {

TEST(ClientFeatures, ReadsWhatGdb13Announces) {
  const ClientFeatures client = parse_client_features(
      "multiprocess+;swbreak+;hwbreak+;qRelocInsn+;fork-events+;vfork-events+;exec-events+;vContSupported+;"
      "QThreadEvents+;no-resumed+;memory-tagging+;xmlRegisters=i386");

  EXPECT_TRUE(client.multiprocess);
  EXPECT_TRUE(client.swbreak);
  EXPECT_TRUE(client.hwbreak);
  EXPECT_TRUE(client.no_resumed);
  EXPECT_TRUE(client.vcont_supported);
  EXPECT_TRUE(client.thread_events);
  EXPECT_TRUE(client.xml_i386);
  EXPECT_FALSE(client.error_message);
}

TEST(ClientFeatures, ReadsWhatLldb14Announces) {
  const ClientFeatures client =
      parse_client_features("xmlRegisters=i386,arm,mips,arc;multiprocess+;fork-events+;vfork-events+");

  EXPECT_TRUE(client.xml_i386);
  EXPECT_TRUE(client.multiprocess);
  EXPECT_FALSE(client.swbreak);
}

TEST(ClientFeatures, OnlyAPlusCounts) {
  EXPECT_EQ(parse_client_features("multiprocess-;swbreak?;hwbreak;error-message=1"), ClientFeatures{});
  EXPECT_EQ(parse_client_features(""), ClientFeatures{});
  EXPECT_EQ(parse_client_features(";;;"), ClientFeatures{});
}

TEST(ServerFeatures, DefaultReplyOffersTheBaseline) {
  EXPECT_EQ(supported_reply(ServerFeatures()),
            "PacketSize=20000;QStartNoAckMode+;qXfer:features:read+;qXfer:threads:read+;vContSupported+;"
            "swbreak+;hwbreak+;multiprocess+;no-resumed+;binary-upload+;error-message+;"
            "QNonStop+;ConditionalBreakpoints+;BreakpointCommands+;QCatchSyscalls+;qXfer:exec-file:read+");
}

TEST(ServerFeatures, SwitchesChangeTheReply) {
  EXPECT_EQ(supported_reply(ServerFeatures::none().add(ServerFeature::kNonStop)),
            "PacketSize=20000;QNonStop+");
  EXPECT_EQ(supported_reply(ServerFeatures::none().add(ServerFeature::kTracepoints)), "PacketSize=20000");
  EXPECT_FALSE(ServerFeatures().remove(ServerFeature::kSwbreak).has(ServerFeature::kSwbreak));
}

TEST(Features, HoldOnlyWhenBothSidesAgree) {
  Features client_only{.client = {.multiprocess = true}, .server = ServerFeatures::none()};
  Features server_only{.client = {}, .server = ServerFeatures()};
  Features both{.client = {.multiprocess = true}, .server = ServerFeatures()};

  EXPECT_FALSE(client_only.multiprocess());
  EXPECT_FALSE(server_only.multiprocess());
  EXPECT_TRUE(both.multiprocess());
}

}  // namespace
}  // namespace ringside::rsp
