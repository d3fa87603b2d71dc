#include "stub/strace/summary.hpp"

#include <algorithm>
#include <vector>

#include <fmt/format.h>

namespace ringside::strace {
namespace {

constexpr std::string_view kRule = "------ ----------- ----------- --------- --------- ----------------\n";

}  // namespace

void Summary::add(const Record& record) {
  const std::string name =
      record.abi == Abi::kI386 ? fmt::format("{} (32 bit)", record.name) : std::string(record.name);
  if (record.kind == Record::Kind::kCount) {
    Row& row = rows_[name];
    row.calls += record.calls;
    row.errors += record.errors;
    row.took_ns += record.took_ns;
  } else if (record.kind == Record::Kind::kReturn) {
    Row& row = rows_[name];
    ++row.calls;
    row.took_ns += record.took_ns;
    if (record.result < 0 && record.result >= -4095) ++row.errors;
  }
}

std::string Summary::table(SortBy order) const {
  Row total;
  std::vector<const std::pair<const std::string, Row>*> rows;
  for (const auto& entry : rows_) {
    rows.push_back(&entry);
    total.calls += entry.second.calls;
    total.errors += entry.second.errors;
    total.took_ns += entry.second.took_ns;
  }
  // Names are in order already, and stay so among equals.
  const auto key = [order](const auto* entry) -> std::uint64_t {
    switch (order) {
      case SortBy::kTime:
        return ~entry->second.took_ns;
      case SortBy::kCalls:
        return ~entry->second.calls;
      case SortBy::kErrors:
        return ~entry->second.errors;
      case SortBy::kName:
      case SortBy::kNothing:
        break;
    }
    return 0;
  };
  std::ranges::stable_sort(rows, {}, key);
  const auto line = [&](const Row& row, std::string_view name) {
    const double share = total.took_ns == 0
                             ? 0.0
                             : 100.0 * static_cast<double>(row.took_ns) / static_cast<double>(total.took_ns);
    const std::uint64_t each = row.calls == 0 ? 0 : row.took_ns / 1000 / row.calls;
    return fmt::format("{:6.2f} {:11.6f} {:11} {:9} {:>9} {}\n", share,
                       static_cast<double>(row.took_ns) / 1e9, each, row.calls,
                       row.errors == 0 ? std::string() : std::to_string(row.errors), name);
  };
  std::string text = "% time     seconds  usecs/call     calls    errors syscall\n";
  text += kRule;
  for (const auto* entry : rows) text += line(entry->second, entry->first);
  text += kRule;
  return text + line(total, "total");
}

}  // namespace ringside::strace
