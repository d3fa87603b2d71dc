// Arguments of calls that few programs make: quotas, landlock, fanotify, kexec.
#include <array>

#include "stub/strace/arguments.hpp"

namespace ringside::strace::arguments {

namespace {

constexpr Name kQuotaCommands[] = {
    {0x800001, "Q_SYNC"},     {0x800002, "Q_QUOTAON"},  {0x800003, "Q_QUOTAOFF"},
    {0x800004, "Q_GETFMT"},   {0x800005, "Q_GETINFO"},  {0x800006, "Q_SETINFO"},
    {0x800007, "Q_GETQUOTA"}, {0x800008, "Q_SETQUOTA"}, {0x800009, "Q_GETNEXTQUOTA"},
    {0x5801, "Q_XQUOTAON"},   {0x5802, "Q_XQUOTAOFF"},  {0x5803, "Q_XGETQUOTA"},
    {0x5804, "Q_XSETQLIM"},   {0x5805, "Q_XGETQSTAT"},  {0x5806, "Q_XQUOTARM"},
    {0x5807, "Q_XQUOTASYNC"}, {0x5808, "Q_XGETQSTATV"}, {0x5809, "Q_XGETNEXTQUOTA"}};
constexpr Name kQuotaTypes[] = {{0, "USRQUOTA"}, {1, "GRPQUOTA"}, {2, "PRJQUOTA"}};
constexpr Name kQuotaFormats[] = {
    {1, "QFMT_VFS_OLD"}, {2, "QFMT_VFS_V0"}, {3, "QFMT_OCFS2"}, {4, "QFMT_VFS_V1"}};

void print_quota(Printer& printer, std::uint32_t command, std::uint32_t id, std::uint64_t address) {
  constexpr std::uint32_t kQuotaOn = 0x800002;
  printer.next();
  if (command == kQuotaOn) {
    const std::string_view name = find_name({kQuotaFormats, {}}, id);
    name.empty() ? printer.hex(id) : printer.text(name);
    if (name.empty()) printer.comment("QFMT_VFS_???");
    printer.next();
    return printer.path(address);
  }
  printer.user(id);
  printer.next();
  printer.pointer(address);
}

}  // namespace

void print_quota_command(Printer& printer, unsigned at) {
  const std::uint32_t command = printer.uint_arg(at);
  printer.text("QCMD(");
  printer.named({kQuotaCommands, "Q_???"}, command >> 8);
  printer.text(", ");
  printer.named({kQuotaTypes, "???QUOTA"}, command & 0xff);
  printer.text(")");
}

void print_quota_rest(Printer& printer, unsigned at) {
  print_quota(printer, printer.uint_arg(0) >> 8, printer.uint_arg(at), printer.arg(at + 1));
}
void print_quota_rest_fd(Printer& printer, unsigned at) {
  print_quota(printer, printer.uint_arg(1) >> 8, printer.uint_arg(at), printer.arg(at + 1));
}

void print_landlock_ruleset(Printer& printer, unsigned at) {
  const std::uint64_t where = printer.arg(at);
  const auto access =
      where == 0 || printer.arg(at + 1) < 8 ? std::nullopt : printer.load<std::uint64_t>(where);
  if (!access) return printer.pointer(where);
  printer.text("{handled_access_fs=");
  printer.flags(names::landlock_access, *access);
  printer.text("}");
}

void print_landlock_rule(Printer& printer, unsigned at) {
  constexpr std::uint32_t kPathBeneath = 1;
  const std::uint64_t where = printer.arg(at);
  const auto access = printer.load<std::uint64_t>(where);
  const auto parent = printer.load<std::int32_t>(where + 8);
  if (printer.uint_arg(at - 1) != kPathBeneath || where == 0 || !access || !parent)
    return printer.pointer(where);
  printer.text("{allowed_access=");
  printer.flags(names::landlock_access, *access);
  printer.text(", parent_fd=");
  printer.fd(*parent);
  printer.text("}");
}

void print_fanotify_class(Printer& printer, unsigned at) {
  constexpr Name kClasses[] = {
      {0, "FAN_CLASS_NOTIF"}, {4, "FAN_CLASS_CONTENT"}, {8, "FAN_CLASS_PRE_CONTENT"}};
  constexpr Name kFlags[] = {{0x1, "FAN_CLOEXEC"},
                             {0x2, "FAN_NONBLOCK"},
                             {0x10, "FAN_UNLIMITED_QUEUE"},
                             {0x20, "FAN_UNLIMITED_MARKS"},
                             {0x40, "FAN_ENABLE_AUDIT"},
                             {0x80, "FAN_REPORT_PIDFD"},
                             {0x100, "FAN_REPORT_TID"},
                             {0x200, "FAN_REPORT_FID"},
                             {0x400, "FAN_REPORT_DIR_FID"},
                             {0x800, "FAN_REPORT_NAME"},
                             {0x1000, "FAN_REPORT_TARGET_FID"}};
  constexpr std::uint32_t kClassBits = 0xc;
  const std::uint32_t flags = printer.uint_arg(at);
  printer.named({kClasses, "FAN_CLASS_???"}, flags & kClassBits);
  printer.more_flags({kFlags, {}}, flags & ~kClassBits);
}

void print_fanotify_event_flags(Printer& printer, unsigned at) {
  strace::print_open_flags(printer, printer.uint_arg(at));
}

void print_fanotify_mask(Printer& printer, unsigned at) {
  printer.flags(names::fanotify_events, printer.pair_arg(at));
}

void print_kexec_segments(Printer& printer, unsigned at) {
  constexpr std::uint64_t kMostSegments = 16;  // KEXEC_SEGMENT_MAX
  const std::uint64_t count = printer.arg(at - 1);
  const std::uint64_t word = printer.word_size();
  if (count > kMostSegments) return printer.pointer(printer.arg(at));
  const auto show = [&](std::uint64_t element) {
    std::array<std::uint64_t, 4> words{};
    for (std::uint64_t i = 0; i < words.size(); ++i) {
      const auto value = printer.load_word(element + i * word);
      if (!value) return false;
      words[i] = *value;
    }
    printer.text("{buf=");
    printer.pointer(words[0]);
    printer.format(", bufsz={}, mem=", words[1]);
    printer.pointer(words[2]);
    printer.format(", memsz={}}}", words[3]);
    return true;
  };
  print_array(printer, printer.arg(at), count, 4 * word, show);
}

void print_kexec_flags(Printer& printer, unsigned at) {
  constexpr Name kArchitectures[] = {{0, "DEFAULT"},  {3, "386"},       {4, "68K"},     {8, "MIPS"},
                                     {10, "MIPS_LE"}, {15, "PARISC"},   {20, "PPC"},    {21, "PPC64"},
                                     {22, "S390"},    {40, "ARM"},      {42, "SH"},     {50, "IA_64"},
                                     {62, "X86_64"},  {183, "AARCH64"}, {243, "RISCV"}, {258, "LOONGARCH"}};
  constexpr Name kFlags[] = {{1, "KEXEC_ON_CRASH"}, {2, "KEXEC_PRESERVE_CONTEXT"}};
  constexpr std::uint64_t kArchitecture = 0xffff0000;
  const std::uint64_t flags = printer.arg(at);
  const std::string_view name = find_name({kArchitectures, {}}, (flags & kArchitecture) >> 16);
  name.empty() ? printer.format("{:#x} /* KEXEC_ARCH_??? */", flags & kArchitecture)
               : printer.format("KEXEC_ARCH_{}", name);
  if ((flags & ~kArchitecture) == 0) return;
  printer.text("|");
  printer.flags({kFlags, "KEXEC_???"}, flags & ~kArchitecture);
}

}  // namespace ringside::strace::arguments
