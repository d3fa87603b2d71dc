// What an agent expression sees, from tables; all that it does is written down in order.
#pragma once

#include <algorithm>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "stub/agent/environment.hpp"

namespace ringside::fakes {

class FakeEnvironment : public agent::Environment {
 public:
  static constexpr std::uint64_t kBase = 0x1000;  // two pages of memory, and none beside them
  static constexpr std::uint64_t kSize = 0x2000;

  std::vector<std::uint8_t> memory = std::vector<std::uint8_t>(kSize);
  std::map<unsigned, std::uint64_t> registers;
  std::map<unsigned, std::uint64_t> variables;
  std::vector<std::string> deeds;  // "print ...", "memory 1000 8", "string 1000 8", "variable 1"
  bool records = true;
  std::size_t longest_read = 0;

  void put(std::uint64_t at, std::string_view text) {
    std::copy(text.begin(), text.end(), memory.begin() + static_cast<std::ptrdiff_t>(at - kBase));
  }

  bool read_memory(Gva at, MutableByteView into) noexcept override {
    longest_read = std::max(longest_read, into.size());
    if (at.value < kBase || at.value - kBase > kSize || into.size() > kSize - (at.value - kBase))
      return false;
    std::copy_n(memory.data() + (at.value - kBase), into.size(), into.data());
    return true;
  }
  std::optional<std::uint64_t> read_register(unsigned number) noexcept override {
    return find(registers, number);
  }
  std::optional<std::uint64_t> read_variable(unsigned number) noexcept override {
    return find(variables, number);
  }
  bool write_variable(unsigned number, std::uint64_t value) noexcept override {
    const auto place = variables.find(number);
    if (place == variables.end()) return false;
    place->second = value;
    return true;
  }
  void print(std::string_view text) noexcept override { deeds.push_back("print " + std::string(text)); }
  bool record_memory(Gva at, std::uint64_t size) noexcept override {
    deeds.push_back("memory " + std::to_string(at.value) + " " + std::to_string(size));
    return records;
  }
  bool record_string(Gva at, std::uint64_t limit) noexcept override {
    deeds.push_back("string " + std::to_string(at.value) + " " + std::to_string(limit));
    return records;
  }
  bool record_variable(unsigned number) noexcept override {
    deeds.push_back("variable " + std::to_string(number));
    return find(variables, number).has_value();
  }

 private:
  static std::optional<std::uint64_t> find(const std::map<unsigned, std::uint64_t>& in, unsigned number) {
    const auto place = in.find(number);
    return place == in.end() ? std::nullopt : std::optional(place->second);
  }
};

}  // namespace ringside::fakes
