#include "stub/strace/printer.hpp"

#include <algorithm>
#include <bit>

#include "stub/strace/decode.hpp"

namespace ringside::strace {

namespace {

constexpr std::int32_t kCurrentDirectory = -100;  // AT_FDCWD

// A date of the proleptic Gregorian calendar, by days since 1970 (Hinnant, "chrono-compatible date
// algorithms").
struct Date {
  std::int64_t year;
  unsigned month;
  unsigned day;
};
constexpr Date date_of(std::int64_t days) {
  days += 719468;
  const std::int64_t era = (days >= 0 ? days : days - 146096) / 146097;
  const auto of_era = static_cast<unsigned>(days - era * 146097);
  const unsigned year_of_era = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
  const unsigned of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
  const unsigned shifted = (5 * of_year + 2) / 153;
  const unsigned month = shifted < 10 ? shifted + 3 : shifted - 9;
  const std::int64_t year = static_cast<std::int64_t>(year_of_era) + era * 400 + (month <= 2 ? 1 : 0);
  return {year, month, of_year - (153 * shifted + 2) / 5 + 1};
}
static_assert(date_of(0).year == 1970 && date_of(59).month == 3 && date_of(18518).day == 13);

constexpr std::uint32_t kFormatMask = 0170000;
constexpr Name kFormats[] = {{0140000, "S_IFSOCK"}, {0120000, "S_IFLNK"}, {0100000, "S_IFREG"},
                             {0060000, "S_IFBLK"},  {0040000, "S_IFDIR"}, {0020000, "S_IFCHR"},
                             {0010000, "S_IFIFO"}};

}  // namespace

std::uint64_t Printer::arg(unsigned n) const {
  const std::uint64_t value = n < call_.args.size() ? call_.args[n] : 0;
  return i386() ? static_cast<std::uint32_t>(value) : value;
}

std::int64_t Printer::long_arg(unsigned n) const {
  return i386() ? int_arg(n) : static_cast<std::int64_t>(arg(n));
}

std::uint64_t Printer::pair_arg(unsigned n) const { return i386() ? arg(n) | arg(n + 1) << 32 : arg(n); }

void Printer::hex(std::uint64_t value) { value == 0 ? text("0") : format("{:#x}", value); }

void Printer::octal(std::uint64_t value) { format("{:#03o}", value); }

void Printer::pointer(std::uint64_t value) { value == 0 ? text("NULL") : hex(value); }

void Printer::named(const Names& names, std::uint64_t value) {
  const std::string_view name = find_name(names, value);
  if (!name.empty()) return text(name);
  hex(value);
  if (!names.unknown.empty()) comment(names.unknown);
}

void Printer::flags(const Names& names, std::uint64_t value) {
  if (value == 0) {
    const std::string_view none = find_name(names, 0);
    return text(none.empty() ? "0" : none);
  }
  bool first = true;
  for (const Name& row : names.rows) {
    if (row.value == 0 || (value & row.value) != row.value) continue;
    if (!first) text("|");
    text(row.text);
    value &= ~std::uint64_t{row.value};
    first = false;
  }
  if (value == 0) return;
  if (!first) text("|");
  hex(value);
  if (first && !names.unknown.empty()) comment(names.unknown);
}

void Printer::more_flags(const Names& names, std::uint64_t value) {
  for (const Name& row : names.rows) {
    if (row.value == 0 || (value & row.value) != row.value) continue;
    format("|{}", row.text);
    value &= ~std::uint64_t{row.value};
  }
  if (value != 0) format("|{:#x}", value);
}

void Printer::signal(std::uint64_t number) {
  const std::string_view name = signal_name(static_cast<int>(std::min<std::uint64_t>(number, 1000)));
  name.empty() ? decimal(static_cast<std::int32_t>(number)) : text(name);
}

void Printer::signal_set(ByteView set) {
  const auto holds = [&](int number) {
    const auto bit = static_cast<unsigned>(number - 1);
    return bit / 8 < set.size() && (set[bit / 8] >> bit % 8 & 1) != 0;
  };
  const int last = static_cast<int>(std::min<std::size_t>(set.size() * 8, 64));
  int count = 0;
  for (int number = 1; number <= last; ++number) count += holds(number) ? 1 : 0;
  const bool inverted = count >= last * 2 / 3;  // shorter to say what is missing
  text(inverted ? "~[" : "[");
  bool first = true;
  for (int number = 1; number <= last; ++number) {
    if (holds(number) == inverted) continue;
    if (!first) text(" ");
    const std::string_view name = signal_name(number);
    name.empty() ? decimal(number) : text(name.substr(3));
    first = false;
  }
  text("]");
}

// <path>, and whether it is still there: /proc shows "path (deleted)".
void Printer::path_comment(std::string_view path) {
  constexpr std::string_view kDeleted = " (deleted)";
  const bool deleted = path.ends_with(kDeleted);
  if (deleted) path.remove_suffix(kDeleted.size());
  text("<");
  escaped({reinterpret_cast<const std::uint8_t*>(path.data()), path.size()});
  text(deleted ? ">(deleted)" : ">");
}

void Printer::fd(std::int32_t number) {
  decimal(number);
  if (!style_.fd_paths || number < 0) return;
  std::array<char, kMaxPath> storage;
  Text path{storage};
  if (process_.fd_path(number, path)) path_comment(path.view());
}

void Printer::dir_fd(std::int32_t number) {
  if (number != kCurrentDirectory) return fd(number);
  text("AT_FDCWD");
  if (!style_.fd_paths) return;
  std::array<char, kMaxPath> storage;
  Text path{storage};
  if (process_.working_directory(path)) path_comment(path.view());
}

void Printer::device(std::uint64_t number) {
  const std::uint64_t major = (number >> 8 & 0xfff) | (number >> 32 & ~std::uint64_t{0xfff});
  const std::uint64_t minor = (number & 0xff) | (number >> 12 & 0xffffff00);
  text("makedev(");
  hex(major);
  text(", ");
  hex(minor);
  text(")");
}

void Printer::mode(std::uint32_t value) {
  const std::string_view format_name = find_name({kFormats, {}}, value & kFormatMask);
  if (format_name.empty() && (value & kFormatMask) != 0) return octal(value);
  if (!format_name.empty()) format("{}|", format_name);
  std::uint32_t rest = format_name.empty() ? value : value & ~kFormatMask;
  constexpr Name kBits[] = {{04000, "S_ISUID|"}, {02000, "S_ISGID|"}, {01000, "S_ISVTX|"}};
  for (const Name& bit : kBits) {
    if ((rest & bit.value) == 0) continue;
    text(bit.text);
    rest &= ~bit.value;
  }
  octal(rest);
}

void Printer::user(std::uint32_t id) { id == 0xffffffff ? text("-1") : unsigned_decimal(id); }

void Printer::date(std::int64_t seconds, std::uint64_t fraction, unsigned digits) {
  constexpr std::int64_t kDay = 86400;
  const std::int64_t days = seconds / kDay - (seconds % kDay < 0 ? 1 : 0);
  const std::int64_t of_day = seconds - days * kDay;
  const Date date = date_of(days);
  format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}", date.year, date.month, date.day, of_day / 3600,
         of_day / 60 % 60, of_day % 60);
  if (fraction != 0) format(".{:0{}}", fraction, digits);
  text("+0000");
}

void Printer::time_comment(std::int64_t seconds, std::uint64_t fraction, unsigned digits) {
  constexpr std::int64_t kMost = std::int64_t{1} << 40;  // 34,865 years
  if (seconds > kMost || seconds < -kMost) return;
  text(" /* ");
  date(seconds, fraction, digits);
  text(" */");
}

bool Printer::read(std::uint64_t at, MutableByteView to) const { return !blind() && read_always(at, to); }

bool Printer::read_always(std::uint64_t at, MutableByteView to) const {
  return process_.memory().read(Gva{at}, to);
}

std::optional<std::uint64_t> Printer::load_word(std::uint64_t at) const {
  if (!i386()) return load<std::uint64_t>(at);
  const auto value = load<std::uint32_t>(at);
  return value ? std::optional<std::uint64_t>(*value) : std::nullopt;
}

}  // namespace ringside::strace
