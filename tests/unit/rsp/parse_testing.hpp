// What the parser tests share: everything offered, and the request of a body in one call.
#pragma once

#include <string_view>
#include <utility>
#include <variant>

#include <gtest/gtest.h>

#include "stub/rsp/parse.hpp"

namespace ringside::rsp {

inline Features everything_offered() {
  Features features;
  for (const ServerFeatureRow& row : server_feature_table()) features.server.add(row.feature);
  return features;
}

// The body as a T; anything else ends the test with std::bad_variant_access or an abort.
template <typename T>
T parsed(std::string_view body) {
  auto request = parse(body, everything_offered());
  EXPECT_TRUE(request.has_value()) << body;
  return std::get<T>(std::move(request).value());
}

template <typename T>
bool parses_as(std::string_view body) {
  const auto request = parse(body, everything_offered());
  return request.has_value() && std::holds_alternative<T>(*request);
}

inline bool fails(std::string_view body, Errc code = Errc::kMalformed) {
  const auto request = parse(body, everything_offered());
  return !request.has_value() && request.error().code == code;
}

inline constexpr ThreadRef kAnyThread{ThreadRef::Kind::kAny, {}};
inline constexpr ThreadRef kAllThreads{ThreadRef::Kind::kAll, {}};
inline constexpr ThreadRef vcpu(std::uint32_t number) { return {ThreadRef::Kind::kOne, VcpuId{number}}; }

}  // namespace ringside::rsp
